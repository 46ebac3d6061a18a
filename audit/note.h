// Signed checkpoints: C2SP tlog-checkpoint inside a C2SP signed-note, Ed25519 (type 0x01). Parsing
// is strict: what is accepted is the only spelling.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "audit/hash.h"
#include "base/result.h"

namespace oqto::audit {

constexpr std::size_t kMaxOrigin = 100;

struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Hash root{};
  bool operator==(const Checkpoint&) const = default;
};

// The public half: `name+hash+base64`, what an auditor is given.
struct VerifierKey {
  std::string name;
  std::array<std::uint8_t, 32> key{};
  static std::optional<VerifierKey> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::uint32_t id() const;
};

// The private half; in its file as `PRIVATE+KEY+name+hash+base64`. Wiped when it ends.
class SigningKey {
 public:
  static SigningKey generate(std::string_view name);
  static std::optional<SigningKey> parse(std::string_view text);
  SigningKey(SigningKey&& other) noexcept;
  SigningKey& operator=(SigningKey&&) = delete;
  ~SigningKey();
  [[nodiscard]] std::string text() const;
  [[nodiscard]] const VerifierKey& verifier() const { return verifier_; }
  [[nodiscard]] std::string sign(const Checkpoint& checkpoint) const;  // the whole note

 private:
  SigningKey() = default;
  static SigningKey from_seed(std::string_view name, const std::array<std::uint8_t, 32>& seed);
  VerifierKey verifier_;
  std::array<std::uint8_t, 64> secret_{};
};

bool is_valid_origin(std::string_view name);  // 1..kMaxOrigin printable ASCII, no space, no '+'

// The body of a note, unverified: for its reader who only wants to know what it claims.
std::optional<Checkpoint> read_checkpoint(std::string_view note);

// Demands the key's signature and its name as origin. Lines of other keys (witnesses) are allowed.
// Errc::bad_message: not a checkpoint. Errc::denied: not signed by this key.
Result<Checkpoint> verify_checkpoint(std::string_view note, const VerifierKey& key);

}  // namespace oqto::audit
