// STATE/tenants.img: a file system of the tenants' own where that of the state directory has no
// limits to give. All its blocks are taken when it is made, so that nothing outside can take them
// later.
#include <endian.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/log.h"
#include "base/sys.h"
#include "storage/prepare.h"

namespace oqto::storage {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> refuse(std::string_view why, std::string_view where) {
  log::error("tenants.img cannot be used", {{"why", why}, {"where", where}});
  return fail(Errc::invalid, "tenants.img cannot be used");
}

Status run_or_say(const std::vector<std::string>& words, int most) {
  const int status = TRY(run_tool(words));
  if (status <= most) return {};
  log::error("a tool for file systems failed",
             {{"program", words.front()},
              {"status", status},
              {"do", status == 127 ? "install e2fsprogs" : "see what it said"}});
  return fail(Errc::unavailable, "a tool for file systems failed");
}

Status take_blocks(const Fd& image, std::uint64_t from, std::uint64_t to) {
  if (::fallocate(image.get(), 0, static_cast<off_t>(from), static_cast<off_t>(to - from)) == 0)
    return {};
  const Status failed = fail_errno("fallocate of tenants.img: is there so much room?");
  (void)!::ftruncate(image.get(), static_cast<off_t>(from));
  return failed;
}

// Written aside and renamed: an image that is there is a whole one.
Status make_image(const std::string& path, const std::string& tenants, std::uint64_t bytes) {
  std::error_code error;
  if (!fs::is_empty(tenants, error) || error) {
    return refuse(
        "there are tenants outside of it already: stop the host, move STATE/tenants/* aside, start "
        "with "
        "tenants-image-bytes, stop, mount the image and copy them in with owners, then start again",
        tenants);
  }
  const std::string made = path + ".new";
  {
    const Fd image =
        TRY(sys::open_file(made.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
    TRY(take_blocks(image, 0, bytes));
  }
  // nodiscard: the blocks stay taken. -m 1: some are root's, for what the host itself has to make.
  TRY(run_or_say({"/sbin/mkfs.ext4", "-q", "-F", "-O", "quota,project", "-E",
                  "quotatype=usrquota:prjquota,lazy_itable_init=0,nodiscard", "-m", "1", made},
                 0));
  if (::rename(made.c_str(), path.c_str()) != 0) return fail_errno("rename of tenants.img");
  return {};
}

// Whole blocks of the file that its file system does not have, by the superblock of ext4.
Result<std::uint64_t> room_beyond(const Fd& image, std::uint64_t file_bytes) {
  constexpr off_t kSuperblock = 1024;
  constexpr std::uint32_t k64Bit = 0x80;  // of feature_incompat
  std::uint8_t super[1024] = {};
  if (::pread(image.get(), super, sizeof super, kSuperblock) !=
      static_cast<ssize_t>(sizeof super)) {
    return fail(Errc::invalid, "tenants.img has no superblock");
  }
  const auto number = [&](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, super + at, sizeof value);
    return le32toh(value);
  };
  const std::uint32_t shift = number(0x18);
  if ((number(0x38) & 0xffff) != 0xef53 || shift > 6)
    return fail(Errc::invalid, "tenants.img is no ext4");
  const std::uint64_t high = (number(0x60) & k64Bit) != 0 ? number(0x150) : 0;
  const std::uint64_t blocks = high << 32 | number(0x4);
  const std::uint64_t has = file_bytes / (std::uint64_t{1024} << shift);
  return has > blocks ? has - blocks : 0;
}

Status grow_image(const std::string& path, std::uint64_t bytes) {
  const Fd image = TRY(sys::open_file(path.c_str(), O_RDWR | O_NOFOLLOW));
  struct stat facts {};
  if (::fstat(image.get(), &facts) != 0) return fail_errno("fstat of tenants.img");
  const auto has = static_cast<std::uint64_t>(facts.st_size);
  if (bytes < has)
    log::warn("tenants.img is larger than oqto.conf says, and stays so", {{"bytes", has}});
  // Holes that something has punched all the same.
  if (::fallocate(image.get(), 0, 0, static_cast<off_t>(has)) != 0) {
    log::warn("tenants.img has holes, and there is no room to fill them", {{"image", path}});
  }
  if (bytes > has) TRY(take_blocks(image, has, bytes));
  // Also one that was larger than its file system already, as after a crash in between.
  const std::uint64_t room = TRY(room_beyond(image, std::max(bytes, has)));
  return room == 0 ? Status() : run_or_say({"/sbin/resize2fs", "-f", path}, 0);
}

// Two devices over one file are two file systems that do not know of each other. One that is still
// there belongs to a mount namespace that lives on, as of a host that was killed a moment ago.
// Known by the file, whatever its path is called there; and while `device` is open, it stays.
Result<std::string> device_of(const std::string& path, Fd& device) {
  struct stat image {};
  if (::lstat(path.c_str(), &image) != 0) return fail_errno("stat of tenants.img");
  std::error_code error;
  for (const auto& block : fs::directory_iterator("/sys/block", error)) {
    if (!fs::exists(block.path() / "loop/backing_file", error)) continue;
    const std::string name = "/dev/" + block.path().filename().string();
    auto opened = sys::open_file(name.c_str(), O_RDWR);
    loop_info64 facts{};
    if (!opened || ::ioctl(opened->get(), LOOP_GET_STATUS64, &facts) != 0) continue;
    if (facts.lo_device != image.st_dev || facts.lo_inode != image.st_ino) continue;
    device = std::move(*opened);
    return name;
  }
  return fail(Errc::not_found, "no device has it");
}

Result<std::string> attach(const std::string& path, Fd& device) {
  const Fd image = TRY(sys::open_file(path.c_str(), O_RDWR | O_NOFOLLOW));
  const Fd control = TRY(sys::open_file("/dev/loop-control", O_RDWR));
  constexpr int kTries = 20;  // others ask for devices too
  for (int i = 0; i < kTries; ++i) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return fail_errno("LOOP_CTL_GET_FREE");
    const std::string name = "/dev/loop" + std::to_string(number);
    device = TRY(sys::open_file(name.c_str(), O_RDWR));
    loop_config wanted{};
    wanted.fd = static_cast<__u32>(image.get());
    wanted.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    std::strncpy(reinterpret_cast<char*>(wanted.info.lo_file_name), path.c_str(), LO_NAME_SIZE - 1);
    if (::ioctl(device.get(), LOOP_CONFIGURE, &wanted) == 0) return name;
    if (errno != EBUSY) return fail_errno("LOOP_CONFIGURE");
  }
  return fail(Errc::unavailable, "no loop device could be had");
}

}  // namespace

