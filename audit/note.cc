#include "audit/note.h"

#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/encoding.h"

namespace oqto::audit {
namespace {

constexpr std::uint8_t kEd25519 = 1;
constexpr std::string_view kDash = "\xe2\x80\x94 ";  // U+2014, the mark of a signature line
constexpr std::string_view kPrivate = "PRIVATE+KEY+";

std::string typed_key(std::span<const std::uint8_t> key) {
  std::string typed(1, static_cast<char>(kEd25519));
  return typed += as_text(key);
}

std::string id_bytes(std::uint32_t id) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(id >> shift & 0xff);
  return bytes;
}

std::string key_text(const VerifierKey& verifier, std::span<const std::uint8_t> key) {
  return verifier.name + "+" + to_hex(as_bytes(id_bytes(verifier.id()))) + "+" +
         to_base64(as_bytes(typed_key(key)));
}

struct KeyParts {
  std::string_view name;
  std::string_view id;
  std::array<std::uint8_t, 32> key{};
};

std::optional<KeyParts> split_key(std::string_view text) {
  KeyParts parts;
  const std::size_t first = text.find('+');
  if (first == text.npos || text.size() < first + 10 || text[first + 9] != '+') return std::nullopt;
  parts.name = text.substr(0, first);
  parts.id = text.substr(first + 1, 8);
  const auto bytes = from_base64(text.substr(first + 10));
  if (!is_valid_origin(parts.name) || !bytes || bytes->size() != 33 || bytes->front() != kEd25519) {
    return std::nullopt;
  }
  std::copy(bytes->begin() + 1, bytes->end(), parts.key.begin());
  return parts;
}

std::string body_of(const Checkpoint& checkpoint) {
  return checkpoint.origin + "\n" + std::to_string(checkpoint.size) + "\n" +
         to_base64(checkpoint.root) + "\n";
}

// The note's text up to and including the newline before the empty line.
std::optional<std::string_view> note_body(std::string_view note) {
  const std::size_t end = note.find("\n\n");
  if (end == note.npos || note.size() < end + 3 || !note.ends_with('\n')) return std::nullopt;
  return note.substr(0, end + 1);
}

std::optional<std::string_view> take_line(std::string_view& rest) {
  const std::size_t end = rest.find('\n');
  if (end == rest.npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

struct SignatureLine {
  std::string_view name;
  std::vector<std::uint8_t> bytes;  // key id, signature
};

std::optional<SignatureLine> read_signature(std::string_view line) {
  if (!line.starts_with(kDash)) return std::nullopt;
  line.remove_prefix(kDash.size());
  const std::size_t space = line.find(' ');
  if (space == line.npos || !is_valid_origin(line.substr(0, space))) return std::nullopt;
  auto bytes = from_base64(line.substr(space + 1));
  if (!bytes || bytes->size() < 5) return std::nullopt;
  return SignatureLine{line.substr(0, space), std::move(*bytes)};
}

}  // namespace

bool is_valid_origin(std::string_view name) {
  return !name.empty() && name.size() <= kMaxOrigin &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f && c != '+'; });
}

std::uint32_t VerifierKey::id() const {
  const Hash hash = sha256(name + "\n" + typed_key(key));
  return static_cast<std::uint32_t>(hash[0]) << 24 | static_cast<std::uint32_t>(hash[1]) << 16 |
         static_cast<std::uint32_t>(hash[2]) << 8 | hash[3];
}

std::string VerifierKey::text() const {
  return key_text(*this, key);
}

std::optional<VerifierKey> VerifierKey::parse(std::string_view text) {
  const auto parts = split_key(text);
  if (!parts) return std::nullopt;
  VerifierKey verifier{std::string(parts->name), parts->key};
  if (verifier.text() != text) return std::nullopt;  // the hash in the middle must fit
  return verifier;
}

SigningKey SigningKey::from_seed(std::string_view name, const std::array<std::uint8_t, 32>& seed) {
  SigningKey key;
  key.verifier_.name = name;
  CHECK(::crypto_sign_seed_keypair(key.verifier_.key.data(), key.secret_.data(), seed.data()) == 0);
  return key;
}

