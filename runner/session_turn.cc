// Turns: prompts, what Pi makes of them, abort, and when a turn is over.
#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "protocol/json_writer.h"
#include "runner/pi_messages.h"
#include "runner/session.h"

namespace oqto::runner {

using protocol::Code;
using protocol::Json;
using protocol::Message;
using protocol::Part;
namespace events = protocol::events;

static constexpr const char* kHistoryAway =
    "the history does not accept messages now; nothing was sent. Try again in a moment.";
// What the history says then: whoever sends the message again is not refused as a repetition.
static constexpr const char* kNotSent = "this message was not sent to the agent";

void Session::remember_client_id(const std::string& client_id) {
  if (client_id.empty()) return;
  client_ids_.push_back(client_id);
  if (client_ids_.size() <= kRememberedClientIds) return;
  client_ids_.pop_front();
  all_client_ids_ = false;
}

void Session::on_opened(const Page& last) {
  all_client_ids_ = !last.has_more;
  for (std::size_t i = 0; i < last.messages.size(); ++i) {
    const Message& message = last.messages[i];
    const bool unsent = i + 1 < last.messages.size() && last.messages[i + 1].error.starts_with(kNotSent);
    if (!unsent) remember_client_id(message.client_id);
    // It was delivered, and only its place in the queue was not cleared.
    const std::string id = message.id.starts_with("msg_") ? message.id.substr(4) : message.id;
    if (queue_.find(id) != nullptr) queue_.remove(id);
  }
  unfinished_ = left_.has_value() || (!last.messages.empty() && !ends_turn(last.messages.back()));
}

// Does the task unless this client has said the same before: then it was accepted.
void Session::when_new(const std::string& client_id, const Reply& reply, std::function<void()> task) {
  const bool known = std::find(client_ids_.begin(), client_ids_.end(), client_id) != client_ids_.end();
  if (client_id.empty()) return task();
  if (known || queue_.has_client_id(client_id)) return reply("");
  if (all_client_ids_ || !stored_) return task();
  host_.history().of_client(record_.id, client_id, [this, reply, task, alive = alive_](Result<Page> page) {
    if (!*alive) return reply(no(Code::not_found, "the session was deleted"));
    if (!page) return reply(no(Code::unavailable, kHistoryAway));
    if (page->messages.empty()) return task();
    reply("");
  });
}

void Session::prompt(const protocol::Prompt& prompt, pi::Delivery delivery, Reply reply) {
  // What is asleep wakes, and is compared with the harness's file before something new is said.
  const auto can_take = [this] { return pi_ && sandbox_alive_ && !closing_ && (ready_ || !unfinished_); };
  if (can_take()) return take(prompt, delivery, std::move(reply));
  const auto go_on = [this, prompt, delivery, reply, alive = alive_](const Answer& woken) {
    if (!woken) return reply(woken);
    if (!*alive) return reply(no(Code::not_found, "the session was deleted"));
    take(prompt, delivery, reply);
  };
  wake([this, go_on, can_take, alive = alive_](const Answer& woken) {
    if (!woken || !*alive || can_take()) return go_on(woken);
    when_ready_.push_back(go_on);
  });
}

void Session::take(const protocol::Prompt& prompt, pi::Delivery delivery, Reply reply) {
  when_new(prompt.client_id, reply, [this, prompt, delivery, reply, alive = alive_] {
    if (!*alive) return;
    if (!prompt.images.empty() && !takes_images()) {
      return reply(no(Code::refused,
                      "this model takes no pictures; nothing was sent. Choose another model, or send text alone."));
    }
    if (!turn_open_) return accept(prompt, reply);
    if (delivery == pi::Delivery::now) {
      return reply(no(Code::busy, "the agent is working: steer it, queue a follow-up, or stop it first"));
    }
    enqueue(prompt, delivery == pi::Delivery::steer, reply);
  });
}

static Message user_message(const protocol::Prompt& prompt, std::string id) {
  Message message{.id = std::move(id), .role = protocol::Role::user, .created_at = sys::now_ms()};
  message.client_id = prompt.client_id;
  message.parts.push_back({.type = Part::Type::text, .id = part_id(message.id, 0), .text = prompt.message});
  for (const protocol::Image& image : prompt.images) {
    message.parts.push_back({.type = Part::Type::image,
                             .id = part_id(message.id, message.parts.size()),
                             .data = image.data,
                             .mime_type = image.media_type});
  }
  return message;
}

// Accepted means durable: only then is it answered. As long as the history keeps up, the agent does not wait
// for that: the journal has the message, should this process end before the history does.
void Session::accept(const protocol::Prompt& prompt, const Reply& reply) {
  turn_open_ = true;
  deliveries_ = 0;
  Message message = user_message(prompt, new_message_id());
  const bool at_once = ready_ && journal_.open() == false && outbox_.empty() && !outbox_.troubled();
  journal_.begin_turn(message);
  const bool kept = journal_.open();
  const Message whole = message;
  outbox_.add(message);
  if (at_once && kept) {
    begin(whole, prompt);
    // It is sent: it stays in the outbox, and in the journal, until the history has it.
    return outbox_.when_stored(whole.id, Outbox::Late::keep, [reply](Status) { reply(""); });
  }
  outbox_.when_stored(whole.id, Outbox::Late::take_back, [this, whole, prompt, reply](Status stored) {
    if (stored) {
      begin(whole, prompt);
      return reply("");
    }
    refused_.push_back(whole.id);
    turn_open_ = false;
    if (!settled_) journal_.end_turn();
    go_idle_if_durable();
    reply(no(Code::unavailable, kHistoryAway));
  });
}

void Session::begin(const Message& message, const protocol::Prompt& prompt) {
  title_from(prompt.message);
  emit(events::user_message(message));
  remember_client_id(prompt.client_id);
  record_.last_activity = sys::now_ms();
  if (!pi_ || closing_) return add_marker("the agent ended before it got this message");
  if (ready_) return deliver(prompt);
  queued_ = prompt;
}

// The client was told that it was not sent, and so it is not: the conversation says so.
void Session::on_stored_after_all(const std::string& id) {
  if (std::erase(refused_, id) == 0) return;
  add_marker(std::string(kNotSent) + ": the history did not answer in time");
}

void Session::deliver(const protocol::Prompt& prompt) {
  turn_open_ = true;
  settled_ = false;
  last_stop_.clear();
  journal_.delivered(++deliveries_);
  set_state(State::working);
  on_phase(protocol::Phase::generating, {});
  const std::string id = new_request([this](const Json* response) { on_prompt_answer(response); });
  requests_[id].timeout.cancel();  // compaction may come before the answer; Pi's end is noticed
  request(id, pi::prompt(id, prompt, pi::Delivery::now));
}

void Session::on_prompt_answer(const Json* response) {
  if (!pi_) return;
  const bool good = response != nullptr && response->boolean_at("success");
  const Json* data = response == nullptr ? nullptr : response->find("data");
  const bool handled = data != nullptr && data->text_at("disposition") == "handled";
  if (good && !handled) return;
  if (!good) {
    const std::string why = response == nullptr ? "the harness does not read its input"
                                                : std::string(response->text_at("error"));
    add_marker("the harness refused the message: " + why);
    emit(events::error("the harness refused the message: " + why, true));
    last_stop_ = "error";
  }
  if (!translator_.running()) on_settled();
}

void Session::title_from(const std::string& text) {
  if (record_.titled) return;
  constexpr std::size_t kMaxCharacters = 60;
  std::string_view line = text;
  while (!line.empty() && static_cast<unsigned char>(line.front()) <= ' ') line.remove_prefix(1);
  line = line.substr(0, line.find_first_of("\r\n"));
  std::size_t end = 0;
  for (std::size_t count = 0; end < line.size(); ++end) {
    const bool begins = (static_cast<unsigned char>(line[end]) & 0xc0) != 0x80;
    if (begins && count++ == kMaxCharacters) break;
  }
  record_.title = line.substr(0, end);
  record_.titled = true;
  outbox_.head_changed();
  if (!host_.save_registry()) log::warn("the registry was not written");
  emit(events::title_changed(record_.title));
  host_.on_changed(*this);
}

void Session::abort(Reply reply) {
  if (!pi_ || closing_ || (!turn_open_ && !settled_)) return reply("");
  if (queued_) {  // Pi has not seen it yet
    queued_.reset();
    turn_open_ = false;
    add_marker("stopped before the agent had started");
    return reply("");
  }
  aborts_.push_back(std::move(reply));
  if (aborts_.size() > 1) return;
  // What is settled waits for the history alone, which may be away: the answer does not wait that long.
  abort_deadline_ = host_.reactor().after(kAbortTimeoutMs, [this] {
    if (settled_) return answer_aborts("");
    on_ended("it did not stop when told to, and was ended");
  });
  if (settled_) return;
  for (const auto& [id, input] : inputs_) {
    if (!input.approval) on_dialog_refused(id);
  }
  resolve_inputs(true);
  take_back_steering();  // else it would go on with what was queued
  const std::string id = new_request([this](const Json* response) {
    // agent_settled comes before this answer: without it there was nothing to settle.
    if (response != nullptr && turn_open_) on_settled();
  });
  request(id, pi::plain(id, "abort"));
}

void Session::answer_aborts(const Answer& answer) {
  abort_deadline_.cancel();
  for (const Reply& reply : std::exchange(aborts_, {})) reply(answer);
}

// --- TranslatorSink ------------------------------------------------------------------------------

void Session::on_phase(protocol::Phase phase, std::string_view detail) {
  if (phase != protocol::Phase::initializing) {
    turn_open_ = true;
    settled_ = false;
    set_state(State::working);
  }
  if (phase_ && phase_->first == phase && phase_->second == detail) return;
  phase_.emplace(phase, detail);
  emit(events::working(phase, detail));
}

void Session::on_message(Message message) {
  message.model.resize(std::min(message.model.size(), kMaxModelName));
  message.provider.resize(std::min(message.provider.size(), kMaxModelName));
  if (message.role == protocol::Role::assistant) {
    last_stop_ = message.stop_reason;
    if (!message.model.empty()) {
      model_ = message.model;
      provider_ = message.provider;
    }
  }
  outbox_.add(message);
  emit(events::message_end(message));
  if (pi_ && outbox_.bytes() > kHoldBytes) pi_->hold(true);
}

// The tool's own file has all of it; it goes with the sandbox, so it is read at once.
void Session::on_cut_result(Message message, std::string path) {
  const std::string message_id = message.id;
  const std::string part = message.parts.front().id;
  on_message(std::move(message));
  std::erase_if(inside_, [](const auto& program) { return program->done(); });
  if (!sandbox_) return;
  if (inside_.size() >= kMaxInside) return log::warn("the whole output of a tool was not kept: others are being read");
  const InsideProgram::Bounds bounds{.output = kMaxFullOutput, .time_ms = 30'000};
  inside_.push_back(std::make_unique<InsideProgram>(
      host_.reactor(), *sandbox_, pi::read_file(path), bounds,
      [this, message_id, part, alive = alive_](Result<InsideProgram::Said> said) {
        if (!*alive) return;
        if (!said) return log::warn("the whole output of a tool was not kept", {{"why", said.error().what}});
        const std::size_t bytes = said->output.size();
        if (keeping_ + bytes > kMaxFullOutput) return log::warn("the whole output of a tool was not kept: too much waits");
        keeping_ += bytes;
        host_.history().put_part(record_.id, message_id, {part, std::move(said->output)}, [this, bytes, alive](Status stored) {
          if (*alive) keeping_ -= bytes;
          if (!stored) log::warn("the whole output of a tool was not kept", {{"why", stored.error().what}});
        });
      }));
}

static ipc::AuditAppend tool_record(std::string_view call, std::string_view tool, const Uuid& session) {
  ipc::AuditAppend record;
  record.event = ipc::Event::tool_call;
  record.phase = ipc::Phase::event;
  record.add(ipc::FieldKey::session, session.text());
  record.add(ipc::FieldKey::tool, tool).add(ipc::FieldKey::call_id, call);
  return record;
}

void Session::on_tool_begins(std::string_view call, std::string_view tool,
                             const std::string& args_json) {
  host_.record_with_args(tool_record(call, tool, session_uuid(record_.id)), args_json);
}

void Session::on_tool_ended(std::string_view call, std::string_view tool, bool failed,
                            std::uint64_t took_ms, const std::string& output) {
  ipc::AuditAppend record = tool_record(call, tool, session_uuid(record_.id));
  record.outcome = failed ? ipc::Outcome::failure : ipc::Outcome::success;
  record.add(ipc::FieldKey::duration_ms, std::to_string(took_ms));
  host_.record_with_output(std::move(record), output, audit_contents_);
}

// What a harness says and we cannot read may be a tool call: the log has that there was something.
void Session::on_unreadable(std::string_view what) {
  ipc::AuditAppend record;
  record.event = ipc::Event::violation;
  record.phase = ipc::Phase::event;
  record.outcome = ipc::Outcome::failure;
  record.add(ipc::FieldKey::session, session_uuid(record_.id).text());
  record.add(ipc::FieldKey::reason, "the harness wrote what cannot be read: " + std::string(what));
  host_.keep_record(std::move(record));
}

void Session::on_thinking_level(std::string_view level) {
  thinking_level_ = level;
  emit(events::thinking_level_changed(level));
}

void Session::on_settled() {
  resolve_inputs(false);
  const bool failed = last_stop_ == "error" || last_stop_ == "aborted";
  if (failed || !aborts_.empty()) {
    const bool stopped = !aborts_.empty() || last_stop_ == "aborted";
    if (queue_.return_all(stopped ? "the agent was stopped" : "the turn before it failed")) queue_changed();
  }
  if (deliver_next()) return;
  turn_open_ = false;
  settled_ = true;
  go_idle_if_durable();
}

// --- what is durable -----------------------------------------------------------------------------

ConversationHead Session::conversation() const {
  return {record_.id, record_.workspace, record_.title, model_, provider_, record_.created_at, usage()};
}

void Session::on_stored(const Written& written) {
  if (written.version != 0) version_ = written.version;
  record_.message_count = written.message_count;
  if (written.version != 0) emit(events::persisted(written.message_count));
  if (pi_ && outbox_.bytes() <= kHoldBytes / 2) pi_->hold(false);
  if (!pi_ && !unfinished_ && outbox_.empty()) journal_.end_turn();
  go_idle_if_durable();
}

void Session::on_history_trouble(const char* what) {
  log::warn("the history has trouble", {{"session", record_.id}, {"what", what}});
  if (state_ == State::working) {
    emit(events::error("messages wait to be stored: " + std::string(what), true));
  }
}

void Session::go_idle_if_durable() {
  if (!settled_ || turn_open_ || !outbox_.empty() || !pi_) return;
  settled_ = false;
  unfinished_ = false;
  journal_.end_turn();
  record_.last_activity = sys::now_ms();
  set_state(State::idle);
  emit(events::idle(version_, record_.message_count));
  host_.on_changed(*this);
  answer_aborts("");
  outbox_.write_head();
}

}  // namespace oqto::runner
