// Whose sandbox it is, and the two directories that it gets: the project and its private home.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

#include "base/fd.h"
#include "sandbox_cli/text.h"

namespace oqto::sandbox_cli {

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name, group;
  std::string home;  // absolute, without symbolic links
};

// Never root: its sandbox would hold kuid 0. As root, `wanted` says for whom everything is given
// up; otherwise it is an error. Drops capabilities and makes HOME and USER those of the user. Call
// it before anything of the user's is looked at.
Outcome<User> become_user(std::optional<uid_t> wanted);

// Root too: for what only reads.
Outcome<User> current_user();

struct Directory {
  std::string path;  // absolute, without symbolic links
  Fd fd;             // O_PATH
};

// The project: a directory of the user's own, and neither the home, nor above it, nor a place where
// the sandbox keeps what decides about it.
Outcome<Directory> open_workspace(const User& user, const std::string& wanted);

// The home that programs of this workspace see in place of the user's: made when it is first
// needed, kept, one per workspace, under $XDG_DATA_HOME/oqto/homes.
Outcome<Directory> open_private_home(const User& user, const std::string& workspace);

Outcome<std::string> real_path(const std::string& path);  // absolute, without symbolic links
std::string config_directory(const User& user);           // $XDG_CONFIG_HOME/oqto or ~/.config/oqto
std::string data_directory(const User& user);  // $XDG_DATA_HOME/oqto or ~/.local/share/oqto
Outcome<std::string> program_directory();      // where this program and its helpers are

}  // namespace oqto::sandbox_cli
