#include "gateway/call_contents.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <array>
#include <atomic>

#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::gateway {
namespace {

std::atomic<std::size_t> kept_now = 0;  // of all calls, on all threads

}  // namespace

Contents::Contents(bool keep) : digest_(::EVP_MD_CTX_new()) {
  CHECK(digest_ && ::EVP_DigestInit_ex(digest_.get(), ::EVP_sha256(), nullptr) == 1);
  if (!keep) return;
  file_ = Fd::adopt(::memfd_create("audit", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file_) not_kept("there is no memory for it");
}

Contents::~Contents() { kept_now -= bytes_; }

void Contents::not_kept(std::string why) {
  file_.reset();
  why_not_ = std::move(why);
}

void Contents::feed(std::string_view bytes) {
  (void)::EVP_DigestUpdate(digest_.get(), bytes.data(), bytes.size());
  if (!file_) return;
  if (bytes_ + bytes.size() > kMaxBytes) return not_kept("it has more than 32 MiB");
  bytes_ += bytes.size();
  if (kept_now.fetch_add(bytes.size()) + bytes.size() > kMaxInAll) return not_kept("too much waits to be stored");
  if (!sys::write_all(file_, bytes)) not_kept("there is no memory for it");
}

void Contents::finish() {
  std::array<std::uint8_t, 32> sum{};
  (void)::EVP_DigestFinal_ex(digest_.get(), sum.data(), nullptr);
  sha256_ = to_hex(sum);
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  if (file_ && ::fcntl(file_.get(), F_ADD_SEALS, kSeals) != 0) not_kept("there is no memory for it");
}

}  // namespace oqto::gateway
