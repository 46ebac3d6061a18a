#include <algorithm>
#include <array>

#include "audit/format/hash.h"
#include "audit/read/entry_reader.h"
#include "audit/read/entry_view.h"
#include "audit/read/export.h"
#include "audit/read/ocsf.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

class Object {
 public:
  Object& raw(std::string_view name, std::string_view value) {
    if (value.empty()) return *this;
    if (!members_.empty()) members_ += ',';
    append_json(members_, name);
    (members_ += ':') += value;
    return *this;
  }
  Object& text(std::string_view name, std::string_view value) {
    if (value.empty()) return *this;
    std::string spelled;
    append_json(spelled, printable_text(value));
    return raw(name, spelled);
  }
  Object& number(std::string_view name, std::uint64_t value) {
    return raw(name, std::to_string(value));
  }
  Object& object(std::string_view name, const Object& value) { return raw(name, value.done()); }
  [[nodiscard]] std::string done() const { return "{" + members_ + "}"; }
  [[nodiscard]] bool empty() const { return members_.empty(); }

 private:
  // OCSF wants text where an entry may have had other bytes.
  static std::string printable_text(std::string_view value) {
    return is_valid_utf8(value) ? std::string(value) : printable(value);
  }
  std::string members_;
};


// Who it concerns: named in the fields, or who acted.
Object user_of(const ReadEntry& entry) {
  const bool named = !entry.raw("fields.username").empty() || !entry.raw("fields.account").empty();
  const std::string from = named ? "fields." : "actor.";
  Object user;
  user.text("name", entry.text(from + "username")).text("uid", entry.text(from + "account"));
  if (user.empty()) user.text("name", entry.text("actor.process"));
  return user;
}

Object actor_of(const ReadEntry& entry) {
  Object actor;
  Object process;
  process.text("name", entry.text("actor.process"));
  if (!entry.raw("actor.pid").empty()) process.number("pid", entry.number("actor.pid"));
  actor.object("process", process);
  Object user;
  user.text("name", entry.text("actor.username")).text("uid", entry.text("actor.account"));
  if (!user.empty()) actor.object("user", user);
  Object session;
  session.text("uid", entry.text("actor.session"));
  if (!session.empty()) actor.object("session", session);
  return actor;
}

Object process_of(const ReadEntry& entry) {
  Object process;
  process.text("cmd_line", entry.text("fields.argv"));
  std::string name = entry.text("fields.exe");
  if (name.empty()) name = entry.text("fields.process");
  if (name.empty()) {
    const auto items = json_items(entry.raw("fields.argv"));
    if (items && !items->empty()) name = value_text(items->front());
  }
  process.text("name", name.empty() ? entry.text("actor.process") : name);
  process.text("working_directory", entry.text("fields.cwd"));
  if (!entry.raw("fields.pid").empty()) process.number("pid", entry.number("fields.pid"));
  return process;
}

// What the class demands beside the base.
void add_of_class(Object& event, const ReadEntry& entry, std::uint64_t class_uid) {
  Object device;
  device.number("type_id", 1).text("type", "Server");
  switch (class_uid) {
    case 1001: {
      Object file;
      file.text("path", entry.text("fields.path")).number("type_id", 1);
      file.text("name", entry.text("fields.path"));
      event.object("device", device).object("file", file);
      return;
    }
    case 1007:
      event.object("device", device).object("process", process_of(entry));
      if (!entry.raw("fields.exit_status").empty()) {
        event.number("exit_code", entry.number("fields.exit_status"));
      }
      return;
    case 2004: {
      Object finding;
      finding.text("title", entry.text("event")).text("desc", entry.text("fields.reason"));
      finding.text("uid", entry.text("seq"));
      event.object("finding_info", finding);
      return;
    }
    case 3001:
      event.object("user", user_of(entry));
      return;
    case 3002: {
      Object service;
      service.text("name", "oqto");
      event.object("user", user_of(entry)).object("service", service);
      return;
    }
    case 3003: {
      Object session;
      session.text("uid", entry.text("fields.session"));
      event.object("user", user_of(entry));
      if (!session.empty()) event.object("session", session);
      std::string privilege;
      append_json(privilege, entry.text("fields.profile"));
      event.raw("privileges", "[" + privilege + "]");
      return;
    }
    case 3005: {
      std::string privilege;
      append_json(privilege, entry.text("fields.role"));
      event.object("user", user_of(entry)).raw("privileges", "[" + privilege + "]");
      return;
    }
    case 5019:
      event.object("device", device);
      return;
    case 6002: {
      Object app;
      app.text("name", "oqto-audit").text("vendor_name", "Oqto");
      event.object("app", app);
      return;
    }
    case 3004: {
      Object entity;
      entity.text("type", entry.text("event")).text("uid", entry.text("fields.workspace"));
      entity.text("name", entry.text("fields.username"));
      event.object("entity", entity);
      return;
    }
    case 6003: {
      Object api;
      Object request;
      const std::string command = entry.text("fields.command");
      request.text("uid", entry.text("fields.request_id"));
      api.text("operation", command.empty() ? entry.text("event") : command);
      if (!request.empty()) api.object("request", request);
      event.object("api", api);
      break;
    }
    default:
      break;
  }
  // API and network activity name both ends.
  Object source;
  source.text("ip", entry.text("fields.remote")).text("name", entry.text("actor.process"));
  event.object("src_endpoint", source);
  Object destination;
  destination.text("hostname", entry.text("fields.host")).text("ip", entry.text("fields.address"));
  if (!entry.raw("fields.port").empty()) destination.number("port", entry.number("fields.port"));
  if (destination.empty()) destination.text("name", "oqto");
  event.object("dst_endpoint", destination);
}