Status mount_image(const Plan& plan) {
  const std::string path = plan.state + "/tenants.img";
  const std::string tenants = plan.state + "/tenants";
  const bool exists = ::access(path.c_str(), F_OK) == 0;
  if (!exists) TRY(make_image(path, tenants, plan.image_bytes));
  Fd device;
  auto name = device_of(path, device);
  if (!name) {
    // 1: it was mended. What is more is for an operator to decide.
    TRY(run_or_say({"/sbin/e2fsck", "-p", path}, 1));
    TRY(grow_image(path, plan.image_bytes));
    name = TRY(attach(path, device));
  }
  // Nothing gives blocks back: no discards, and zeros are written where a loop device would punch a
  // hole.
  if (::mount(name->c_str(), tenants.c_str(), "ext4", MS_NOSUID | MS_NODEV,
              "prjquota,nodiscard,noinit_itable") != 0) {
    return fail_errno("mount of tenants.img: has this kernel quota for ext4?");
  }
  const std::string zeros =
      "/sys/fs/ext4" + name->substr(std::strlen("/dev")) + "/extent_max_zeroout_kb";
  const auto setting = sys::open_file(zeros.c_str(), O_WRONLY);
  if (!setting || !sys::write_all(*setting, std::string_view("0"))) {
    log::warn("tenants.img may give back a part of its room", {{"setting", zeros}});
  }
  (void)::rmdir((tenants + "/lost+found").c_str());
  if (::chmod(tenants.c_str(), 0711) != 0) return fail_errno("chmod of the tenants' directory");
  return {};
}

}  // namespace oqto::storage
