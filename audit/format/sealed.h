// What only one tenant's key of one day can open: personal fields of entries, and blobs. XChaCha20-
// Poly1305 with a random nonce before it. The cipher alone does not commit to a plaintext: beside each
// sealed text stands SHA-256(plaintext), whose plaintext begins with a random salt, so that the
// commitment tells nothing once the key is destroyed.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "audit/format/hash.h"

namespace oqto::audit {

using DayKey = std::array<std::uint8_t, 32>;

// Whose key it is, and what is bound to the sealed text beside it: nothing sealed can be moved.
struct SealedFor {
  std::uint32_t tenant = 0;
  std::string day;                                  // "2026-01-31", UTC
  std::uint64_t index = ~std::uint64_t{0};          // of the entry; none for a blob
};

constexpr std::size_t kSealSalt = 16;
constexpr std::size_t kSealOverhead = 24 + 16;  // nonce and tag

std::string random_salt();  // kSealSalt bytes

std::string seal_text(const DayKey& key, const SealedFor& what, std::string_view plaintext);
// nullopt: another key, another place, or altered.
std::optional<std::string> open_text(const DayKey& key, const SealedFor& what,
                                     std::string_view sealed);

// A blob is stored as seal_text() of salt and content.
struct SealedBlob {
  std::string stored;
  Hash commitment{};
};
SealedBlob seal_blob(const DayKey& key, const SealedFor& what, std::string_view content);
std::optional<std::string> open_blob(const DayKey& key, const SealedFor& what,
                                     std::string_view stored, const Hash& commitment);

}  // namespace oqto::audit
