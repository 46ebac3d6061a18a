// bench_egress: what the filtered network costs beside a direct connection over loopback, turn by
// turn in one run. Needs root, for networks of its own. Prints one line per figure.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>

#include "egress/test_rig.h"

namespace oqto::egress::test {
namespace {

constexpr int kRounds = 400;
constexpr int kStreams = 5;
constexpr std::size_t kStreamBytes = std::size_t{512} << 20;
constexpr std::uint16_t kEcho = 7000, kSink = 7001, kSource = 7002;

double now_us() {
  return std::chrono::duration<double, std::micro>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void serve(std::uint16_t port, const std::function<void(const Fd&)>& visitor) {
  std::thread([port, visitor] {
    const Server server(port);
    for (;;) {
      if (server.has_visitor(1000)) visitor(server.accept());
    }
  }).detach();
}

Fd direct(std::uint16_t port) {
  Fd socket = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  (void)connect_to(socket, kServer, port);
  return socket;
}

void drain(const Fd& from, std::size_t size) {
  std::vector<char> buffer(256 * 1024);
  while (size > 0) {
    const ssize_t n = ::recv(from.get(), buffer.data(), std::min(buffer.size(), size), 0);
    if (n <= 0) return;
    size -= static_cast<std::size_t>(n);
  }
}
void fill(const Fd& to, std::size_t size) {
  const std::string piece(256 * 1024, 'x');
  for (std::size_t sent = 0; sent < size; sent += piece.size()) send_all(to, piece);
}

double megabytes_per_second(const Fd& socket, bool up) {
  const double begin = now_us();
  if (up) {
    fill(socket, kStreamBytes);
    drain(socket, 1);  // the server has it all
  } else {
    drain(socket, kStreamBytes);
  }
  return static_cast<double>(kStreamBytes) / (now_us() - begin);
}

void report(const char* what, std::vector<double> ours, std::vector<double> beside) {
  std::printf("%-44s %10.1f %10.1f\n", what, median(std::move(ours)), median(std::move(beside)));
}

int run() {
  if (!enter_own_world(kNameServer)) return 1;
  serve(kEcho, [](const Fd& visitor) { send_all(visitor, read_up_to(visitor, 1)); });
  serve(kSink, [](const Fd& visitor) {
    drain(visitor, kStreamBytes);
    send_all(visitor, "!");
  });
  serve(kSource, [](const Fd& visitor) { fill(visitor, kStreamBytes); });
  Egress egress(
      {.domains = {"good.test:7000", "good.test:7001", "good.test:7002"},
       .arguments = {"--allow-private", "127.0.0.2", "--resolve", "good.test=127.0.0.2"}});
  const std::uint32_t address = egress.look_up("good.test").address.value_or(0);
  if (address == 0) return 1;
  const auto through = [&](std::uint16_t port) {
    auto socket = egress.connect(address, port);
    return socket ? std::move(*socket) : Fd();
  };

  std::vector<double> connect[2], echo[2], lookups, up[2], down[2];
  for (int i = 0; i < kRounds; ++i) {
    for (const int which : {0, 1}) {
      Fd socket = which == 0 ? egress.inner.socket(SOCK_STREAM)
                             : Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const double begin = now_us();
      (void)connect_to(socket, which == 0 ? address : kServer, kEcho);
      connect[which].push_back(now_us() - begin);
      send_all(socket, "x");
      (void)read_up_to(socket, 1);
      echo[which].push_back(now_us() - begin);
      ::poll(nullptr, 0, 5);  // within the pace of new connections
    }
    const double begin = now_us();
    (void)egress.look_up("good.test");
    lookups.push_back(now_us() - begin);
  }
  for (int i = 0; i < kStreams; ++i) {
    for (const int which : {0, 1}) {
      const auto open = [&](std::uint16_t port) {
        return which == 0 ? through(port) : direct(port);
      };
      up[which].push_back(megabytes_per_second(open(kSink), true));
      down[which].push_back(megabytes_per_second(open(kSource), false));
    }
  }
  std::printf("%-44s %10s %10s\n", "median", "filtered", "direct");
  report("connect, us", connect[0], connect[1]);
  report("connect and one byte there and back, us", echo[0], echo[1]);
  report("one stream out of the sandbox, MB/s", up[0], up[1]);
  report("one stream into the sandbox, MB/s", down[0], down[1]);
  std::printf("%-44s %10.1f\n", "name to address, us", median(lookups));
  std::printf("%-44s %10ld\n", "resident memory of oqto-egress, KiB", egress.resident_kib());
  std::fflush(stdout);
  (void)egress.end();
  return 0;
}

}  // namespace
}  // namespace oqto::egress::test

int main() {
  const int status = oqto::egress::test::run();
  std::_Exit(status);  // the servers' threads end with the process
}
