#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>

#include "audit/format/hash.h"
#include "audit/read/command_line.h"
#include "audit/read/entry_reader.h"
#include "audit/read/entry_view.h"
#include "audit/read/export.h"
#include "audit/read/ocsf.h"
#include "audit/read/open_entry.h"
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

std::string last_part(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == path.npos || slash + 1 == path.size() ? path : path.substr(slash + 1);
}

// What OCSF takes for a number of 32 bits; an entry may hold anything there.
std::optional<std::uint64_t> small_number(const ReadEntry& entry, std::string_view path) {
  constexpr std::uint64_t kMax = 0x7fffffff;
  if (entry.raw(path).empty() || entry.number(path) > kMax) return std::nullopt;
  return entry.number(path);
}

// OCSF knows a process by its pid or by a name that nobody else has.
Object process_of(const ReadEntry& entry) {
  Object process;
  process.text("cmd_line", command_line(entry.raw("fields.argv")));
  const std::string exe = entry.text("fields.exe");
  std::string name = last_part(exe);
  if (name.empty()) name = entry.text("fields.process");
  if (name.empty()) {
    const auto items = json_items(entry.raw("fields.argv"));
    if (items && !items->empty()) name = last_part(value_text(items->front()));
  }
  const std::string self = entry.text("actor.process");
  if (name.empty()) name = self;
  process.text("name", name).text("path", exe);
  process.text("working_directory", entry.text("fields.cwd"));
  auto pid = small_number(entry, "fields.pid");
  if (!pid && name == self) pid = small_number(entry, "actor.pid");
  if (pid) process.number("pid", *pid);
  if (!pid) process.text("uid", "entry " + entry.text("seq"));
  if (const auto parent = small_number(entry, "fields.ppid"); parent && *parent > 0) {
    process.object("parent_process", Object().number("pid", *parent));
  }
  return process;
}

// "10.0.0.7:443", "[::1]:443", or without a port. What is no address is a name.
void add_address(Object& endpoint, const std::string& text) {
  std::string host = text;
  std::string port;
  const std::size_t colon = text.find_last_of(':');
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end != text.npos) {
      host = text.substr(1, end - 1);
      if (text.substr(end + 1).starts_with(':')) port = text.substr(end + 2);
    }
  } else if (colon != text.npos && text.find(':') == colon) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  unsigned char bytes[16];
  const bool is_address = ::inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
                          ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
  if (!is_address) {
    endpoint.text("hostname", text);
    return;
  }
  endpoint.text("ip", host);
  constexpr std::size_t kMaxDigits = 5;
  if (!port.empty() && port.size() <= kMaxDigits && port.find_first_not_of("0123456789") == port.npos &&
      std::stoul(port) <= 65535) {
    endpoint.number("port", std::stoul(port));
  }
}

void add_endpoints(Object& event, const ReadEntry& entry) {
  Object source;
  add_address(source, entry.text("fields.remote"));
  source.text("name", entry.text("actor.process"));
  event.object("src_endpoint", source);
  Object destination;
  const std::string host = entry.text("fields.host");
  const std::string address = entry.text("fields.address");
  if (!address.empty()) {
    add_address(destination, address);
    destination.text("name", host);
  } else {
    add_address(destination, host);
  }
  const auto port = small_number(entry, "fields.port");
  // OCSF wants a name of it, and the entry may keep that to itself.
  if (destination.empty()) destination.text("name", port ? kIsSealed : "oqto");
  if (address.find("]:") == address.npos && port && *port <= 65535) destination.number("port", *port);
  event.object("dst_endpoint", destination);
}

void add_traffic(Object& event, const ReadEntry& entry) {
  Object traffic;
  for (const char* name : {"bytes_in", "bytes_out"}) {
    const std::string path = std::string("fields.") + name;
    if (!entry.raw(path).empty()) traffic.number(name, entry.number(path));
  }
  if (!traffic.empty()) event.object("traffic", traffic);
}

Object privileges_of(const ReadEntry& entry, std::initializer_list<std::string_view> paths, Object event) {
  std::string privilege = entry.text("event");
  for (const std::string_view path : paths) {
    if (const std::string text = entry.text(path); !text.empty()) {
      privilege = text;
      break;
    }
  }
  std::string spelled;
  append_json(spelled, is_valid_utf8(privilege) ? privilege : printable(privilege));
  return event.raw("privileges", "[" + spelled + "]");
}

Object file_of(const ReadEntry& entry) {
  std::string path = entry.text("fields.path");
  if (path.empty()) path = std::string(kIsSealed);  // OCSF wants a name, and the entry keeps it to itself
  Object file;
  return file.text("path", path).text("name", last_part(path)).number("type_id", 0).text("type", "Unknown");
}

Object entity_of(const ReadEntry& entry) {
  const std::string event = entry.text("event");
  std::string uid = entry.text("fields.workspace");
  if (uid.empty()) uid = entry.text("fields.invite");
  Object entity;
  return entity.text("name", event.substr(0, event.find('.'))).text("uid", uid);
}

