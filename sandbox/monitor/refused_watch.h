// Connections that the session's network refuses, on their way to the log: alike ones are joined and
// records are rationed, as with refused calls, and every one is counted.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "ipc/loop.h"
#include "sandbox/monitor/recorder.h"
#include "sandbox/refused_packets.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxRefusedKinds = 64;     // told apart at once; the rest are counted together
constexpr std::uint64_t kRefusedJoinMs = 1000;
constexpr std::uint64_t kRefusedBurst = 20;      // records at once
constexpr std::uint64_t kRefusedEveryMs = 1000;  // and then one each
constexpr std::size_t kMaxAnswers = 1024;        // names whose addresses are remembered

class RefusedWatch final : private ipc::Watcher {
 public:
  // `packets`: of open_refused_packets(), or none. `member`: a process in that network.
  RefusedWatch(Recorder& recorder, Fd packets, pid_t member)
      : recorder_(recorder), packets_(std::move(packets)), member_(member) {}
  RefusedWatch(const RefusedWatch&) = delete;
  ~RefusedWatch() override;

  Status attach(ipc::Loop& loop);
  void tick(std::uint64_t now);  // monotonic milliseconds
  void flush();                  // what is still being joined
  [[nodiscard]] bool waits() const { return !joined_.empty() || lost_ != counted_lost_; }

  void take(std::string_view packet, std::uint64_t now);

 private:
  using Kind = std::tuple<bool, std::string, std::uint16_t>;  // UDP, address, port
  struct Joined {
    RefusedPacket first;
    std::string host, exe;
    pid_t process = -1;
    std::uint64_t since = 0;  // monotonic
    std::uint64_t at = 0;     // unix milliseconds
    std::uint64_t count = 0;
  };
  void on_ready(std::uint32_t events) override;
  void find_process(Joined& joined) const;
  void remember(ResolverAnswer answer);
  void record(const Joined& joined);
  void record_lost();
  [[nodiscard]] bool may_record(std::uint64_t now);

  Recorder& recorder_;
  Fd packets_;
  pid_t member_;
  ipc::Loop* loop_ = nullptr;
  std::map<Kind, Joined> joined_;
  std::map<std::string, std::string> names_;  // by address
  std::deque<std::string> remembered_;        // those addresses, the oldest first
  std::uint32_t lost_ = 0, counted_lost_ = 0;  // packets, while we did not read
  std::uint64_t ration_ = kRefusedBurst;
  std::uint64_t refilled_ = 0;
};

}  // namespace oqto::sandbox
