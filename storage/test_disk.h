// A real file system for tests: an ext4 with project quota in a mount namespace of the test's own.
#pragma once
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/sys.h"
#include "storage/prepare.h"
#include "storage/tenants.h"
#include "tests/possible.h"

namespace oqto::storage {

namespace fs = std::filesystem;
using ipc::DiskLimits;

constexpr std::uint32_t kProbe = 71'009;
constexpr std::uint32_t kFirst = 72'000;
constexpr std::uint64_t kMiB = 1 << 20;

inline int sh(const std::string& command) {
  return *run_tool({"/bin/sh", "-c", command + " >/dev/null 2>&1"});
}

// In a process of that user's: its exit status.
inline int as_user(uid_t uid, const std::function<int()>& act) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
        ::setresuid(uid, uid, uid) != 0)
      ::_exit(99);
    ::_exit(act());
  }
  int status = 0;
  (void)::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

// How many bytes until it fails, in MiB, and with what.
inline int fill(const std::string& path, int& error) {
  const Fd file = Fd::adopt(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const std::string piece(64 * 1024, 'x');
  std::size_t written = 0;
  ssize_t n = 0;
  while (written < 500 * kMiB && (n = ::write(file.get(), piece.data(), piece.size())) > 0)
    written += static_cast<std::size_t>(n);
  error = n < 0 ? errno : 0;
  return static_cast<int>(written / kMiB);
}

class Disk : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!possible::as_root().empty()) return;
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
  void SetUp() override {
    NEEDS(possible::with_loop_device());
    NEEDS(possible::with_program("mkfs.ext4"));
    char path[] = "/tmp/oqto-storage-XXXXXX";
    dir_ = ::mkdtemp(path);
    ::chmod(dir_.c_str(), 0755);
    state_ = dir_ + "/state";
    fs::create_directories(state_);
  }
  void TearDown() override {
    (void)::umount2((state_ + "/tenants").c_str(), MNT_DETACH);
    (void)::umount2(state_.c_str(), MNT_DETACH);
    fs::remove_all(dir_);
  }

  // Empty if it is there, or why it cannot be: not every kernel has quota.
  std::string mount_state(const std::string& features, const std::string& options, int mib = 200) {
    const std::string image = dir_ + "/disk";
    if (sh("truncate -s " + std::to_string(mib) + "M " + image + " && mkfs.ext4 -q -m 0 " +
           features + " " + image) != 0) {
      return "mkfs.ext4 " + features + " fails";
    }
    if (sh("mount -o loop" + options + " " + image + " " + state_) != 0)
      return "the kernel mounts no ext4 with " + options;
    (void)::rmdir((state_ + "/lost+found").c_str());
    make_tenants();
    return "";
  }
  void make_tenants() const { ::mkdir((state_ + "/tenants").c_str(), 0711); }

  // Neither a block nor an inode is left.
  void fill_up() const {
    (void)sh("(i=0; while : >" + state_ + "/n$i; do i=$((i+1)); done)");
    (void)sh("(cat /dev/zero >" + state_ + "/n0)");
  }

  Tenants with_limits(DiskLimits kind, Limits wanted) const {
    return Tenants(kind, *sys::open_dir(state_.c_str()),
                   *sys::open_dir((state_ + "/tenants").c_str()), wanted);
  }
  // A tenant's directory, as the guard makes it; its home is the agent's.
  std::string tenant(Tenants& tenants, std::uint32_t account) {
    const std::string path = state_ + "/tenants/" + std::to_string(account);
    ::mkdir(path.c_str(), 0711);
    ::mkdir((path + "/home").c_str(), 0700);
    const Fd home = Fd::adopt(::open((path + "/home").c_str(), O_PATH | O_CLOEXEC));
    const Status limited = tenants.limit(home, Tenants::Part::work, account, agent(account));
    EXPECT_TRUE(limited) << (limited ? "" : limited.error().what);
    EXPECT_EQ(::chown((path + "/home").c_str(), agent(account), agent(account)), 0);
    return path + "/home";
  }
  static uid_t agent(std::uint32_t account) { return kFirst + 2 * account + 1; }

  std::string dir_, state_;
};

}  // namespace oqto::storage