Object metadata_of(const ReadEntry& entry, std::uint64_t index) {
  Object product;
  product.text("name", "Oqto").text("vendor_name", "Oqto");
  Object metadata;
  metadata.text("version", "1.8.0").object("product", product).number("sequence", index);
  metadata.text("uid", std::to_string(index)).text("event_code", entry.text("event"));
  metadata.text("log_name", "audit").text("correlation_uid", entry.text("intent"));
  return metadata;
}

Object raw_hash(std::string_view entry) {
  Object hash;
  hash.text("algorithm", "SHA-256").number("algorithm_id", 3);
  return hash.text("value", to_hex(sha256(entry)));
}

Object unmapped(const ReadEntry& entry) {
  constexpr auto kMapped = std::to_array<std::string_view>(
      {"seq", "time", "class_uid", "category_uid", "activity_id", "type_uid", "severity_id",
       "status_id", "metadata", "actor"});
  Object rest;
  for (const JsonMember& member : entry.members) {
    if (std::ranges::find(kMapped, member.key) == kMapped.end()) rest.raw(member.key, member.value);
  }
  return rest;
}

// What is no entry is a finding in itself.
std::string malformed(std::uint64_t index, std::string_view text) {
  Object event;
  Object finding;
  finding.text("title", "malformed entry").text("uid", std::to_string(index));
  Object metadata;
  Object product;
  product.text("name", "Oqto").text("vendor_name", "Oqto");
  metadata.text("version", "1.8.0").object("product", product).number("sequence", index);
  event.number("activity_id", 1).number("category_uid", 2).number("class_uid", 2004);
  event.number("type_uid", 200401).number("severity_id", 4).number("time", 0);
  event.object("finding_info", finding).object("metadata", metadata);
  return event.raw("unmapped", entry_json(text)).object("raw_data_hash", raw_hash(text)).done();
}

}  // namespace

std::string to_ocsf(std::uint64_t index, std::string_view text) {
  const auto entry = ReadEntry::parse(text);
  if (!entry) return malformed(index, text);
  const std::uint64_t class_uid = entry->number("class_uid");
  const std::uint64_t activity = entry->number("activity_id");
  const std::uint64_t severity = entry->number("severity_id");
  const std::string_view class_name = ocsf_class_name(class_uid);
  const std::string_view activity_name = ocsf_activity_name(class_uid, activity);
  constexpr std::string_view kStatus[] = {"Unknown", "Success", "Failure"};
  const std::uint64_t status = std::min<std::uint64_t>(entry->number("status_id"), 2);
  Object event;
  event.number("class_uid", class_uid).text("class_name", class_name);
  event.number("category_uid", entry->number("category_uid"));
  event.text("category_name", ocsf_category_name(entry->number("category_uid")));
  event.number("activity_id", activity).text("activity_name", activity_name);
  event.number("type_uid", entry->number("type_uid"));
  event.text("type_name", std::string(class_name) + ": " + std::string(activity_name));
  event.number("severity_id", severity).text("severity", ocsf_severity_name(severity));
  event.number("time", entry->number("time"));
  event.number("status_id", status).text("status", kStatus[status]);
  event.text("status_detail", entry->text("fields.reason"));
  event.text("message", entry_line(text)).object("metadata", metadata_of(*entry, index));
  event.object("actor", actor_of(*entry));
  add_of_class(event, *entry, class_uid);
  event.object("unmapped", unmapped(*entry));
  return event.text("raw_data", text).object("raw_data_hash", raw_hash(text)).done();
}

}  // namespace oqto::audit
