#include "runner/translator.h"

#include <algorithm>

#include "protocol/json_writer.h"
#include "runner/pi_commands.h"
#include "runner/pi_messages.h"

namespace oqto::runner {

using protocol::Json;
using protocol::Message;
using protocol::Part;
using protocol::Phase;
namespace events = protocol::events;

namespace {
constexpr std::size_t kMaxTools = 1024;     // running at once
constexpr std::size_t kMaxBlocks = 4096;    // of one message
}  // namespace

void Translator::feed(const Json& record, std::uint64_t now_ms) {
  const std::string_view type = record.text_at("type");
  if (type == "message_update") {
    on_message_update(record);
  } else if (type == "message_start") {
    on_message_start(record);
  } else if (type == "message_end") {
    on_message_end(record);
  } else if (type.starts_with("tool_execution_")) {
    on_tool(record, type, now_ms);
  } else if (type == "agent_start") {
    retract_failed();
    phase(Phase::generating);
  } else if (type == "agent_end") {
    on_agent_end(record);
  } else if (type == "agent_settled") {
    settle();
  } else if (type == "auto_retry_start" || type == "auto_retry_end") {
    on_retry(record, type == "auto_retry_start");
  } else if (type == "compaction_start" || type == "compaction_end") {
    on_compaction(record, type == "compaction_start");
  } else if (type == "extension_ui_request") {
    on_dialog(record);
  } else if (type == "thinking_level_changed") {
    sink_.on_thinking_level(record.text_at("level"));
  } else if (type == "extension_error") {
    sink_.on_event(events::notify("warning", "an extension failed at " +
                                                 std::string(record.text_at("event")) + ": " +
                                                 std::string(record.text_at("error"))));
  }
}

void Translator::phase(Phase next, std::string_view detail) {
  if (phase_ && phase_->first == next && phase_->second == detail) return;
  phase_.emplace(next, detail);
  sink_.on_phase(next, detail);
}

void Translator::on_message_start(const Json& record) {
  const Json* message = record.find("message");
  if (message == nullptr || message->text_at("role") != "assistant") return;
  if (open_) (void)abandon("the answer was cut short");
  open_ = assistant_message(*message, new_id_());
  open_->parts.clear();
  blocks_.clear();
  joiners_.clear();
  partial_bytes_ = 0;
  announced_ = false;
  // A try that failed before its first byte is not shown until it is clear that none follows.
  if (open_->stop_reason != "error") announce();
}

void Translator::announce() {
  if (announced_) return;
  announced_ = true;
  sink_.on_stream_begins(*open_);
  sink_.on_event(events::message_start(open_->id, protocol::Role::assistant));
}

Part* Translator::part_at(Part::Type type, std::int64_t index) {
  const auto known = blocks_.find(index);
  if (known != blocks_.end()) return &open_->parts[known->second];
  if (blocks_.size() >= kMaxBlocks || index < 0) return nullptr;
  blocks_.emplace(index, open_->parts.size());
  open_->parts.push_back(
      Part{.type = type, .id = part_id(open_->id, static_cast<std::size_t>(index))});
  return &open_->parts.back();
}

std::string Translator::joined(std::int64_t index, std::string_view delta) {
  if (joiners_.size() < kMaxBlocks || joiners_.contains(index)) return joiners_[index].feed(delta);
  protocol::SurrogateJoiner alone;
  return alone.feed(delta) + alone.finish();
}

void Translator::append(Part::Type type, std::int64_t index, std::string_view delta) {
  Part* part = part_at(type, index);
  if (part == nullptr || partial_bytes_ + delta.size() > kMaxPartialBytes) return;
  part->text += delta;
  partial_bytes_ += delta.size();
}

void Translator::on_message_update(const Json& record) {
  const Json* event = record.find("assistantMessageEvent");
  if (event == nullptr || !open_) return;
  const std::string_view type = event->text_at("type");
  const std::int64_t index = event->integer_at("contentIndex");
  if (type == "text_delta" || type == "thinking_delta") {
    const bool text = type == "text_delta";
    const std::string delta = joined(index, event->text_at("delta"));
    if (delta.empty()) return;
    announce();
    phase(text ? Phase::generating : Phase::thinking);
    append(text ? Part::Type::text : Part::Type::thinking, index, delta);
    sink_.on_streamed(text ? Part::Type::text : Part::Type::thinking, index, delta);
    sink_.on_event(text ? events::text_delta(open_->id, delta, index)
                        : events::thinking_delta(open_->id, delta, index));
  } else if (type.starts_with("toolcall_")) {
    on_tool_call(*event, type);
  }
}

void Translator::on_tool_call(const Json& event, std::string_view type) {
  const std::int64_t index = event.integer_at("contentIndex");
  Part* part = part_at(Part::Type::tool_call, index);
  if (part == nullptr) return;
  announce();
  if (type == "toolcall_start") {
    phase(Phase::generating);
    part->tool_call_id = event.text_at("id");
    part->name = event.text_at("toolName");
    sink_.on_event(events::tool_call_start(open_->id, part->tool_call_id, part->name, index));
  } else if (type == "toolcall_delta") {
    const std::string delta = joined(index, event.text_at("delta"));
    if (delta.empty()) return;
    sink_.on_event(events::tool_call_delta(open_->id, part->tool_call_id, delta, index));
  } else if (type == "toolcall_end") {
    const Json* call = event.find("toolCall");
    if (call == nullptr) return;
    part->tool_call_id = call->text_at("id");
    part->name = call->text_at("name");
    const Json* arguments = call->find("arguments");
    part->input = input_json(arguments);
    sink_.on_event(
        events::tool_call_end(open_->id, part->tool_call_id, part->name, part->input, index));
  }
}

void Translator::on_message_end(const Json& record) {
  const Json* pi = record.find("message");
  if (pi == nullptr) return;
  const std::string_view role = pi->text_at("role");
  if (role == "toolResult") {
    Message message = tool_message(*pi, new_id_());
    if (message.parts.front().whole_bytes == 0) return sink_.on_message(std::move(message));
    return sink_.on_cut_result(std::move(message), pi::full_output_path(*pi));
  }
  if (role == "user") sink_.on_user_message(plain_text(user_message(*pi, "")));
  if (role != "assistant") return;
  const bool streamed = open_ && announced_;
  Message message = assistant_message(*pi, open_ ? open_->id : new_id_());
  open_.reset();
  if (message.stop_reason == "stop" && is_empty(message)) {
    message.stop_reason = "error";
    message.error = "the model answered with nothing";
  }
  if (message.stop_reason == "error") {  // whether it stands is told later
    failed_ = Failed{std::move(message), streamed};
    return;
  }
  if (!streamed) sink_.on_event(events::message_start(message.id, protocol::Role::assistant));
  complete(std::move(message));
}

bool Translator::is_empty(const Message& message) {
  return std::all_of(message.parts.begin(), message.parts.end(), [](const Part& part) {
    return (part.type == Part::Type::text || part.type == Part::Type::thinking) && part.text.empty();
  });
}

void Translator::complete(Message message) {
  message.attempts = std::exchange(attempts_, {});
  sink_.on_message(std::move(message));
}

void Translator::retract_failed() {
  if (!failed_) return;
  constexpr std::size_t kMaxAttempts = 16;
  constexpr std::size_t kMaxAttemptText = 16 * 1024;
  const auto [message, shown] = std::move(*failed_);
  failed_.reset();
  const std::string text = plain_text(message);
  if (attempts_.size() < kMaxAttempts) {
    attempts_.push_back({message.error, std::string(protocol::cut_text(text, kMaxAttemptText))});
  }
  if (shown) sink_.on_event(events::message_retracted(message.id, message.error));
}

void Translator::release_failed() {
  if (!failed_) return;
  auto [message, shown] = std::move(*failed_);
  failed_.reset();
  const std::string error = message.error.empty() ? "the model's answer failed" : message.error;
  if (!shown) sink_.on_event(events::message_start(message.id, protocol::Role::assistant));
  complete(std::move(message));
  sink_.on_event(events::error(error, true, "generating"));
}

void Translator::on_agent_end(const Json& record) {
  if (!record.boolean_at("willRetry")) release_failed();
}

void Translator::settle() {
  if (open_) (void)abandon("the answer was cut short");
  release_failed();  // Pi settles without agent_end when it cannot write its session file
  tools_.clear();
  phase_.reset();
  sink_.on_settled();
}

void Translator::on_tool(const Json& record, std::string_view type, std::uint64_t now_ms) {
  const std::string_view call = record.text_at("toolCallId");
  const std::string_view name = record.text_at("toolName");
  if (type == "tool_execution_start") {
    if (tools_.size() < kMaxTools) {
      tools_.insert_or_assign(std::string(call), Tool{std::string(name), now_ms, 0});
    }
    phase(Phase::tool_running, name);
    const Json* args = record.find("args");
    const bool text = args != nullptr && args->text() != nullptr;  // JSON that is too much to be looked into
    sink_.on_tool_begins(call, name, args == nullptr ? "{}" : text ? *args->text() : args->dump());
    sink_.on_event(events::tool_start(call, name, input_json(args)));
    return;
  }
  const auto tool = tools_.find(call);
  if (tool == tools_.end()) return;
  if (type == "tool_execution_update") {
    const Json* partial = record.find("partialResult");
    if (partial == nullptr || now_ms < tool->second.progress_ms + kProgressIntervalMs) return;
    const std::string text = content_text(partial->find("content"));
    if (text.empty()) return;
    tool->second.progress_ms = now_ms;
    sink_.on_event(events::tool_progress(call, tool->second.name, text));
  } else if (type == "tool_execution_end") {
    const Json* result = record.find("result");
    const Json* content = result == nullptr ? nullptr : result->find("content");
    const std::string text = content_text(content);
    const auto measured = static_cast<std::int64_t>(now_ms - tool->second.started_ms);
    const std::int64_t took = record.integer_at("durationMs", measured);
    const auto took_ms = static_cast<std::uint64_t>(took < 0 ? 0 : took);
    const bool failed = record.boolean_at("isError");
    sink_.on_tool_ended(call, tool->second.name, failed, took_ms, is_text(content) ? text : content->dump());
    sink_.on_event(events::tool_end(call, tool->second.name, text, failed, took_ms));
    tools_.erase(tool);
    if (tools_.empty()) {
      phase(Phase::generating);
    } else {
      phase(Phase::tool_running, tools_.begin()->second.name);
    }
  }
}

void Translator::on_retry(const Json& record, bool start) {
  const std::int64_t attempt = record.integer_at("attempt");
  if (start) {
    phase(Phase::retrying);
    sink_.on_event(events::retry_start(attempt, record.integer_at("maxAttempts"),
                                       record.integer_at("delayMs"),
                                       record.text_at("errorMessage")));
  } else {
    sink_.on_event(events::retry_end(record.boolean_at("success"), attempt,
                                     record.text_at("finalError")));
  }
}

void Translator::on_compaction(const Json& record, bool start) {
  if (start) {
    phase(Phase::compacting);
    sink_.on_event(events::compact_start(record.text_at("reason")));
    return;
  }
  const Json* result = record.find("result");
  const bool done = result != nullptr && result->object() != nullptr;
  std::string error(record.text_at("errorMessage"));
  if (!done && error.empty()) error = "the compaction was aborted";
  std::optional<std::int64_t> before;
  if (done) before = result->integer_at("tokensBefore");
  sink_.on_event(events::compact_end(done, done ? "" : error,
                                     done ? result->text_at("summary") : "", before));
  phase(Phase::generating);
}

void Translator::on_dialog(const Json& record) {
  const std::string_view method = record.text_at("method");
  const std::string_view id = record.text_at("id");
  if (method == "select" || method == "confirm" || method == "input") {
    protocol::InputRequest request{.type = std::string(method), .request_id = std::string(id)};
    request.title = record.text_at("title");
    request.message = record.text_at("message");
    request.placeholder = record.text_at("placeholder");
    const std::int64_t timeout = record.integer_at("timeout");
    request.timeout_ms = timeout > 0 ? static_cast<std::uint64_t>(timeout) : 0;
    const Json* options = record.find("options");
    if (options != nullptr && options->array() != nullptr) {
      for (const Json& option : *options->array()) {
        if (option.text() != nullptr) request.options.push_back(*option.text());
      }
    }
    sink_.on_input_needed(std::move(request));
  } else if (method == "notify") {
    const std::string_view level = record.text_at("notifyType");
    const bool known = level == "warning" || level == "error";
    sink_.on_event(events::notify(known ? level : "info", record.text_at("message")));
  } else if (method == "setStatus") {
    const Json* text = record.find("statusText");
    std::optional<std::string> shown;
    if (text != nullptr && text->text() != nullptr) shown = *text->text();
    sink_.on_event(events::status(record.text_at("statusKey"), shown));
  } else if (method != "setWidget" && method != "setTitle" && method != "set_editor_text") {
    // The editor, or a dialog that we do not know: unanswered it would block the turn for ever.
    sink_.on_dialog_refused(id);
    sink_.on_event(events::notify("warning", "a dialog of an extension was cancelled: `" +
                                                 std::string(method) + "` cannot be shown here"));
  }
}

std::optional<Message> Translator::partial() const {
  if (failed_ && failed_->shown) return failed_->message;
  if (!open_ || !announced_) return std::nullopt;
  Message message = *open_;
  message.stop_reason.clear();
  return message;
}

void Translator::over() {
  tools_.clear();
  phase_.reset();
}

bool Translator::abandon(std::string_view why) {
  over();
  if (failed_) {
    release_failed();
    open_.reset();
    return true;
  }
  if (!open_) return false;
  Message message = std::move(*open_);
  open_.reset();
  if (!announced_) return false;
  for (auto& [index, joiner] : joiners_) {
    const std::string rest = joiner.finish();
    if (const auto part = blocks_.find(index); part != blocks_.end()) message.parts[part->second].text += rest;
  }
  message.stop_reason = "error";
  message.error = why;
  complete(std::move(message));
  return true;
}

}  // namespace oqto::runner
