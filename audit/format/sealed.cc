#include "audit/format/sealed.h"

#include <sodium.h>

#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kNonce = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTag = crypto_aead_xchacha20poly1305_ietf_ABYTES;
static_assert(kNonce + kTag == kSealOverhead);

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string bound_to(const SealedFor& what) {
  return "oqto-audit-sealed/1\n" + std::to_string(what.tenant) + "\n" + what.day + "\n" +
         std::to_string(what.index) + "\n";
}

}  // namespace

std::string random_salt() {
  std::array<std::uint8_t, kSealSalt> salt{};
  sys::fill_random(salt);
  return std::string(as_text(salt));
}

std::string seal_text(const DayKey& key, const SealedFor& what, std::string_view plaintext) {
  std::array<std::uint8_t, kNonce> nonce{};
  sys::fill_random(nonce);
  const std::string bound = bound_to(what);
  std::string sealed(as_text(nonce));
  sealed.resize(kNonce + plaintext.size() + kTag);
  (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
      reinterpret_cast<unsigned char*>(sealed.data()) + kNonce, nullptr, bytes_of(plaintext),
      plaintext.size(), bytes_of(bound), bound.size(), nullptr, nonce.data(), key.data());
  return sealed;
}

std::optional<std::string> open_text(const DayKey& key, const SealedFor& what,
                                     std::string_view sealed) {
  if (sealed.size() < kSealOverhead) return std::nullopt;
  const std::string bound = bound_to(what);
  std::string plaintext(sealed.size() - kSealOverhead, '\0');
  const int bad = crypto_aead_xchacha20poly1305_ietf_decrypt(
      reinterpret_cast<unsigned char*>(plaintext.data()), nullptr, nullptr, bytes_of(sealed) + kNonce,
      sealed.size() - kNonce, bytes_of(bound), bound.size(), bytes_of(sealed), key.data());
  if (bad != 0) return std::nullopt;
  return plaintext;
}

SealedBlob seal_blob(const DayKey& key, const SealedFor& what, std::string_view content) {
  std::string salted = random_salt();
  salted += content;
  SealedBlob blob;
  blob.commitment = sha256(salted);
  blob.stored = seal_text(key, what, salted);
  return blob;
}

std::optional<std::string> open_blob(const DayKey& key, const SealedFor& what,
                                     std::string_view stored, const Hash& commitment) {
  auto salted = open_text(key, what, stored);
  if (!salted || salted->size() < kSealSalt || sha256(*salted) != commitment) return std::nullopt;
  return salted->substr(kSealSalt);
}

}  // namespace oqto::audit
