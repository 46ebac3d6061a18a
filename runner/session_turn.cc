// Turns: prompts, what Pi makes of them, dialogs, abort, and when a turn is over.
#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "protocol/json_writer.h"
#include "runner/approval.h"
#include "runner/pi_messages.h"
#include "runner/session.h"

namespace oqto::runner {

using protocol::Code;
using protocol::Json;
using protocol::Message;
using protocol::Part;
namespace events = protocol::events;

static constexpr const char* kStopped = "the session is stopped: session.create starts it again";
static constexpr const char* kHistoryAway =
    "the history does not accept messages now; nothing was sent. Try again in a moment.";

void Session::prompt(const protocol::Prompt& prompt, pi::Delivery delivery, Reply reply) {
  if (!prompt.client_id.empty() && std::find(client_ids_.begin(), client_ids_.end(),
                                             prompt.client_id) != client_ids_.end()) {
    return reply("");  // accepted before
  }
  if (!pi_ || closing_) return reply(no(Code::unavailable, kStopped));
  const bool busy = turn_open_ || settled_;
  if (busy && (delivery == pi::Delivery::now || !ready_)) {
    return reply(no(Code::busy, "the agent is working: steer it, queue a follow-up, or stop it first"));
  }
  if (!prompt.images.empty() && !takes_images()) {
    return reply(no(Code::refused, "this model takes no pictures; nothing was sent. Choose another model, or send text alone."));
  }
  if (outbox_.troubled()) return reply(no(Code::unavailable, kHistoryAway));
  accept(prompt, delivery, std::move(reply));
}

static Message user_message(const protocol::Prompt& prompt) {
  std::string id = Uuid::random().text();
  std::erase(id, '-');
  Message message{.id = "msg_" + id, .role = protocol::Role::user, .created_at = sys::now_ms()};
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

// Accepted means durable: only then is it answered, shown and sent.
void Session::accept(const protocol::Prompt& prompt, pi::Delivery delivery, Reply reply) {
  title_from(prompt.message);
  Message message = user_message(prompt);
  outbox_.add(message);
  outbox_.when_stored(message.id, [this, message, prompt, delivery, reply](Status stored) {
    if (!stored) return reply(no(Code::unavailable, kHistoryAway));
    emit(events::user_message(message));
    if (!prompt.client_id.empty()) client_ids_.push_back(prompt.client_id);
    if (client_ids_.size() > kRememberedClientIds) client_ids_.pop_front();
    if (!pi_ || closing_) return reply(no(Code::unavailable, "the agent ended before it got the message"));
    record_.last_activity = sys::now_ms();
    if (ready_) {
      deliver(prompt, delivery);
    } else {
      turn_open_ = true;
      queued_ = prompt;
    }
    reply("");
  });
}

void Session::deliver(const protocol::Prompt& prompt, pi::Delivery delivery) {
  // The turn it was meant for may have ended while it was stored: then it begins one.
  if (!turn_open_) delivery = pi::Delivery::now;
  if (!turn_open_ || state_ != State::working) {
    turn_open_ = true;
    settled_ = false;
    set_state(State::working);
    on_phase(protocol::Phase::generating, {});
  }
  const std::string id = new_request([this](const Json* response) { on_prompt_answer(response); });
  requests_[id].timeout.cancel();  // compaction may come before the answer; Pi's end is noticed
  request(id, pi::prompt(id, prompt, delivery));
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
    emit(events::error("the harness refused the message: " + why, true));
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
}

void Session::abort(Reply reply) {
  if (!pi_ || closing_ || (!turn_open_ && !settled_)) return reply("");
  if (queued_) {  // Pi has not seen it yet
    queued_.reset();
    turn_open_ = false;
    return reply("");
  }
  aborts_.push_back(std::move(reply));
  if (settled_ || aborts_.size() > 1) return;
  for (const auto& [id, input] : inputs_) {
    if (!input.approval) on_dialog_refused(id);
  }
  resolve_inputs(true);
  request("", pi::plain("clear", "clear_queue"));  // else it would go on with what was queued
  const std::string id = new_request([this](const Json* response) {
    // agent_settled comes before this answer: without it there was nothing to settle.
    if (response != nullptr && turn_open_) on_settled();
  });
  request(id, pi::plain(id, "abort"));
  abort_deadline_ = host_.reactor().after(kAbortTimeoutMs, [this] {
    on_ended("it did not stop when told to, and was ended");
  });
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
  if (message.usage) cost_ += message.usage->cost;
  if (message.role == protocol::Role::assistant && !message.model.empty()) {
    model_ = message.model;
    provider_ = message.provider;
  }
  outbox_.add(message);
  emit(events::message_end(message));
  if (pi_ && outbox_.bytes() > kHoldBytes) pi_->hold(true);
}

void Session::on_input_needed(protocol::InputRequest request) {
  if (inputs_.size() >= kMaxInputs || request.request_id.empty()) {
    on_dialog_refused(request.request_id);
    return;
  }
  const std::string id = request.request_id;
  Input& input = inputs_[id];
  if (request.timeout_ms != 0) {  // Pi resolves it by itself and does not say so
    input.timeout = host_.reactor().after(request.timeout_ms, [this, id] {
      inputs_.erase(id);
      emit(events::input_resolved(id));
    });
  }
  since_ms_ = sys::now_ms();
  emit(events::input_needed(request));
  input.request = std::move(request);
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
                            std::uint64_t took_ms) {
  ipc::AuditAppend record = tool_record(call, tool, session_uuid(record_.id));
  record.outcome = failed ? ipc::Outcome::failure : ipc::Outcome::success;
  record.add(ipc::FieldKey::duration_ms, std::to_string(took_ms));
  if (!host_.record(std::move(record))) log::warn("the end of a tool call was not recorded");
}

void Session::on_dialog_refused(std::string_view request_id) {
  protocol::InputResponse cancel;
  cancel.request_id = request_id;
  cancel.cancelled = true;
  if (pi_) (void)pi_->send(pi::dialog_answer(cancel));
}

// A process in the background may ask, and wait for its answer, when the turn is over.
void Session::resolve_inputs(bool approvals_too) {
  std::vector<std::pair<std::string, bool>> open;
  for (const auto& [id, input] : inputs_) open.emplace_back(id, input.approval.has_value());
  for (const auto& [id, approval] : open) {
    if (approval && approvals_too) close_approval(id, ipc::ApprovalChoice::deny);
    if (!approval && inputs_.erase(id) != 0) emit(events::input_resolved(id));
  }
}

// --- questions of the host -----------------------------------------------------------------------

void Session::on_approval_ask(const ipc::ApprovalAsk& ask) {
  const std::string id = "approval-" + Uuid::random().text();
  const bool room = inputs_.size() < kMaxInputs;
  if (!pi_ || closing_ || !room || !host_.record(approval_record(ask, id))) {
    return host_.guard().answer_approval(ask, ipc::ApprovalChoice::deny);
  }
  Input& input = inputs_[id];
  input.request = approval_request(ask, id);
  input.approval = ask;
  input.timeout = host_.reactor().after(input.request.timeout_ms,
                                        [this, id] { close_approval(id, ipc::ApprovalChoice::deny); });
  since_ms_ = sys::now_ms();
  emit(events::input_needed(input.request));
}

void Session::close_approval(const std::string& request_id, ipc::ApprovalChoice choice) {
  const auto found = inputs_.find(request_id);
  if (found == inputs_.end()) return;
  host_.guard().answer_approval(*found->second.approval, choice);
  const std::string id = found->first;
  inputs_.erase(found);
  since_ms_ = sys::now_ms();
  emit(events::input_resolved(id));
  // Whoever saw the session wait must learn that it does not work now either.
  if (inputs_.empty() && state_ == State::idle) emit(events::idle(version_, record_.message_count));
}

void Session::answer_approval(const std::string& request_id, const protocol::InputResponse& response,
                              const Reply& reply) {
  const auto choice = approval_choice(response);
  if (!choice) return reply(no(Code::bad_request, "the answers are: Once, For this session, Deny"));
  close_approval(request_id, *choice);
  reply("");
}

void Session::answer_input(const protocol::InputResponse& response, Reply reply) {
  const auto input = inputs_.find(response.request_id);
  if (input == inputs_.end()) return reply(no(Code::not_found, "no such question is open"));
  if (input->second.approval) return answer_approval(input->first, response, reply);
  if (!pi_ || !pi_->send(pi::dialog_answer(response))) {
    return reply(no(Code::unavailable, "the harness does not read its input"));
  }
  inputs_.erase(input);
  since_ms_ = sys::now_ms();
  emit(events::input_resolved(response.request_id));
  reply("");
}

void Session::on_thinking_level(std::string_view level) {
  thinking_level_ = level;
  emit(events::thinking_level_changed(level));
}

void Session::on_settled() {
  resolve_inputs(false);
  turn_open_ = false;
  settled_ = true;
  go_idle_if_durable();
}

// --- what is durable -----------------------------------------------------------------------------

ConversationHead Session::conversation() const {
  return {record_.id, record_.workspace, record_.title, model_, provider_, record_.created_at};
}

void Session::on_stored(const Written& written) {
  if (written.version != 0) version_ = written.version;
  record_.message_count = written.message_count;
  if (written.version != 0) emit(events::persisted(written.message_count));
  if (pi_ && outbox_.bytes() <= kHoldBytes / 2) pi_->hold(false);
  go_idle_if_durable();
}

void Session::on_history_trouble(const char* what) {
  log::warn("the history has trouble", {{"session", record_.id}, {"what", what}});
  if (state_ == State::working) {
    emit(events::error("messages wait to be stored: " + std::string(what), true));
  }
}

void Session::go_idle_if_durable() {
  if (!settled_ || !outbox_.empty() || !pi_) return;
  settled_ = false;
  record_.last_activity = sys::now_ms();
  set_state(State::idle);
  emit(events::idle(version_, record_.message_count));
  answer_aborts("");
}

}  // namespace oqto::runner
