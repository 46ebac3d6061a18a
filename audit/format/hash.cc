#include "audit/format/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/result.h"

namespace oqto::audit {
namespace {

// Fetching the algorithm and making a context cost more than hashing a node: both are kept, once
// per thread.
struct Sha256 {
  EVP_MD* algorithm = ::EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MD_CTX* context = ::EVP_MD_CTX_new();

  Sha256() = default;
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  ~Sha256() {
    ::EVP_MD_CTX_free(context);
    ::EVP_MD_free(algorithm);
  }

  Hash over(std::initializer_list<std::string_view> parts) const {
    CHECK(algorithm != nullptr && context != nullptr);
    CHECK(::EVP_DigestInit_ex2(context, algorithm, nullptr) == 1);
    for (const std::string_view part : parts) {
      CHECK(::EVP_DigestUpdate(context, part.data(), part.size()) == 1);
    }
    Hash hash;
    CHECK(::EVP_DigestFinal_ex(context, hash.data(), nullptr) == 1);
    return hash;
  }
};

const Sha256& hasher() {
  thread_local const Sha256 kept;
  return kept;
}

constexpr std::string_view kLeaf("\0", 1);
constexpr std::string_view kNode("\1", 1);

}  // namespace

void prepare_hashing() {
  CHECK(::OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr) == 1);
  (void)sha256("");
}

Hash sha256(std::string_view bytes) {
  return hasher().over({bytes});
}
Hash leaf_hash(std::string_view entry) {
  return hasher().over({kLeaf, entry});
}
Hash node_hash(const Hash& left, const Hash& right) {
  return hasher().over({kNode, as_text(left), as_text(right)});
}

}  // namespace oqto::audit
