#include "audit/read/open_entry.h"

#include <algorithm>

#include "audit/format/format.h"
#include "audit/format/json.h"
#include "audit/format/tile_store.h"
#include "audit/read/entry_reader.h"
#include "base/encoding.h"
#include "ipc/audit.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kMaxStored = ipc::kMaxBlobBytes + kSealOverhead + kSealSalt;
constexpr std::uint64_t kMaxTenant = ~std::uint32_t{0};

std::optional<std::uint64_t> number_of(std::string_view value) {
  std::uint64_t number = 0;
  if (value.empty() || value.size() > 20) return std::nullopt;
  for (const char c : value) {
    if (c < '0' || c > '9') return std::nullopt;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (number > (~std::uint64_t{0} - digit) / 10) return std::nullopt;
    number = number * 10 + digit;
  }
  return number;
}

std::string_view value_of(const std::vector<JsonMember>& members, std::string_view key) {
  const auto found = std::ranges::find(members, key, &JsonMember::key);
  return found == members.end() ? std::string_view() : found->value;
}

std::optional<std::string> plain_base64(std::string_view value) {
  const auto text = json_text(value);
  const auto bytes = text ? from_base64(*text) : std::nullopt;
  if (!bytes) return std::nullopt;
  return std::string(as_text(*bytes));
}

struct Opened {
  std::string_view why = kIsForged;  // if there is no plaintext
  std::string plaintext;
};

Opened open_sealed(std::string_view sealed, std::uint64_t index, KeyReader& keys) {
  Opened opened;
  const auto members = json_members(sealed);
  if (!members) return opened;
  const auto tenant = number_of(value_of(*members, "tenant"));
  const auto day = json_text(value_of(*members, "day"));
  const auto ciphertext = plain_base64(value_of(*members, "c"));
  const auto commitment = plain_base64(value_of(*members, "h"));
  if (!tenant || *tenant > kMaxTenant || !day || !ciphertext || !commitment) return opened;
  const auto owner = static_cast<std::uint32_t>(*tenant);
  const FoundKey& key = keys.find(owner, *day);
  if (key.state != KeyState::present) {
    opened.why = key.state == KeyState::erased ? kIsErased : kIsSealed;
    return opened;
  }
  auto plaintext = open_text(key.key, {owner, *day, index}, *ciphertext);
  if (!plaintext && key.was_erased) opened.why = kIsErased;
  if (!plaintext || as_text(sha256(*plaintext)) != *commitment) return opened;
  opened.plaintext = std::move(*plaintext);
  return opened;
}

void append_member(std::string& out, const JsonMember& member) {
  if (out.back() != '{') out += ',';
  ((out += '"') += member.key) += "\":";
  out += member.value;
}

}  // namespace

namespace {

// An entry that has sealed fields, taken apart.
struct SealedEntry {
  std::vector<JsonMember> members;
  std::vector<JsonMember> fields;
  std::string_view sealed;
  std::uint64_t index = 0;

  static std::optional<SealedEntry> parse(std::string_view entry) {
    if (entry.find(R"("sealed":{)") == entry.npos) return std::nullopt;
    auto members = json_members(entry);
    if (!members) return std::nullopt;
    const std::string_view sealed = value_of(*members, "sealed");
    const auto index = number_of(value_of(*members, "seq"));
    auto fields = json_members(value_of(*members, "fields"));
    if (sealed.empty() || !index || !fields) return std::nullopt;
    return SealedEntry{std::move(*members), std::move(*fields), sealed, *index};
  }

  // With what was opened among the fields or, if nothing was, `why` in the place of `sealed`.
  [[nodiscard]] std::string with(std::string_view plaintext, std::string_view why) const {
    const auto personal = json_members(plaintext);
    std::string out = "{";
    for (const JsonMember& member : members) {
      if (member.key == "fields" && personal) {
        out += R"(,"fields":{)";
        for (const JsonMember& field : fields) append_member(out, field);
        for (const JsonMember& field : *personal) {
          if (field.key != "salt" && value_of(fields, field.key).empty()) append_member(out, field);
        }
        out += "}";
      } else if (member.key == "sealed") {
        if (!personal) (out += R"(,"sealed":")").append(why) += "\"";
      } else {
        append_member(out, member);
      }
    }
    return out + "}";
  }
};

}  // namespace

std::string open_entry(std::string_view entry, KeyReader& keys) {
  const auto parts = SealedEntry::parse(entry);
  if (!parts) return std::string(entry);
  const Opened opened = open_sealed(parts->sealed, parts->index, keys);
  return parts->with(opened.plaintext, opened.why);
}

