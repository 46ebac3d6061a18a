#include "protocol/command.h"

#include <algorithm>
#include <array>

#include "base/encoding.h"
#include "protocol/fields.h"
#include "protocol/json.h"

namespace oqto::protocol {
namespace {

bool blank(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' '; });
}

// Text that can stand on one line: no control characters, and not only blanks.
std::string printable(Fields& fields, std::string_view key) {
  const std::string name = fields.text(key, true);
  const auto characters = static_cast<std::size_t>(std::count_if(
      name.begin(), name.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  const bool control = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (blank(name) || control || characters > kMaxNameCharacters) {
    fields.wrong(key, "must be 1 to 64 printable characters");
  }
  return name;
}

using Args = decltype(Command::args);

Args create_workspace(Fields& fields) { return CreateWorkspace{printable(fields, "name")}; }

Args create_session(Fields& fields) {
  const Json* config = fields.present("config", true);
  if (config == nullptr) return {};
  if (config->object() == nullptr) return fields.wrong("config", "must be an object"), Args();
  Fields inner(*config);
  CreateSession args;
  if (inner.text("harness", true) != "pi") inner.wrong("harness", "must be \"pi\"");
  args.workspace = inner.text("workspace_id", false);
  const std::string cwd = inner.text("cwd", false);
  if (args.workspace.empty()) args.workspace = cwd;
  args.provider = inner.text("provider", false);
  args.model = inner.text("model", false);
  args.profile = inner.text("profile", false);
  if (args.provider.empty() != args.model.empty()) inner.wrong("model", "and `provider` go together");
  // They become arguments of the harness: nothing there may look like an option.
  for (const std::string* word : {&args.provider, &args.model}) {
    if (!word->empty() && word->front() == '-') inner.wrong("model", "must not begin with -");
  }
  if (inner.failure) fields.failure = inner.failure;
  return args;
}

Args subscribe(Fields& fields) {
  return Subscribe{fields.number("since_seq", false, 1ULL << 53).value_or(0)};
}

Args set_name(Fields& fields) { return SetName{printable(fields, "name")}; }

bool is_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return false;
  while (text.ends_with('=')) text.remove_suffix(1);
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
  });
}

std::vector<Image> images_of(Fields& fields) {
  std::vector<Image> images;
  const Json* field = fields.present("images", false);
  if (field == nullptr) return images;
  if (field->array() == nullptr) return fields.wrong("images", "must be an array"), images;
  if (field->array()->size() > kMaxImages) fields.failure = Failure{Code::limit, "at most 20 images"};
  std::size_t bytes = 0;
  for (const Json& item : *field->array()) {
    if (fields.failure) break;
    Fields inner(item);
    Image image{inner.text("data", true, kMaxImagesBytes), inner.text("media_type", true)};
    if (!inner.failure && !is_base64(image.data)) inner.wrong("data", "must be base64");
    if (!inner.failure && !image.media_type.starts_with("image/")) {
      inner.wrong("media_type", "must be an image type");
    }
    bytes += image.data.size();
    if (bytes > kMaxImagesBytes) inner.failure = Failure{Code::limit, "the images are larger than 10 MiB"};
    if (inner.failure) fields.failure = inner.failure;
    images.push_back(std::move(image));
  }
  return images;
}

Args prompt(Fields& fields) {
  Prompt args;
  args.message = fields.text("message", true, kMaxPromptBytes);
  args.client_id = fields.text("client_id", false);
  args.images = images_of(fields);
  if (!fields.failure && blank(args.message)) fields.wrong("message", "is empty");
  return args;
}

Args input_response(Fields& fields) {
  InputResponse args;
  args.request_id = fields.text("request_id", true);
  if (fields.present("value", false) != nullptr) args.value = fields.text("value", false, kMaxPromptBytes);
  args.confirmed = fields.boolean("confirmed");
  args.cancelled = fields.boolean("cancelled").value_or(false);
  const int answers = (args.value ? 1 : 0) + (args.confirmed ? 1 : 0) + (args.cancelled ? 1 : 0);
  if (!fields.failure && answers != 1) {
    fields.wrong("value", "or `confirmed` or `cancelled`: exactly one of them is needed");
  }
  return args;
}

Args get_messages(Fields& fields) {
  GetMessages args;
  if (const auto before = fields.number("before_idx", false, INT32_MAX)) {
    args.before_idx = static_cast<std::uint32_t>(*before);
  }
  if (const auto limit = fields.number("limit", false, kMaxPage)) {
    args.limit = std::max(1U, static_cast<std::uint32_t>(*limit));
  }
  return args;
}

Args set_model(Fields& fields) {
  return SetModel{fields.text("provider", true), fields.text("model_id", true)};
}

Args set_thinking_level(Fields& fields) {
  static constexpr std::array<std::string_view, 7> kLevels = {"off",  "minimal", "low", "medium",
                                                              "high", "xhigh",   "max"};
  const std::string level = fields.text("level", true);
  if (std::find(kLevels.begin(), kLevels.end(), level) == kLevels.end()) {
    fields.wrong("level", "must be off, minimal, low, medium, high, xhigh or max");
  }
  return SetThinkingLevel{level};
}

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
    {"session.close", Cmd::session_close, Session::one, no_args},
    {"session.delete", Cmd::session_delete, Session::one, no_args},
    {"set_session_name", Cmd::set_session_name, Session::one, set_name},
    {"prompt", Cmd::prompt, Session::one, prompt},
    {"steer", Cmd::steer, Session::one, prompt},
    {"follow_up", Cmd::follow_up, Session::one, prompt},
    {"abort", Cmd::abort, Session::one, no_args},
    {"input_response", Cmd::input_response, Session::one, input_response},
    {"get_state", Cmd::get_state, Session::one, no_args},
    {"get_messages", Cmd::get_messages, Session::one, get_messages},
    {"get_stats", Cmd::get_stats, Session::one, no_args},
    {"get_models", Cmd::get_models, Session::either, no_args},
    {"set_model", Cmd::set_model, Session::one, set_model},
    {"set_thinking_level", Cmd::set_thinking_level, Session::one, set_thinking_level},
});

constexpr std::array<std::string_view, 14> kNotBuilt = {
    "get_commands", "get_fork_points", "compact",     "session.new", "session.restart",
    "session.switch", "fork",          "cycle_model", "cycle_thinking_level",
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

Frame decode_command(const Json& json, CommandHead head) {
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
    return Command{std::move(head), Cmd::not_built, {}};
  }
  if (!fits(known->session, head.session_id)) {
    return bad(Code::bad_request, known->session == Session::system
                                      ? named + " needs session_id \"_system\""
                                      : named + " needs a session_id of the form oqto-<uuid v4>");
  }
  Fields fields(json);
  Command command{head, known->cmd, known->args(fields)};
  if (fields.failure) return BadCommand{std::move(head), std::move(*fields.failure)};
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
    case Cmd::get_state:
    case Cmd::get_messages:
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
  std::optional<std::string> id;
  if (envelope.present("id", false) != nullptr) id = envelope.text("id", false, kMaxId);
  if (envelope.failure) return BadFrame{std::nullopt, envelope.failure->error};
  const std::string channel = envelope.text("channel", true);
  if (envelope.failure) return BadFrame{id, envelope.failure->error};
  if (std::find(kReserved.begin(), kReserved.end(), channel) != kReserved.end()) {
    return ReservedChannel{channel, id};
  }
  if (channel != "agent") return BadFrame{id, "unknown channel"};
  CommandHead head;
  head.id = id.value_or("");
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
  return decode_command(envelope.json, std::move(envelope.head));
}

}  // namespace oqto::protocol
