// What people write in a policy file, in normal form. Errors say what to write instead; they do not
// repeat the text.
#pragma once
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/policy/toml.h"

namespace oqto::sandbox {

template <class T>
using Worded = std::expected<T, std::string>;

// What a path in a file is for.
enum class PathUse : std::uint8_t { allow_read, allow_write, deny_read, deny_write, protect, ask };

// Absolute, "~/..." or "./..." to the normal form; a path below the workspace or the home becomes
// "./..." or "~/...", of which both contain it the longer. Refuses patterns, "..", variables.
Worded<std::string> normal_path(std::string_view text, const PolicyContext& context);

// The same, and refuses what nothing can grant or take away.
Worded<std::string> path_for(PathUse use, std::string_view text, const PolicyContext& context);

// Why a grant of that path adds nothing to what every session has, if that is so.
std::optional<std::string> granted_already(PathUse use, std::string_view text, const PolicyContext& context);

// "NAME", "NAME:PORT", "NAME:PORT,PORT": one rule per port, 443 and 80 if none is given.
Worded<std::vector<std::string>> normal_domains(std::string_view text);

Worded<std::string> normal_variable(std::string_view text);  // for env.pass
Worded<std::string> normal_setting(std::string_view name, std::string_view value);

}  // namespace oqto::sandbox