std::string_view why_sealed(std::string_view entry, KeyReader& keys) {
  const auto parts = SealedEntry::parse(entry);
  if (!parts) return {};
  const Opened opened = open_sealed(parts->sealed, parts->index, keys);
  return opened.plaintext.empty() ? opened.why : std::string_view();
}

std::optional<std::string> open_sealed_text(std::string_view entry, KeyReader& keys) {
  const auto parts = SealedEntry::parse(entry);
  if (!parts) return std::nullopt;
  Opened opened = open_sealed(parts->sealed, parts->index, keys);
  if (opened.plaintext.empty()) return std::nullopt;
  return std::move(opened.plaintext);
}

bool is_committed(std::string_view entry, std::string_view plaintext) {
  const auto parts = SealedEntry::parse(entry);
  const auto sealed = parts ? json_members(parts->sealed) : std::nullopt;
  const auto commitment = sealed ? plain_base64(value_of(*sealed, "h")) : std::nullopt;
  return commitment && as_text(sha256(plaintext)) == *commitment && is_canonical_object(plaintext);
}

std::string with_plaintext(std::string_view entry, std::string_view plaintext) {
  const auto parts = SealedEntry::parse(entry);
  return parts && is_committed(entry, plaintext) ? parts->with(plaintext, kIsForged) : std::string(entry);
}

std::vector<BlobReference> blobs_of(std::string_view entry) {
  std::vector<BlobReference> blobs;
  if (entry.find(R"(_blob":{"sha256":")") == entry.npos) return blobs;
  const auto members = json_members(entry);
  const auto fields = members ? json_members(value_of(*members, "fields")) : std::nullopt;
  if (!fields) return blobs;
  for (const JsonMember& field : *fields) {
    if (!field.key.ends_with("_blob")) continue;
    const auto parts = json_members(field.value);
    if (!parts) continue;
    const auto sha = json_text(value_of(*parts, "sha256"));
    const auto bytes = number_of(value_of(*parts, "bytes"));
    const auto commitment = json_text(value_of(*parts, "commitment"));
    const auto tenant = number_of(value_of(*parts, "tenant"));
    const auto day = json_text(value_of(*parts, "day"));
    const auto name = sha ? from_hex(*sha) : std::nullopt;
    if (!name || name->size() != sizeof(Hash) || !bytes || !commitment || !day || !tenant ||
        *tenant > kMaxTenant) {
      continue;
    }
    blobs.push_back({std::string(field.key), *sha, *bytes, *commitment,
                     static_cast<std::uint32_t>(*tenant), *day});
  }
  return blobs;
}

std::string_view blob_state_text(BlobState state) {
  constexpr std::string_view kTexts[] = {
      "opened", "is missing", "is not what its name says",
      "is sealed: its key is not here", "is erased: its key was destroyed",
      "opens to something else than was committed to", "cannot be read here"};
  return kTexts[static_cast<std::size_t>(state)];
}

static BlobState read_stored(const Fd& log, const BlobReference& blob, std::string& stored) {
  auto bytes = read_log_file(log, blob_path(blob.sha256), kMaxStored);
  if (!bytes && is_unreadable(bytes.error())) return BlobState::unreadable;
  if (!bytes) return bytes.error().sys == ENOENT ? BlobState::missing : BlobState::altered;
  if (to_hex(sha256(*bytes)) != blob.sha256) return BlobState::altered;
  stored = std::move(*bytes);
  return BlobState::opened;
}

BlobState check_stored_blob(const Fd& log, const BlobReference& blob) {
  std::string stored;
  const BlobState state = read_stored(log, blob, stored);
  if (state == BlobState::opened && stored.size() != blob.bytes + kSealOverhead + kSealSalt) {
    return BlobState::altered;
  }
  return state;
}

OpenedBlob open_stored_blob(const Fd& log, const BlobReference& blob, KeyReader& keys) {
  OpenedBlob opened;
  std::string stored;
  opened.state = read_stored(log, blob, stored);
  if (opened.state != BlobState::opened) return opened;
  const FoundKey& key = keys.find(blob.tenant, blob.day);
  const auto commitment = from_hex(blob.commitment);
  if (key.state != KeyState::present) {
    opened.state = key.state == KeyState::erased ? BlobState::erased : BlobState::sealed;
  } else if (!commitment || commitment->size() != sizeof(Hash)) {
    opened.state = BlobState::forged;
  } else {
    Hash hash{};
    std::ranges::copy(*commitment, hash.begin());
    auto content = open_blob(key.key, {.tenant = blob.tenant, .day = blob.day}, stored, hash);
    if (content) opened.content = std::move(*content);
    if (!content) opened.state = key.was_erased ? BlobState::erased : BlobState::forged;
  }
  return opened;
}

}  // namespace oqto::audit