Object api_of(const ReadEntry& entry) {
  Object api;
  const std::string command = entry.text("fields.command");
  api.text("operation", command.empty() ? entry.text("event") : command);
  if (const std::string request = entry.text("fields.request_id"); !request.empty()) {
    api.object("request", Object().text("uid", request));
  }
  return api;
}

Object device_of(const OcsfSource& from) {
  Object device;
  device.text("name", "Oqto host").text("uid", from.log).number("type_id", 1).text("type", "Server");
  return device;
}

// What the class demands beside the base.
void add_of_class(Object& event, const ReadEntry& entry, std::uint64_t class_uid, const OcsfSource& from) {
  event.object("device", device_of(from));
  switch (class_uid) {
    case 1001:
      event.object("file", file_of(entry));
      if (const std::string target = entry.text("fields.target"); !target.empty()) {
        event.object("file_result", Object().text("path", target).text("name", last_part(target)).number("type_id", 0).text("type", "Unknown"));
      }
      return;
    case 1007:
      event.object("process", process_of(entry));
      if (const auto code = small_number(entry, "fields.exit_status")) event.number("exit_code", *code);
      return;
    case 2004: {
      Object finding;
      finding.text("title", entry.text("event")).text("desc", entry.text("fields.reason"));
      event.object("finding_info", finding.text("uid", entry.text("seq")));
      return;
    }
    case 3002:
      event.object("service", Object().text("name", "oqto"));
      [[fallthrough]];
    case 3001:
      event.object("user", user_of(entry));
      return;
    case 3003: {
      const std::string session = entry.text("fields.session");
      event.object("user", user_of(entry));
      if (!session.empty()) event.object("session", Object().text("uid", session));
      event = privileges_of(entry, {"fields.profile", "fields.choice"}, event);
      return;
    }
    case 3004:
      event.object("entity", entity_of(entry));
      return;
    case 3005:
      event.object("user", user_of(entry));
      event = privileges_of(entry, {"fields.role"}, event);
      return;
    case 6002:
      event.object("app", Object().text("name", "oqto").text("vendor_name", "Oqto"));
      return;
    case 4001:
    case 4007:
      add_traffic(event, entry);
      add_endpoints(event, entry);
      return;
    case 6003:
      event.object("api", api_of(entry));
      add_endpoints(event, entry);
      return;
    default:
      return;
  }
}

// `status` of a finding is how far somebody is with it, not what came of an act.
void add_status(Object& event, const ReadEntry& entry, std::uint64_t class_uid) {
  constexpr std::uint64_t kFinding = 2004, kOther = 99;
  constexpr std::string_view kStatus[] = {"Unknown", "Success", "Failure"};
  const std::uint64_t status = std::min<std::uint64_t>(entry.number("status_id"), 2);
  const bool is_other = class_uid == kFinding && status != 0;
  event.number("status_id", is_other ? kOther : status).text("status", kStatus[status]);
  event.text("status_detail", entry.text("fields.reason"));
}

// Where the host stands belongs to the profile `host`; some classes have it anyway.
Object metadata_of(const ReadEntry& entry, std::uint64_t index) {
  Object product;
  product.text("name", "Oqto").text("vendor_name", "Oqto");
  Object metadata;
  metadata.text("version", "1.8.0").object("product", product).number("sequence", index);
  metadata.text("uid", std::to_string(index)).text("event_code", entry.text("event"));
  metadata.text("log_name", "audit").text("correlation_uid", entry.text("intent"));
  metadata.text("tenant_uid", entry.text("actor.account")).text("original_time", entry.text("fields.at"));
  return metadata.raw("profiles", R"(["host"])");
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

std::string to_ocsf(std::uint64_t index, std::string_view text, const OcsfSource& from) {
  const auto entry = ReadEntry::parse(text);
  if (!entry) return malformed(index, text);
  const std::uint64_t class_uid = entry->number("class_uid");
  const std::uint64_t activity = entry->number("activity_id");
  const std::uint64_t severity = entry->number("severity_id");
  const std::string_view class_name = ocsf_class_name(class_uid);
  const std::string_view activity_name = ocsf_activity_name(class_uid, activity);
  Object event;
  event.number("class_uid", class_uid).text("class_name", class_name);
  event.number("category_uid", entry->number("category_uid"));
  event.text("category_name", ocsf_category_name(entry->number("category_uid")));
  event.number("activity_id", activity).text("activity_name", activity_name);
  event.number("type_uid", entry->number("type_uid"));
  event.text("type_name", std::string(class_name) + ": " + std::string(activity_name));
  event.number("severity_id", severity).text("severity", ocsf_severity_name(severity));
  event.number("time", entry->number("time"));
  add_status(event, *entry, class_uid);
  event.text("message", entry_line(text)).object("metadata", metadata_of(*entry, index));
  event.object("actor", actor_of(*entry));
  add_of_class(event, *entry, class_uid, from);
  event.object("unmapped", unmapped(*entry));
  return event.text("raw_data", text).object("raw_data_hash", raw_hash(text)).done();
}

}  // namespace oqto::audit
