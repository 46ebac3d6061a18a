// Whether limits hold here, and whom they hold.
#include <fcntl.h>
#include <fts.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/sys.h"
#include "storage/prepare.h"
#include "storage/quota.h"

namespace oqto::storage {
namespace {

constexpr const char* kProbe = ".limits-probe";
constexpr const char* kFile = "f";
// XFS wants room for a whole directory before it makes one file.
constexpr Limits kSmall{.bytes = 4 << 20, .files = 8};
constexpr std::size_t kTooMuch = 16 << 20;

// What came of it when an ordinary user wrote more than it may. What could not be tried says
// nothing about limits.
enum Overrun : int { refused = 0, written = 1, untried = 2, no_room = 3 };

Overrun write_too_much(const Fd& dir) {
  const Fd file =
      Fd::adopt(::openat(dir.get(), kFile, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC));
  const auto is_full = [] { return errno == EDQUOT || errno == ENOSPC; };
  if (!file) return is_full() ? no_room : untried;
  const std::string piece(64 * 1024, 'x');
  std::size_t sum = 0;
  ssize_t n = 0;  // the last piece before the limit is a short one
  while (sum < kTooMuch && (n = ::write(file.get(), piece.data(), piece.size())) > 0)
    sum += static_cast<std::size_t>(n);
  if (sum >= kTooMuch) return written;
  // XFS says ENOSPC of a project that is full. So does a disk: but not at the limit.
  if (errno == EDQUOT || (errno == ENOSPC && sum >= kSmall.bytes / 2))
    return ::fsync(file.get()) == 0 ? refused : is_full() ? no_room : untried;
  return errno == ENOSPC ? no_room : untried;
}

// As a user without privileges: root itself may pass every limit.
Overrun overrun_as(uid_t uid, const Fd& dir) {
  const pid_t pid = ::fork();
  if (pid < 0) return untried;
  if (pid == 0) {
    if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
        ::setresuid(uid, uid, uid) != 0)
      ::_exit(untried);
    ::_exit(write_too_much(dir));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return untried;
  }
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : untried;
  return code >= refused && code <= no_room ? static_cast<Overrun>(code) : untried;
}

Status is_held(Overrun result) {
  if (result == refused) return {};
  if (result == no_room)
    return std::unexpected(Error{Errc::unavailable, "no room for a trial of limits", ENOSPC});
  if (result == untried)
    return fail(Errc::unavailable,
                "limits could not be tried: the process that was to overrun one failed");
  return fail(Errc::not_found, "this file system does not enforce the limits that are set");
}

Status overrun(const Fd& dir, std::uint32_t project, uid_t uid) {
  TRY(set_project(dir, project));
  TRY(set_limits(dir, project, kSmall));
  if (TRY(usage_of(dir, project)).limits != kSmall) {
    return fail(Errc::not_found, "this file system does not keep the limits that are set");
  }
  {  // made before, perhaps when another number was nobody's
    const Fd file = Fd::adopt(
        ::openat(dir.get(), kFile, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return fail_errno("open of a file for a trial of limits");
    if (::fchown(file.get(), uid, uid) != 0) return fail_errno("chown for a trial of limits");
    TRY(set_project(file, project));
  }
  const Overrun first = overrun_as(uid, dir);
  if (first != written) return is_held(first);
  TRY(enforce(dir));  // it may have counted only
  return is_held(overrun_as(uid, dir));
}

// The directory and its file stay, so that they need no room the next time.
Status try_in(const std::string& path, uid_t uid) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return fail_errno("mkdir for a trial of limits");
  const Fd dir = TRY(sys::open_file(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (::fchown(dir.get(), uid, uid) != 0) return fail_errno("chown for a trial of limits");
  const Status tried = overrun(dir, uid, uid);
  (void)sys::open_file((path + "/" + kFile).c_str(), O_WRONLY | O_TRUNC | O_NOFOLLOW);
  (void)set_limits(dir, uid, {});
  if (tried || tried.error().code != Errc::not_found) return tried;
  (void)::unlinkat(dir.get(), kFile, 0);
  (void)::rmdir(path.c_str());
  return tried;
}

// Where there is no room to try anything: what the file system says of itself.
Status ask(const std::string& tenants, std::uint32_t project) {
  const Fd dir = TRY(sys::open_dir(tenants.c_str()));
  const auto usage = usage_of(dir, project);  // other errors: there is quota, but no such project
  if (!usage && usage.error().code == Errc::not_found) return std::unexpected(usage.error());
  TRY(enforce(dir));
  log::warn("limits on the disk could not be tried: it is full",
            {{"where", tenants}, {"instead", "the file system says that it enforces them"}});
  return {};
}

bool is_number(std::string_view name, std::uint32_t& number) {
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size();
}

// Files and directories; what is neither has no content to count, but its own inode. What fails is
// left out; the directory itself is not, and is told.
Status set_project_beneath(const std::string& path, std::uint32_t project) {
  std::string root = path;
  char* roots[] = {root.data(), nullptr};
  struct Close {
    void operator()(FTS* tree) const { (void)::fts_close(tree); }
  };
  const std::unique_ptr<FTS, Close> tree(::fts_open(roots, FTS_PHYSICAL | FTS_XDEV, nullptr));
  if (!tree) return fail_errno("fts_open of a tenant's directory");
  Status all;
  errno = 0;
  while (const FTSENT* entry = ::fts_read(tree.get())) {
    if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS) {
      errno = entry->fts_errno;
      all = fail_errno("fts_read of what a tenant has");
    }
    // A directory comes twice: its own turn is the second, behind all that is in it.
    const bool is_its_turn = entry->fts_info == FTS_F || entry->fts_info == FTS_DP;
    if (is_its_turn && (all || entry->fts_level > FTS_ROOTLEVEL)) {
      const auto file = sys::open_file(entry->fts_accpath, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const Status set = file ? set_project(*file, project) : std::unexpected(file.error());
      if (!set) all = set;
    }
    errno = 0;
  }
  return errno == 0 ? all : fail_errno("fts_read of a tenant's directory");
}

// The directory itself comes last: where it is the project's, all beneath is. Unless it is to be
// tried again, since the guard makes it the project's when its tenant comes.
Status adopt(const std::string& path, std::uint32_t project, bool again) {
  const auto dir = sys::open_file(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir && dir.error().sys == ENOENT) return {};
  if (!dir) return std::unexpected(dir.error());
  const bool is_whole = !again && TRY(project_of(*dir)) == project;
  return is_whole ? Status() : set_project_beneath(path, project);
}

// Each part for itself: a tree that cannot be walked keeps no other from being counted.
Status adopt_account(const std::string& path, std::uint32_t project, bool again) {
  Status all;
  for (const auto& [part, number] :
       {std::pair{"/home", project + 1}, {"/workspaces", project + 1}, {"/state", project}}) {
    const Status done = adopt(path + part, number, again);
    if (!done) all = done;
  }
  const Fd tenant = TRY(sys::open_file(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(set_project(tenant, project));
  return all;
}

}  // namespace

Status try_limits(const std::string& tenants, std::uint32_t probe_uid) {
  const Status tried = try_in(tenants + "/" + kProbe, probe_uid);
  const int why = tried ? 0 : tried.error().sys;
  return why == ENOSPC || why == EDQUOT ? ask(tenants, probe_uid) : tried;
}

Status adopt_tenants(const std::string& tenants, std::uint32_t first_uid) {
  const Fd dir = TRY(sys::open_dir(tenants.c_str()));
  std::vector<std::uint32_t> accounts;
  std::string root = tenants;
  char* roots[] = {root.data(), nullptr};
  FTS* const tree = ::fts_open(roots, FTS_PHYSICAL, nullptr);
  if (tree == nullptr || ::fts_read(tree) == nullptr) return fail_errno("fts_open of the tenants");
  for (const FTSENT* entry = ::fts_children(tree, 0); entry != nullptr; entry = entry->fts_link) {
    std::uint32_t account = 0;
    if (entry->fts_info == FTS_D && is_number(entry->fts_name, account))
      accounts.push_back(account);
  }
  (void)::fts_close(tree);
  for (const std::uint32_t account : accounts) {
    const std::string path = tenants + "/" + std::to_string(account);
    const std::string mark = tenants + "/.adopt-" + std::to_string(account);  // to be tried again
    const std::uint32_t project = first_uid + 2 * account;  // and the agent's follows
    const Status done = adopt_account(path, project, ::access(mark.c_str(), F_OK) == 0);
    if (done) {
      (void)::unlink(mark.c_str());
      continue;
    }
    log::error("not all that a tenant has counts for its limit",
               {{"account", account},
                {"why", done.error().what},
                {"error", done.error().sys},
                {"next", "the next start tries it again"}});
    (void)sys::open_file(mark.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
  }
  return {};
}

}  // namespace oqto::storage
