// The only file that knows OpenSSL, and the only owner of the certificate's key: a key that lives
// in another process replaces load_key() and nothing else. TLS 1.3 only, no resumption of any kind
// (a ticket key would let one broken connection process impersonate the server), ALPN http/1.1.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

struct ssl_st;
struct ssl_ctx_st;

namespace oqto::relay {

// Non-blocking; `want_*` says what to poll for before calling again.
enum class Io : std::uint8_t { done, want_read, want_write, closed, failed };
struct IoResult {
  Io io{};
  std::size_t bytes = 0;
};

constexpr std::size_t kMaxRecordBytes = 16 * 1024;  // RFC 8446 §5.1

class TlsStream {
 public:
  Io handshake();
  IoResult read(std::span<char> into);
  IoResult write(std::string_view bytes);  // at most one record
  Io close_notify();                       // says that we send nothing more
  [[nodiscard]] bool has_pending() const;  // read() may give bytes though the socket is empty
  [[nodiscard]] std::uint64_t bytes_received() const;  // from the socket, TLS's own included
  void release_buffers();  // while idle; OpenSSL takes new ones when needed

 private:
  friend class TlsContext;
  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  explicit TlsStream(ssl_st* ssl) : ssl_(ssl) {}
  [[nodiscard]] Io outcome(int returned) const;
  std::unique_ptr<ssl_st, Free> ssl_;
};

class TlsContext {
 public:
  using Fingerprint = std::array<std::uint8_t, 32>;
  // PEM files: the chain, server certificate first, and its private key (unencrypted).
  static Result<TlsContext> create(const Fd& chain, const Fd& key);

  // One whole handshake with ourselves, in memory. What OpenSSL sets up on first use is then set up
  // once, before the first fork, and shared by every connection process.
  Status warm_up() const;

  [[nodiscard]] std::string name() const;  // whom the certificate is for
  [[nodiscard]] std::uint64_t not_before_ms() const;
  [[nodiscard]] std::uint64_t not_after_ms() const;
  // Of chain and key: two of the same are the same.
  [[nodiscard]] const Fingerprint& fingerprint() const { return fingerprint_; }

  // `socket` is borrowed and must be non-blocking.
  [[nodiscard]] Result<TlsStream> stream(int socket) const;

 private:
  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };
  std::unique_ptr<ssl_ctx_st, Free> context_;
  Fingerprint fingerprint_{};
};

}  // namespace oqto::relay
