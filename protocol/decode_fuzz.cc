// A frame of a hostile browser: decoding ends, and what it answers is one valid JSON text.
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "protocol/command.h"
#include "protocol/event.h"
#include "protocol/json.h"

namespace {

std::string answer(const oqto::protocol::Frame& frame) {
  using namespace oqto::protocol;
  if (const auto* bad = std::get_if<BadFrame>(&frame)) return encode_bad_frame(*bad);
  if (const auto* reserved = std::get_if<ReservedChannel>(&frame)) return encode_reserved(*reserved);
  if (const auto* bad = std::get_if<BadCommand>(&frame)) return encode_failure(bad->head, bad->failure);
  return encode_success(std::get<Command>(frame).head, "{}");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CHECK(oqto::protocol::parse_json(answer(oqto::protocol::decode_frame(text))));
  if (const auto json = oqto::protocol::parse_json(text)) {
    CHECK(oqto::protocol::parse_json(json->dump()));
  }
  return 0;
}
