// One entry of the log: a record and who made it, as one line of canonical JSON with OCSF 1.8
// names.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "audit/format/sealed.h"
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

// Fields that say something about a person or a tenant's work: sealed, if the entry is a tenant's.
// `by_tenant`: a tenant's own process wrote the record.
bool is_personal(ipc::FieldKey key, bool by_tenant);

// Whose entry it is: that of the source or, from a process of ours, of the field `account`. 0: nobody's.
std::uint32_t tenant_of(const Actor& actor, const ipc::AuditAppend& record);

// What a tenant's process says of when something happened is its claim: marked as one, and cut to the time where
// it is beyond what is possible, or to nothing where it is no time.
void mark_claims(ipc::AuditAppend& record, std::uint64_t now_ms);

struct Sealing {
  std::uint32_t tenant = 0;
  std::string day;
  DayKey key{};
};
struct StoredBlob {
  std::string sha256;  // hex, of the stored bytes: its name
  std::uint64_t bytes = 0;
  std::string commitment;  // hex
  std::uint32_t tenant = 0;
  std::string day;
};
struct Private {
  std::optional<Sealing> sealing = {};   // none: the entry has nobody to protect
  std::vector<StoredBlob> blobs = {};    // those that the record's fields name
};

// Never longer than kMaxEntry. What does not fit is cut to {"cut":text,"bytes":n,"sha256":hex},
// with `truncated` in the entry, so that the full value can still be recognised.
std::string encode_entry(std::uint64_t index, std::uint64_t time_ms, const Actor& actor,
                         const ipc::AuditAppend& record, const Private& hidden = {});

}  // namespace oqto::audit
