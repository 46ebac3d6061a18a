#include "policies/delegated_fetch.h"

#include <iterator>

namespace oqto::policies {

std::string_view fetch_name(Fetch fetch) {
  static constexpr std::string_view kNames[] = {"web_search", "web_fetch", "code_execution", "mcp",
                                                "image_url",  "file_url",  "stored"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Fetch::kEnd));
  return kNames[static_cast<std::size_t>(fetch)];
}

std::string fetch_names(FetchSet set) {
  std::string names;
  for (std::uint8_t i = 0; i < static_cast<std::uint8_t>(Fetch::kEnd); ++i) {
    const auto fetch = static_cast<Fetch>(i);
    if ((set & fetch_bit(fetch)) == 0) continue;
    if (!names.empty()) names += ',';
    names += fetch_name(fetch);
  }
  return names.empty() ? "none" : names;
}

}  // namespace oqto::policies
