#include "audit/format/note.h"

#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/encoding.h"

namespace oqto::audit {
namespace {

constexpr std::string_view kDash = "\xe2\x80\x94 ";  // U+2014, the mark of a signature line
constexpr std::string_view kPrivate = "PRIVATE+KEY+";
constexpr std::size_t kIdBytes = 4;
constexpr std::size_t kTimeBytes = 8;

std::string typed_key(KeyType type, std::span<const std::uint8_t> key) {
  std::string typed(1, static_cast<char>(type));
  return typed += as_text(key);
}

std::string big_endian(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = bytes; i > 0; --i) text += static_cast<char>(value >> 8 * (i - 1) & 0xff);
  return text;
}

std::uint64_t from_big_endian(std::span<const std::uint8_t> bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

std::string key_text(const VerifierKey& verifier, std::span<const std::uint8_t> key) {
  return verifier.name + "+" + to_hex(as_bytes(big_endian(verifier.id(), kIdBytes))) + "+" +
         to_base64(as_bytes(typed_key(verifier.type, key)));
}

bool is_own_key_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxKeyName &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f && c != '+'; });
}

struct KeyParts {
  std::string_view name;
  std::string_view id;
  KeyType type{};
  std::array<std::uint8_t, 32> key{};
};

std::optional<KeyParts> split_key(std::string_view text) {
  KeyParts parts;
  const std::size_t first = text.find('+');
  if (first == text.npos || text.size() < first + 10 || text[first + 9] != '+') return std::nullopt;
  parts.name = text.substr(0, first);
  parts.id = text.substr(first + 1, 8);
  const auto bytes = from_base64(text.substr(first + 10));
  if (!is_own_key_name(parts.name) || !bytes || bytes->size() != 33) return std::nullopt;
  parts.type = static_cast<KeyType>(bytes->front());
  if (parts.type != KeyType::log && parts.type != KeyType::witness) return std::nullopt;
  std::copy(bytes->begin() + 1, bytes->end(), parts.key.begin());
  return parts;
}

bool may_serve_as(KeyType stated, KeyType wanted) {
  return stated == wanted || (stated == KeyType::log && wanted == KeyType::witness);
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

// Other keys' names, which the note format allows to be any UTF-8 without spaces.
bool is_valid_key_name(std::string_view name) {
  constexpr std::string_view kSpaces[] = {
      "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
      "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
      "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8",
      "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
  const auto is_in_name = [&](std::string_view space) { return name.find(space) != name.npos; };
  return !name.empty() && is_valid_utf8(name) && std::ranges::none_of(kSpaces, is_in_name) &&
         std::ranges::none_of(name, [](char c) {
           return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '+';
         });
}

std::string signature_line(const VerifierKey& key, std::string_view signature) {
  const std::string bytes = big_endian(key.id(), kIdBytes) + std::string(signature);
  return std::string(kDash) + key.name + " " + to_base64(as_bytes(bytes)) + "\n";
}

bool is_signed(std::string_view message, std::span<const std::uint8_t> signature,
               const VerifierKey& key) {
  return signature.size() == crypto_sign_BYTES &&
         ::crypto_sign_verify_detached(signature.data(),
                                       reinterpret_cast<const unsigned char*>(message.data()),
                                       message.size(), key.key.data()) == 0;
}

// What a witness signs instead of the bare body.
std::string cosigned_message(std::string_view body, std::uint64_t time) {
  return "cosignature/v1\ntime " + std::to_string(time) + "\n" + std::string(body);
}

// C2SP tlog-checkpoint: further lines of a log's own, opaque, none of them empty. We write none.
bool are_extension_lines(std::string_view rest) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' && c != '\n'; };
  return !rest.starts_with('\n') && rest.find("\n\n") == rest.npos && is_valid_utf8(rest) &&
         std::ranges::none_of(rest, is_control);
}

std::optional<Checkpoint> read_body(std::string_view body) {
  std::string_view rest = body;
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
  if (!body.starts_with(checkpoint_body(checkpoint))) return std::nullopt;  // no leading zero
  if (!are_extension_lines(rest)) return std::nullopt;
  return checkpoint;
}

}  // namespace

