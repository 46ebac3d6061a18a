// Signed checkpoints: C2SP tlog-checkpoint inside a C2SP signed-note, Ed25519 (type 0x01), and what
// witnesses add to them: C2SP tlog-cosignature (type 0x04). Parsing is strict: what is accepted is
// the only spelling.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/format/hash.h"
#include "base/result.h"

namespace oqto::audit {

constexpr std::size_t kMaxOrigin = 100;
constexpr std::size_t kMaxKeyName = kMaxOrigin + 40;  // an epoch's key: the origin and its number
constexpr std::size_t kMaxSignatures = 16;

// The byte before the key in its text and in its hash (C2SP signed-note).
enum class KeyType : std::uint8_t { log = 1, witness = 4 };

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
  KeyType type = KeyType::log;

  // A witness's key may also be given as a plain Ed25519 key, as many witnesses publish theirs.
  static std::optional<VerifierKey> parse(std::string_view text, KeyType type = KeyType::log);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::uint32_t id() const;
  bool operator==(const VerifierKey&) const = default;
};

// The private half; in its file as `PRIVATE+KEY+name+hash+base64`. Wiped when it ends.
class SigningKey {
 public:
  static SigningKey generate(std::string_view name, KeyType type = KeyType::log);
  static std::optional<SigningKey> parse(std::string_view text, KeyType type = KeyType::log);
  SigningKey(SigningKey&& other) noexcept;
  SigningKey& operator=(SigningKey&& other) noexcept;
  ~SigningKey();
  [[nodiscard]] std::string text() const;
  [[nodiscard]] const VerifierKey& verifier() const { return verifier_; }
  [[nodiscard]] std::string sign(const Checkpoint& checkpoint) const;  // the whole note
  // The signature line, with its newline, over a body that ends with a newline.
  [[nodiscard]] std::string sign_line(std::string_view body) const;

  // As a witness: the signature line, with its newline, that says that this body (up to and with
  // the newline before the empty line) was the log's largest at `time`, in Unix seconds.
  [[nodiscard]] std::string cosign(std::string_view body, std::uint64_t time) const;

 private:
  SigningKey() = default;
  static SigningKey from_seed(std::string_view name, const std::array<std::uint8_t, 32>& seed,
                              KeyType type);
  [[nodiscard]] std::array<std::uint8_t, 64> signature_over(std::string_view message) const;
  VerifierKey verifier_;
  std::array<std::uint8_t, 64> secret_{};
};

bool is_valid_origin(std::string_view name);  // 1..kMaxOrigin printable ASCII, no space, no '+'
std::string checkpoint_body(const Checkpoint& checkpoint);

// A note taken apart. Views into its text.
struct NoteSignature {
  std::string_view line;  // with its newline
  std::string_view name;
  std::uint32_t key_id = 0;
  std::vector<std::uint8_t> bytes;  // after the key id
  [[nodiscard]] bool is_by(const VerifierKey& key) const;
};
struct Note {
  std::string_view body;  // up to and with the newline before the empty line
  std::vector<NoteSignature> signatures;
};
std::optional<Note> read_note(std::string_view note);
std::optional<NoteSignature> read_signature_line(std::string_view line);  // with its newline

// Demands the key's signature, exactly once. Lines of other keys are allowed.
Status verify_signature(const Note& note, const VerifierKey& key);

// The body of a note, unverified: for its reader who only wants to know what it claims. Extension lines are
// signed with it, and say nothing to us.
std::optional<Checkpoint> read_checkpoint(std::string_view note);

// Demands the key's signature and its name as origin. Lines of other keys (witnesses) are allowed.
// Errc::bad_message: not a checkpoint. Errc::denied: not signed by this key.
Result<Checkpoint> verify_checkpoint(std::string_view note, const VerifierKey& key);

// Demands the witness's cosignature, exactly once; its time in Unix seconds.
Result<std::uint64_t> verify_cosignature(std::string_view note, const VerifierKey& witness);

// The first line of a key file.
std::string_view first_line(std::string_view text);

}  // namespace oqto::audit
