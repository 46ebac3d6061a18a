#include "egress/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cstring>

#include "egress/client_hello.h"
#include "egress/session_parts.h"

namespace oqto::egress {
namespace {

using tcp = asio::ip::tcp;
using boost::system::error_code;

void prepare(tcp::socket& socket) {
  error_code ignored;
  // A peer that has gone for good looks like one that only has no more to say, until it is asked.
  const int idle = 60, every = 20, times = 4;  // seconds, seconds, probes
  (void)::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  (void)::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
  (void)::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.non_blocking(true, ignored);
}

}  // namespace

void reset(tcp::socket& socket) {
  if (!socket.is_open()) return;
  // Disconnecting sends the reset now; the usual way, SO_LINGER, is not allowed to a sealed
  // process.
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  (void)::connect(socket.native_handle(), &nobody, sizeof nobody);
  error_code ignored;
  socket.close(ignored);
}

Connection::Connection(std::shared_ptr<Session> session, tcp::socket client, Target to)
    : target(std::move(to)),
      session_(std::move(session)),
      client_(std::move(client)),
      upstream_(client_.get_executor()),
      deadline_(client_.get_executor()),
      changed_(session_->shared().io),
      begun_(Clock::now()),
      active_(begun_) {}

Connection::~Connection() = default;

asio::awaitable<void> Connection::run([[maybe_unused]] std::shared_ptr<Connection> self) {
  prepare(client_);
  const bool meant = co_await greeted();
  if (meant && !closed_) {
    const bool may = co_await admitted();
    if (may) {
      const bool there = co_await dialled();
      if (there) co_await passed();
      record_outcome();
    }
  }
  closed_ = true;
  deadline_.cancel();
  error_code ignored;
  client_.close(ignored);
  upstream_.close(ignored);
  session_->ended(*this);
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  if (failure_.empty()) failure_ = "cut off";
  deadline_.cancel();
  dial_.stop();
  reset(client_);
  reset(upstream_);
  changed_.notify();
}

void Connection::close_if_idle(Time now) {
  if (active_ + kIdleTime > now) return;
  failure_ = "idle for too long";
  close();
}

// Nothing is looked up or dialled before the log has it.
asio::awaitable<bool> Connection::admitted() {
  ipc::AuditAppend record;
  record.event = ipc::Event::network;
  record.phase = ipc::Phase::intent;
  record.add(ipc::FieldKey::host, target.host);
  record.add(ipc::FieldKey::port, std::to_string(target.port));
  record.add(ipc::FieldKey::rule, target.rule);
  const auto recorded = co_await session_->setup().records->intent(std::move(record));
  if (recorded) {
    intent_ = *recorded;
    co_return true;
  }
  reset(client_);
  if (!closed_) session_->refuse(target.host, target.port, recorded.error().what);
  co_return false;
}

asio::awaitable<bool> Connection::dialled() {
  Shared& shared = session_->shared();
  std::string name = target.host;
  auto addresses = co_await shared.resolver.resolve(session_->setup().owner, std::move(name));
  if (closed_) co_return false;
  std::vector<Address> good;
  if (!addresses) {
    failure_ = addresses.error().what;
  } else {
    for (const Address& address : *addresses) {
      std::string_view why = why_forbidden(address, shared.settings.allow_private);
      if (why.empty() && !is_allowed_by_operator(address) && is_own_address(address)) {
        why = "an address of this host";
      }
      if (why.empty()) {
        good.push_back(address);
      } else if (failure_.empty()) {
        failure_ = "the name leads to " + std::string(why) + ": " + address.text();
      }
    }
  }
  if (!good.empty()) {
    auto there = co_await dial(std::move(good), target.port, dial_);
    if (closed_) co_return false;
    if (there) {
      failure_.clear();
      upstream_ = std::move(there->socket);
      address_ = there->address;
      prepare(upstream_);
      co_return true;
    }
    failure_ = std::string(there.error().what) + ": " + ::strerrordesc_np(there.error().sys);
  }
  session_->pause(target.address, target.port);  // first: who sees the reset may try again at once
  reset(client_);
  co_return false;
}

bool Connection::is_allowed_by_operator(const Address& address) const {
  return std::ranges::any_of(session_->shared().settings.allow_private,
                             [&](const Prefix& prefix) { return prefix.contains(address); });
}

// --- bytes ---

asio::awaitable<void> Connection::passed() {
  asio::co_spawn(session_->shared().io, downward(shared_from_this()), asio::detached);
  co_await upward();
  while (!down_ended_) co_await changed_.wait_until(Time::max());
}

asio::awaitable<bool> Connection::write(tcp::socket& to, std::vector<std::uint8_t>& bytes,
                                        std::uint64_t& count) {
  auto [error, size] = co_await asio::async_write(to, asio::buffer(bytes), kToken);
  count += size;
  active_ = Clock::now();
  bytes.clear();
  co_return !error && !closed_;
}

asio::awaitable<void> Connection::upward() {
  if (head_.empty()) {  // the server may speak first
    const bool any = co_await read_more(kPiece);
    if (closed_) co_return;
    error_code ignored;
    if (!any) {
      upstream_.shutdown(tcp::socket::shutdown_send, ignored);
      co_return;
    }
    if (begins_like_tls(head_[0])) {
      set_deadline();
      bool meant = !server_spoke_;  // else a second hello could have been asked for already
      if (meant) meant = co_await check_hello();
      clear_deadline();
      if (!meant) {
        close();
        co_return;
      }
    }
  }
  bool good = co_await write(upstream_, head_, bytes_out_);
  head_.shrink_to_fit();
  while (good && tls_ && !server_spoke_ && !closed_) co_await changed_.wait_until(Time::max());
  if (good && second_hello_) good = co_await check_second_hello();
  if (good && !rest_.empty()) good = co_await write(upstream_, rest_, bytes_out_);
  if (good && !closed_) {
    co_await pump(client_, upstream_, bytes_out_);
  } else {
    close();
  }
}

asio::awaitable<void> Connection::downward([[maybe_unused]] std::shared_ptr<Connection> self) {
  std::vector<std::uint8_t> first;
  bool more = true;
  do {
    const std::size_t had = first.size();
    first.resize(kServerHelloStart);
    auto [error, size] = co_await upstream_.async_read_some(
        asio::buffer(first.data() + had, first.size() - had), kToken);
    first.resize(had + size);
    more = !error && !closed_;
  } while (more && tls_ && begins_like_tls(first[0]) && first.size() < kServerHelloStart);
  second_hello_ = tls_ && asks_for_second_hello(first);
  server_spoke_ = true;
  changed_.notify();
  if (!first.empty() && !closed_) {
    const bool written = co_await write(client_, first, bytes_in_);
    if (!written) close();
  }
  // The end, or the error, is found again.
  if (!closed_) co_await pump(upstream_, client_, bytes_in_);
  down_ended_ = true;
  changed_.notify();
}

// Until the end of one direction, which is passed on; an error ends both.
asio::awaitable<void> Connection::pump(tcp::socket& from, tcp::socket& to, std::uint64_t& count) {
  while (!closed_) {
    auto [waited] = co_await from.async_wait(tcp::socket::wait_read, kToken);
    if (waited || closed_) break;
    // Memory only while there is something to move.
    const auto piece = std::make_unique_for_overwrite<std::uint8_t[]>(kPiece);
    std::size_t size = kPiece;
    while (size == kPiece && !closed_) {
      error_code error;
      size = from.read_some(asio::buffer(piece.get(), kPiece), error);
      if (error == asio::error::would_block || error == asio::error::try_again) break;
      error_code ignored;
      if (error == asio::error::eof) {
        to.shutdown(tcp::socket::shutdown_send, ignored);
        co_return;
      }
      if (error) {
        failure_ = error.message();
        close();
        co_return;
      }
      auto [write_error, written] =
          co_await asio::async_write(to, asio::buffer(piece.get(), size), kToken);
      count += written;
      active_ = Clock::now();
      if (write_error) {
        if (!closed_) failure_ = write_error.message();
        close();
        co_return;
      }
    }
  }
}

void Connection::record_outcome() {
  ipc::AuditAppend record;
  record.event = ipc::Event::network;
  record.phase = ipc::Phase::outcome;
  record.outcome = failure_.empty() ? ipc::Outcome::success : ipc::Outcome::failure;
  record.intent = intent_;
  record.add(ipc::FieldKey::host, target.host);
  record.add(ipc::FieldKey::port, std::to_string(target.port));
  if (address_ != Address{}) record.add(ipc::FieldKey::address, address_.text());
  if (!failure_.empty()) record.add(ipc::FieldKey::reason, failure_);
  record.add(ipc::FieldKey::bytes_in, std::to_string(bytes_in_));
  record.add(ipc::FieldKey::bytes_out, std::to_string(bytes_out_));
  const auto lasted = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun_);
  record.add(ipc::FieldKey::duration_ms, std::to_string(lasted.count()));
  session_->setup().records->note(std::move(record));
}

}  // namespace oqto::egress
