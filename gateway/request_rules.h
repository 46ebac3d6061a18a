// What a model request may hold, as tables: names that are not here do not reach a provider.
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "policies/delegated_fetch.h"

namespace oqto::gateway {

using policies::Fetch;
using Names = std::span<const std::string_view>;

bool among(Names names, std::string_view name);

struct FetchMember {
  std::string_view name;
  Fetch fetch;
};

// Of one wire shape.
struct ShapeRules {
  Names members;          // of the request
  Names message_members;
  Names tool_members;     // of a tool that the harness carries out
};
const ShapeRules& openai_rules();
const ShapeRules& anthropic_rules();

// Members of a request that make a provider do more than answer, in any dialect we know of.
std::optional<Fetch> fetch_of_member(std::string_view name);
// Likewise tools that the provider carries out, by their type with or without a version.
std::optional<Fetch> fetch_of_tool(std::string_view type);
// Tools that Anthropic defines and the harness carries out: "bash_20250124".
bool is_client_tool(std::string_view type);

// What a part of a message is made of, by its type.
enum class PartKind : std::uint8_t {
  plain,     // nothing in it is an address
  nested,    // `content` or `thinking` holds parts again
  source,    // Anthropic: `source` says where it comes from
  address,   // OpenAI: `image_url`, … is an address or holds one
  sound,     // OpenAI: `input_audio`
  file,      // OpenAI: `file`
  provider,  // of a tool that the provider carried out
};
struct PartRule {
  std::string_view type;
  PartKind kind;
  Names members;
  Fetch fetch = Fetch::kEnd;  // of an address in it, or of the tool
};
const PartRule* part_rule(bool anthropic, std::string_view type);

// A text that is the thing itself: "data:…".
bool is_data_url(std::string_view text);
bool is_base64(std::string_view text);
// "http://" or "https://".
bool is_web_address(std::string_view text);
std::string_view host_of(std::string_view address);  // empty if it has none

}  // namespace oqto::gateway
