#include "egress/client_hello.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <vector>

namespace oqto::egress {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kRecordHeader = 5;
constexpr std::size_t kMaxRecord = 1U << 14;  // RFC 8446 §5.1
constexpr std::size_t kMessageHeader = 4;
constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kClientHello = 1;
constexpr std::uint8_t kServerHello = 2;
constexpr std::uint16_t kServerNameExtension = 0;
constexpr std::uint16_t kEncryptedHelloExtension = 0xfe0d;

// Takes fields off the front; a field that is not there makes it bad for good.
class Fields {
 public:
  explicit Fields(Bytes bytes) : rest_(bytes) {}
  std::size_t number(std::size_t width) {
    std::size_t value = 0;
    for (const std::uint8_t byte : take(width)) value = value << 8 | byte;
    return value;
  }
  Bytes take(std::size_t size) {
    if (size > rest_.size()) {
      good_ = false;
      rest_ = {};
      return {};
    }
    const Bytes taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  Bytes vector(std::size_t width) { return take(number(width)); }
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  Bytes rest_;
  bool good_ = true;
};

ClientHello malformed() {
  return {};
}
ClientHello more(std::size_t need) {
  if (need > kMaxClientHello) return malformed();
  return {ClientHello::State::more, need, 0, {}, false};
}

bool read_server_name(Bytes extension, std::string& name) {
  Fields outer(extension);
  Fields list(outer.vector(2));
  const std::size_t type = list.number(1);
  const Bytes host = list.vector(2);
  // One name, and of the only type that there is.
  if (!outer.good() || !outer.at_end() || !list.good() || !list.at_end() || type != 0) return false;
  name.assign(host.begin(), host.end());
  return !name.empty();
}

bool read_extensions(Bytes all, ClientHello& hello) {
  Fields extensions(all);
  std::set<std::size_t> seen;
  while (!extensions.at_end()) {
    const std::size_t type = extensions.number(2);
    const Bytes content = extensions.vector(2);
    if (!extensions.good() || !seen.insert(type).second) return false;
    if (type == kServerNameExtension && !read_server_name(content, hello.server_name)) return false;
    if (type == kEncryptedHelloExtension) hello.encrypted_name = true;
  }
  return true;
}

ClientHello read_message(Bytes message, std::size_t size) {
  Fields body(message.subspan(kMessageHeader));
  (void)body.take(2 + 32);  // version, random
  (void)body.vector(1);     // session id
  (void)body.vector(2);     // cipher suites
  (void)body.vector(1);     // compression methods
  ClientHello hello{ClientHello::State::complete, 0, size, {}, false};
  if (!body.good()) return malformed();
  if (body.at_end()) return hello;  // no extensions: as old as TLS 1.0
  const Bytes extensions = body.vector(2);
  if (!body.good() || !body.at_end() || !read_extensions(extensions, hello)) return malformed();
  return hello;
}

}  // namespace

ClientHello read_client_hello(Bytes bytes) {
  std::vector<std::uint8_t> message;
  std::size_t at = 0;
  for (std::size_t records = 0; records < kMaxHelloRecords; ++records) {
    if (at < bytes.size() && bytes[at] != kHandshake) return malformed();
    if (at + 1 < bytes.size() && bytes[at + 1] != 3) return malformed();
    if (bytes.size() - at < kRecordHeader) return more(at + kRecordHeader);
    const std::size_t size = static_cast<std::size_t>(bytes[at + 3]) << 8 | bytes[at + 4];
    if (size == 0 || size > kMaxRecord) return malformed();
    if (bytes.size() - at < kRecordHeader + size) return more(at + kRecordHeader + size);
    const Bytes piece = bytes.subspan(at + kRecordHeader, size);
    message.insert(message.end(), piece.begin(), piece.end());
    at += kRecordHeader + size;
    if (message[0] != kClientHello) return malformed();
    if (message.size() < kMessageHeader) continue;
    const std::size_t whole =
        kMessageHeader + (static_cast<std::size_t>(message[1]) << 16 |
                          static_cast<std::size_t>(message[2]) << 8 | message[3]);
    if (whole > kMaxClientHello || message.size() > whole) return malformed();
    if (message.size() == whole) return read_message(message, at);
  }
  return malformed();
}

bool asks_for_second_hello(Bytes bytes) {
  // SHA-256 of "HelloRetryRequest".
  constexpr std::array<std::uint8_t, 32> kRandom = {0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11,
                                                    0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
                                                    0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E,
                                                    0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C};
  if (bytes.size() < kServerHelloStart || bytes[0] != kHandshake || bytes[5] != kServerHello) {
    return false;
  }
  return std::ranges::equal(bytes.subspan(kServerHelloStart - kRandom.size(), kRandom.size()),
                            kRandom);
}

}  // namespace oqto::egress
