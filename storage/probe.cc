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

#include "base/sys.h"
#include "storage/prepare.h"
#include "storage/quota.h"

namespace oqto::storage {
namespace {

constexpr const char* kProbe = ".limits-probe";
// XFS wants room for a whole directory before it makes one file.
constexpr Limits kSmall{.bytes = 4 << 20, .files = 8};
constexpr std::size_t kTooMuch = 16 << 20;

// As a user without privileges: root itself may pass every limit.
bool can_write_too_much(const Fd& dir, uid_t uid) {
  const pid_t pid = ::fork();
  if (pid < 0) return true;
  if (pid == 0) {
    if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
        ::setresuid(uid, uid, uid) != 0)
      ::_exit(2);
    const int fd = ::openat(dir.get(), "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::string piece(64 * 1024, 'x');
    std::size_t written = 0;
    ssize_t n = 0;  // the last piece before the limit is a short one
    while (written < kTooMuch && (n = ::write(fd, piece.data(), piece.size())) > 0) {
      written += static_cast<std::size_t>(n);
    }
    if (n < 0 && errno != EDQUOT && errno != ENOSPC) ::_exit(2);
    ::_exit(written < kTooMuch && ::fsync(fd) == 0 ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

Status overrun(const Fd& dir, std::uint32_t project, uid_t uid) {
  TRY(set_project(dir, project));
  TRY(set_limits(dir, project, kSmall));
  if (TRY(usage_of(dir, project)).limits != kSmall) {
    return fail(Errc::not_found, "this file system does not keep the limits that are set");
  }
  if (!can_write_too_much(dir, uid)) return {};
  (void)::unlinkat(dir.get(), "f", 0);
  TRY(enforce(dir));  // it may have counted only
  if (!can_write_too_much(dir, uid)) return {};
  return fail(Errc::not_found, "this file system does not enforce the limits that are set");
}

void remove_probe(const std::string& path) {
  (void)::unlink((path + "/f").c_str());
  (void)::rmdir(path.c_str());
}

bool is_number(std::string_view name, std::uint32_t& number) {
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size();
}

// Files and directories; what is neither has no content to count, but its own inode.
Status set_project_beneath(const std::string& path, std::uint32_t project) {
  std::string root = path;
  char* roots[] = {root.data(), nullptr};
  struct Close {
    void operator()(FTS* tree) const { (void)::fts_close(tree); }
  };
  const std::unique_ptr<FTS, Close> tree(::fts_open(roots, FTS_PHYSICAL | FTS_XDEV, nullptr));
  if (!tree) return fail_errno("fts_open of a tenant's directory");
  errno = 0;
  while (const FTSENT* entry = ::fts_read(tree.get())) {
    // A directory comes twice: its own turn is the second, behind all that is in it.
    if (entry->fts_info != FTS_F && entry->fts_info != FTS_DP) continue;
    const Fd file = TRY(sys::open_file(entry->fts_accpath, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    TRY(set_project(file, project));
    errno = 0;
  }
  return errno == 0 ? Status() : fail_errno("fts_read of a tenant's directory");
}

// The directory itself comes last: where it is the project's, all beneath is.
Status adopt(const std::string& path, std::uint32_t project) {
  const auto dir = sys::open_file(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir && dir.error().sys == ENOENT) return {};
  if (!dir) return std::unexpected(dir.error());
  return TRY(project_of(*dir)) == project ? Status() : set_project_beneath(path, project);
}

}  // namespace

Status try_limits(const std::string& tenants, std::uint32_t probe_uid) {
  const std::string path = tenants + "/" + kProbe;
  remove_probe(path);  // of one that was killed
  if (::mkdir(path.c_str(), 0700) != 0) return fail_errno("mkdir for a trial of limits");
  const Fd dir = TRY(sys::open_dir(path.c_str()));
  if (::fchown(dir.get(), probe_uid, probe_uid) != 0)
    return fail_errno("chown for a trial of limits");
  const Status tried = overrun(dir, probe_uid, probe_uid);
  remove_probe(path);
  (void)set_limits(dir, probe_uid, {});
  return tried;
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
    const std::uint32_t project = first_uid + 2 * account;  // and the agent's follows
    for (const auto& [part, number] :
         {std::pair{"/home", project + 1}, {"/workspaces", project + 1}, {"/state", project}}) {
      TRY(adopt(path + part, number));
    }
    const Fd tenant = TRY(sys::open_file(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY(set_project(tenant, project));
  }
  return {};
}

}  // namespace oqto::storage
