// Names and numbers of accounts, as the log itself has them side by side: most records carry only one
// of the two.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace oqto::audit {

class Names {
 public:
  struct Pair {
    std::string account, name;  // either may be empty
  };
  std::optional<Pair> learn(std::string_view entry);  // if it is new
  bool learn(const Pair& pair);                       // true: it is new

  // `text`, which is a name or a number, and what else the log calls the same account.
  [[nodiscard]] std::vector<std::string> spellings(const std::string& text) const;
  [[nodiscard]] bool knows(const std::string& text) const;
  [[nodiscard]] std::string nearest(const std::string& text) const;  // a name; empty: none is near
  [[nodiscard]] std::string name_of(const std::string& account) const;  // empty: none is known
  [[nodiscard]] std::vector<Pair> people(std::size_t max) const;  // accounts with their names

 private:
  std::map<std::string, std::set<std::string>, std::less<>> others_;  // either of the two
  std::unordered_set<std::string> seen_;                              // actors, as they are spelled
};

}  // namespace oqto::audit
