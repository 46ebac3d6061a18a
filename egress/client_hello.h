// The server's name in the first message of a TLS client (RFC 8446 §4.1.2, RFC 6066 §3). Stricter
// than servers are: what two of them could read in two ways is malformed here.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace oqto::egress {

constexpr std::size_t kMaxClientHello = 64 * 1024;  // bytes, with the records around it
constexpr std::size_t kMaxHelloRecords = 64;        // that it may be split into

struct ClientHello {
  enum class State : std::uint8_t {
    more,  // not all there: at least `need` bytes are
    complete,
    malformed,  // it is no client's hello, or one that could be read in two ways
  };
  State state = State::malformed;
  std::size_t need = 0;
  std::size_t size = 0;         // of the complete hello, with its records
  std::string server_name;      // as it was sent; empty: none
  bool encrypted_name = false;  // has encrypted_client_hello: `server_name` is the outer one
};

// TLS begins like this; nothing else that is in use does.
inline bool begins_like_tls(std::uint8_t first_byte) {
  return first_byte == 0x16;
}

// `bytes` begins with the first record; what follows the hello does not matter.
ClientHello read_client_hello(std::span<const std::uint8_t> bytes);

// Whether the first message of a TLS server is a HelloRetryRequest (RFC 8446 §4.1.4), which lets
// the client say its hello, and so the name, once more.
constexpr std::size_t kServerHelloStart = 43;  // bytes that are needed to tell
bool asks_for_second_hello(std::span<const std::uint8_t> bytes);

}  // namespace oqto::egress
