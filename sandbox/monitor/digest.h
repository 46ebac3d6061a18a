// SHA-256 of what is recorded by its hash.
#pragma once
#include <openssl/sha.h>

#include <string>
#include <string_view>

namespace oqto::sandbox {

class Sha256 {
 public:
  Sha256();
  void add(std::string_view bytes);
  std::string hex();  // once, and last

 private:
  SHA256_CTX state_;
};

std::string sha256_hex(std::string_view bytes);

}  // namespace oqto::sandbox
