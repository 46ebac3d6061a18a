#include "guard/layout.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::guard {
namespace {

std::unexpected<Error> refuse(std::string_view why, std::string_view where) {
  log::error("the state directory cannot be used", {{"why", why}, {"where", where}});
  return fail(Errc::invalid, "the state directory cannot be used");
}

Status require_searchable(const std::string& path) {
  for (std::size_t at = 1; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    struct stat info{};
    if (::stat(part.c_str(), &info) != 0) return fail_errno("stat of a parent of the state directory");
    if (!S_ISDIR(info.st_mode) || (info.st_mode & S_IXOTH) == 0) {
      return refuse("other users cannot pass through it: choose another --state, or chmod o+x", part);
    }
  }
  return {};
}

Status bind_read_only(const std::string& source, const std::string& target) {
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return fail_errno("mount of the runtime");
  }
  constexpr unsigned long kFlags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV;
  if (::mount(nullptr, target.c_str(), nullptr, kFlags, nullptr) != 0) {
    return fail_errno("read-only remount of the runtime");
  }
  return {};
}

}  // namespace

Result<Fd> ensure_dir(const Fd& parent, const char* name, mode_t mode, uid_t owner) {
  const bool made = ::mkdirat(parent.get(), name, 0700) == 0;
  if (!made && errno != EEXIST) return fail_errno("mkdir below the state directory");
  // O_PATH: we need not be able to read it, and mostly may not.
  Fd dir = Fd::adopt(::openat(parent.get(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir) return fail_errno("open of a directory below the state directory");
  if (made) {
    if (::fchmodat(parent.get(), name, mode, 0) != 0) return fail_errno("chmod");
    if (::fchownat(parent.get(), name, owner, owner, AT_SYMLINK_NOFOLLOW) != 0) {
      return fail_errno("chown");
    }
  }
  struct stat info{};
  if (::fstat(dir.get(), &info) != 0) return fail_errno("fstat");
  if (info.st_uid != owner || (info.st_mode & 07777) != mode) {
    return refuse("owner or mode is not what it was made with", name);
  }
  return dir;
}

Result<Fd> ensure_state(const Config& config, const Uids& uids) {
  if (::mkdir(config.state.c_str(), 0755) != 0 && errno != EEXIST) {
    return fail_errno("mkdir of the state directory");
  }
  TRY(require_searchable(config.state));
  Fd state = TRY(sys::open_dir(config.state.c_str()));
  struct stat info{};
  if (::fstat(state.get(), &info) != 0) return fail_errno("fstat");
  if (info.st_uid != 0 || (info.st_mode & 022) != 0) {
    return refuse("it must belong to root and be writable by nobody else", config.state);
  }
  TRY(ensure_dir(state, "accounts", 0700, uids.accounts()));
  const Fd audit = TRY(ensure_dir(state, "audit", 0711, 0));
  (void)!::fchmodat(audit.get(), "log", 0750, 0);  // 0700 before there was an auditor
  TRY(ensure_dir(audit, "log", 0750, uids.auditd()));
  TRY(ensure_dir(state, "auditor", 0700, uids.auditor()));
  TRY(ensure_dir(audit, "key", 0700, uids.signer()));
  TRY(ensure_dir(state, "tenants", 0711, 0));
  TRY(ensure_dir(state, "config", 0700, 0));
  const Fd runtime = TRY(ensure_dir(state, "runtime", 0755, 0));
  TRY(ensure_dir(runtime, "pi", 0755, 0));
  const Fd init = Fd::adopt(::openat(runtime.get(), "oqto-init", O_CREAT | O_RDONLY | O_CLOEXEC, 0755));
  if (!init) return fail_errno("create of the mount point for oqto-init");
  return state;
}

Result<storage::Tenants> prepare_storage(const Config& config, const Uids& uids) {
  const storage::Limits wanted{.bytes = config.tenant_bytes, .files = config.tenant_files};
  int kind = static_cast<int>(ipc::DiskLimits::none);
  const bool has_image = ::access((config.state + "/tenants.img").c_str(), F_OK) == 0;
  if (wanted != storage::Limits{} || has_image) {
    const pid_t pid = ::fork();
    if (pid < 0) return fail_errno("fork");
    if (pid == 0) {
      ::execl((config.bin + "/oqto-storage").c_str(), "oqto-storage", "--state", config.state.c_str(), "--probe-uid",
              std::to_string(uids.disk_probe()).c_str(), "--first-uid", std::to_string(uids.runner(0)).c_str(),
              "--image-bytes", std::to_string(config.tenants_image_bytes).c_str(), nullptr);
      ::_exit(127);
    }
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) return fail_errno("waitpid");
    kind = WIFEXITED(status) ? WEXITSTATUS(status) - storage::kExitBase : -1;
  }
  if (kind < 0 || kind >= static_cast<int>(ipc::DiskLimits::kEnd)) {
    return fail(Errc::unavailable, "what holds tenants to their share of the disk could not be put in place");
  }
  return storage::Tenants(static_cast<ipc::DiskLimits>(kind), TRY(sys::open_dir(config.state.c_str())),
                          TRY(sys::open_dir((config.state + "/tenants").c_str())), wanted);
}

Result<Fd> ensure_tenant(const Fd& state, const Uids& uids, std::uint32_t account, storage::Tenants& storage) {
  const Fd tenants = TRY(ensure_dir(state, "tenants", 0711, 0));
  Fd tenant = TRY(ensure_dir(tenants, std::to_string(account).c_str(), 0711, 0));
  using Part = storage::Tenants::Part;
  TRY(storage.limit(tenant, Part::state, account, uids.runner(account)));  // before anything is in it
  const Fd own = TRY(ensure_dir(tenant, "state", 0711, 0));
  TRY(ensure_dir(own, "runner", 0700, uids.runner(account)));
  TRY(ensure_dir(own, "hstry", 0700, uids.runner(account)));
  for (const char* const name : {"home", "workspaces"}) {
    TRY(storage.limit(TRY(ensure_dir(tenant, name, 0711, 0)), Part::work, account, uids.agent(account)));
  }
  return tenant;
}

Status enter_private_mounts(const Config& config) {
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno("unshare(CLONE_NEWNS)");
  // Not private: what is unmounted outside would stay mounted in here, for as long as we run.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return fail_errno("making our mounts follow those outside");
  }
  TRY(bind_read_only(config.pi, config.state + "/runtime/pi"));
  return bind_read_only(config.bin + "/oqto-init", config.state + "/runtime/oqto-init");
}

}  // namespace oqto::guard