bool is_valid_origin(std::string_view name) {
  return name.size() <= kMaxOrigin && is_own_key_name(name);
}

std::string checkpoint_body(const Checkpoint& checkpoint) {
  return checkpoint.origin + "\n" + std::to_string(checkpoint.size) + "\n" +
         to_base64(checkpoint.root) + "\n";
}

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

// --- keys ---

std::uint32_t VerifierKey::id() const {
  const Hash hash = sha256(name + "\n" + typed_key(type, key));
  return static_cast<std::uint32_t>(from_big_endian(std::span(hash).first<kIdBytes>()));
}

std::string VerifierKey::text() const {
  return key_text(*this, key);
}

std::optional<VerifierKey> VerifierKey::parse(std::string_view text, KeyType type) {
  const auto parts = split_key(text);
  if (!parts || !may_serve_as(parts->type, type)) return std::nullopt;
  VerifierKey verifier{std::string(parts->name), parts->key, parts->type};
  if (verifier.text() != text) return std::nullopt;  // the hash in the middle must fit
  verifier.type = type;
  return verifier;
}

SigningKey SigningKey::from_seed(std::string_view name, const std::array<std::uint8_t, 32>& seed,
                                 KeyType type) {
  SigningKey key;
  key.verifier_.name = name;
  key.verifier_.type = type;
  CHECK(::crypto_sign_seed_keypair(key.verifier_.key.data(), key.secret_.data(), seed.data()) == 0);
  return key;
}

SigningKey SigningKey::generate(std::string_view name, KeyType type) {
  CHECK(is_own_key_name(name));
  std::array<std::uint8_t, 32> seed;
  ::randombytes_buf(seed.data(), seed.size());
  SigningKey key = from_seed(name, seed, type);
  ::sodium_memzero(seed.data(), seed.size());
  return key;
}

std::optional<SigningKey> SigningKey::parse(std::string_view text, KeyType type) {
  if (!text.starts_with(kPrivate)) return std::nullopt;
  auto parts = split_key(text.substr(kPrivate.size()));
  if (!parts || !may_serve_as(parts->type, type)) return std::nullopt;
  SigningKey key = from_seed(parts->name, parts->key, parts->type);
  ::sodium_memzero(parts->key.data(), parts->key.size());
  if (to_hex(as_bytes(big_endian(key.verifier_.id(), kIdBytes))) != parts->id) return std::nullopt;
  key.verifier_.type = type;
  return key;
}

SigningKey::SigningKey(SigningKey&& other) noexcept
    : verifier_(std::move(other.verifier_)), secret_(other.secret_) {
  ::sodium_memzero(other.secret_.data(), other.secret_.size());
}

SigningKey& SigningKey::operator=(SigningKey&& other) noexcept {
  verifier_ = std::move(other.verifier_);
  secret_ = other.secret_;  // over the one that was there
  ::sodium_memzero(other.secret_.data(), other.secret_.size());
  return *this;
}

SigningKey::~SigningKey() {
  ::sodium_memzero(secret_.data(), secret_.size());
}

std::string SigningKey::text() const {
  return std::string(kPrivate) + key_text(verifier_, std::span(secret_).first<32>());
}

std::array<std::uint8_t, 64> SigningKey::signature_over(std::string_view message) const {
  std::array<std::uint8_t, 64> bytes;
  CHECK(::crypto_sign_detached(bytes.data(), nullptr,
                               reinterpret_cast<const unsigned char*>(message.data()),
                               message.size(), secret_.data()) == 0);
  return bytes;
}

std::string SigningKey::sign(const Checkpoint& checkpoint) const {
  const std::string body = checkpoint_body(checkpoint);
  return body + "\n" + sign_line(body);
}

std::string SigningKey::sign_line(std::string_view body) const {
  return signature_line(verifier_, as_text(signature_over(body)));
}

