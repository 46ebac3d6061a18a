// bench_audit [DIR]: durable, signed records per second through the real auditd and signer, beside
// a raw pwrite + fdatasync loop of as many bytes on the same disk. The slices are interleaved, so
// that what disturbs one disturbs all; read the ratios, not the rates.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "audit/test_host.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRounds = 24;
constexpr auto kSlice = std::chrono::milliseconds(150);
constexpr std::size_t kClients = 64;

ipc::AuditAppend sample() {
  return record(ipc::Event::exec, ipc::Phase::intent)
      .add(ipc::FieldKey::argv, "/usr/bin/git")
      .add(ipc::FieldKey::argv, "status")
      .add(ipc::FieldKey::cwd, "/work/project");
}

double per_second(std::uint64_t count, Clock::time_point start) {
  return static_cast<double>(count) / std::chrono::duration<double>(Clock::now() - start).count();
}

double raw(const Fd& file, std::uint64_t& offset, const std::string& bytes) {
  const auto start = Clock::now();
  std::uint64_t count = 0;
  for (; Clock::now() - start < kSlice; ++count, offset += bytes.size()) {
    CHECK(::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
          static_cast<ssize_t>(bytes.size()));
    CHECK(::fdatasync(file.get()) == 0);
  }
  return per_second(count, start);
}

// Each client has one record under way, as a process has that waits before it acts.
double clients(std::span<ipc::Channel> channels) {
  const auto start = Clock::now();
  std::vector<pollfd> waiting;
  for (ipc::Channel& channel : channels) {
    CHECK(channel.send(sample()));
    waiting.push_back({channel.fd().get(), POLLIN, 0});
  }
  std::uint64_t count = 0;
  std::size_t open = channels.size();
  while (open > 0) {
    CHECK(::poll(waiting.data(), waiting.size(), -1) > 0);
    for (std::size_t i = 0; i < channels.size(); ++i) {
      if ((waiting[i].revents & POLLIN) == 0) continue;
      CHECK(channels[i].receive()->as<ipc::AuditAppended>());
      ++count;
      if (Clock::now() - start < kSlice) {
        CHECK(channels[i].send(sample()));
      } else {
        waiting[i].fd = -1;
        --open;
      }
    }
  }
  return per_second(count, start);
}

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

void report(const char* name, const std::vector<double>& rates, const std::vector<double>& floor) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < rates.size(); ++i) ratios.push_back(rates[i] / floor[i]);
  std::printf("%-28s %9.0f /s   ratio to raw: p10 %.2f  p50 %.2f\n", name, quantile(rates, 0.5),
              quantile(ratios, 0.1), quantile(ratios, 0.5));
}

std::uint64_t log_bytes(const TestHost& host) {
  std::uint64_t bytes = 0;
  for (const std::string& file : files_beneath(host.log_dir() + "/segment")) {
    bytes += read_file(host.log_dir() + "/segment/" + file).size();
  }
  return bytes;
}

int bench() {
  TestHost host;
  CHECK(host.start());
  std::vector<ipc::Channel> channels;
  for (std::size_t i = 0; i < kClients; ++i) channels.push_back(host.source());
  CHECK(host.client().append(sample()));
  const std::uint64_t before = log_bytes(host);
  CHECK(host.client().append(sample()));
  const std::string bytes(log_bytes(host) - before, 'x');
  const Fd file = *sys::open_file((host.log_dir() + "/../raw").c_str(), O_RDWR | O_CREAT, 0600);
  std::uint64_t offset = 0;
  std::vector<double> floor, one, many;
  for (int round = 0; round < kRounds; ++round) {
    floor.push_back(raw(file, offset, bytes));
    one.push_back(clients(std::span(channels).first(1)));
    many.push_back(clients(channels));
  }
  std::printf("%zu bytes per single record, %d rounds\n", bytes.size(), kRounds);
  report("raw pwrite + fdatasync", floor, floor);
  report("1 client", one, floor);
  report("64 clients", many, floor);
  host.stop();
  const Output verified = host.verify();
  std::printf("%s", verified.out.c_str());
  return verified.status;
}

}  // namespace
}  // namespace oqto::audit

int main(int argc, char** argv) {
  if (argc > 1) ::setenv("TMPDIR", argv[1], 1);
  return oqto::audit::bench();
}
