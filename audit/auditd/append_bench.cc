// bench_audit [DIR]: the gates of the audit log, as ratios. Durable and signed appends through the real
// auditd and signer, beside raw pwrite + fdatasync of as many bytes and SQLite on the same disk, in turn,
// slice by slice, so that what disturbs one disturbs all: read the ratios, not the rates.
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "audit/auditd/bench_floor.h"
#include "audit/format/epoch.h"
#include "audit/tests/test_host.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

constexpr int kRounds = 24;
constexpr std::size_t kClients = 64;

ipc::AuditAppend sample() {
  return record(ipc::Event::exec, ipc::Phase::intent)
      .add(ipc::FieldKey::tool, "/usr/bin/git")
      .add(ipc::FieldKey::request_id, "7c1fd3a4-6a55-4a27-b6b8-5f0a3b9a5d11");
}

// Each client has `window` records under way; 1: as a process that waits before it acts.
Slice clients(std::span<ipc::Channel> channels, int window) {
  Slice slice;
  const auto start = Clock::now();
  std::vector<pollfd> waiting;
  std::vector<Clock::time_point> sent(channels.size(), start);
  std::vector<int> under_way(channels.size(), window);
  ipc::AuditAppend one = sample();
  const auto send = [&one](ipc::Channel& channel) {
    ++one.request;
    CHECK(channel.send(one));
  };
  for (ipc::Channel& channel : channels) {
    for (int i = 0; i < window; ++i) send(channel);
    waiting.push_back({channel.fd().get(), POLLIN, 0});
  }
  double count = 0;
  for (std::size_t open = channels.size(); open > 0;) {
    CHECK(::poll(waiting.data(), waiting.size(), -1) > 0);
    const bool is_over = Clock::now() - start >= kSlice;
    for (std::size_t i = 0; i < channels.size(); ++i) {
      if ((waiting[i].revents & POLLIN) == 0) continue;
      while (const auto answer = channels[i].receive()) {
        const auto appended = answer->template as<ipc::AuditAppended>();
        CHECK(appended);
        slice.latencies_us.push_back(micros_since(sent[i]));
        sent[i] = Clock::now();
        appended->each([&](std::uint64_t /*request*/, std::uint64_t /*index*/) {
          ++count;
          is_over ? static_cast<void>(--under_way[i]) : send(channels[i]);
        });
      }
      if (under_way[i] > 0) continue;
      waiting[i].fd = -1;
      --open;
    }
  }
  slice.per_second = count * 1e6 / micros_since(start);
  return slice;
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

struct Gate {
  const char* name;
  const char* text;
  double target = 0;
  bool is_most = false;  // the target is an upper bound
  std::vector<double> ratios = {};
  void print() {
    const double p10 = quantile(ratios, is_most ? 0.9 : 0.1);
    const double p50 = quantile(ratios, 0.5);
    std::printf("| %s | %s | %s %.2f | %.2f | %.2f | %s |\n", name, text, is_most ? "<=" : ">=", target,
                p50, p10, (is_most ? p50 <= target : p50 >= target) ? "yes" : "NO");
  }
};

// A signer that neither signs nor remembers: what is left is the hop.
class StubSigner {
 public:
  explicit StubSigner(ipc::Channel channel) : channel_(std::move(channel)) {
    const auto log = SigningKey::generate("audit.example/test");
    const auto key = SigningKey::generate("audit.example/test/epoch/0");
    const Seal seal{0, 0, sha256(""), 0, key.verifier(), log.verifier()};
    seal_ = seal_body(seal) + "\n" + log.sign_line(seal_body(seal));
    lines_ = log.sign_line("x\n") + key.sign_line("x\n");
    thread_ = std::jthread([this] { serve(); });
  }

 private:
  void serve() {
    for (;;) {
      const auto message = channel_.wait(-1);
      if (!message) return;
      if (const auto request = message->as<ipc::SignRequest>()) {
        ipc::SignedCheckpoint answer{request->size, 3'600'000, {}, request->request};
        answer.note.value = checkpoint_body({"audit.example/test", request->size, request->root}) + "\n" + lines_;
        CHECK(channel_.send(answer));
      } else if (const auto query = message->as<ipc::SignerQuery>()) {
        CHECK(channel_.send(ipc::SignerStatus{0, {}, ipc::Recall::exact, 3'600'000, {seal_}, query->request}));
      }
    }
  }
  ipc::Channel channel_;
  std::string seal_, lines_;
  std::jthread thread_;
};

std::vector<ipc::Channel> sources(TestHost& host, std::size_t count, std::uint32_t first_account) {
  std::vector<ipc::Channel> channels;
  for (std::size_t i = 0; i < count; ++i) {
    channels.push_back(host.source(ipc::Process::runner, first_account + static_cast<std::uint32_t>(i)));
  }
  return channels;
}

std::size_t bytes_per_record(TestHost& host) {
  const auto length = [&] {
    const std::string dir = host.log_dir() + "/segment/";
    return batches_of(read_file(dir + files_beneath(dir).back())).size();
  };
  CHECK(host.client().append(sample()));
  const std::size_t before = length();
  CHECK(host.client().append(sample()));
  return length() - before;
}

int bench() {
  TestHost host, unsigned_host;
  CHECK(host.start());
  auto pair = *sys::seqpacket_pair();
  StubSigner stub{ipc::Channel(std::move(pair.first))};
  CHECK(unsigned_host.start_auditd_with(std::move(pair.second)));
  const std::size_t bytes = bytes_per_record(host);
  auto channels = sources(host, kClients, 100);
  auto plain = sources(unsigned_host, kClients, 100);
  auto flood = sources(host, 1, 7);
  RawFile raw(host.log_dir() + "/../raw", bytes);
  Rows single(host.log_dir() + "/../single.db", bytes);
  Rows batched(host.log_dir() + "/../batched.db", bytes);
  Gate t1{"T1", "1 client / raw loop", 0.70}, t2{"T2", "64 clients / raw loop", 8},
      t3{"T3", "64 clients / SQLite, one row each", 8}, t4{"T4", "saturated / SQLite, 1024 rows each", 1.0},
      t5{"T5", "64 clients, signed / not signed", 0.80},
      t6{"T6", "p99 of 16 clients / p99 of the raw loop", 5, true},
      t10{"T10", "two appends in turn / two of the raw loop, p50", 3, true},
      fair{"fair", "p99 beside a tenant that floods / p99 without", 2, true};
  std::vector<double> rates;
  for (int round = 0; round < kRounds; ++round) {
    const Slice floor = raw.run();
    const Slice one = clients(std::span(channels).first(1), 1);
    const Slice many = clients(channels, 1);
    const Slice rows = single.run(1);
    const Slice many_unsigned = clients(plain, 1);
    const Slice sixteen = clients(std::span(channels).first(16), 1);
    const Slice floor_again = raw.run();
    const Slice saturated = clients(std::span(channels).first(32), 32);
    const Slice rows_batched = batched.run(1024);
    std::atomic<bool> is_over = false;
    Slice beside;
    {
      const std::jthread flooding([&] {
        while (!is_over) (void)clients(std::span(flood), 200);
      });
      beside = clients(std::span(channels).first(16), 1);
      is_over = true;
    }
    t1.ratios.push_back(one.per_second / floor.per_second);
    t2.ratios.push_back(many.per_second / floor.per_second);
    t3.ratios.push_back(many.per_second / rows.per_second);
    t4.ratios.push_back(saturated.per_second / rows_batched.per_second);
    t5.ratios.push_back(many.per_second / many_unsigned.per_second);
    t6.ratios.push_back(quantile(sixteen.latencies_us, 0.99) / quantile(floor_again.latencies_us, 0.99));
    t10.ratios.push_back(quantile(one.latencies_us, 0.5) / quantile(floor.latencies_us, 0.5));
    fair.ratios.push_back(quantile(beside.latencies_us, 0.99) / quantile(sixteen.latencies_us, 0.99));
    rates.push_back(floor.per_second);
  }
  std::printf("%zu bytes per single record; raw loop %.0f /s; %d rounds\n\n", bytes, quantile(rates, 0.5),
              kRounds);
  std::printf("| gate | what | target | p50 | p10 (p90) | met |\n|---|---|---|---|---|---|\n");
  for (Gate* gate : {&t1, &t2, &t3, &t4, &t5, &t6, &t10, &fair}) gate->print();
  unsigned_host.kill_auditd();  // the stub ends with its channel
  host.stop();
  const Output verified = host.verify();
  std::printf("\n%s", verified.out.c_str());
  return verified.status;
}

}  // namespace
}  // namespace oqto::audit

int main(int argc, char** argv) {
  if (argc > 1) ::setenv("TMPDIR", argv[1], 1);
  return oqto::audit::bench();
}
