#include "storage/quota.h"

#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace oqto::storage {
namespace {

constexpr std::uint64_t kUnit = 1024;  // of limits, whatever the block size is

// The guard's filter compares all 64 bits of the command.
Status quota_call(const Fd& on, unsigned command, std::uint32_t id, void* argument) {
  if (::syscall(SYS_quotactl_fd, on.get(), std::uint64_t{QCMD(command, PRJQUOTA)} & 0xffff'ffffU,
                id, argument) == 0) {
    return {};
  }
  // No such quota on this file system (ext4: ESRCH, XFS: ENOSYS), or no such call (before
  // Linux 5.14).
  const bool is_absent =
      errno == ESRCH || errno == ENOSYS || errno == EOPNOTSUPP || errno == ENOTTY;
  if (is_absent)
    return std::unexpected(
        Error{Errc::not_found, "this file system keeps no project quota", errno});
  return fail_errno("quotactl_fd");
}

}  // namespace

Status set_project(const Fd& dir, std::uint32_t project) {
  fsxattr attributes{};
  if (::ioctl(dir.get(), FS_IOC_FSGETXATTR, &attributes) != 0) {
    return std::unexpected(Error{Errc::not_found, "this file system knows no projects", errno});
  }
  attributes.fsx_projid = project;
  struct stat facts {};
  if (::fstat(dir.get(), &facts) != 0) return fail_errno("fstat");
  if (S_ISDIR(facts.st_mode))
    attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;  // a file has nobody to hand it on to
  if (::ioctl(dir.get(), FS_IOC_FSSETXATTR, &attributes) == 0) return {};
  if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL) {
    return std::unexpected(Error{Errc::not_found, "this file system knows no projects", errno});
  }
  return fail_errno("FS_IOC_FSSETXATTR");
}

Result<std::uint32_t> project_of(const Fd& file) {
  fsxattr attributes{};
  if (::ioctl(file.get(), FS_IOC_FSGETXATTR, &attributes) != 0)
    return fail_errno("FS_IOC_FSGETXATTR");
  return attributes.fsx_projid;
}

Status set_limits(const Fd& on, std::uint32_t project, const Limits& limits) {
  if_dqblk wanted{};
  wanted.dqb_bhardlimit = (limits.bytes + kUnit - 1) / kUnit;
  wanted.dqb_ihardlimit = limits.files;
  wanted.dqb_valid = QIF_LIMITS;
  return quota_call(on, Q_SETQUOTA, project, &wanted);
}

Result<Usage> usage_of(const Fd& on, std::uint32_t project) {
  if_dqblk found{};
  TRY(quota_call(on, Q_GETQUOTA, project, &found));
  return Usage{.used = {found.dqb_curspace, found.dqb_curinodes},
               .limits = {found.dqb_bhardlimit * kUnit, found.dqb_ihardlimit}};
}

Status enforce(const Fd& on) {
  const Status done = quota_call(on, Q_QUOTAON, QFMT_VFS_V1, nullptr);
  if (!done && done.error().sys == EEXIST) return {};  // it does
  return done;
}

}  // namespace oqto::storage
