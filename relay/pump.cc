#include "relay/pump.h"

#include <malloc.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/result.h"
#include "relay/connection.h"

namespace oqto::relay {
namespace {

constexpr int kIdleMs = 2000;             // then memory is given back
constexpr unsigned kClosingSeconds = 10;  // from the runner's end of stream to the client's

class Buffer {
 public:
  explicit Buffer(char* data) : data_(data) {}
  [[nodiscard]] bool empty() const { return begin_ == end_; }
  [[nodiscard]] std::string_view bytes() const { return {data_ + begin_, end_ - begin_}; }
  [[nodiscard]] std::span<char> space() { return {data_ + end_, kPumpBytes - end_}; }
  void added(std::size_t n) { end_ += n; }
  void taken(std::size_t n) {
    begin_ += n;
    if (begin_ == end_) clear();
  }
  void clear() { begin_ = end_ = 0; }

 private:
  char* data_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// Both buffers lie outside the heap, so that idle connections can give every page of them back.
char* map_buffers() {
  void* memory =
      ::mmap(nullptr, 2 * kPumpBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) end();
  return static_cast<char*>(memory);
}

class Pump {
 public:
  Pump(TlsStream& tls, int stream, std::string_view first)
      : tls_(tls),
        stream_(stream),
        memory_(map_buffers()),
        up_(memory_),
        down_(memory_ + kPumpBytes) {
    CHECK(first.size() <= kPumpBytes);
    std::memcpy(up_.space().data(), first.data(), first.size());
    up_.added(first.size());
  }

  [[noreturn]] void run() {
    for (;;) {
      if (up_.empty() && may_read()) fill_up();
      if (!up_.empty() && stream_writable_) flush_up();
      if (down_.empty() && !runner_done_ && stream_readable_) fill_down();
      if (!down_.empty() && tls_writable_) flush_down();
      pass_on_ends();
      // More records may be decrypted already: poll() would not see them.
      if (up_.empty() && may_read()) continue;
      wait();
    }
  }

 private:
  [[nodiscard]] bool may_read() const {
    return !client_done_ && (tls_readable_ || (tls_.has_pending() && !tls_starved_));
  }

  // Gathers every record that has arrived into one send.
  void fill_up() {
    tls_readable_ = false;
    do {
      const IoResult got = tls_.read(up_.space());
      if (got.io == Io::done) {
        up_.added(got.bytes);
        continue;
      }
      if (got.io == Io::failed) end();
      if (got.io == Io::closed) client_done_ = true;
      if (got.io == Io::want_write) read_wants_write_ = true;
      tls_starved_ = true;  // what is pending is a part of a record
      return;
    } while (!up_.space().empty() && tls_.has_pending());
  }

  void flush_up() {
    if (runner_gone_) return up_.clear();
    const std::string_view bytes = up_.bytes();
    const ssize_t n = ::send(stream_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) return up_.taken(static_cast<std::size_t>(n));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      stream_writable_ = false;
      return;
    }
    runner_gone_ = true;  // what it still said is delivered; what the client says is not
    up_.clear();
  }

  void fill_down() {
    stream_readable_ = false;
    const std::span<char> space = down_.space();
    const ssize_t n = ::recv(stream_, space.data(), space.size(), MSG_DONTWAIT);
    if (n > 0) return down_.added(static_cast<std::size_t>(n));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    runner_done_ = true;
  }

  void flush_down() {
    while (!down_.empty()) {
      const IoResult put = tls_.write(down_.bytes());
      if (put.io == Io::done) {
        down_.taken(put.bytes);
      } else if (put.io == Io::want_write || put.io == Io::want_read) {
        tls_writable_ = false;
        return;
      } else {
        end();
      }
    }
  }

  // Each direction ends for itself, and only after its last byte was delivered.
  void pass_on_ends() {
    if (client_done_ && up_.empty() && !told_runner_) {
      told_runner_ = true;
      (void)::shutdown(stream_, SHUT_WR);
    }
    if (runner_done_ && down_.empty() && !told_client_) {
      told_client_ = true;
      ::alarm(kClosingSeconds);
      (void)tls_.close_notify();
      (void)::shutdown(kTcpFd, SHUT_WR);
    }
    if (told_runner_ && told_client_) end();
  }

  void wait() {
    short tcp = 0;
    if (up_.empty() && !client_done_) tcp |= POLLIN;
    if ((!down_.empty() && !tls_writable_) || read_wants_write_) tcp |= POLLOUT;
    short stream = 0;
    if (down_.empty() && !runner_done_) stream |= POLLIN;
    if (!up_.empty()) stream |= POLLOUT;
    std::array<pollfd, 3> entries{
        {{kTcpFd, tcp, 0}, {stream != 0 ? stream_ : -1, stream, 0}, {kControlFd, POLLIN, 0}}};
    const int ready = ::poll(entries.data(), entries.size(), trimmed_ ? -1 : kIdleMs);
    if (ready < 0 && errno != EINTR) end();
    if (ready == 0) return trim();
    if (ready < 0) return;
    if (entries[2].revents != 0) end();  // the guard closed our control channel: the kill switch
    note_tcp(entries[0].revents);
    if ((entries[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) stream_readable_ = true;
    if ((entries[1].revents & (POLLOUT | POLLHUP | POLLERR)) != 0) stream_writable_ = true;
    trimmed_ = false;
  }

  void note_tcp(short events) {
    if ((events & POLLIN) == 0 && (events & (POLLERR | POLLHUP)) != 0) end();
    if ((events & (POLLIN | POLLOUT)) != 0) tls_starved_ = false;
    if ((events & POLLIN) != 0) tls_readable_ = true;
    if ((events & POLLOUT) != 0) {
      tls_writable_ = true;
      tls_readable_ = tls_readable_ || read_wants_write_;
      read_wants_write_ = false;
    }
  }

  void trim() {
    trimmed_ = true;
    if (!up_.empty() || !down_.empty()) return;
    tls_.release_buffers();
    (void)::madvise(memory_, 2 * kPumpBytes, MADV_DONTNEED);
    (void)::malloc_trim(0);
  }

  TlsStream& tls_;
  int stream_;
  char* memory_;
  Buffer up_;    // client to runner
  Buffer down_;  // runner to client
  bool tls_readable_ = true;
  bool tls_writable_ = true;
  bool tls_starved_ = false;       // the next read needs more from the socket
  bool read_wants_write_ = false;  // TLS wants to answer a key update
  bool stream_readable_ = true;
  bool stream_writable_ = true;
  bool client_done_ = false;
  bool runner_done_ = false;
  bool runner_gone_ = false;
  bool told_runner_ = false;
  bool told_client_ = false;
  bool trimmed_ = false;
};

}  // namespace

void pump(TlsStream& tls, int stream, std::string_view first) {
  Pump(tls, stream, first).run();
}

}  // namespace oqto::relay
