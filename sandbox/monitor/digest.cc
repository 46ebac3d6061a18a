// The plain functions of libcrypto: the ones that it recommends instead would link all of its
// providers into oqto-launch, and need files that a sealed process cannot open.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sandbox/monitor/digest.h"

#include <cstdint>
#include <span>

#include "base/encoding.h"

namespace oqto::sandbox {

Sha256::Sha256() {
  (void)::SHA256_Init(&state_);
}

void Sha256::add(std::string_view bytes) {
  (void)::SHA256_Update(&state_, bytes.data(), bytes.size());
}

std::string Sha256::hex() {
  std::uint8_t digest[SHA256_DIGEST_LENGTH];
  (void)::SHA256_Final(digest, &state_);
  return to_hex(digest);
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.hex();
}

}  // namespace oqto::sandbox
