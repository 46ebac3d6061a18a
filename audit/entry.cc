#include "audit/entry.h"

#include <algorithm>
#include <array>
#include <utility>

#include "audit/hash.h"
#include "audit/json.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;

// OCSF: class, activity. A category is the class divided by 1000.
struct OcsfClass {
  std::uint32_t class_uid;
  std::uint32_t activity_id;
};

OcsfClass ocsf_class(Event event) {
  constexpr std::uint32_t kProcess = 1007, kAccountChange = 3001, kAuthentication = 3002,
                          kAuthorize = 3003, kEntity = 3004, kNetwork = 4001, kApi = 6003,
                          kFinding = 2004;
  switch (event) {
    case Event::process_start:
      return {kProcess, 1};
    case Event::process_stop:
      return {kProcess, 2};
    case Event::login:
      return {kAuthentication, 1};
    case Event::logout:
      return {kAuthentication, 2};
    case Event::setup:
      return {kAccountChange, 1};
    case Event::invite_create:
      return {kEntity, 1};
    case Event::invite_revoke:
      return {kEntity, 4};
    case Event::account_create:
      return {kAccountChange, 1};
    case Event::account_change:
      return {kAccountChange, 99};
    case Event::connection:
      return {kNetwork, 1};
    case Event::command:
      return {kApi, 99};
    case Event::workspace_create:
      return {kEntity, 1};
    case Event::session_start:
      return {kAuthorize, 1};
    case Event::session_stop:
      return {kAuthorize, 99};
    case Event::exec:
      return {kProcess, 1};
    case Event::model_call:
      return {kApi, 99};
    case Event::violation:
      return {kFinding, 1};
    case Event::admin:
      return {kApi, 99};
    case Event::denial:
      return {kFinding, 1};
    case Event::approval:
      return {kAuthorize, 99};
    case Event::network:
      return {kNetwork, 1};
    case Event::kEnd:
      break;
  }
  return {0, 0};
}

std::uint32_t severity(const ipc::AuditAppend& record) {
  constexpr std::uint32_t kInformational = 1, kLow = 2, kHigh = 4;
  if (record.event == Event::violation) return kHigh;
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
  void number(std::string_view name, std::uint64_t value) { key(name) += std::to_string(value); }
  void text(std::string_view name, std::string_view value) { append_json(key(name), value); }
  void end() { out_ += '}'; }

 private:
  std::string& out_;
  bool first_ = true;
};

bool is_list(FieldKey key) {
  return key == FieldKey::argv || key == FieldKey::argv_after;
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

// Fields by key, in the order in which the keys first appear. Several of one key become an array.
void append_fields(std::string& out, const std::vector<ipc::AuditField>& list, std::size_t room) {
  Object fields(out);
  std::array<bool, static_cast<std::size_t>(FieldKey::kEnd)> done{};
  for (const ipc::AuditField& leader : list) {
    if (std::exchange(done[static_cast<std::size_t>(leader.key)], true)) continue;
    const auto same = [&](const ipc::AuditField& field) { return field.key == leader.key; };
    const bool array = is_list(leader.key) || std::ranges::count_if(list, same) > 1;
    const auto append_each = [&](std::string_view name, auto append) {
      fields.key(name) += array ? "[" : "";
      for (const ipc::AuditField& field : list) {
        if (!same(field)) continue;
        append(field.value);
        if (array) out += ',';
      }
      if (array) out.back() = ']';
    };
    append_each(field_name(leader.key),
                [&](std::string_view value) { append_value(out, value, room); });
    if (leader.key != FieldKey::policy) continue;
    append_each("policy_sha256",
                [&](std::string_view value) { append_json(out, to_hex(sha256(value))); });
  }
  fields.end();
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
                             const ipc::AuditAppend& record, std::size_t room) {
  const OcsfClass ocsf = ocsf_class(record.event);
  std::string out;
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
  append_fields(entry.key("fields"), record.list, room);
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

std::string encode_entry(std::uint64_t index, std::uint64_t time_ms, const Actor& actor,
                         const ipc::AuditAppend& record) {
  std::string entry = encode_with_room(index, time_ms, actor, record, kMaxEntry);
  if (entry.size() <= kMaxEntry) return entry;
  // Ends: with no room at all, kMaxAuditFields cut values and the rest together stay below
  // kMaxEntry.
  for (std::size_t room = std::min(fitting_room(record), kMaxEntry / 2);; room /= 2) {
    entry = encode_with_room(index, time_ms, actor, record, room);
    if (entry.size() <= kMaxEntry) return entry;
    CHECK(room > 0);
  }
}

}  // namespace oqto::audit
