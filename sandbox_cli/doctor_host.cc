// Each examination asks the kernel by trying, wherever trying changes nothing.
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "base/sys.h"
#include "sandbox/cgroup.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/seal.h"
#include "sandbox_cli/doctor.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)  // Linux 5.19
#endif

namespace oqto::sandbox_cli {
namespace {

std::string setting(const char* path) {
  const auto file = sys::open_file(path, O_RDONLY);
  auto text = file ? sys::read_all(*file, 4096) : std::string();
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

bool exists(const char* path) {
  return ::access(path, F_OK) == 0;
}

// errno of what `attempt` did in a child of its own; 0: it worked.
int attempt(const std::function<int()>& what) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(what());
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid) return EAGAIN;
  return WIFEXITED(status) ? WEXITSTATUS(status) : ECANCELED;
}

bool write_file(const char* path, const std::string& text) {
  const auto file = sys::open_file(path, O_WRONLY);
  return file && sys::write_all(*file, text);
}

// What the stage of every sandbox does.
int use_namespaces() {
  const std::string uid = std::to_string(::getuid()), gid = std::to_string(::getgid());
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return errno;
  (void)::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (!write_file("/proc/self/setgroups", "deny") ||
      !write_file("/proc/self/uid_map", uid + ' ' + uid + " 1") ||
      !write_file("/proc/self/gid_map", gid + ' ' + gid + " 1")) {
    return EACCES;
  }
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
  return ::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) != 0 ? errno : 0;
}

Finding kernel() {
  utsname name{};
  (void)::uname(&name);
  int major = 0, minor = 0;
  (void)std::sscanf(name.release, "%d.%d", &major, &minor);
  const bool enough = major > 5 || (major == 5 && minor >= 19);
  return {"kernel", enough ? State::ok : State::missing, std::string("Linux ") + name.release,
          enough ? "" : "Linux 5.19 or later is needed"};
}

Finding user_namespaces() {
  const int error = attempt(use_namespaces);
  if (error == 0) return {"user namespaces", State::ok, "unprivileged ones work", ""};
  Finding finding{"user namespaces", State::missing, ::strerrordesc_np(error), ""};
  if (setting("/proc/sys/kernel/unprivileged_userns_clone") == "0") {
    finding.fix =
        "sudo sysctl -w kernel.unprivileged_userns_clone=1 (and the same line in "
        "/etc/sysctl.d/60-oqto.conf)";
  } else if (setting("/proc/sys/user/max_user_namespaces") == "0") {
    finding.fix =
        "sudo sysctl -w user.max_user_namespaces=15000 (and the same line in "
        "/etc/sysctl.d/60-oqto.conf)";
  } else if (setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1") {
    const std::string own = program_directory().value_or("/usr/bin") + "/oqto-sandbox";
    finding.fix =
        "AppArmor keeps them from programs without a profile: write to "
        "/etc/apparmor.d/oqto-sandbox the lines `abi <abi/4.0>,` and `profile oqto-sandbox " +
        own +
        " flags=(unconfined) { userns, }`, then sudo apparmor_parser -r "
        "/etc/apparmor.d/oqto-sandbox";
  } else if (exists("/.dockerenv") || exists("/run/.containerenv")) {
    finding.fix =
        "this is a container whose runtime forbids them: start it with "
        "--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
        "--security-opt systempaths=unconfined, or run on its host";
  } else {
    finding.fix = "the kernel needs CONFIG_USER_NS, and nothing on this host may forbid it";
  }
  return finding;
}

Finding landlock() {
  constexpr int kNetwork = 4, kScopes = 6;
  const int abi = sandbox::landlock_abi();
  const std::string found = abi == 0 ? "none" : "ABI " + std::to_string(abi);
  if (abi == 0) {
    return {"Landlock", State::missing, found,
            "a kernel with CONFIG_SECURITY_LANDLOCK (5.13 or later), and `landlock` in its lsm= "
            "parameter"};
  }
  if (abi < kScopes) {
    return {"Landlock", State::weaker,
            found + (abi < kNetwork ? ": no TCP ports, no scopes" : ": no scopes"),
            "Linux 6.12 or later; until then --net open is refused"};
  }
  return {"Landlock", State::ok, found + ": files, TCP ports, abstract sockets, signals", ""};
}

