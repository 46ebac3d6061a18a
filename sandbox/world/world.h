// World: the file system, namespaces and identity of one sandbox as a plain value, and how it is
// started. Hosted sessions (oqto-launch) and the stand-alone tool differ only in the World that
// they describe. Everything runs with the caller's uid, which must not be root's, and needs no
// privilege.
//
//   caller -- fork --> stage: namespaces, mounts by descriptor, network; then the covers' warden
//                        '-- fork --> oqto-init (PID 1): verifies, seals, serves
//          -- fork --> janitor: makes and removes stubs for what is denied but absent
#pragma once
#include <sys/types.h>

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "ipc/channel.h"
#include "sandbox/launch/launch_plan.h"
#include "sandbox/world/namespaces.h"

namespace oqto::sandbox {

// A directory or file of the host, and where it is shown. All paths absolute and normalised.
struct Place {
  std::string outside;  // without symbolic links; empty: nothing of the host
  std::optional<FileId>
      id;  // if it was opened and checked before: this and nothing else is mounted
  std::string inside;
};

struct World {
  // Both are writable. The workspace must exist. A home without `outside` is private memory that
  // ends with the sandbox (within the limit for /tmp).
  Place workspace;
  Place home;
  // What "~" means in the policy's grants and denials besides `home` itself: shown below
  // home.inside. Empty in hosted sessions.
  std::string real_home;
  // Where the `.git` of a workspace lives that has none of its own at the start: a directory, made
  // if it is absent. Empty: below the home.
  std::string git_store;
  Policy
      policy;  // effective; unknown_hosts, domains, env_* and the cgroup's limits are others' work

  // More of the host, read-only: Pi, its cache. What is absent and not required is left out.
  struct ReadOnly {
    Place place;
    bool required = true;
    bool executable = true;
  };
  std::vector<ReadOnly> read_only;
  // More files, read-only. Below the home they cover what the agent has at that place.
  struct Generated {
    std::string inside;
    std::string content;
  };
  std::vector<Generated> generated;

  // Which network namespace. The pool's addresses are 198.18.0.0/15.
  enum class Network : std::uint8_t {
    present,   // the caller is in the right one already (hosted)
    isolated,  // a new one, nothing but the loopback interface
    filtered,  // the same with the pool; sockets of it go back to whoever serves names and
               // connections
    open       // the host's: needs Landlock ABI 6, or abstract sockets of the host are in reach
  };
  Network network = Network::isolated;
  std::size_t pool = 0;  // filtered: how many unbound TCP sockets; at most kMaxPool

  unsigned uid = kInsideId, gid = kInsideId;  // as they appear inside; never 0
  std::string user = "agent";
  std::string hostname = "oqto";
  std::vector<std::string> env;  // NAME=value; see base_environment()

  std::string init;          // oqto-init
  bool notify_exec = true;   // every exec waits for the monitor
  bool notify_open = false;  // so does every open, also where the policy asks for none
};
constexpr std::size_t kMaxPool = 240;

// PATH, HOME, USER, LOGNAME, SHELL, LANG, TMPDIR and what git needs, for this World.
std::vector<std::string> base_environment(const World& world);

// What the caller lends for the time of the start.
struct StartWith {
  // Becomes oqto-init's control channel. Empty: a new pair is made, see StartedSandbox::control.
  Fd control;
  // The start is called off as soon as one of these is readable.
  std::vector<int> call_off;
  // The cgroup (a directory) that all of it is born in; -1: the caller's.
  int cgroup = -1;
  // Made before, for a World with a network of its own; for another one they are not used.
  Namespaces namespaces;
};

// A path whose content may be read after a question, and is hidden until then.
struct AskPlace {
  std::string inside;   // what a program inside names
  std::string outside;  // the same on the host, in the caller's mount namespace
  bool automatic = false;
  bool denied = false;  // an exception: hidden for good, though what is around it may be asked for
};

struct StartedSandbox {
  pid_t stage = -1;  // a child of the caller; it ends with the sandbox, and the sandbox with it
  Fd init_fd;   // pidfd of PID 1: readable when nothing inside is left; killing it ends all of it
  Fd errors;    // the stage's stderr, non-blocking
  Fd listener;  // seccomp notifications, which somebody must answer: see monitor.h
  ipc::Channel control;  // ours, to oqto-init, unless StartWith::control was given
  int landlock_abi = 0;

  // Network::filtered. All belong to the sandbox's network namespace, non-blocking. The process
  // that binds the pool's must have the caller's uid: it owns the namespace.
  Fd dns_udp;  // bound to 198.18.0.1:53
  Fd dns_tcp;  // listening on 198.18.0.1:53
  std::vector<Fd> pool;

  std::vector<AskPlace> asks;

  // Set if there is a janitor: readable once it has cleaned up, which is soon after the sandbox has
  // ended. It survives the caller. Wait for it before the directories are used for something else.
  Fd janitor_fd;
  pid_t janitor = -1;
};

// Why it did not start, in words for the user: what, where, what to do.
struct StartFailure {
  std::string why;
};

// Waits until oqto-init is ready, at most some seconds. SIGCHLD of both children is the caller's.
// The calling thread must live as long as the sandbox shall.
std::expected<StartedSandbox, StartFailure> start_sandbox(const World& world, StartWith with);

// The same up to the point where something would be made or started: what is wrong with the World
// on this host, or where each thing would be shown.
struct Shown {
  enum class How : std::uint8_t { read_write, read_only, empty, generated };
  How how{};
  std::string inside;
  std::string outside;  // empty: nothing of the host
  std::string why;      // "workspace", "allow_read", "protect" ...
};
std::expected<std::vector<Shown>, StartFailure> describe(const World& world);

}  // namespace oqto::sandbox
