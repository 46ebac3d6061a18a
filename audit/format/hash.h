// SHA-256 and the two hashes of a transparency log's tree (RFC 6962 §2.1). OpenSSL does the work:
// it uses the CPU's SHA instructions.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace oqto::audit {

using Hash = std::array<std::uint8_t, 32>;

// Makes OpenSSL ready without reading its configuration file. Call before sealing.
void prepare_hashing();

Hash sha256(std::string_view bytes);
Hash leaf_hash(std::string_view entry);               // SHA-256(0x00 || entry)
Hash node_hash(const Hash& left, const Hash& right);  // SHA-256(0x01 || left || right)

inline std::string_view as_text(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::span<const std::uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace oqto::audit
