// The tenant's workspaces and sessions, in one JSON file of the state directory that is replaced as a
// whole: after any crash the old or the new content is there.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/encoding.h"
#include "base/fd.h"
#include "base/result.h"
#include "ipc/messages.h"

namespace oqto::runner {

struct Workspace {
  std::string id;
  std::string name;
  std::uint64_t created_at = 0;
};
struct SessionRecord {
  std::string id;         // oqto-<uuid>
  std::string workspace;  // uuid
  ipc::Profile profile{};  // the effective one
  std::string provider = {};  // as chosen, or empty: the harness's default
  std::string model = {};
  std::string title = {};
  bool titled = false;  // by the user, or from the first message
  bool closed = false;  // by the user: else what does not run is only asleep
  std::string conversation = {};  // the harness's id of it; empty: that of the session
  std::string fork_entry = {};    // not empty: `conversation` is another session's until it is forked there
  std::uint64_t created_at = 0;
  std::uint64_t last_activity = 0;   // not kept in the file: the history knows
  std::uint64_t message_count = 0;   // the same
};

std::string_view profile_name(ipc::Profile profile);
std::optional<ipc::Profile> profile_named(std::string_view name);
Uuid session_uuid(std::string_view session_id);  // of a valid oqto-<uuid>

struct Registry {
  std::map<std::string, Workspace, std::less<>> workspaces;
  std::map<std::string, SessionRecord, std::less<>> sessions;

  static constexpr std::size_t kMaxWorkspaces = 256;
  static constexpr std::size_t kMaxSessions = 4096;

  static Result<Registry> load(const Fd& state_dir);
  [[nodiscard]] Status save(const Fd& state_dir) const;
};

}  // namespace oqto::runner
