// What a model request can make the provider do for a session beside answering: each a way out of the session's
// network that the session's own network never sees.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace oqto::policies {

enum class Fetch : std::uint8_t {
  web_search,
  web_fetch,       // the provider opens addresses that the conversation names
  code_execution,  // programs run at the provider
  mcp,             // the provider calls remote MCP servers
  image_url,       // images, sound and video that stand in a message as an address
  file_url,        // documents likewise
  stored,          // what is kept at the provider: its files, containers, earlier answers
  kEnd
};
std::string_view fetch_name(Fetch fetch);

// A set of them, one bit each.
using FetchSet = std::uint32_t;
constexpr FetchSet fetch_bit(Fetch fetch) { return FetchSet{1} << static_cast<unsigned>(fetch); }
constexpr FetchSet kEveryFetch = fetch_bit(Fetch::kEnd) - 1;
std::string fetch_names(FetchSet set);  // with commas between them; "none"

}  // namespace oqto::policies
