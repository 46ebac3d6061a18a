// The text of a policy file as a tree with the line of everything in it. This is the only place
// that knows the TOML library; its exceptions end here.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace oqto::sandbox {

struct PolicyEntry;

struct PolicyNode {
  enum class Kind : std::uint8_t { text, number, flag, list, table, other };
  Kind kind = Kind::other;  // other: a date or a broken number
  std::size_t line = 0;
  std::string text;
  std::int64_t number = 0;
  bool flag = false;
  std::vector<PolicyNode> items;     // of a list
  std::vector<PolicyEntry> entries;  // of a table, in the order of the file

  [[nodiscard]] const PolicyEntry* find(std::string_view key) const;
};

struct PolicyEntry {
  std::string key;
  std::size_t line = 0;
  PolicyNode value;
};

struct PolicyRefusal {
  std::size_t line = 0;
  std::string what;
};

// The root table.
std::expected<PolicyNode, PolicyRefusal> read_document(std::string_view text);

}  // namespace oqto::sandbox