Finding seccomp() {
  const std::uint32_t wanted = SECCOMP_RET_USER_NOTIF;
  if (::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &wanted) != 0) {
    return {"seccomp notifications", State::missing, ::strerrordesc_np(errno),
            "a kernel with CONFIG_SECCOMP_FILTER, 5.19 or later"};
  }
  // A filter at address 0 is refused as such only if the flags are known.
  constexpr unsigned long kFlags =
      SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  const bool known =
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, kFlags, nullptr) != 0 && errno == EFAULT;
  return {"seccomp notifications", known ? State::ok : State::missing,
          known ? "user_notif with WAIT_KILLABLE_RECV" : "without WAIT_KILLABLE_RECV",
          known ? "" : "Linux 5.19 or later"};
}

Finding time_namespaces() {
  const bool there = exists("/proc/self/ns/time");
  return {
      "time namespaces", there ? State::ok : State::weaker,
      there ? "available" : "not in this kernel",
      there ? "" : "CONFIG_TIME_NS (5.6 or later); without them a sandbox sees the host's uptime"};
}

Finding cgroups() {
  const std::string name = "oqto-doctor-" + std::to_string(::getpid());
  auto tree = sandbox::CgroupTree::create(name);
  const bool enough = tree && tree->controllers().enough();
  Finding finding{"cgroups", enough ? State::ok : State::weaker, "", ""};
  if (tree) {
    const auto& has = tree->controllers();
    for (const auto& [there, controller] :
         {std::pair{has.memory, "memory"}, std::pair{has.pids, "pids"}, std::pair{has.cpu, "cpu"},
          std::pair{has.io, "io"}}) {
      if (there) finding.found += std::string(finding.found.empty() ? "" : ", ") + controller;
    }
    if (finding.found.empty()) finding.found = "cgroup v2 without controllers";
  } else {
    finding.found = sandbox::explain(tree.error());
  }
  if (!enough) {
    finding.fix =
        sandbox::cgroup_advice(tree) +
        "; until then rlimits stand in, and profiles with cgroups = \"required\" (strict) "
        "do not start";
  }
  if (tree) tree->remove_tree();
  return finding;
}

Finding terminals() {
  const Fd master = Fd::adopt(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  return {"terminals", master ? State::ok : State::missing,
          master ? "/dev/ptmx works" : std::string("/dev/ptmx: ") + ::strerrordesc_np(errno),
          master ? "" : "mount devpts at /dev/pts and make /dev/ptmx accessible"};
}

Finding keystrokes() {
  const std::string value = setting("/proc/sys/dev/tty/legacy_tiocsti");
  const std::string found = value.empty()  ? "TIOCSTI is always there"
                            : value == "0" ? "TIOCSTI is off"
                                           : "TIOCSTI is on";
  return {"keystroke injection", State::ok,
          found + "; refused inside, where the terminal is a private one anyway", ""};
}

Finding vsock() {
  const Fd fd = Fd::adopt(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return {"AF_VSOCK", State::ok, fd ? "there; refused inside" : "not there", ""};
}

Finding tracing() {
  const std::string scope = setting("/proc/sys/kernel/yama/ptrace_scope");
  const bool works = scope.empty() || scope == "0" || scope == "1";
  return {"tracing", works ? State::ok : State::weaker,
          scope.empty() ? "no Yama" : "Yama ptrace_scope " + scope,
          works ? ""
                : "sudo sysctl -w kernel.yama.ptrace_scope=1; until then programs cannot be "
                  "recorded (--record, learn)"};
}

}  // namespace

std::vector<Finding> examine_host() {
  return {kernel(),  user_namespaces(), landlock(), seccomp(), time_namespaces(),
          cgroups(), terminals(),       keystrokes(), vsock(), tracing()};
}

}  // namespace oqto::sandbox_cli
