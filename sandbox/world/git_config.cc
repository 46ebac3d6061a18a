#include "sandbox/world/git_config.h"

#include <algorithm>
#include <optional>

namespace oqto::sandbox {
namespace {

constexpr int kEnd = -1;

bool is_letter(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_name(int c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '-';
}
bool is_blank(int c) {
  return c == ' ' || c == '\t' || c == '\r';
}
char lower(int c) {
  return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {
    if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
  }

  std::vector<GitSetting> run() {
    while (settings_.size() < kMaxGitConfigEntries) {
      const int c = next();
      if (c == kEnd) break;
      if (c == '\n' || is_blank(c)) continue;
      if (c == '#' || c == ';') {
        skip_line();
      } else if (c == '[') {
        if (!header()) break;
      } else if (!is_letter(c) || !setting(c)) {
        break;
      }
    }
    return std::move(settings_);
  }

 private:
  int next() {
    if (rest_.empty()) return kEnd;
    const auto c = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return c;
  }
  [[nodiscard]] int peek() const {
    return rest_.empty() ? kEnd : static_cast<unsigned char>(rest_.front());
  }
  void skip_line() {
    for (int c = next(); c != '\n' && c != kEnd;) c = next();
  }

  // After "[": section, and perhaps the subsection in quotes or, as git once wrote it, after a dot.
  bool header() {
    section_.clear();
    subsection_.clear();
    int c = next();
    for (; is_name(c) || c == '.'; c = next()) section_ += lower(c);
    if (const std::size_t dot = section_.find('.'); dot != std::string::npos) {
      subsection_ = section_.substr(dot + 1);
      section_.resize(dot);
    }
    if (is_blank(c)) {
      while (is_blank(c)) c = next();
      if (c != '"') return false;
      for (c = next(); c != '"'; c = next()) {
        if (c == '\\') c = next();
        if (c == '\n' || c == kEnd) return false;
        subsection_ += static_cast<char>(c);
      }
      c = next();
    }
    return c == ']' && !section_.empty();
  }

  bool setting(int first) {
    std::string key(1, lower(first));
    while (is_name(peek())) key += lower(next());
    while (peek() == ' ' || peek() == '\t') (void)next();
    std::string value;
    const int c = next();
    const bool has_value = c == '=';
    if (has_value) {
      auto read = read_value();
      if (!read) return false;
      value = std::move(*read);
    } else if (c == '\r' && (peek() == '\n' || peek() == kEnd)) {
      (void)next();
    } else if (c == '#' || c == ';') {
      skip_line();
    } else if (c != '\n' && c != kEnd) {
      return false;
    }
    settings_.push_back({section_, subsection_, std::move(key), std::move(value), has_value});
    return true;
  }

  // To the end of the line: quotes, escapes, continued lines, comments.
  std::optional<std::string> read_value() {
    std::string value;
    std::size_t kept = 0;  // the value without trailing blanks
    bool quoted = false;
    for (;;) {
      int c = next();
      if (c == '\r' && peek() == '\n') c = next();
      if (c == '\n' || c == kEnd) {
        if (quoted) return {};
        value.resize(kept);
        return value;
      }
      if (!quoted && is_blank(c)) {
        if (!value.empty()) value += static_cast<char>(c);
        continue;
      }
      if (!quoted && (c == '#' || c == ';')) {
        skip_line();
        value.resize(kept);
        return value;
      }
      if (c == '"') {
        quoted = !quoted;
        kept = value.size();
        continue;
      }
      if (c == '\\') {
        c = next();
        if (c == '\r' && peek() == '\n') c = next();
        if (c == '\n') continue;
        if (c == 't')
          c = '\t';
        else if (c == 'n')
          c = '\n';
        else if (c == 'b')
          c = '\b';
        else if (c != '\\' && c != '"')
          return {};
      }
      value += static_cast<char>(c);
      kept = value.size();
    }
  }

  std::string_view rest_;
  std::string section_, subsection_;
  std::vector<GitSetting> settings_;
};

}  // namespace

std::vector<GitSetting> parse_git_config(std::string_view text) {
  return Parser(text.substr(0, kMaxGitConfigBytes)).run();
}

}  // namespace oqto::sandbox