SigningKey SigningKey::generate(std::string_view name) {
  CHECK(is_valid_origin(name));
  std::array<std::uint8_t, 32> seed;
  ::randombytes_buf(seed.data(), seed.size());
  SigningKey key = from_seed(name, seed);
  ::sodium_memzero(seed.data(), seed.size());
  return key;
}

std::optional<SigningKey> SigningKey::parse(std::string_view text) {
  if (!text.starts_with(kPrivate)) return std::nullopt;
  auto parts = split_key(text.substr(kPrivate.size()));
  if (!parts) return std::nullopt;
  SigningKey key = from_seed(parts->name, parts->key);
  ::sodium_memzero(parts->key.data(), parts->key.size());
  if (to_hex(as_bytes(id_bytes(key.verifier_.id()))) != parts->id) return std::nullopt;
  return key;
}

SigningKey::SigningKey(SigningKey&& other) noexcept
    : verifier_(std::move(other.verifier_)), secret_(other.secret_) {
  ::sodium_memzero(other.secret_.data(), other.secret_.size());
}

SigningKey::~SigningKey() {
  ::sodium_memzero(secret_.data(), secret_.size());
}

std::string SigningKey::text() const {
  return std::string(kPrivate) + key_text(verifier_, std::span(secret_).first<32>());
}

std::string SigningKey::sign(const Checkpoint& checkpoint) const {
  const std::string body = body_of(checkpoint);
  std::string signature = id_bytes(verifier_.id());
  std::array<std::uint8_t, 64> bytes;
  CHECK(::crypto_sign_detached(bytes.data(), nullptr,
                               reinterpret_cast<const unsigned char*>(body.data()), body.size(),
                               secret_.data()) == 0);
  signature += as_text(bytes);
  return body + "\n" + std::string(kDash) + verifier_.name + " " + to_base64(as_bytes(signature)) +
         "\n";
}

std::optional<Checkpoint> read_checkpoint(std::string_view note) {
  const auto body = note_body(note);
  if (!body) return std::nullopt;
  std::string_view rest = *body;
  const auto origin = take_line(rest);
  const auto size = take_line(rest);
  const auto root = take_line(rest);
  if (!origin || !size || !root || !is_valid_origin(*origin)) return std::nullopt;
  Checkpoint checkpoint;
  checkpoint.origin = *origin;
  (void)std::from_chars(size->data(), size->data() + size->size(), checkpoint.size);
  const auto hash = from_base64(*root);
  if (!hash || hash->size() != checkpoint.root.size()) return std::nullopt;
  std::ranges::copy(*hash, checkpoint.root.begin());
  if (body_of(checkpoint) != *body) return std::nullopt;  // no leading zero, no further line
  return checkpoint;
}

Result<Checkpoint> verify_checkpoint(std::string_view note, const VerifierKey& key) {
  auto checkpoint = read_checkpoint(note);
  if (!checkpoint) return fail(Errc::bad_message, "not a checkpoint note");
  if (checkpoint->origin != key.name) return fail(Errc::denied, "another log's checkpoint");
  const std::string_view body = *note_body(note);
  std::string_view rest = note.substr(body.size() + 1);
  const std::string id = id_bytes(key.id());
  int valid = 0;
  for (int lines = 0; !rest.empty(); ++lines) {
    const auto line = take_line(rest);
    const auto signature = line && lines < 16 ? read_signature(*line) : std::nullopt;
    if (!signature) return fail(Errc::bad_message, "a malformed signature line");
    const std::string_view bytes = as_text(signature->bytes);
    if (signature->name != key.name || !bytes.starts_with(id)) continue;
    if (bytes.size() != 68 ||
        ::crypto_sign_verify_detached(signature->bytes.data() + 4,
                                      reinterpret_cast<const unsigned char*>(body.data()),
                                      body.size(), key.key.data()) != 0) {
      return fail(Errc::denied, "the signature does not verify");
    }
    ++valid;
  }
  if (valid != 1) return fail(Errc::denied, "not signed by this key exactly once");
  return *checkpoint;
}

}  // namespace oqto::audit
