#include "audit/auditd/entry.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "audit/auditd/entry_class.h"
#include "audit/format/hash.h"
#include "audit/format/json.h"
#include "audit/format/time_text.h"
#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

using ipc::FieldKey;

std::uint32_t severity(const ipc::AuditAppend& record) {
  constexpr std::uint32_t kInformational = 1, kLow = 2, kHigh = 4;
  if (record.event == ipc::Event::violation) return kHigh;
  return record.outcome == ipc::Outcome::failure ? kLow : kInformational;
}

std::string_view phase_name(ipc::Phase phase) {
  constexpr std::string_view kNames[] = {"intent", "outcome", "event"};
  return kNames[static_cast<std::size_t>(phase)];
}
std::string_view outcome_name(ipc::Outcome outcome) {
  constexpr std::string_view kNames[] = {"unknown", "success", "failure"};
  return kNames[static_cast<std::size_t>(outcome)];
}

// Keys and commas; the caller sees to the values.
class Object {
 public:
  explicit Object(std::string& out) : out_(out) { out_ += '{'; }
  std::string& key(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    ((out_ += '"') += name) += "\":";
    return out_;
  }
  void number(std::string_view name, std::uint64_t value) {
    char digits[20];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), value).ptr;
    key(name).append(digits, end);
  }
  void text(std::string_view name, std::string_view value) { append_json(key(name), value); }
  void end() { out_ += '}'; }

 private:
  std::string& out_;
  bool first_ = true;
};

bool is_list(FieldKey key) {
  return key == FieldKey::argv || key == FieldKey::argv_after || key == FieldKey::environment;
}

std::string_view cut_at_character(std::string_view value, std::size_t max) {
  if (value.size() <= max) return value;
  const bool text = is_valid_utf8(value);
  while (text && max > 0 && (static_cast<unsigned char>(value[max]) & 0xc0) == 0x80) --max;
  return value.substr(0, max);
}

// A value whose spelling is longer than `room` is cut until its spelling fits.
void append_value(std::string& out, std::string_view value, std::size_t room) {
  if (json_size(value) <= room) return append_json(out, value);
  std::string_view kept = cut_at_character(value, room);
  while (!kept.empty() && json_size(kept) > room)
    kept = cut_at_character(kept, kept.size() * 3 / 4);
  Object cut(out);
  cut.text("cut", kept);
  cut.number("bytes", value.size());
  cut.text("sha256", to_hex(sha256(value)));
  cut.end();
}

bool is_blob(FieldKey key) {
  return key == FieldKey::args_blob || key == FieldKey::policy_blob || key == FieldKey::argv_blob ||
         key == FieldKey::request_blob || key == FieldKey::response_blob || key == FieldKey::output_blob ||
         key == FieldKey::content_blob || key == FieldKey::recording_blob;
}

// What auditd knows of it; a name that stands in the record alone says nothing.
void append_blob(std::string& out, std::string_view name, const std::vector<StoredBlob>& blobs) {
  const auto found = std::ranges::find(blobs, name, &StoredBlob::sha256);
  if (found == blobs.end()) return append_json(out, name);
  Object blob(out);
  blob.text("sha256", found->sha256);
  blob.number("bytes", found->bytes);
  blob.text("commitment", found->commitment);
  blob.number("tenant", found->tenant);
  blob.text("day", found->day);
  blob.end();
}

enum class Part : std::uint8_t { all, open, personal };

