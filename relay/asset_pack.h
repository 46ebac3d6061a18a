// The web assets: one read-only file, mapped into every connection process. web/pack.mjs writes it.
//
//   "OQTOPACK" u32 version=1 u32 count, then per entry, sorted by path, and then the bodies:
//   u16+bytes path, u16+bytes content type, u16+bytes CSP (documents only), u32 flags,
//   then offset u64 and length u64 of: identity, gzip, br (0, 0: there is none).
//
// Numbers are little-endian. Everything is checked at the start, so that serving cannot fail.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::relay {

constexpr std::size_t kMaxPackBytes = 64 * 1024 * 1024;
constexpr std::size_t kMaxPackEntries = 4096;

enum class Encoding : std::uint8_t { identity, gzip, br };

struct Asset {
  static constexpr std::uint32_t kImmutable = 1;  // the name carries a hash of the content
  static constexpr std::uint32_t kDocument = 2;   // the page; it alone has a policy for scripts
  std::string_view path;
  std::string_view content_type;
  std::string_view csp;
  std::uint32_t flags = 0;
  std::array<std::string_view, 3> bodies;  // by Encoding; an empty one is not there

  [[nodiscard]] bool document() const { return (flags & kDocument) != 0; }
  // The smallest form that this Accept-Encoding field (RFC 9110 §12.5.3) takes.
  [[nodiscard]] Encoding choose(std::string_view accept_encoding) const;
};

class AssetPack {
 public:
  // The pack's bytes must outlive the result. Errc::bad_message if they are not a whole valid pack.
  static Result<AssetPack> parse(std::span<const std::byte> bytes);

  [[nodiscard]] const Asset* find(std::string_view path) const;  // null: no such path
  [[nodiscard]] const Asset& document() const { return assets_[document_]; }
  [[nodiscard]] std::size_t size() const { return assets_.size(); }

 private:
  std::vector<Asset> assets_;  // sorted by path
  std::size_t document_ = 0;
};

// Maps a regular file for as long as the process lives.
Result<std::span<const std::byte>> map_pack(const Fd& file);

}  // namespace oqto::relay
