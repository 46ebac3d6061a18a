// A hosted session as a World: what oqto-launch does before it monitors.
#pragma once
#include <expected>
#include <string>

#include "sandbox/world/world.h"

namespace oqto::sandbox {

// Paths as the agent's uid resolves them. The directories come as descriptors too.
struct LaunchPaths {
  std::string home, workspace, pi, pi_cache, init;
};

// Takes kControlFd, kModelsFd, kSettingsFd, kWorkspaceFd and kHomeFd. The start is called off when
// the guard says anything, or is gone, or a signal arrives.
std::expected<StartedSandbox, StartFailure> start_session(const LaunchPlan& plan,
                                                          const LaunchPaths& paths,
                                                          const ipc::Channel& guard,
                                                          const Fd& signals);

// Where Pi and its configuration are in every session; without what only a host knows.
World session_world(const LaunchPaths& paths);

}  // namespace oqto::sandbox
