// Absolute, normalised paths as text.
#pragma once
#include <string>
#include <string_view>

#include "sandbox/policy/policy.h"

namespace oqto::sandbox {

// Absolute, and neither ".", "..", "//" nor a trailing slash in it. "/" itself is normal.
inline bool is_normal_path(std::string_view path) {
  if (!path.starts_with('/') || path.find('\0') != std::string_view::npos) return false;
  if (path == "/") return true;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at + 1), path.size());
    const std::string_view name = path.substr(at + 1, end - at - 1);
    if (name.empty() || name == "." || name == "..") return false;
    at = end;
  }
  return true;
}

// `relative` may be empty, and otherwise does not begin with a slash.
inline std::string join_path(std::string_view root, std::string_view relative) {
  if (relative.empty()) return std::string(root);
  std::string path(root == "/" ? "" : root);
  return (path += '/') += relative;
}

// What follows `root` in `path`, which it contains: "" for itself.
inline std::string_view beneath(std::string_view root, std::string_view path) {
  if (root == path) return {};
  return path.substr(root == "/" ? 1 : root.size() + 1);
}

inline std::string_view parent_path(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? std::string_view("/")
                                                       : path.substr(0, slash);
}

inline std::string_view last_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

// "/a" before "/a/b" before "/a-b": what is mounted first lies further out.
struct OuterFirst {
  bool operator()(std::string_view a, std::string_view b) const {
    const auto rank = [](char c) { return c == '/' ? 0 : 1 + static_cast<unsigned char>(c); };
    return std::ranges::lexicographical_compare(a, b, {}, rank, rank);
  }
};

}  // namespace oqto::sandbox
