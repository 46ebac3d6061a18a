// A request's body as a tree whose size is bounded before it is built: 30 MiB of brackets would be a
// gigabyte of it.
#pragma once
#include <expected>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace oqto::gateway {

using Tree = nlohmann::ordered_json;  // what passes on keeps its order

constexpr std::size_t kMaxJsonDepth = 128;
constexpr std::size_t kMaxJsonValues = 262'144;

// One JSON text, without a name that stands twice in one object: two readers could take either. The
// error is a text for people.
std::expected<Tree, std::string> read_tree(std::string_view text);

}  // namespace oqto::gateway
