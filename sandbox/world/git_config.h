// Git's configuration file syntax (git-config(1), "CONFIGURATION FILE"), as far as finding values
// needs it. Reads what tenants wrote, with their rights.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace oqto::sandbox {

constexpr std::size_t kMaxGitConfigBytes = 256 * 1024;
constexpr std::size_t kMaxGitConfigEntries = 8192;

struct GitSetting {
  std::string section;     // lower case
  std::string subsection;  // as written
  std::string key;         // lower case
  std::string value;
  bool has_value = true;  // false: `key` alone, which means true
};

// Up to the first mistake, where git itself would stop, or the bound.
std::vector<GitSetting> parse_git_config(std::string_view text);

}  // namespace oqto::sandbox