std::string SigningKey::cosign(std::string_view body, std::uint64_t time) const {
  const auto signature = signature_over(cosigned_message(body, time));
  return signature_line(verifier_, big_endian(time, kTimeBytes) + std::string(as_text(signature)));
}

// --- notes ---

std::optional<NoteSignature> read_signature_line(std::string_view text) {
  std::string_view line = text;
  if (!line.starts_with(kDash) || !line.ends_with('\n')) return std::nullopt;
  line.remove_prefix(kDash.size());
  line.remove_suffix(1);
  const std::size_t space = line.find(' ');
  if (space == line.npos || !is_valid_key_name(line.substr(0, space))) return std::nullopt;
  auto bytes = from_base64(line.substr(space + 1));
  if (!bytes || bytes->size() <= kIdBytes) return std::nullopt;
  NoteSignature signature{text, line.substr(0, space), 0, {}};
  signature.key_id =
      static_cast<std::uint32_t>(from_big_endian(std::span(*bytes).first<kIdBytes>()));
  signature.bytes.assign(bytes->begin() + kIdBytes, bytes->end());
  return signature;
}

bool NoteSignature::is_by(const VerifierKey& key) const {
  return name == key.name && key_id == key.id();
}

std::optional<Note> read_note(std::string_view text) {
  const auto body = note_body(text);
  if (!body) return std::nullopt;
  Note note{*body, {}};
  for (std::string_view rest = text.substr(body->size() + 1); !rest.empty();) {
    const std::size_t length = rest.find('\n') + 1;
    auto signature = read_signature_line(rest.substr(0, length));
    if (!signature || note.signatures.size() == kMaxSignatures) return std::nullopt;
    note.signatures.push_back(std::move(*signature));
    rest.remove_prefix(length);
  }
  return note;
}

std::optional<Checkpoint> read_checkpoint(std::string_view note) {
  const auto body = note_body(note);
  return body ? read_body(*body) : std::nullopt;
}

Status verify_signature(const Note& note, const VerifierKey& key) {
  int valid = 0;
  for (const NoteSignature& signature : note.signatures) {
    if (!signature.is_by(key)) continue;
    if (!is_signed(note.body, signature.bytes, key)) {
      return fail(Errc::denied, "the signature does not verify");
    }
    ++valid;
  }
  if (valid != 1) return fail(Errc::denied, "not signed by this key exactly once");
  return {};
}

Result<Checkpoint> verify_checkpoint(std::string_view text, const VerifierKey& key) {
  auto checkpoint = read_checkpoint(text);
  if (!checkpoint) return fail(Errc::bad_message, "not a checkpoint note");
  if (checkpoint->origin != key.name) return fail(Errc::denied, "another log's checkpoint");
  const auto note = read_note(text);
  if (!note) return fail(Errc::bad_message, "a malformed signature line");
  TRY(verify_signature(*note, key));
  return *checkpoint;
}

Result<std::uint64_t> verify_cosignature(std::string_view text, const VerifierKey& witness) {
  const auto note = read_note(text);
  if (!note || !read_body(note->body)) return fail(Errc::bad_message, "not a checkpoint note");
  std::optional<std::uint64_t> time;
  for (const NoteSignature& signature : note->signatures) {
    if (!signature.is_by(witness)) continue;
    if (time) return fail(Errc::denied, "two cosignatures of one witness");
    const std::span bytes(signature.bytes);
    if (bytes.size() != kTimeBytes + crypto_sign_BYTES) {
      return fail(Errc::denied, "a malformed cosignature");
    }
    time = from_big_endian(bytes.first<kTimeBytes>());
    if (*time >> 63 != 0 ||
        !is_signed(cosigned_message(note->body, *time), bytes.subspan(kTimeBytes), witness)) {
      return fail(Errc::denied, "the cosignature does not verify");
    }
  }
  if (!time) return fail(Errc::denied, "no cosignature of this witness");
  return *time;
}

}  // namespace oqto::audit
