// Whatever an auditor's browser sends: decoded, or one error; and what is decoded can be recorded.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/audit_command.h"
#include "protocol/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oqto::protocol;
  const auto frame = decode_audit_frame({reinterpret_cast<const char*>(data), size});
  const auto* command = std::get_if<AuditCommand>(&frame);
  if (command == nullptr) return 0;
  if (const auto* search = std::get_if<AuditSearch>(&command->args)) {
    CHECK(parse_json(filter_json(search->filter)));
  }
  return 0;
}
