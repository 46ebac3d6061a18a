// The entries of a bundle one after the other, without having all of the file in memory.
#pragma once
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/sys.h"

namespace oqto::audit {

class BundleReader {
 public:
  static Result<BundleReader> open(const Fd& dir, const std::string& path) {
    Fd file = TRY(sys::open_beneath(dir, path.c_str(), O_RDONLY | O_NONBLOCK));
    struct stat facts {};
    if (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
      return fail(Errc::invalid, "no regular file");
    }
    return BundleReader(std::move(file), static_cast<std::uint64_t>(facts.st_size));
  }

  // Errc::bad_message: no whole entry is left. The view is good until the next call.
  Result<std::string_view> next() {
    TRY(have(2));
    const std::size_t length = static_cast<std::size_t>(static_cast<unsigned char>(buffer_[at_])) << 8 |
                               static_cast<unsigned char>(buffer_[at_ + 1]);
    TRY(have(2 + length));
    const std::string_view entry = std::string_view(buffer_).substr(at_ + 2, length);
    at_ += 2 + length;
    return entry;
  }
  // Bytes of the file behind the last entry.
  [[nodiscard]] std::uint64_t left() const { return size_ - (read_ - (buffer_.size() - at_)); }

 private:
  static constexpr std::size_t kPiece = 128 * 1024;  // longer than any entry
  BundleReader(Fd file, std::uint64_t size) : file_(std::move(file)), size_(size) {}

  Status have(std::size_t bytes) {
    if (buffer_.size() - at_ >= bytes) return {};
    buffer_.erase(0, at_);
    at_ = 0;
    while (buffer_.size() < bytes) {
      const std::size_t before = buffer_.size();
      ssize_t n = 0;
      buffer_.resize_and_overwrite(before + kPiece, [&](char* to, std::size_t) {
        n = ::read(file_.get(), to + before, kPiece);
        return before + static_cast<std::size_t>(n > 0 ? n : 0);
      });
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("read");
      read_ += static_cast<std::uint64_t>(n);
      size_ = size_ < read_ ? read_ : size_;
      if (n == 0) return fail(Errc::bad_message, "no whole entry is left");
    }
    return {};
  }

  Fd file_;
  std::uint64_t size_;
  std::uint64_t read_ = 0;
  std::string buffer_;
  std::size_t at_ = 0;
};

}  // namespace oqto::audit
