// The whole DNS of a sandbox (RFC 1035): models.oqto has one address, and nothing else exists.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace oqto::gateway {

constexpr std::string_view kModelName = "models.oqto";
constexpr std::array<std::uint8_t, 4> kModelAddress{198, 18, 0, 2};
constexpr std::uint32_t kDnsTtl = 60;               // seconds
constexpr std::size_t kMaxDnsQuery = 1232;          // bytes; longer ones are dropped
constexpr std::size_t kMaxDnsName = 255;            // RFC 1035 §2.3.4

// The reply to one datagram, or nothing when it is not a well-formed query with one question.
std::optional<std::vector<std::uint8_t>> answer_dns(std::span<const std::uint8_t> query);

}  // namespace oqto::gateway
