#include "sandbox/policy/document.h"

// The parser's assertions can be reached by input (a '?' where a key begins); in a release build
// they would become promises to the compiler. Here they are errors, in every build.
#undef NDEBUG
#define TOML_EXCEPTIONS 1
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 8
#define TOML_ASSERT(condition) oqto_toml_assert(static_cast<bool>(condition))
struct oqto_toml_assertion {};
constexpr void oqto_toml_assert(bool holds) {
  if (!holds) throw oqto_toml_assertion();
}
#include <toml++/impl/preprocessor.h>
// What the library holds to be impossible ends the process instead of being a promise.
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE __builtin_trap()
#undef TOML_ASSUME
#define TOML_ASSUME(...) static_assert(true)
#include <toml++/toml.h>

#include <algorithm>
#include <locale>
#include <optional>

#include "base/encoding.h"

namespace oqto::sandbox {
namespace {

using Kind = PolicyNode::Kind;

// The first exception of a process makes libgcc wake those who wait for its set-up, and the first
// number with a point makes libstdc++ do so for its locales, by a system call that a sealed process
// may not make. So both happen before main().
[[maybe_unused]] const bool runtime_is_set_up = [] {
  (void)std::locale::classic();
  try {
    throw oqto_toml_assertion();
  } catch (const oqto_toml_assertion&) {
    return true;
  }
}();

// What a policy can need. The parser's tables are destroyed by recursion, so depth is bounded.
constexpr std::size_t kMaxTables = 1024;     // brackets of any kind outside of quotes
constexpr std::size_t kMaxDotsPerLine = 16;  // outside of quotes

// Walks over the text as TOML's quoting divides it, and refuses what toml++ 3.3 mishandles: outside
// of one-line strings and comments it calls some characters beyond ASCII unreachable, which
// compilers may believe.
class Precheck {
 public:
  explicit Precheck(std::string_view text) : text_(text) {}

  std::optional<PolicyRefusal> problem() {
    while (at_ < text_.size() && !problem_) step();
    return problem_;
  }

 private:
  void step() {
    const char c = text_[at_];
    if (c == '#') return comment();
    // Elsewhere a quote is part of a word that the parser will refuse, and opens nothing.
    const bool opens = std::string_view("\n=[{,.").find(before_) != std::string_view::npos;
    if (c != ' ' && c != '\t' && c != '\r') before_ = c;
    if (opens && (c == '"' || c == '\'')) return string(c);
    if (c == '\n') {
      ++line_;
      dots_ = 0;
    }
    if (c == '.' && ++dots_ > kMaxDotsPerLine) refuse("too many dots in one line");
    if ((c == '[' || c == '{') && ++tables_ > kMaxTables) refuse("too many tables and lists");
    check(c);
    ++at_;
  }

  void comment() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }

  void string(char quote) {
    if (text_.substr(at_).starts_with(std::string(3, quote))) return long_string(quote);
    for (++at_; at_ < text_.size() && text_[at_] != '\n'; ++at_) {
      if (text_[at_] == quote) {
        ++at_;
        return;
      }
      if (text_[at_] != '\\' || quote != '"') continue;
      ++at_;
      if (at_ < text_.size()) check(text_[at_]);
    }
  }

  void long_string(char quote) {
    const std::string end(3, quote);
    for (at_ += 3; at_ < text_.size(); ++at_) {
      if (text_.substr(at_).starts_with(end)) {
        while (at_ < text_.size() && text_[at_] == quote) ++at_;
        return;
      }
      if (text_[at_] == '\\' && quote == '"' && at_ + 1 < text_.size()) ++at_;
      if (text_[at_] == '\n') ++line_;
      check(text_[at_]);
    }
  }

  void check(char c) {
    if (static_cast<unsigned char>(c) > 0x7e) {
      refuse("letters beyond ASCII can only stand in \"...\", '...' and comments");
    } else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t') {
      refuse("a control character");
    }
  }
  void refuse(const char* what) {
    if (!problem_) problem_ = PolicyRefusal{line_, what};
  }

  std::string_view text_;
  std::size_t at_ = 0, line_ = 1, dots_ = 0, tables_ = 0;
  char before_ = '\n';  // the last character outside of quotes that is no space
  std::optional<PolicyRefusal> problem_;
};

PolicyNode tree(const toml::node& node, std::size_t line);

PolicyNode table_tree(const toml::table& table) {
  PolicyNode own;
  own.kind = Kind::table;
  for (const auto& [key, value] : table) {
    const std::size_t line = key.source().begin.line;
    own.entries.push_back({std::string(key.str()), line, tree(value, line)});
  }
  std::ranges::stable_sort(own.entries, {}, &PolicyEntry::line);
  return own;
}

PolicyNode list_tree(const toml::array& array, std::size_t line) {
  PolicyNode own;
  own.kind = Kind::list;
  for (const toml::node& item : array) own.items.push_back(tree(item, line));
  return own;
}

PolicyNode tree(const toml::node& node, std::size_t line) {
  PolicyNode own;
  if (const auto* table = node.as_table()) {
    own = table_tree(*table);
  } else if (const auto* array = node.as_array()) {
    own = list_tree(*array, line);
  } else if (const auto* text = node.as_string()) {
    own.kind = Kind::text;
    own.text = text->get();
  } else if (const auto* number = node.as_integer()) {
    own.kind = Kind::number;
    own.number = number->get();
  } else if (const auto* flag = node.as_boolean()) {
    own.kind = Kind::flag;
    own.flag = flag->get();
  }
  own.line = node.source().begin.line != 0 ? node.source().begin.line : line;
  return own;
}

std::unexpected<PolicyRefusal> refused(std::size_t line, std::string what) {
  return std::unexpected(PolicyRefusal{std::max<std::size_t>(line, 1), std::move(what)});
}

}  // namespace

const PolicyEntry* PolicyNode::find(std::string_view key) const {
  const auto found = std::ranges::find(entries, key, &PolicyEntry::key);
  return found == entries.end() ? nullptr : &*found;
}

std::expected<PolicyNode, PolicyRefusal> read_document(std::string_view text) {
  if (!is_valid_utf8(text)) return refused(1, "the file must be UTF-8 text");
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  if (const auto problem = Precheck(text).problem()) return std::unexpected(*problem);
  try {
    return tree(toml::parse(text), 1);
  } catch (const toml::parse_error& error) {
    return refused(error.source().begin.line,
                   "not valid TOML: " + std::string(error.description()));
  } catch (const oqto_toml_assertion&) {
    return refused(1, "not valid TOML");
  }
}

}  // namespace oqto::sandbox
