// Records of the stand-alone tool: one JSON object per line.
#pragma once
#include "base/fd.h"
#include "egress/records.h"

namespace oqto::egress {

class JsonRecords final : public Records {
 public:
  explicit JsonRecords(Fd sink) : sink_(std::move(sink)) {}
  asio::awaitable<Result<std::uint64_t>> intent(ipc::AuditAppend record) override;
  void note(ipc::AuditAppend record) override;

 private:
  Status write(const ipc::AuditAppend& record, std::uint64_t number);

  Fd sink_;
  std::uint64_t next_ = 0;
};

// {"time":MS,"event":"network","phase":"intent","outcome":"success","host":"…",…}
std::string json_line(const ipc::AuditAppend& record, std::uint64_t number, std::uint64_t time_ms);

}  // namespace oqto::egress
