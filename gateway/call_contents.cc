#include "gateway/call_contents.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <array>

#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::gateway {
namespace {

constexpr std::size_t kStep = std::size_t{64} << 10;  // room is taken in such pieces

}  // namespace

Contents::Contents(std::unique_ptr<MemoryBudget::Hold> room) : digest_(::EVP_MD_CTX_new()), room_(std::move(room)) {
  CHECK(digest_ && ::EVP_DigestInit_ex(digest_.get(), ::EVP_sha256(), nullptr) == 1);
  if (!room_) return;
  file_ = Fd::adopt(::memfd_create("audit", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file_) not_kept("there is no memory for it");
}

void Contents::not_kept(std::string why) {
  file_.reset();
  room_.reset();
  why_not_ = std::move(why);
}

void Contents::feed(std::string_view bytes) {
  (void)::EVP_DigestUpdate(digest_.get(), bytes.data(), bytes.size());
  if (!file_) return;
  if (bytes_ + bytes.size() > kMaxBytes) return not_kept("it has more than 32 MiB");
  bytes_ += bytes.size();
  const std::size_t room = (bytes_ + kStep - 1) / kStep * kStep;
  if (!room_->resize(room)) return not_kept("too much of this account waits to be stored");
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
