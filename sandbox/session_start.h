// From a plan to a running oqto-init: what oqto-launch does before it monitors.
#pragma once
#include <string>

#include "ipc/channel.h"
#include "sandbox/launch_plan.h"

namespace oqto::sandbox {

// Paths as the agent's uid resolves them. The directories come as descriptors too; the paths are
// checked against them, because bubblewrap mounts by path.
struct LaunchPaths {
  std::string home, workspace, pi, pi_cache, init;
};

struct StartedSession {
  pid_t bubblewrap = -1;
  Fd bubblewrap_fd;
  Fd errors;    // bubblewrap's stderr
  Fd listener;  // of exec notifications
};

// Why it did not start, in words for the user: bubblewrap's own, if it said any.
struct StartFailure {
  std::string why;
};

// Waits until oqto-init is ready; gives up when the guard goes, when SIGTERM arrives, or after a
// bounded time.
std::expected<StartedSession, StartFailure> start_session(const LaunchPlan& plan,
                                                          const LaunchPaths& paths,
                                                          const ipc::Channel& guard,
                                                          const Fd& signals);

}  // namespace oqto::sandbox
