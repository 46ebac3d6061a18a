#include "guard/operator_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/sys.h"

namespace oqto::guard {
namespace {

constexpr std::size_t kMaxBytes = 256 * 1024;

// Nobody of a forbidden mode may be able to do what it says; 0: whoever's it is and whatever its mode.
Result<Fd> open_regular(const std::string& path, int flags, mode_t forbidden) {
  Fd file = TRY(sys::open_file(path.c_str(), O_RDONLY | O_NONBLOCK | flags));
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return fail_errno("fstat");
  if (!S_ISREG(info.st_mode)) return fail(Errc::denied, "must be a regular file");
  if (forbidden != 0 && (info.st_uid != 0 || (info.st_mode & forbidden) != 0)) {
    return fail(Errc::denied, forbidden == 077 ? "holds keys: chown root, chmod 600"
                                               : "must be a file of root that nobody else can write");
  }
  return file;
}

Result<Fd> copy_of(const Fd& file) {
  Fd copy = Fd::adopt(::memfd_create("configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy) return fail_errno("memfd_create");
  for (std::size_t size = 0;;) {
    const ssize_t n = ::sendfile(copy.get(), file.get(), nullptr, kMaxBytes + 1 - size);
    if (n < 0) return fail_errno("cannot be read");
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
    if (size > kMaxBytes) return fail(Errc::limit, "is longer than 256 KiB");
  }
  (void)::lseek(copy.get(), 0, SEEK_SET);
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(copy.get(), F_ADD_SEALS, kSeals) != 0) return fail_errno("fcntl(F_ADD_SEALS)");
  return copy;
}

}  // namespace

Result<Fd> copy_tls_file(const std::string& path) { return copy_of(TRY(open_regular(path, 0, 0))); }

Result<Fd> copy_gateway_config(const std::string& path, bool was_one) {
  const auto file = open_regular(path, O_NOFOLLOW, 077);
  if (!file && file.error().sys == ENOENT) {
    return was_one ? std::unexpected(kIsGone) : sys::sealed_memfd("configuration", "");
  }
  if (!file) return std::unexpected(file.error());
  return copy_of(*file);
}

Result<Fd> open_host_policy(const Config& config) {
  auto file = open_regular(config.host_policy, O_NOFOLLOW, 022);
  if (!file && file.error().sys == ENOENT) return Fd();
  return file;
}

std::string about_file(const std::string& path, const Error& error) {
  std::string text = path + ": " + (error.sys == EACCES ? "not allowed: what we read while we serve must be root's" : error.what);
  if (error.sys != 0 && error.sys != EACCES) text += std::string(": ") + ::strerrordesc_np(error.sys);
  return text;
}

}  // namespace oqto::guard
