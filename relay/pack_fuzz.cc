// Any bytes: a pack is refused, or every view in it lies inside it.
#include <cstdint>
#include <span>

#include "base/result.h"
#include "relay/asset_pack.h"

using namespace oqto::relay;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto pack = AssetPack::parse(std::as_bytes(std::span(data, size)));
  if (!pack) return 0;
  const Asset& document = pack->document();
  CHECK(document.document() && pack->find(document.path) == &document);
  for (const std::string_view body : document.bodies) {
    if (body.empty()) continue;
    const auto* first = reinterpret_cast<const std::uint8_t*>(body.data());
    CHECK(first >= data && body.size() <= size && first + body.size() <= data + size);
  }
  (void)document.choose("gzip;q=0.1, br;q=0");
  return 0;
}
