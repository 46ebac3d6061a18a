// What happened in a sandbox: kept for the proposal of `learn` and for the last line of `run`, and
// appended to a file if the user wants that.
#pragma once
#include <vector>

#include "sandbox/monitor/recorder.h"
#include "sandbox_cli/user.h"

namespace oqto::sandbox_cli {

constexpr std::size_t kMaxKept = 20'000;  // records in memory

class Record final : public sandbox::Recorder {
 public:
  // Appends to `path`: a regular file that nothing inside can reach through `writable`.
  Outcome<> open(const std::string& path, const std::vector<std::string>& writable);
  void keep(bool on) { keep_ = on; }

  [[nodiscard]] bool available() const override { return !failed_; }
  [[nodiscard]] bool has_room(std::size_t) const override { return true; }
  void add(ipc::AuditAppend record) override;

  // For another process that appends lines of its own; empty if there is no file.
  [[nodiscard]] Fd copy_of_file() const;
  [[nodiscard]] const std::vector<ipc::AuditAppend>& kept() const { return kept_; }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::uint64_t denials() const { return denials_; }

 private:
  Fd file_;
  bool keep_ = false;
  bool failed_ = false;  // the file could not be written: from then on nothing is executed
  std::uint64_t denials_ = 0;
  std::vector<ipc::AuditAppend> kept_;
};

// One line of JSON: event, outcome, time, and each field under its name.
std::string record_line(const ipc::AuditAppend& record, std::uint64_t time_ms);

}  // namespace oqto::sandbox_cli
