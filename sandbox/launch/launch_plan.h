// The messages that begin a session: guard -> oqto-launch, and whoever starts a sandbox -> oqto-init.
#pragma once
#include "sandbox/policy/policy.h"

namespace oqto::sandbox {

// Descriptors of oqto-launch, besides ipc::kGuardFd and ipc::kAuditFd.
constexpr int kControlFd = 6;      // oqto-init's end of its Channel to the runner
constexpr int kModelsFd = 7;       // sealed memory file: Pi's models.json
constexpr int kSettingsFd = 8;     // sealed memory file: Pi's settings.json
constexpr int kWorkspaceFd = 9;    // O_PATH directory
constexpr int kHomeFd = 10;        // O_PATH directory
constexpr int kRefusedFd = 11;     // what open_refused_packets() made in the session's network
constexpr int kLaunchFdCount = 9;  // 3 .. 11

struct LaunchPlan {  // guard -> oqto-launch; answered by Ready or LaunchFailed
  static constexpr ipc::Tag kTag = ipc::Tag::launch_plan;
  static constexpr bool kWithFd = false;
  Uuid session;
  Policy policy;  // the effective one
  bool fields(auto& io) { return io(session) && policy.fields(io); }
};

// Which file or directory was opened: compared before it is mounted and again inside.
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileId&) const = default;
};

// What oqto-init demands of one mount point before it believes in its surroundings.
struct MountCheck {
  bool read_only = false;
  bool empty = false;  // a directory without entries, or a file without bytes: what a mask shows
  FileId id;           // 0, 0: any
  std::string path;    // absolute, inside

  // One entry of InitPlan::checks: "[r][e] DEVICE INODE PATH".
  [[nodiscard]] std::string text() const;
  static Result<MountCheck> parse(std::string_view text);
};

struct InitPlan {  // answered by ExecListener and InitReady, or InitFailed
  static constexpr ipc::Tag kTag = ipc::Tag::init_plan;
  static constexpr bool kWithFd = false;
  // What the filters and the programs need to know.
  std::uint8_t run_own_programs = 0;  // 0: what the session wrote itself does not execute
  std::uint8_t notify_exec = 1;       // execve and execveat stop until the monitor has answered
  std::uint8_t notify_open = 0;       // so do open, openat, openat2 and creat: there are `ask` paths
  ipc::TextList<128, 4096> env;       // NAME=value: what each program's environment begins with
  // What is verified, and what Landlock permits; paths inside.
  ipc::Text<512> workspace;              // also the current directory
  ipc::TextList<1024, 640> checks;       // MountCheck::text()
  ipc::TextList<128, 512> writable;      // files beneath may be created, changed and deleted
  ipc::TextList<256, 512> readable;      // files beneath may be read
  ipc::TextList<256, 512> executable;    // ... and executed
  bool fields(auto& io) {
    return io(run_own_programs, notify_exec, notify_open, env, workspace, checks, writable,
              readable, executable);
  }
};

// Descriptors of oqto-init.
constexpr int kInitLaunchFd = 3;   // Channel to who started the sandbox, until InitReady
constexpr int kInitControlFd = 4;  // Channel to the runner, or to the stand-alone tool
constexpr int kInitStageFd = 5;    // one byte when the tree is complete; closed: it never will be

// Where things are inside a hosted session; the stand-alone tool shows most at its own place.
constexpr const char* kInsideHome = "/home/agent";
constexpr const char* kInsideWorkspace = "/workspace";
constexpr const char* kInsidePi = "/opt/pi";
constexpr const char* kInsidePiCache = "/opt/pi-cache";
constexpr const char* kInsideInit = "/opt/oqto/oqto-init";  // everywhere
constexpr unsigned kInsideId = 1000;  // uid and gid of a hosted session

}  // namespace oqto::sandbox
