// One entry of the log: a record and who made it, as one line of canonical JSON with OCSF 1.8
// names.
#pragma once
#include <cstdint>
#include <string>

#include "ipc/audit.h"

namespace oqto::audit {

constexpr std::size_t kMaxEntry = 65535;  // C2SP tlog-tiles: lengths in a bundle are 16 bits

// Who speaks, as the guard told it when it handed over the channel. Never taken from a record.
struct Actor {
  ipc::Process process{};
  std::uint32_t account = 0;
  std::string username;
  Uuid session;
  std::uint32_t pid = 0;
  std::uint32_t uid = 0;
};

// Never longer than kMaxEntry. What does not fit is cut to {"cut":text,"bytes":n,"sha256":hex},
// with `truncated` in the entry, so that the full value can still be recognised.
std::string encode_entry(std::uint64_t index, std::uint64_t time_ms, const Actor& actor,
                         const ipc::AuditAppend& record);

}  // namespace oqto::audit