// Fields by key, in the order in which the keys first appear. Several of one key become an array.
void append_fields(Object& fields, const std::vector<ipc::AuditField>& list, const Private& hidden,
                   Part part, bool by_tenant, std::size_t room) {
  std::array<bool, static_cast<std::size_t>(FieldKey::kEnd)> done{};
  for (const ipc::AuditField& leader : list) {
    if (part != Part::all && is_personal(leader.key, by_tenant) != (part == Part::personal)) continue;
    if (std::exchange(done[static_cast<std::size_t>(leader.key)], true)) continue;
    const auto same = [&](const ipc::AuditField& field) { return field.key == leader.key; };
    const bool array = is_list(leader.key) || std::ranges::count_if(list, same) > 1;
    const auto append_each = [&](std::string_view name, auto append) {
      std::string& out = fields.key(name);
      out += array ? "[" : "";
      for (const ipc::AuditField& field : list) {
        if (!same(field)) continue;
        append(out, field.value);
        if (array) out += ',';
      }
      if (array) out.back() = ']';
    };
    append_each(field_name(leader.key), [&](std::string& out, std::string_view value) {
      if (is_blob(leader.key)) return append_blob(out, value, hidden.blobs);
      append_value(out, value, room);
    });
    if (leader.key != FieldKey::policy) continue;
    append_each("policy_sha256", [&](std::string& out, std::string_view value) {
      append_json(out, to_hex(sha256(value)));
    });
  }
}

// {"tenant":7,"day":"2026-01-31","c":base64,"h":base64}: see sealed.h.
void append_sealed(std::string& out, std::string_view plaintext, const Sealing& sealing,
                   std::uint64_t index) {
  const SealedFor what{sealing.tenant, sealing.day, index};
  Object sealed(out);
  sealed.number("tenant", sealing.tenant);
  sealed.text("day", sealing.day);
  sealed.text("c", to_base64(as_bytes(seal_text(sealing.key, what, plaintext))));
  sealed.text("h", to_base64(sha256(plaintext)));
  sealed.end();
}

void append_all_fields(Object& entry, std::uint64_t index, const Actor& actor,
                       const ipc::AuditAppend& record, const Private& hidden, std::size_t room) {
  const bool by_tenant = actor.account != 0;
  const bool has_personal =
      hidden.sealing && std::ranges::any_of(record.list, [&](const ipc::AuditField& field) {
        return is_personal(field.key, by_tenant);
      });
  {
    Object fields(entry.key("fields"));
    append_fields(fields, record.list, hidden, has_personal ? Part::open : Part::all, by_tenant, room);
    fields.end();
  }
  if (!has_personal) return;
  std::string plaintext;
  Object personal(plaintext);
  personal.text("salt", to_hex(as_bytes(random_salt())));
  append_fields(personal, record.list, hidden, Part::personal, by_tenant, room);
  personal.end();
  append_sealed(entry.key("sealed"), plaintext, *hidden.sealing, index);
}

void append_actor(std::string& out, const Actor& actor) {
  Object object(out);
  object.text("process", ipc::process_name(actor.process));
  if (actor.account != 0) object.number("account", actor.account);
  if (!actor.username.empty()) object.text("username", actor.username);
  if (actor.session != Uuid{}) object.text("session", actor.session.text());
  object.number("pid", actor.pid);
  object.number("uid", actor.uid);
  object.end();
}

std::string encode_with_room(std::uint64_t index, std::uint64_t time_ms, const Actor& actor,
                             const ipc::AuditAppend& record, const Private& hidden,
                             std::size_t room) {
  const OcsfClass ocsf = ocsf_class(record.event);
  constexpr std::size_t kUsual = 768;
  std::string out;
  out.reserve(kUsual);
  Object entry(out);
  entry.number("seq", index);
  entry.number("time", time_ms);
  entry.number("class_uid", ocsf.class_uid);
  entry.number("category_uid", ocsf.class_uid / 1000);
  entry.number("activity_id", ocsf.activity_id);
  entry.number("type_uid", ocsf.class_uid * 100 + ocsf.activity_id);
  entry.number("severity_id", severity(record));
  entry.number("status_id", static_cast<std::uint64_t>(record.outcome));
  entry.key("metadata") += R"({"version":"1.8.0","product":{"name":"Oqto","vendor_name":"Oqto"}})";
  entry.text("event", event_name(record.event));
  entry.text("phase", phase_name(record.phase));
  entry.text("outcome", outcome_name(record.outcome));
  if (record.phase == ipc::Phase::outcome && record.intent != ipc::kNoIndex) {
    entry.number("intent", record.intent);
  }
  append_actor(entry.key("actor"), actor);
  append_all_fields(entry, index, actor, record, hidden, room);
  if (room < kMaxEntry) entry.key("truncated") += "true";
  entry.end();
  return out;
}

