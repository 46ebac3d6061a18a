// bench_relay: memory of one idle connection, and CPU per message of the relay beside a floor that
// only decrypts and encrypts: one process, blocking TLS, no hop to a runner. The two take turns, so
// that a busy machine disturbs both alike. CPU is the serving process's own, from schedstat.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <thread>

#include "base/encoding.h"
#include "base/sys.h"
#include "relay/relay_fixture.h"
#include "relay/tls.h"

namespace oqto::relay {
namespace {

constexpr int kIdleConnections = 200;
constexpr int kRounds = 5;

struct Load {
  const char* name;
  std::size_t bytes;
  int window;
  int messages;
};
constexpr Load kLoads[] = {{"128 B, one at a time", 128, 1, 20'000},
                           {"1 KiB, 8 in flight", 1024, 8, 40'000},
                           {"16 KiB, one at a time", 16 * 1024, 1, 5'000}};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double cpu_us(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/schedstat");
  double ns = 0;
  file >> ns;
  return ns / 1000;
}

double field_kib(pid_t pid, const char* file_name, const std::string& field) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/" + file_name);
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == field && file >> value) return value;
  }
  return 0;
}

struct Opened {
  Client client;
  Announced peers;
  Fd stream;
};
Opened open_mux(RunningRelay& relay) {
  Client client(relay);
  Announced peers = relay.next_connection();
  client.send("GET /ws/mux HTTP/1.1\r\nHost: " + relay.authority() +
              "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: " + relay.origin() +
              "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
              "Sec-WebSocket-Protocol: host.mux.v1\r\nCookie: __Host-oqto=" +
              to_base64url(ipc::Token{}) + "\r\n\r\n");
  CHECK(peers.control.wait(kTestWaitMs));
  auto pair = sys::stream_pair();
  CHECK(pair && peers.control.send(ipc::ChannelOpened{}, pair->second));
  CHECK(sys::set_nonblocking(pair->first, false));
  std::string head;
  while (!head.ends_with("\r\n\r\n")) head += read_exactly(pair->first, 1);
  return {std::move(client), std::move(peers), std::move(pair->first)};
}

void measure_memory() {
  RunningRelay relay({"--rate-per-network", "10000", "--max-per-network", "1000"});
  std::vector<Opened> open;
  for (int i = 0; i < kIdleConnections; ++i) open.push_back(open_mux(relay));
  for (Opened& one : open) {  // used once, then idle
    one.client.send("hello");
    (void)read_exactly(one.stream, 5);
  }
  std::this_thread::sleep_for(std::chrono::seconds(4));
  std::vector<double> dirty, pss, tables;
  for (const pid_t pid : relay.children()) {
    dirty.push_back(field_kib(pid, "smaps_rollup", "Private_Dirty:"));
    pss.push_back(field_kib(pid, "smaps_rollup", "Pss:"));
    tables.push_back(field_kib(pid, "status", "VmPTE:"));
  }
  constexpr double kKernelStack = 16;
  std::printf(
      "idle connection (%zu of them): private %.0f KiB, PSS %.0f, page tables %.0f, "
      "kernel stack %.0f: together %.0f KiB\n",
      dirty.size(), median(dirty), median(pss), median(tables), kKernelStack,
      median(pss) + median(tables) + kKernelStack);
}

// Sends and reads back; returns the server's CPU per message.
double exchange(Client& client, pid_t server, const Load& load) {
  const std::string burst(load.bytes * static_cast<std::size_t>(load.window), 'x');
  const double before = cpu_us(server);
  for (int sent = 0; sent < load.messages; sent += load.window) {
    for (int i = 0; i < load.window; ++i) {
      client.send(std::string_view(burst).substr(0, load.bytes));
    }
    CHECK(client.read(burst.size()).size() == burst.size());
  }
  return (cpu_us(server) - before) / load.messages;
}

void echo_stream(const Fd& stream) {
  std::vector<char> bytes(64 * 1024);
  for (;;) {
    const ssize_t n = ::read(stream.get(), bytes.data(), bytes.size());
    if (n <= 0) return;
    if (!sys::write_all(stream,
                        std::as_bytes(std::span(bytes.data(), static_cast<std::size_t>(n)))))
      return;
  }
}

// The floor: serves one connection by echoing each read.
[[noreturn]] void echo_tls(const TlsContext& tls, const Fd& listening) {
  const Fd tcp = Fd::adopt(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const int one = 1;
  (void)::setsockopt(tcp.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  auto stream = tls.stream(tcp.get());
  CHECK(stream && stream->handshake() == Io::done);
  std::vector<char> bytes(64 * 1024);
  for (;;) {
    std::size_t have = 0;
    do {  // everything that has arrived, as the relay does
      const IoResult got = stream->read(std::span(bytes).subspan(have));
      if (got.io != Io::done) ::_exit(0);
      have += got.bytes;
    } while (have < bytes.size() && stream->has_pending());
    for (std::string_view rest(bytes.data(), have); !rest.empty();) {
      const IoResult put = stream->write(rest);
      if (put.io != Io::done) ::_exit(0);
      rest.remove_prefix(put.bytes);
    }
  }
}

void measure_cpu() {
  RunningRelay relay;
  Opened mux = open_mux(relay);
  const pid_t relay_child = relay.children().at(0);
  const pid_t runner = ::fork();
  if (runner == 0) {
    echo_stream(mux.stream);
    ::_exit(0);
  }
  const auto [chain, key] = make_certificate();
  const auto tls = TlsContext::create(text_file(chain), text_file(key));
  CHECK(tls);
  const Fd listening = Fd::adopt(::socket(AF_INET, SOCK_STREAM, 0));
  CHECK(::listen(listening.get(), 1) == 0);
  const pid_t floor_pid = ::fork();
  if (floor_pid == 0) echo_tls(*tls, listening);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  CHECK(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  Fd tcp = Fd::adopt(::socket(AF_INET, SOCK_STREAM, 0));
  CHECK(::connect(tcp.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  Client floor_client(std::move(tcp));
  CHECK(floor_client.connected());

  for (const Load& load : kLoads) {
    std::vector<double> relayed, floor;
    for (int round = 0; round < kRounds; ++round) {
      relayed.push_back(exchange(mux.client, relay_child, load));
      floor.push_back(exchange(floor_client, floor_pid, load));
    }
    std::printf("%-22s relay %.1f us CPU per message, TLS alone %.1f: x%.2f\n", load.name,
                median(relayed), median(floor), median(relayed) / median(floor));
  }
  for (const pid_t pid : {runner, floor_pid}) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
}

}  // namespace
}  // namespace oqto::relay

int main() {
  oqto::relay::measure_memory();
  oqto::relay::measure_cpu();
}
