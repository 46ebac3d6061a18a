#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "sandbox/world/git_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::size_t bytes = 0;
  for (const auto& setting : oqto::sandbox::parse_git_config(text)) {
    bytes += setting.key.size() + setting.value.size();
    if (setting.key.empty()) std::abort();
  }
  // Nothing comes out that was not in there.
  if (bytes > size) std::abort();
  return 0;
}
