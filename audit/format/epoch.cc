#include "audit/format/epoch.h"

#include <string.h>

#include <algorithm>
#include <charconv>

#include "audit/format/json.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

constexpr std::string_view kTitle = "oqto-audit-seal/v1";
constexpr std::string_view kMark = R"("event":"epoch.seal")";  // no text in an entry can spell it
constexpr std::string_view kStart = R"({"seq":)";
constexpr std::size_t kMaxBefore = 1024;  // the mark stands near the start of its entry

// memmem: the mark begins with a quote, of which an entry is full, and string_view stops at each.
std::size_t find_mark(std::string_view text, std::size_t from) {
  const void* found = ::memmem(text.data() + from, text.size() - from, kMark.data(), kMark.size());
  return found == nullptr ? text.npos
                          : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

template <class Number>
bool read_number(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

// The entry in a segment that the mark at `at` belongs to, by the length that stands before it.
std::string_view entry_around(std::string_view segment, std::size_t at) {
  const std::size_t window = at - std::min(at, kMaxBefore);  // a foreign segment may be full of marks
  const std::size_t found = segment.substr(window, at - window).rfind(kStart);
  if (found == segment.npos || window + found < 2) return {};
  const std::size_t start = window + found;
  const std::size_t length = static_cast<std::size_t>(static_cast<unsigned char>(segment[start - 2]))
                                 << 8 |
                             static_cast<unsigned char>(segment[start - 1]);
  return segment.substr(start, length);
}

std::string_view member(const std::vector<JsonMember>& members, std::string_view key) {
  const auto found = std::ranges::find(members, key, &JsonMember::key);
  return found == members.end() ? std::string_view() : found->value;
}

}  // namespace

std::string epoch_key_name(std::string_view origin, std::uint64_t epoch) {
  return std::string(origin) + "/epoch/" + std::to_string(epoch);
}

std::string seal_body(const Seal& seal) {
  return std::string(kTitle) + "\n" + seal.log_key.name + "\n" + std::to_string(seal.epoch) + "\n" +
         std::to_string(seal.size) + "\n" + to_base64(seal.root) + "\n" +
         std::to_string(seal.time_ms) + "\n" + seal.epoch_key.text() + "\n" + seal.log_key.text() +
         "\n";
}

std::optional<Seal> read_seal(std::string_view note) {
  if (note.size() > kMaxSeal) return std::nullopt;
  std::vector<std::string_view> lines;
  for (std::string_view rest = note; lines.size() < 8;) {
    const std::size_t end = rest.find('\n');
    if (end == rest.npos) return std::nullopt;
    lines.push_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  Seal seal;
  const auto root = from_base64(lines[4]);
  const auto epoch_key = VerifierKey::parse(lines[6]);
  const auto log_key = VerifierKey::parse(lines[7]);
  if (!read_number(lines[2], seal.epoch) || !read_number(lines[3], seal.size) ||
      !read_number(lines[5], seal.time_ms) || !root || root->size() != seal.root.size() ||
      !epoch_key || !log_key) {
    return std::nullopt;
  }
  std::ranges::copy(*root, seal.root.begin());
  seal.epoch_key = *epoch_key;
  seal.log_key = *log_key;
  const std::string body = seal_body(seal);  // the only spelling; title and origin with it
  if (!note.starts_with(body) || note.substr(body.size(), 1) != "\n") return std::nullopt;
  if (seal.epoch_key.name != epoch_key_name(seal.log_key.name, seal.epoch)) return std::nullopt;
  return seal;
}

Status verify_seal(std::string_view text, const EpochKeys* before) {
  const auto seal = read_seal(text);
  const auto note = read_note(text);
  if (!seal || !note) return fail(Errc::bad_message, "is no seal");
  if (before == nullptr) {
    if (seal->epoch != 0 || seal->size != 0) return fail(Errc::denied, "is not that of epoch 0");
    return verify_signature(*note, seal->log_key);
  }
  if (seal->log_key.name != before->log.name) return fail(Errc::denied, "is of another log");
  if (seal->epoch != before->epoch + 1) {
    return fail(Errc::denied, "does not follow the epoch before it");
  }
  if (!verify_signature(*note, before->log)) {
    return fail(Errc::denied, "is not signed with the log's key");
  }
  if (!verify_signature(*note, before->key)) {
    return fail(Errc::denied, "is not signed with the key of the epoch that it ends");
  }
  if (seal->log_key != before->log && !verify_signature(*note, seal->log_key)) {
    return fail(Errc::denied, "names another log key, which did not sign it");
  }
  return {};
}

Result<Checkpoint> verify_in_epoch(std::string_view text, const EpochKeys& keys) {
  auto checkpoint = TRY(verify_checkpoint(text, keys.log));
  if (!verify_signature(*read_note(text), keys.key)) {
    return fail(Errc::denied, "not signed with the key of its epoch exactly once");
  }
  return checkpoint;
}

bool is_seal_entry(std::string_view entry) {
  return find_mark(entry.substr(0, kMaxBefore), 0) != entry.npos;
}

std::optional<std::string> seal_in_entry(std::string_view entry) {
  const auto members = json_members(entry);
  if (!members || member(*members, "event") != R"("epoch.seal")") return std::nullopt;
  const auto fields = json_members(member(*members, "fields"));
  return fields ? json_text(member(*fields, "note")) : std::nullopt;
}

const EpochKeys* KeyChain::of_size(std::uint64_t size) const {
  const auto after = std::ranges::lower_bound(links_, size, {}, &EpochKeys::index);
  return after == links_.begin() ? nullptr : &*std::prev(after);
}

bool KeyChain::has_log_key(const VerifierKey& key) const {
  return std::ranges::find(links_, key, &EpochKeys::log) != links_.end();
}

void KeyChain::add_claims(std::string_view segment) {
  // An honest segment is not read twice for its seals: what is more, others have made.
  std::size_t budget = 2 * segment.size() + kMaxSeal;
  for (std::size_t at = find_mark(segment, 0); at != segment.npos; at = find_mark(segment, at + 1)) {
    const std::string_view entry = entry_around(segment, at);
    if (entry.size() > budget) return;
    budget -= entry.size();
    const auto note = seal_in_entry(entry);
    const auto seal = note ? read_seal(*note) : std::nullopt;
    if (!seal || (last() != nullptr && seal->size <= last()->index)) continue;
    const auto signatures = read_note(*note);
    const bool is_rotation =
        signatures && std::ranges::count(signatures->signatures, seal->log_key.name,
                                         &NoteSignature::name) > 1;
    add({seal->epoch, seal->size, seal->log_key, seal->epoch_key, leaf_hash(entry), is_rotation});
  }
}

}  // namespace oqto::audit
