// What bench/fair runs inside the sandboxes of two tenants, and the provider that both call.
// Static, since it is copied into a workspace. Times are unix milliseconds. Each run has slices,
// turn by turn: quiet, burning, flooding; a load works in those of its own kind only.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr std::uint64_t kKinds = 3;
enum class Kind : std::uint8_t { quiet, burning, flooding };

std::uint64_t micros(clockid_t clock) {
  timespec time{};
  (void)::clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec) / 1000;
}
std::uint64_t now_ms() {
  return micros(CLOCK_REALTIME) / 1000;
}

struct Slices {
  std::uint64_t start = 0, each = 1, count = 0;
  [[nodiscard]] bool over() const { return now_ms() >= start + each * count; }
  [[nodiscard]] bool is(Kind kind) const {
    const std::uint64_t now = now_ms();
    return now >= start && (now - start) / each % kKinds == static_cast<std::uint64_t>(kind);
  }
  void wait_for(Kind kind) const {
    while (!over() && !is(kind)) (void)::usleep(1000);
  }
};

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

int dial(const char* address, int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  (void)::inet_pton(AF_INET, address, &to.sin_addr);
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval patience{60, 0};
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return fd;
  (void)::close(fd);
  return -1;
}

// The answer until the other side closes it, or until the chunk that ends it; its status, 0 if
// there is none.
int read_answer(int fd) {
  std::string answer;
  char buffer[64 * 1024];
  for (;;) {
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) break;
    answer.append(buffer, static_cast<std::size_t>(n));
    if (answer.ends_with("\r\n0\r\n\r\n")) break;
  }
  return answer.size() < 12 ? 0 : std::atoi(answer.c_str() + 9);
}

std::string request_of(std::size_t bytes) {
  std::string body = R"({"model":"fast-1","stream":true,"messages":[{"role":"user","content":")";
  body.append(bytes, 'a');
  body += "\"}]}";
  return "POST /fast/v1/chat/completions HTTP/1.1\r\nHost: models.oqto\r\nContent-Type: "
         "application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

constexpr const char* kGateway = "198.18.0.2";
constexpr int kGatewayPort = 80;

// One call after the other, all the time: a line for each, when it began, and how long it took in
// microseconds.
int calls(const Slices& slices) {
  const std::string request = request_of(2048);
  int fd = -1;
  while (!slices.over()) {
    if (fd < 0) fd = dial(kGateway, kGatewayPort);
    const std::uint64_t at = now_ms(), began = micros(CLOCK_MONOTONIC);
    const int status = fd >= 0 && send_all(fd, request) ? read_answer(fd) : 0;
    std::printf("%llu %llu %d\n", static_cast<unsigned long long>(at),
                static_cast<unsigned long long>(micros(CLOCK_MONOTONIC) - began), status);
    if (status != 200) {
      (void)::close(fd);
      fd = -1;
    }
    (void)::usleep(5000);
  }
  return 0;
}

int bodies(const Slices& slices, int threads, std::size_t bytes) {
  const std::string request = request_of(bytes);
  std::atomic<int> answered = 0;
  std::vector<std::thread> all;
  for (int i = 0; i < threads; ++i) {
    all.emplace_back([&] {
      for (slices.wait_for(Kind::flooding); !slices.over(); slices.wait_for(Kind::flooding)) {
        const int fd = dial(kGateway, kGatewayPort);
        if (fd < 0) continue;
        if (send_all(fd, request) && read_answer(fd) != 0) ++answered;
        (void)::close(fd);
      }
    });
  }
  for (std::thread& each : all) each.join();
  std::printf("%d\n", answered.load());
  return 0;
}

// Programs with arguments that nearly fill a record.
int execs(const Slices& slices, int processes) {
  const std::string argument(15'000, 'x');
  for (int i = 0; i < processes; ++i) {
    if (::fork() != 0) continue;
    int executed = 0;
    for (slices.wait_for(Kind::flooding); !slices.over(); slices.wait_for(Kind::flooding)) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::execl("/usr/bin/true", "true", argument.c_str(), nullptr);
        ::_exit(1);
      }
      int status = 0;
      if (::waitpid(child, &status, 0) == child && status == 0) ++executed;
    }
    (void)::dprintf(STDOUT_FILENO, "%d\n", executed);
    ::_exit(0);
  }
  while (::wait(nullptr) > 0) {
  }
  return 0;
}

int burn(const Slices& slices, int threads) {
  std::vector<std::thread> all;
  for (int i = 0; i < threads; ++i) {
    all.emplace_back([&] {
      for (slices.wait_for(Kind::burning); !slices.over(); slices.wait_for(Kind::burning)) {
        while (slices.is(Kind::burning)) {
          for (volatile int n = 0; n < 100'000;) n = n + 1;
        }
      }
    });
  }
  for (std::thread& each : all) each.join();
  return 0;
}

// Reads a request and answers it at once.
void serve(int fd) {
  constexpr std::string_view kAnswer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
      "69\r\ndata: "
      "{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{"
      "\"content\":\"instant\"}}]}\n\n\r\n"
      "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
  std::string head;
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n <= 0) break;
    head.append(buffer.data(), static_cast<std::size_t>(n));
    const std::size_t end = head.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    std::size_t at = head.find("ontent-");
    while (at != std::string::npos && at < end &&
           ::strncasecmp(head.c_str() + at, "ontent-length:", 14) != 0)
      at = head.find("ontent-", at + 1);
    const std::size_t length =
        at < end ? static_cast<std::size_t>(std::atoll(head.c_str() + at + 14)) : 0;
    std::size_t got = head.size() - end - 4;
    head.clear();
    while (got < length) {
      const ssize_t more = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (more <= 0) break;
      got += static_cast<std::size_t>(more);
    }
    if (got < length || !send_all(fd, kAnswer)) break;
  }
  (void)::close(fd);
}

int provider(int seconds) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof here;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&here), size) != 0 ||
      ::listen(listener, 128) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size) != 0) {
    std::perror("bench_fair: the provider cannot listen");
    return 1;
  }
  std::printf("%d\n", ntohs(here.sin_port));
  (void)std::fflush(stdout);
  (void)::alarm(static_cast<unsigned>(seconds));  // a forgotten one ends
  for (;;) {
    const int fd = ::accept(listener, nullptr, nullptr);
    if (fd < 0) return 1;
    std::thread(serve, fd).detach();
  }
}

int usage() {
  (void)std::fputs(
      "usage: bench_fair provider SECONDS | calls SLICES | bodies SLICES THREADS BYTES | execs "
      "SLICES PROCESSES | burn SLICES THREADS\n"
      "with SLICES: START_MS EACH_MS COUNT. Started by bench/fair.\n",
      stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int at) { return at < argc ? std::strtoull(argv[at], nullptr, 10) : 0; };
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "provider" && argc == 3) return provider(static_cast<int>(number(2)));
  const Slices slices{number(2), number(3), number(4)};
  if (slices.each == 0 || slices.count == 0) return usage();
  if (what == "calls" && argc == 5) return calls(slices);
  if (what == "bodies" && argc == 7) return bodies(slices, static_cast<int>(number(5)), number(6));
  if (what == "execs" && argc == 6) return execs(slices, static_cast<int>(number(5)));
  if (what == "burn" && argc == 6) return burn(slices, static_cast<int>(number(5)));
  return usage();
}
