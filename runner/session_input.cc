// Questions to the session's user: of the harness, and of the host.
#include "base/log.h"
#include "base/sys.h"
#include "runner/approval.h"
#include "runner/session.h"

namespace oqto::runner {

using protocol::Code;
namespace events = protocol::events;

void Session::on_input_needed(protocol::InputRequest request) {
  // What cannot be shown whole, beside all others, in one frame.
  const bool long_list = request.request_id.size() > 128 || protocol::encode_input_request(request).size() > kMaxInputBytes;
  if (inputs_.size() >= kMaxInputs || long_list || request.request_id.empty()) {
    on_dialog_refused(request.request_id);
    emit(events::notify("warning", long_list
                                       ? "a question of the agent was cancelled: it is too long to be shown"
                                       : "a question of the agent was cancelled: 16 are open already"));
    return;
  }
  const std::string id = request.request_id;
  Input& input = inputs_[id];
  if (request.timeout_ms != 0) {  // Pi resolves it by itself and does not say so
    input.timeout = host_.reactor().after(request.timeout_ms, [this, id] { resolve_input(id, {.how = "timeout"}); });
  }
  since_ms_ = sys::now_ms();
  input.request = request;
  emit(events::input_needed(request));
  host_.on_changed(*this);
}

void Session::on_dialog_refused(std::string_view request_id) {
  protocol::InputResponse cancel;
  cancel.request_id = request_id;
  cancel.cancelled = true;
  if (pi_) (void)pi_->send(pi::dialog_answer(cancel));
}

void Session::resolve_input(const std::string& request_id, const protocol::InputResolution& how) {
  const std::string id = request_id;  // it may lie in what is erased
  if (inputs_.erase(id) == 0) return;
  since_ms_ = sys::now_ms();
  emit(events::input_resolved(id, how));
  // Whoever saw the session wait must learn that it does not work now either.
  if (inputs_.empty() && state_ == State::idle) emit(events::idle(version_, record_.message_count));
  host_.on_changed(*this);
}

// A process in the background may ask, and wait for its answer, when the turn is over.
void Session::resolve_inputs(bool approvals_too) {
  std::vector<std::pair<std::string, bool>> open;
  for (const auto& [id, input] : inputs_) open.emplace_back(id, input.approval.has_value());
  for (const auto& [id, approval] : open) {
    if (approval && approvals_too) close_approval(id, ipc::ApprovalChoice::deny, {.how = "ended"});
    if (!approval) resolve_input(id, {.how = "ended"});
  }
}

// --- questions of the host -----------------------------------------------------------------------

void Session::on_approval_ask(const ipc::ApprovalAsk& ask) {
  const std::string id = "approval-" + Uuid::random().text();
  const bool room = inputs_.size() < kMaxInputs;
  if (!room) emit(events::notify("warning", "a question of the host was denied: 16 are open already"));
  if (!pi_ || closing_ || !room || !host_.record(approval_record(ask, id))) {
    return host_.guard().answer_approval(ask, ipc::ApprovalChoice::deny);
  }
  Input& input = inputs_[id];
  input.request = approval_request(ask, id);
  input.approval = ask;
  input.timeout = host_.reactor().after(input.request.timeout_ms, [this, id] {
    close_approval(id, ipc::ApprovalChoice::deny, {.how = "timeout"});
  });
  since_ms_ = sys::now_ms();
  emit(events::input_needed(input.request));
  host_.on_changed(*this);
}

void Session::close_approval(const std::string& request_id, ipc::ApprovalChoice choice,
                             const protocol::InputResolution& how) {
  const auto found = inputs_.find(request_id);
  if (found == inputs_.end()) return;
  host_.guard().answer_approval(*found->second.approval, choice);
  resolve_input(request_id, how);
}

void Session::answer_approval(const std::string& request_id, const protocol::InputResponse& response,
                              std::string_view by, const Reply& reply) {
  const auto choice = approval_choice(response);
  if (!choice) return reply(no(Code::bad_request, "the answers are: Once, For this session, Deny"));
  close_approval(request_id, *choice,
                 {.how = "answered", .by = std::string(by), .answer = response.value.value_or("Deny")});
  reply("");
}

static std::string answer_text(const protocol::InputResponse& response) {
  if (response.value) return *response.value;
  return response.confirmed.value_or(false) ? "yes" : response.cancelled ? "cancelled" : "no";
}

void Session::answer_input(const protocol::InputResponse& response, std::string_view by, const Reply& reply) {
  const auto input = inputs_.find(response.request_id);
  if (input == inputs_.end()) return reply(no(Code::not_found, "no such question is open"));
  if (input->second.approval) return answer_approval(response.request_id, response, by, reply);
  if (!pi_ || !pi_->send(pi::dialog_answer(response))) {
    return reply(no(Code::unavailable, "the harness does not read its input"));
  }
  resolve_input(response.request_id, {.how = "answered", .by = std::string(by), .answer = answer_text(response)});
  reply("");
}

}  // namespace oqto::runner
