// Hex, base64url and UTF-8 checks for the few places that need them. Strict: what decodes, encodes
// back to the same text.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace oqto {

std::string to_hex(std::span<const std::uint8_t> bytes);
std::string to_base64url(std::span<const std::uint8_t> bytes);  // RFC 4648 §5, no padding
std::string to_base64(std::span<const std::uint8_t> bytes);     // RFC 4648 §4, padded
std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text);
std::optional<std::vector<std::uint8_t>> from_base64url(std::string_view text);
std::optional<std::vector<std::uint8_t>> from_base64(std::string_view text);
bool is_valid_utf8(std::string_view text);

// RFC 4122 random id. Text form is lower case with dashes.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};
  static Uuid random();
  static std::optional<Uuid> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  auto operator<=>(const Uuid&) const = default;
};

}  // namespace oqto
