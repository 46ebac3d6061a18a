#include "protocol/event.h"

#include <array>

#include "protocol/json_writer.h"

namespace oqto::protocol {
namespace {

// A long error text, a notification: enough for a person, and bounded.
constexpr std::size_t kMaxNote = 16 * 1024;

Event make(std::string_view name, const JsonObject& fields) {
  return Event{std::string(name), fields.members()};
}

std::string_view tail(std::string_view text, std::size_t max) {
  if (text.size() <= max) return text;
  text.remove_prefix(text.size() - max);
  while (!text.empty() && (static_cast<unsigned char>(text.front()) & 0xc0) == 0x80) {
    text.remove_prefix(1);
  }
  return text;
}

}  // namespace

std::string_view phase_name(Phase phase) {
  static constexpr std::array<std::string_view, 6> kNames = {
      "generating", "thinking", "tool_running", "compacting", "retrying", "initializing"};
  return kNames[static_cast<std::size_t>(phase)];
}

std::string encode_input_request(const InputRequest& request) {
  JsonObject object;
  object.text("type", request.type).text("request_id", request.request_id);
  object.text("title", cut_text(request.title, kMaxNote));
  if (request.type == "select") {
    JsonArray options;
    for (const std::string& option : request.options) {
      if (options.bytes() < 64 * 1024) options.text(cut_text(option, 4096));
    }
    object.json("options", options.str());
  }
  object.text_unless_empty("message", cut_text(request.message, kMaxNote));
  object.text_unless_empty("placeholder", cut_text(request.placeholder, kMaxNote));
  if (request.timeout_ms != 0) object.number("timeout", request.timeout_ms);
  if (request.approval) {
    JsonArray argv;
    for (const std::string& argument : request.approval->argv) argv.text(cut_text(argument, 4096));
    JsonObject facts;
    facts.text("kind", request.approval->kind).text("what", cut_text(request.approval->what, kMaxNote));
    if (request.approval->pid != 0) facts.number("pid", request.approval->pid);
    facts.json("argv", argv.str()).text_unless_empty("cwd", cut_text(request.approval->cwd, kMaxNote));
    object.json("approval", facts.str());
  }
  return object.str();
}

std::string encode_queue(const std::vector<QueueItem>& queue) {
  constexpr std::size_t kMaxShown = 16 * 1024;  // of one message: queue.remove gives all of it
  JsonArray items;
  for (const QueueItem& item : queue) {
    JsonObject object;
    object.text("id", item.id).text("delivery", item.steer ? "steer" : "follow_up");
    object.text("state", item.returned ? "returned" : "pending").text_unless_empty("reason", item.reason);
    object.text("message", cut_text(item.message, kMaxShown)).number("images", item.images);
    object.text_unless_empty("client_id", item.client_id).number("created_at", item.created_at);
    items.json(object.str());
  }
  return items.str();
}

namespace events {

Event session_created(bool resumed) {
  JsonObject fields;
  fields.boolean("resumed", resumed).text("harness", "pi");
  fields.json("capabilities", R"({"steer":true,"follow_up":true,"images":true,"replay":true})");
  return make("session.created", fields);
}
Event session_closed(std::string_view reason) {
  return make("session.closed", JsonObject().text_unless_empty("reason", cut_text(reason, kMaxNote)));
}
Event session_asleep() { return make("session.asleep", JsonObject()); }
Event session_unsubscribed(std::string_view reason) {
  return make("session.unsubscribed", JsonObject().text("reason", reason));
}
Event title_changed(std::string_view title) {
  return make("session.title_changed", JsonObject().text("title", title));
}
Event working(Phase phase, std::string_view detail) {
  JsonObject fields;
  fields.text("phase", phase_name(phase)).text_unless_empty("detail", cut_text(detail, 256));
  return make("agent.working", fields);
}
Event idle(std::uint64_t version, std::uint64_t message_count) {
  JsonObject inner;
  inner.number("version", version).number("message_count", message_count);
  return make("agent.idle", JsonObject().json("message_version", inner.str()));
}
Event error(std::string_view text, bool recoverable, std::string_view phase) {
  JsonObject fields;
  fields.text("error", cut_text(text, kMaxNote)).boolean("recoverable", recoverable);
  return make("agent.error", fields.text_unless_empty("phase", phase));
}
Event input_needed(const InputRequest& request) {
  return make("agent.input_needed", JsonObject().json("request", encode_input_request(request)));
}
Event input_resolved(std::string_view request_id, const InputResolution& resolution) {
  JsonObject fields;
  fields.text("request_id", request_id).text("resolution", resolution.how);
  fields.text_unless_empty("by", resolution.by).text_unless_empty("answer", cut_text(resolution.answer, 4096));
  return make("agent.input_resolved", fields);
}
Event queue_changed(const std::vector<QueueItem>& queue) {
  return make("queue.changed", JsonObject().json("queue", encode_queue(queue)));
}
Event user_message(const Message& message) {
  return make("user.message",
              JsonObject().json("message", encode_message_within(message, kMaxMessageFrame)));
}
Event message_start(std::string_view message_id, Role role) {
  JsonObject fields;
  return make("stream.message_start",
              fields.text("message_id", message_id).text("role", role_name(role)));
}

static Event delta_event(std::string_view name, std::string_view message_id, std::string_view delta,
                         std::int64_t index) {
  JsonObject fields;
  fields.text("message_id", message_id).text("delta", cut_text(delta, kMaxToolOutputBytes));
  return make(name, fields.number("content_index", index));
}
Event text_delta(std::string_view message_id, std::string_view delta, std::int64_t index) {
  return delta_event("stream.text_delta", message_id, delta, index);
}
Event thinking_delta(std::string_view message_id, std::string_view delta, std::int64_t index) {
  return delta_event("stream.thinking_delta", message_id, delta, index);
}
Event tool_call_start(std::string_view message_id, std::string_view call, std::string_view name,
                      std::int64_t index) {
  JsonObject fields;
  fields.text("message_id", message_id).text("tool_call_id", call).text("name", name);
  return make("stream.tool_call_start", fields.number("content_index", index));
}
Event tool_call_delta(std::string_view message_id, std::string_view call, std::string_view delta,
                      std::int64_t index) {
  JsonObject fields;
  fields.text("message_id", message_id).text("tool_call_id", call);
  fields.text("delta", cut_text(delta, kMaxToolOutputBytes)).number("content_index", index);
  return make("stream.tool_call_delta", fields);
}

// An input beyond the frame is the beginning of its JSON, as a text: get_part has all of it.
static std::string fitting(std::string_view input_json) {
  if (input_json.empty()) return "{}";
  if (input_json.size() <= kMaxMessageFrame / 2) return std::string(input_json);
  std::string quoted;
  append_json_text(quoted, cut_text(input_json, kMaxMessageFrame / 8));
  return quoted;
}
Event tool_call_end(std::string_view message_id, std::string_view call, std::string_view name,
                    std::string_view input_json, std::int64_t index) {
  JsonObject tool;
  tool.text("id", call).text("name", name).json("input", fitting(input_json));
  JsonObject fields;
  fields.text("message_id", message_id).text("tool_call_id", call).json("tool_call", tool.str());
  return make("stream.tool_call_end", fields.number("content_index", index));
}
Event message_retracted(std::string_view message_id, std::string_view error) {
  JsonObject fields;
  return make("stream.message_retracted",
              fields.text("message_id", message_id).text("error", cut_text(error, kMaxNote)));
}
Event message_end(const Message& message) {
  return make("stream.message_end",
              JsonObject().json("message", encode_message_within(message, kMaxMessageFrame)));
}
Event tool_start(std::string_view call, std::string_view name, std::string_view input_json) {
  JsonObject fields;
  fields.text("tool_call_id", call).text("name", name).json("input", fitting(input_json));
  return make("tool.start", fields);
}
Event tool_progress(std::string_view call, std::string_view name, std::string_view output) {
  JsonObject fields;
  fields.text("tool_call_id", call).text("name", name);
  return make("tool.progress", fields.text("partial_output", tail(output, kMaxProgressBytes)));
}
Event tool_end(std::string_view call, std::string_view name, std::string_view output, bool is_error,
               std::uint64_t duration_ms) {
  JsonObject fields;
  fields.text("tool_call_id", call).text("name", name);
  fields.text("output", tail(output, kMaxToolOutputBytes)).boolean("is_error", is_error);
  return make("tool.end", fields.number("duration_ms", duration_ms));
}
Event retry_start(std::int64_t attempt, std::int64_t max_attempts, std::int64_t delay_ms,
                  std::string_view error) {
  JsonObject fields;
  fields.number("attempt", attempt).number("max_attempts", max_attempts);
  return make("retry.start", fields.number("delay_ms", delay_ms).text("error", cut_text(error, kMaxNote)));
}
Event retry_end(bool success, std::int64_t attempt, std::string_view final_error) {
  JsonObject fields;
  fields.boolean("success", success).number("attempt", attempt);
  return make("retry.end", fields.text_unless_empty("final_error", cut_text(final_error, kMaxNote)));
}
Event compact_start(std::string_view reason) {
  return make("compact.start", JsonObject().text("reason", reason));
}
Event compact_end(bool success, std::string_view error, std::string_view summary,
                  std::optional<std::int64_t> tokens_before) {
  JsonObject fields;
  fields.boolean("success", success).text_unless_empty("error", cut_text(error, kMaxNote));
  fields.text_unless_empty("summary", cut_text(summary, kMaxToolOutputBytes));
  if (tokens_before) fields.number("tokens_before", *tokens_before);
  return make("compact.end", fields);
}
Event model_changed(std::string_view provider, std::string_view model_id) {
  JsonObject fields;
  return make("config.model_changed", fields.text("provider", provider).text("model_id", model_id));
}
Event thinking_level_changed(std::string_view level) {
  return make("config.thinking_level_changed", JsonObject().text("level", level));
}
Event notify(std::string_view level, std::string_view message) {
  JsonObject fields;
  return make("notify", fields.text("level", level).text("message", cut_text(message, kMaxNote)));
}
Event status(std::string_view key, std::optional<std::string_view> text) {
  JsonObject fields;
  fields.text("key", cut_text(key, 256));
  if (text) fields.text("text", cut_text(*text, kMaxNote));
  return make("status", fields);
}
Event persisted(std::uint64_t message_count) {
  return make("persisted", JsonObject().number("message_count", message_count));
}
Event resync_required(std::uint64_t dropped, std::string_view reason) {
  JsonObject fields;
  return make("stream.resync_required",
              fields.number("dropped_count", dropped).text("reason", reason));
}

}  // namespace events

std::string encode_event(std::string_view session_id, const EventStamp& stamp, const Event& event) {
  JsonObject frame;
  frame.text("channel", "agent").text("session_id", session_id).text("runner_id", "local");
  frame.number("ts", stamp.ts).text_unless_empty("epoch", stamp.epoch).number("seq", stamp.seq);
  return frame.text("event", event.name).append(event.fields).str();
}

static JsonObject answer(const CommandHead& head, bool success) {
  JsonObject frame;
  frame.text("channel", "agent").text("event", "response").text("session_id", head.session_id);
  if (head.numeric) {
    frame.json("id", head.id);
  } else {
    frame.text("id", head.id);
  }
  frame.text("cmd", head.name).boolean("success", success);
  return frame;
}

std::string encode_success(const CommandHead& head, std::string_view data) {
  JsonObject frame = answer(head, true);
  if (!data.empty()) frame.json("data", data);
  return frame.str();
}

std::string encode_failure(const CommandHead& head, const Failure& failure, std::string_view epoch) {
  JsonObject frame = answer(head, false);
  frame.text("error", cut_text(failure.error, kMaxNote)).text("code", code_name(failure.code));
  return frame.text_unless_empty("epoch", epoch).str();
}

std::string encode_models(const std::vector<ModelInfo>& models) {
  JsonArray array;
  for (const ModelInfo& model : models) {
    JsonObject object;
    object.text("id", model.id).text("name", model.name).text("provider", model.provider);
    object.boolean("reasoning", model.reasoning).boolean("images", model.images);
    object.boolean("demo", model.provider == kDemoProvider);
    array.json(object.str());
  }
  return array.str();
}

std::string encode_connected(std::uint32_t account, std::string_view username,
                             std::string_view role, std::string_view models_json, std::string_view more) {
  JsonObject user;
  user.number("id", account).text("username", username).text("role", role);
  JsonObject frame;
  frame.text("channel", "system").text("type", "connected").json("user", user.str());
  return frame.json("models", models_json).append(more).str();
}

std::string encode_push(std::string_view type, std::string_view name, std::string_view json) {
  JsonObject frame;
  return frame.text("channel", "system").text("type", type).json(name, json).str();
}

std::string encode_ping() { return R"({"channel":"system","type":"ping"})"; }

static std::string error_frame(std::string_view channel, const std::optional<std::string>& id,
                               std::string_view error) {
  JsonObject frame;
  frame.text("channel", channel).text("type", "error");
  return frame.json("id", id.value_or("null")).text("error", error).str();
}

std::string encode_bad_frame(const BadFrame& bad) { return error_frame("system", bad.id, bad.error); }

std::string encode_reserved(const ReservedChannel& reserved) {
  return error_frame(reserved.channel, reserved.id,
                     "not available yet: the channel `" + reserved.channel + "`");
}

}  // namespace oqto::protocol
