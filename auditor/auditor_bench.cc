// How far the index is behind the log at 5,000 records a second, and how fast it catches up:
// bench_auditor [seconds].
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "audit/tests/test_host.h"
#include "auditor/follower.h"
#include "base/sys.h"

namespace {

using namespace oqto;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kRate = 5000;

ipc::AuditAppend exec_record(std::uint64_t number) {
  ipc::AuditAppend record = audit::record(ipc::Event::exec);
  record.add(ipc::FieldKey::exe, "/usr/bin/python3")
      .add(ipc::FieldKey::process, std::to_string(number));
  record.add(ipc::FieldKey::reason, "one of the many things that a build runs")
      .add(ipc::FieldKey::rule, "none");
  return record;
}

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t seconds = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20;
  audit::TestHost host;
  CHECK(host.start());
  audit::TempDir dir;
  std::vector<double> lags;
  std::uint64_t total = 0;
  {
    auditor::Follower follower(host.log_dir(), dir.path(), [](std::uint64_t) {});
    // Not a tenant's, so that its texts are indexed and not only marked as sealed.
    ipc::AuditClient client(host.source(ipc::Process::guard, 0, ""));
    const auto start = Clock::now();
    for (; total < kRate * seconds; ++total) {
      CHECK(client.post(exec_record(total)));
      const double due = static_cast<double>(total) * 1000.0 / kRate;
      while (ms_since(start) < due) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (total % 500 != 0) continue;
      const std::uint64_t behind = total - std::min(total, follower.state().next);
      lags.push_back(static_cast<double>(behind) * 1000.0 / kRate);
    }
    const double rate = static_cast<double>(total) * 1000.0 / ms_since(start);
    std::ranges::sort(lags);
    std::printf("%.0f records/s for %llu s: lag p50 %.0f ms, p99 %.0f ms, most %.0f ms\n", rate,
                static_cast<unsigned long long>(seconds), lags[lags.size() / 2],
                lags[lags.size() * 99 / 100], lags.back());
  }
  audit::TempDir fresh;
  const auto start = Clock::now();
  auditor::Follower follower(host.log_dir(), fresh.path(), [](std::uint64_t) {});
  while (follower.state().next < total) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::printf("catching up: %.0f records/s\n",
              static_cast<double>(total) * 1000.0 / ms_since(start));
  return !lags.empty() && lags.back() <= 1000 ? 0 : 1;
}
