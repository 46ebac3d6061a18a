#include "accounts/secrets.h"

#include <sodium.h>

#include "base/sys.h"

namespace oqto::accounts {

const char* const kDummyHash =
    "$argon2id$v=19$m=65536,t=3,p=1$aD1puP1CSBY9e/+4PBE4tQ"
    "$rLIADEnG0uzYrNfAvwUnlc25dJa+xDdkjI/HSTCCYKw";

Status init_secrets() {
  if (sodium_init() < 0) return fail(Errc::unavailable, "libsodium cannot be initialized");
  return {};
}

ipc::Token random_token() {
  ipc::Token token{};
  sys::fill_random(token);
  return token;
}

Digest sha256(std::string_view bytes) {
  Digest digest{};
  (void)crypto_hash_sha256(digest.data(), reinterpret_cast<const unsigned char*>(bytes.data()),
                           bytes.size());  // cannot fail
  return digest;
}

Digest sha256(const ipc::Token& token) {
  return sha256(std::string_view(reinterpret_cast<const char*>(token.data()), token.size()));
}

bool equal_secrets(const Digest& a, const Digest& b) {
  return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string hash_password(std::string_view password) {
  char text[crypto_pwhash_STRBYTES] = {};
  if (crypto_pwhash_str_alg(text, password.data(), password.size(), kHashPasses, kHashMemoryBytes,
                            crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return {};
  }
  return text;
}

bool verify_password(std::string_view password, const std::string& hash) {
  return crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0;
}

bool is_outdated(const std::string& hash) {
  return crypto_pwhash_str_needs_rehash(hash.c_str(), kHashPasses, kHashMemoryBytes) != 0;
}

void wipe(std::string& secret) {
  sodium_memzero(secret.data(), secret.size());
  secret.clear();
}

}  // namespace oqto::accounts