// The most that a single value may take, so that all together fit: halved until they do.
std::size_t fitting_room(const ipc::AuditAppend& record) {
  constexpr std::size_t kAround = 128;  // key, commas, and what stands beside a cut value
  std::vector<std::size_t> sizes;
  for (const ipc::AuditField& field : record.list)
    sizes.push_back(json_size(field.value) + kAround);
  std::size_t room = kMaxEntry;
  const auto total = [&] {
    std::size_t sum = 0;
    for (const std::size_t size : sizes) sum += std::min(size, room + kAround);
    return sum;
  };
  while (room > 0 && total() > kMaxEntry) room /= 2;
  return room;
}

}  // namespace

bool is_personal(FieldKey key, bool by_tenant) {
  switch (key) {
    case FieldKey::args:
    case FieldKey::argv:
    case FieldKey::argv_after:
    case FieldKey::cwd:
    case FieldKey::exe:
    case FieldKey::path:
    case FieldKey::target:
    case FieldKey::host:
    case FieldKey::address:
    case FieldKey::remote:
    case FieldKey::query:
    case FieldKey::environment:
    case FieldKey::environment_sha256:
    case FieldKey::argv_sha256:
    case FieldKey::member:
    // What is guessed could be confirmed by its hash.
    case FieldKey::request_sha256:
    case FieldKey::response_sha256:
    case FieldKey::output_sha256:
      return true;
    case FieldKey::sha256:
    case FieldKey::reason:  // what our own parts say is no tenant's text
      return by_tenant;
    default:
      return false;
  }
}

std::uint32_t tenant_of(const Actor& actor, const ipc::AuditAppend& record) {
  if (actor.account != 0) return actor.account;
  if (actor.process == ipc::Process::relay) return 0;  // whom it speaks of is not for it to say
  const auto field = std::ranges::find(record.list, FieldKey::account, &ipc::AuditField::key);
  if (field == record.list.end()) return 0;
  std::uint32_t account = 0;
  const char* end = field->value.data() + field->value.size();
  const auto [at, error] = std::from_chars(field->value.data(), end, account);
  return error == std::errc{} && at == end ? account : 0;
}

void mark_claims(ipc::AuditAppend& record, std::uint64_t now_ms) {
  for (ipc::AuditField& field : record.list) {
    if (field.key != FieldKey::at) continue;
    const auto claimed = parse_time(field.value, now_ms);
    if (!claimed) {
      field.value = "no time (claimed)";
      continue;
    }
    const bool is_possible = *claimed + kMaxClaimedLateMs >= now_ms && *claimed <= now_ms + kMaxClaimedEarlyMs;
    field.value = sys::utc_text(*claimed) + std::string(is_possible ? kClaimed : kClaimedBeyond);
  }
}

std::string encode_entry(std::uint64_t index, std::uint64_t time_ms, const Actor& actor,
                         const ipc::AuditAppend& record, const Private& hidden) {
  std::string entry = encode_with_room(index, time_ms, actor, record, hidden, kMaxEntry);
  if (entry.size() <= kMaxEntry) return entry;
  // Ends: with no room at all, kMaxAuditFields cut values and the rest together stay below
  // kMaxEntry.
  for (std::size_t room = std::min(fitting_room(record), kMaxEntry / 2);; room /= 2) {
    entry = encode_with_room(index, time_ms, actor, record, hidden, room);
    if (entry.size() <= kMaxEntry) return entry;
    CHECK(room > 0);
  }
}

}  // namespace oqto::audit
