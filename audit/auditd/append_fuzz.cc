// A record as any process may send it, up to the entry that auditd writes for it.
#include "audit/auditd/entry.h"
#include "audit/format/json.h"

using namespace oqto;  // NOLINT: a fuzz target

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span input(reinterpret_cast<const std::byte*>(data), size);
  const auto record = ipc::decode<ipc::AuditAppend>(input);
  if (!record) return 0;
  const auto again = ipc::encode(*record);
  CHECK(std::equal(again.begin(), again.end(), input.begin(), input.end()));
  const std::string entry =
      audit::encode_entry(7, 8, {ipc::Process::runner, 1, "a", {}, 2, 3}, *record);
  CHECK(entry.size() <= audit::kMaxEntry);
  const auto members = audit::json_members(entry);
  CHECK(members && members->front().value == "7");
  return 0;
}
