#include "sandbox/policy_toml.h"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <algorithm>

#include "base/encoding.h"

namespace oqto::sandbox {
namespace {

// toml++ recurses into nested values; a policy has no use for more than one level.
constexpr std::size_t kMaxBrackets = 64;
constexpr std::size_t kMaxShownLine = 120;

class Parser {
 public:
  Parser(std::string_view text, std::string_view name) : text_(text), name_(name) {}

  std::expected<Policy, std::string> parse() {
    if (text_.size() > kMaxPolicyBytes) return refused(1, "a policy file has at most 64 KiB");
    if (!is_valid_utf8(text_)) return refused(1, "the file must be UTF-8 text");
    const auto brackets = std::ranges::count_if(text_, [](char c) { return c == '[' || c == '{'; });
    if (static_cast<std::size_t>(brackets) > kMaxBrackets) {
      return refused(1, "more tables and arrays than a policy can have");
    }
    const toml::parse_result parsed = toml::parse(text_);
    if (!parsed) {
      return refused(parsed.error().source().begin.line,
                     "not valid TOML: " + std::string(parsed.error().description()));
    }
    for (const auto& [key, value] : parsed.table()) {
      if (const auto taken = take(key, value); !taken) return std::unexpected(taken.error());
    }
    return policy_;
  }

 private:
  using Taken = std::expected<void, std::string>;

  std::unexpected<std::string> refused(std::size_t line, std::string_view what) const {
    std::string_view rest = text_;
    for (std::size_t i = 1; i < line && !rest.empty(); ++i) {
      const std::size_t end = rest.find('\n');
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
    const std::string_view shown = rest.substr(0, std::min(rest.find('\n'), kMaxShownLine));
    return std::unexpected(std::string(name_) + ':' + std::to_string(line) + ": `" +
                           std::string(shown) + "`: " + std::string(what));
  }

  Taken take(const toml::key& key, const toml::node& value) {
    const std::size_t line = key.source().begin.line;
    if (key.str() == "profile") return take_profile(line, value);
    if (key.str() != "limits") {
      return refused(line, "unknown key; known are: profile, [limits]");
    }
    const toml::table* limits = value.as_table();
    if (limits == nullptr) return refused(line, "`limits` is a table: write [limits]");
    for (const auto& [name, number] : *limits) {
      if (const Taken taken = take_limit(name, number); !taken) return taken;
    }
    return {};
  }

  Taken take_profile(std::size_t line, const toml::node& value) {
    const auto wanted = value.value_exact<std::string_view>();
    for (std::size_t i = 0; wanted && i < policies::kProfiles; ++i) {
      const auto profile = static_cast<ipc::Profile>(i);
      if (*wanted != profile_name(profile)) continue;
      policy_ = meet(policy_, profile_policy(profile));
      return {};
    }
    return refused(line, "the profiles are \"minimal\", \"development\" and \"strict\"");
  }

  Taken take_limit(const toml::key& key, const toml::node& value) {
    const std::size_t line = key.source().begin.line;
    for (const policies::LimitRow& row : policies::kLimitRows) {
      if (row.key != key.str()) continue;
      const auto number = value.value_exact<std::int64_t>();
      if (!number || *number < 0 || static_cast<std::uint64_t>(*number) < row.floor ||
          static_cast<std::uint64_t>(*number) > row.ceiling) {
        return refused(line, "a whole number from " + std::to_string(row.floor) + " to " +
                                 std::to_string(row.ceiling) + " is needed");
      }
      std::uint64_t& limit = policy_.limits.*row.value;
      limit = std::min(limit, static_cast<std::uint64_t>(*number));
      return {};
    }
    std::string known;
    for (const policies::LimitRow& row : policies::kLimitRows) {
      known += (known.empty() ? "" : ", ") + std::string(row.key);
    }
    return refused(line, "unknown limit; known are: " + known);
  }

  std::string_view text_, name_;
  Policy policy_ = loosest_policy();
};

}  // namespace

std::expected<Policy, std::string> parse_policy(std::string_view text, std::string_view name) {
  return Parser(text, name).parse();
}

}  // namespace oqto::sandbox
