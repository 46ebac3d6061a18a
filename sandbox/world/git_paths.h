// What of a workspace another user's git would execute or obey, and where its repository lies.
// Reads tenants' files with the tenant's own rights: bounded, without following symbolic links.
#pragma once
#include <expected>
#include <string>
#include <vector>

#include "sandbox/world/world.h"

namespace oqto::sandbox {

// Paths of the host.
struct GitView {
  // The workspace has no repository: `store` (empty: memory) takes the place of its `.git`.
  bool own_store = false;
  std::string store;
  // The workspace is a linked worktree or a submodule, and this repository says so too.
  std::string shared;
  // Stay as they are, or absent.
  std::vector<std::string> keep;
};

// Nothing, if the policy protects nothing below `.git`.
std::expected<GitView, StartFailure> look_at_git(const World& world);

}  // namespace oqto::sandbox
