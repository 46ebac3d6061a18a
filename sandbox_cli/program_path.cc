#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "sandbox_cli/session.h"

namespace oqto::sandbox_cli {

std::deque<std::string> program_candidates(const std::string& name, const sandbox::World& world,
                                           const std::string& directory) {
  if (name.starts_with('/')) return {name};
  if (name.empty()) return {name};  // which the kernel does not find
  if (name.find('/') != name.npos) return {directory + '/' + name};
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string& entry : world.env) {
    if (entry.starts_with("PATH=")) path = std::string_view(entry).substr(5);
  }
  std::deque<std::string> all;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find(':'), path.size());
    const std::string_view one = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    // Relative entries name whatever the workspace has: not for looking programs up.
    if (!one.starts_with('/')) continue;
    const std::string candidate = std::string(one) + '/' + name;
    // What is below /usr is the same inside and outside: no need to ask for what is not there.
    const bool shared = one.starts_with("/usr/") || one == "/bin" || one == "/sbin";
    if (shared && ::access(candidate.c_str(), F_OK) != 0) continue;
    all.push_back(candidate);
  }
  if (all.empty()) all.push_back("/usr/bin/" + name);
  return all;
}

std::string found_outside(const std::string& name) {
  const auto is_program = [](const std::string& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
           ::access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != name.npos) return is_program(name) ? name : "";
  const char* const variable = ::getenv("PATH");
  std::string_view path = variable == nullptr ? "" : variable;
  while (!path.empty() && !name.empty()) {
    const std::size_t end = std::min(path.find(':'), path.size());
    const std::string candidate = std::string(path.substr(0, end)) + '/' + name;
    path.remove_prefix(std::min(end + 1, path.size()));
    if (candidate.starts_with('/') && is_program(candidate)) return candidate;
  }
  return {};
}

}  // namespace oqto::sandbox_cli
