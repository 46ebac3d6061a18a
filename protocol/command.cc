#include "protocol/command.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "base/encoding.h"
#include "protocol/command_args.h"
#include "protocol/json.h"
#include "protocol/json_writer.h"

namespace oqto::protocol {
namespace {

enum class Session : std::uint8_t { system, one, one_or_new, either };

struct Known {
  std::string_view name;
  Cmd cmd;
  Session session;
  Args (*args)(Fields&);
};

Args no_args(Fields&) { return {}; }

constexpr auto kKnown = std::to_array<Known>({
    {"list_workspaces", Cmd::list_workspaces, Session::system, no_args},
    {"create_workspace", Cmd::create_workspace, Session::system, create_workspace},
    {"list_sessions", Cmd::list_sessions, Session::system, no_args},
    {"session.create", Cmd::session_create, Session::one_or_new, create_session},
    {"session.subscribe", Cmd::session_subscribe, Session::one, subscribe},
    {"session.unsubscribe", Cmd::session_unsubscribe, Session::one, no_args},
    {"session.close", Cmd::session_close, Session::one, no_args},
    {"session.delete", Cmd::session_delete, Session::one, no_args},
    {"session.new", Cmd::session_new, Session::one, no_args},
    {"fork", Cmd::fork, Session::one, fork},
    {"get_fork_points", Cmd::get_fork_points, Session::one, no_args},
    {"compact", Cmd::compact, Session::one, compact},
    {"set_session_name", Cmd::set_session_name, Session::one, set_name},
    {"prompt", Cmd::prompt, Session::one, prompt},
    {"steer", Cmd::steer, Session::one, prompt},
    {"follow_up", Cmd::follow_up, Session::one, prompt},
    {"queue.edit", Cmd::queue_edit, Session::one, queue_edit},
    {"queue.remove", Cmd::queue_remove, Session::one, queue_remove},
    {"abort", Cmd::abort, Session::one, no_args},
    {"input_response", Cmd::input_response, Session::one, input_response},
    {"get_state", Cmd::get_state, Session::one, no_args},
    {"get_messages", Cmd::get_messages, Session::one, get_messages},
    {"get_part", Cmd::get_part, Session::one, get_part},
    {"get_stats", Cmd::get_stats, Session::one, no_args},
    {"get_models", Cmd::get_models, Session::either, no_args},
    {"set_model", Cmd::set_model, Session::one, set_model},
    {"set_thinking_level", Cmd::set_thinking_level, Session::one, set_thinking_level},
});

constexpr std::array<std::string_view, 10> kNotBuilt = {
    "get_commands", "session.restart", "session.switch", "cycle_model", "cycle_thinking_level",
    "set_auto_compaction", "set_auto_retry", "abort_retry", "delegate", "delegate.cancel"};

constexpr std::array<std::string_view, 6> kReserved = {"files", "terminal", "hstry",
                                                       "trx",   "session",  "bus"};

bool is_session_id(std::string_view id) {
  constexpr std::string_view kPrefix = "oqto-";
  if (!id.starts_with(kPrefix)) return false;
  const auto uuid = Uuid::parse(id.substr(kPrefix.size()));
  return uuid && uuid->text() == id.substr(kPrefix.size()) && uuid->bytes[6] >> 4 == 4;
}

bool fits(Session kind, std::string_view id) {
  const bool system = id == kSystemSession;
  switch (kind) {
    case Session::system: return system;
    case Session::one: return is_session_id(id);
    case Session::one_or_new: return id.empty() || is_session_id(id);
    case Session::either: return system || is_session_id(id);
  }
  return false;
}

constexpr std::array<std::string_view, 4> kEnvelope = {"id", "channel", "cmd", "session_id"};
// Of the objects inside of fields: `config` of session.create, and images.
constexpr std::array<std::string_view, 8> kNested = {"harness",  "workspace_id", "cwd",  "provider",
                                                     "model",    "profile",      "data", "media_type"};
constexpr std::size_t kPlainFrame = 1024;  // more than the fields of a command without a text can need

bool is_nested(std::string_view key) { return std::find(kNested.begin(), kNested.end(), key) != kNested.end(); }

// The members of an object that are known, of equal ones the last, as find() takes it.
template <class IsKnown>
std::vector<const JsonMember*> known_members(const Json::Object& object, IsKnown is_known) {
  std::map<std::string_view, const JsonMember*> last;
  for (const JsonMember& member : object) {
    if (is_known(member)) last[member.key] = &member;
  }
  std::vector<const JsonMember*> kept;
  for (const JsonMember& member : object) {
    const auto found = last.find(member.key);
    if (found != last.end() && found->second == &member) kept.push_back(&member);
  }
  return kept;
}

bool is_known_inside(const JsonMember& member) {
  return is_nested(member.key) && member.value.array() == nullptr && member.value.object() == nullptr;
}

// Without what no command has; `others` counts that.
Json known_value(const Json& value, std::size_t& others) {
  if (const auto* array = value.array()) {
    Json::Array kept;
    for (const Json& item : *array) kept.push_back(known_value(item, others));
    return Json(std::move(kept));
  }
  const auto* object = value.object();
  if (object == nullptr) return value;
  Json::Object kept;
  for (const JsonMember* member : known_members(*object, is_known_inside)) kept.push_back(*member);
  others += object->size() - kept.size();
  return Json(std::move(kept));
}

bool has_others(const Json& value) {
  if (const auto* array = value.array()) return std::any_of(array->begin(), array->end(), has_others);
  const auto* object = value.object();
  return object != nullptr && known_members(*object, is_known_inside).size() != object->size();
}

// Somebody who pads his commands does not fill the log with it.
std::string recorded_text(const Json& json, const Fields& fields, std::size_t frame_bytes, bool has_text) {
  const Json::Object& members = *json.object();
  const auto known = known_members(members, [&](const JsonMember& member) {
    return fields.asked_for(member.key) ||
           std::find(kEnvelope.begin(), kEnvelope.end(), member.key) != kEnvelope.end();
  });
  const bool is_plain = known.size() == members.size() &&
                        std::none_of(known.begin(), known.end(), [](const auto* member) { return has_others(member->value); });
  if (is_plain && (has_text || frame_bytes <= kPlainFrame)) return {};
  Json::Object kept;
  std::size_t others = members.size() - known.size();
  for (const JsonMember* member : known) kept.push_back({member->key, known_value(member->value, others)});
  if (others > 0) kept.push_back({"unknown_fields", Json(static_cast<std::int64_t>(others))});
  return Json(std::move(kept)).dump();
}

bool has_text(Cmd cmd) {
  using enum Cmd;
  return cmd == Cmd::prompt || cmd == steer || cmd == follow_up || cmd == Cmd::queue_edit || cmd == Cmd::compact ||
         cmd == Cmd::input_response;
}

Frame decode_command(const Json& json, CommandHead head, std::size_t frame_bytes) {
  const auto bad = [&](Code code, std::string error) -> Frame {
    return BadCommand{head, Failure{code, std::move(error)}};
  };
  const std::string named = "`" + head.name + "`";
  const auto known = std::find_if(kKnown.begin(), kKnown.end(),
                                  [&](const Known& row) { return row.name == head.name; });
  if (known == kKnown.end()) {
    if (std::find(kNotBuilt.begin(), kNotBuilt.end(), head.name) == kNotBuilt.end()) {
      return bad(Code::bad_request, "unknown command " + named);
    }
    return Command{std::move(head), Cmd::not_built, {}, recorded_text(json, Fields(json), frame_bytes, false)};
  }
  if (!fits(known->session, head.session_id)) {
    return bad(Code::bad_request, known->session == Session::system
                                      ? named + " needs session_id \"_system\""
                                      : named + " needs a session_id of the form oqto-<uuid v4>");
  }
  Fields fields(json);
  Command command{head, known->cmd, known->args(fields)};
  if (fields.failure) return BadCommand{std::move(head), std::move(*fields.failure)};
  command.recorded = recorded_text(json, fields, frame_bytes, has_text(known->cmd));
  return command;
}

}  // namespace

std::string_view code_name(Code code) {
  static constexpr std::array<std::string_view, 7> kNames = {
      "bad_request", "not_found", "busy", "unavailable", "refused", "limit", "not_available_yet"};
  return kNames[static_cast<std::size_t>(code)];
}

bool Command::is_read() const {
  switch (cmd) {
    case Cmd::list_workspaces:
    case Cmd::list_sessions:
    case Cmd::session_subscribe:
    case Cmd::session_unsubscribe:
    case Cmd::get_fork_points:
    case Cmd::get_state:
    case Cmd::get_messages:
    case Cmd::get_part:
    case Cmd::get_stats:
    case Cmd::get_models:
    case Cmd::not_built:
      return true;
    default:
      return false;
  }
}

std::variant<BadFrame, ReservedChannel, BadCommand, Envelope> open_frame(std::string_view text) {
  auto json = parse_json(text);
  if (!json) return BadFrame{std::nullopt, json.error().what};
  if (json->object() == nullptr) return BadFrame{std::nullopt, "a frame must be a JSON object"};
  Fields envelope(*json);
  CommandHead head;
  std::optional<std::string> id;  // as JSON
  if (const Json* field = envelope.present("id", false)) {
    head.numeric = field->integer().has_value();
    head.id = head.numeric ? std::to_string(*field->integer()) : envelope.text("id", false, kMaxId);
    if (envelope.failure) return BadFrame{std::nullopt, envelope.failure->error};
    id = head.numeric ? head.id : Json(Json::Value(head.id)).dump();
  }
  const std::string channel = envelope.text("channel", true);
  if (envelope.failure) return BadFrame{id, envelope.failure->error};
  if (std::find(kReserved.begin(), kReserved.end(), channel) != kReserved.end()) {
    return ReservedChannel{channel, id};
  }
  if (channel != "agent") return BadFrame{id, "unknown channel"};
  head.name = envelope.text("cmd", true);
  head.session_id = envelope.text("session_id", true);
  if (envelope.failure && head.name.empty()) return BadFrame{id, envelope.failure->error};
  if (envelope.failure) return BadCommand{std::move(head), std::move(*envelope.failure)};
  return Envelope{std::move(head), std::move(*json)};
}

Frame decode_frame(std::string_view text) {
  auto opened = open_frame(text);
  if (auto* bad = std::get_if<BadFrame>(&opened)) return std::move(*bad);
  if (auto* reserved = std::get_if<ReservedChannel>(&opened)) return std::move(*reserved);
  if (auto* bad = std::get_if<BadCommand>(&opened)) return std::move(*bad);
  auto& envelope = std::get<Envelope>(opened);
  return decode_command(envelope.json, std::move(envelope.head), text.size());
}

}  // namespace oqto::protocol
