// For tests: a child under the real filter, and the real monitor beside it, without mounts,
// namespaces and Landlock.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sandbox/monitor/filters.h"
#include "sandbox/monitor/monitor.h"

namespace oqto::sandbox {

struct KeptRecords final : Recorder {
  [[nodiscard]] bool available() const override { return is_available; }
  [[nodiscard]] bool has_room(std::size_t) const override { return !room || room(); }
  void add(ipc::AuditAppend record) override { records.push_back(std::move(record)); }
  // Blobs are kept, and named by their SHA-256. A record's index is its place here.
  void submit(Submission submission) override;
  // Those of one kind of event that have a field of this value ("": any).
  [[nodiscard]] std::vector<ipc::AuditAppend> of(ipc::Event event,
                                                 std::string_view value = "") const;
  std::function<bool()> room{};
  bool is_available = true;
  bool stores_blobs = true;
  std::map<std::string, std::string> blobs{};
  std::vector<ipc::AuditAppend> records;
};

std::string value(const ipc::AuditAppend& record, ipc::FieldKey key);  // the first; "" if none

struct Monitored {
  FilterKind kind{.run_own_programs = true, .notify_exec = true};
  std::vector<AskPath> ask{};
  Approver* approver = nullptr;
  std::uint32_t ask_timeout_s = 60;
  bool monitor_dies = false;                  // as soon as the child has its filter
  std::function<void()> before_filter{};      // in the child
  std::function<void(Monitor&)> each_turn{};  // of the monitor's loop
  bool hash_programs = false;
  std::uint64_t exec_patience_ms = kExecPatienceMs;
  KeptRecords recorder{};

  // Runs `body` in the child; its return value is the exit status. Monitors until nothing that the
  // child has started is left. Returns the child's wait status.
  int run(const std::function<int()>& body);
};

// The same without filter and monitor.
int run_free(const std::function<int()>& body);

}  // namespace oqto::sandbox
