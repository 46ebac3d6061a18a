// The messages that begin a session: guard -> oqto-launch, and oqto-launch -> oqto-init.
#pragma once
#include "sandbox/policy.h"

namespace oqto::sandbox {

// Descriptors of oqto-launch, besides ipc::kGuardFd and ipc::kAuditFd.
constexpr int kControlFd = 6;      // oqto-init's end of its Channel to the runner
constexpr int kModelsFd = 7;       // sealed memory file: Pi's models.json
constexpr int kSettingsFd = 8;     // sealed memory file: Pi's settings.json
constexpr int kWorkspaceFd = 9;    // O_PATH directory
constexpr int kHomeFd = 10;        // O_PATH directory
constexpr int kLaunchFdCount = 8;  // 3 .. 10

struct LaunchPlan {  // guard -> oqto-launch; answered by Ready or LaunchFailed
  static constexpr ipc::Tag kTag = ipc::Tag::launch_plan;
  static constexpr bool kWithFd = false;
  Uuid session;
  Policy policy;  // the effective one
  bool fields(auto& io) { return io(session) && policy.fields(io); }
};

// Which directory was opened: compared before the sandbox is built and again inside.
struct DirectoryId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const DirectoryId&) const = default;
};

struct InitPlan {  // oqto-launch -> oqto-init; answered by ExecListener and InitReady, or
                   // InitFailed
  static constexpr ipc::Tag kTag = ipc::Tag::init_plan;
  static constexpr bool kWithFd = false;
  DirectoryId workspace;
  DirectoryId home;
  std::uint8_t run_own_programs = 0;
  std::uint8_t has_compile_cache = 0;
  bool fields(auto& io) {
    return io(workspace.device, workspace.inode, home.device, home.inode, run_own_programs,
              has_compile_cache);
  }
};

// Descriptors of oqto-init.
constexpr int kInitLaunchFd = 3;   // Channel to oqto-launch, until InitReady
constexpr int kInitControlFd = 4;  // Channel to the runner

// Where things are inside.
constexpr const char* kInsideHome = "/home/agent";
constexpr const char* kInsideWorkspace = "/workspace";
constexpr const char* kInsidePi = "/opt/pi";
constexpr const char* kInsidePiCache = "/opt/pi-cache";
constexpr const char* kInsideInit = "/opt/oqto/oqto-init";
constexpr unsigned kInsideId = 1000;  // uid and gid

}  // namespace oqto::sandbox
