// Layout: what is mounted where, computed from a World with nothing made or changed yet. Everything
// that a policy says about paths becomes mounts and covers here.
#pragma once
#include <expected>
#include <string>
#include <vector>

#include "sandbox/world/world.h"

namespace oqto::sandbox {

// A file or directory that appears inside.
struct Mount {
  enum class Source : std::uint8_t {
    host,     // a file or directory of the host
    memory,   // an empty directory of the sandbox's own, within the limit for /tmp
    content,  // a file with this content
  };
  Source source{};
  std::string outside{};  // host
  FileId id{};            // host: this and nothing else
  std::string content{};
  std::string inside;
  bool directory = true;
  bool read_only = true;
  bool executable = true;
  bool own = false;  // belongs to the agent alone: mount points are made in it
  // The mount point is made where it is missing; what else stands there is renamed aside.
  bool make_place = false;
  std::string why;  // "workspace", "allow_read" ...
};

// A change to what the mounts show: laid over them, outer before inner.
struct Cover {
  enum class How : std::uint8_t {
    pin,        // stays as it is, but can no longer be renamed or replaced
    read_only,  // and everything beneath
    empty       // an empty directory, or a file that cannot be opened
  };
  How how{};
  std::string inside;
  bool directory = true;
  FileId id{};  // what is expected there; 0, 0: a stub, or something of the sandbox's own
  bool if_present = false;  // in a directory of the sandbox's own: only the stage knows
  std::string why;
};

// Stands in the place of something that is denied but absent, so that it cannot be created inside.
// Made before the start and removed afterwards, unless somebody has changed it.
struct Stub {
  std::string outside;
  FileId parent{};  // of the directory that it is made in
  bool directory = true;
  std::string content{};
};

// `name` leads to `target` in the sandbox's own root.
struct Link {
  std::string name, target;
};

struct Layout {
  std::vector<Link> links;
  std::vector<World::Generated> files;  // of the sandbox's own root: /etc/passwd ...
  std::vector<Mount> mounts;            // outer first
  std::vector<Cover> covers;            // outer first
  std::vector<Stub> stubs;              // outer first
  std::vector<AskPlace> asks;

  // The innermost mount that shows `inside`, or nullptr: the sandbox's own root.
  [[nodiscard]] const Mount* showing(std::string_view inside) const;
};
constexpr std::size_t kMaxMounts = 512;  // and covers, together

std::expected<Layout, StartFailure> lay_out(const World& world);

// Grants below the user's real home that are not there: they are left out. One sentence each, for the user.
std::vector<std::string> absent_grants(const World& world);

// What a path of the host is, found without following symbolic links.
struct Found {
  FileId id{};
  bool directory = false;
  bool regular = false;
  bool link = false;  // a symbolic link stands here or further up
  bool present = false;
  bool owned = false;     // by this uid
  bool stub = false;      // one of ours, unchanged: as good as absent
  bool reachable = true;  // false: this uid may not look, so nothing inside may either
};
Found look_at(const std::string& path);

// A path of a policy, as the host and as the sandbox name it. Empty: there is no such thing.
struct Named {
  std::string outside, inside;
};
Named name_of(const World& world, std::string_view policy_path);

std::unexpected<StartFailure> refuse(std::string why);

}  // namespace oqto::sandbox
