#include "runner/guard_link.h"

#include "base/log.h"

namespace oqto::runner {

GuardLink::GuardLink(Reactor& reactor, GuardEvents& events)
    : reactor_(reactor),
      events_(events),
      peer_(reactor, [this](ipc::Received& received) { on_message(received); },
            [this](const Error&) { events_.on_guard_gone(); }) {}

GuardLink::Request* GuardLink::open_request(std::uint64_t number,
                                            std::function<void(GuardRefusal)> refused) {
  if (requests_.size() >= kMaxRequests) {
    refused({ipc::Refusal::limit, "too many requests to the guard at once: try again in a moment"});
    return nullptr;
  }
  Request& request = requests_[number];
  request.refused = std::move(refused);
  request.timeout = reactor_.after(kTimeoutMs, [this, number] {
    refuse(number, {ipc::Refusal::unavailable, "the guard did not answer in time"});
  });
  return &request;
}

void GuardLink::refuse(std::uint64_t number, GuardRefusal refusal) {
  const auto found = requests_.find(number);
  if (found == requests_.end()) return;
  const Request request = std::move(found->second);
  requests_.erase(found);
  request.refused(std::move(refusal));
}

static GuardRefusal unreachable() {
  return {ipc::Refusal::unavailable, "the guard does not take requests now: try again in a moment"};
}

void GuardLink::create_workspace(const Uuid& id,
                                 std::function<void(std::expected<void, GuardRefusal>)> done) {
  const std::uint64_t number = next_request_++;
  Request* request = open_request(
      number, [done](GuardRefusal refusal) { done(std::unexpected(std::move(refusal))); });
  if (request == nullptr) return;
  request->workspace_created = [done] { done({}); };
  if (!peer_.send(ipc::CreateWorkspace{number, id})) refuse(number, unreachable());
}

void GuardLink::start_session(const Uuid& session, const Uuid& workspace, ipc::Profile profile,
                              OnStarted done) {
  const std::uint64_t number = next_request_++;
  Request* request = open_request(
      number, [done](GuardRefusal refusal) { done(std::unexpected(std::move(refusal))); });
  if (request == nullptr) return;
  request->session_started = [done](Started started) { done(std::move(started)); };
  const ipc::StartSession message{number, session, workspace, profile, ipc::Harness::pi};
  if (!peer_.send(message)) refuse(number, unreachable());
}

void GuardLink::stop_session(const Uuid& session, ipc::StopReason reason) {
  if (!peer_.send(ipc::StopSession{session, reason})) log::warn("the guard was not told to stop a session");
}

void GuardLink::answer_approval(const ipc::ApprovalAsk& ask, ipc::ApprovalChoice choice) {
  // Unsent, it is a no: the asker does not wait for ever.
  const ipc::ApprovalAnswer answer{ask.session, ask.kind, ask.question, choice};
  if (!peer_.send(answer)) log::warn("an answer of the user did not reach the guard");
}

bool GuardLink::on_answer(ipc::Received& received) {
  if (received.tag == ipc::Tag::refused) {
    if (const auto no = received.as<ipc::Refused>()) refuse(no->request, {no->refusal, no->why.str()});
    return true;
  }
  std::uint64_t number = 0;
  Uuid session;
  Started started;
  if (received.tag == ipc::Tag::workspace_created) {
    const auto made = received.as<ipc::WorkspaceCreated>();
    if (made) number = made->request;
  } else if (received.tag == ipc::Tag::session_started) {
    const auto begun = received.as<ipc::SessionStarted>();
    if (begun) {
      number = begun->request;
      session = begun->session;
      started.answer = *begun;
      started.init = std::move(received.fd);
    }
  } else {
    return false;
  }
  const auto found = requests_.find(number);
  if (found == requests_.end()) {
    if (started.init) stop_session(session, ipc::StopReason::given_up);  // we had given up on it
    return true;
  }
  const Request request = std::move(found->second);
  requests_.erase(found);
  if (request.workspace_created && !started.init) request.workspace_created();
  if (request.session_started && started.init) request.session_started(std::move(started));
  return true;
}

void GuardLink::on_message(ipc::Received& received) {
  if (on_answer(received)) return;
  switch (received.tag) {
    case ipc::Tag::connection:
      if (const auto opened = received.as<ipc::Connection>()) {
        events_.on_connection(*opened, std::move(received.fd));
      }
      break;
    case ipc::Tag::disconnect:
      if (const auto closed = received.as<ipc::Disconnect>()) events_.on_disconnect(closed->connection);
      break;
    case ipc::Tag::session_ended:
      if (const auto ended = received.as<ipc::SessionEnded>()) {
        events_.on_session_ended(ended->session, ended->why.view());
      }
      break;
    case ipc::Tag::session_usage:
      if (const auto usage = received.as<ipc::SessionUsage>()) events_.on_session_usage(*usage);
      break;
    case ipc::Tag::host_facts:
      if (const auto facts = received.as<ipc::HostFacts>()) {
        events_.on_host_facts(*facts, std::move(received.fd));
      }
      break;
    case ipc::Tag::approval_ask:
      if (const auto ask = received.as<ipc::ApprovalAsk>()) events_.on_approval_ask(*ask);
      break;
    case ipc::Tag::wire:
      if (const auto wire = received.as<ipc::Wire>()) {
        events_.on_wire(wire->role, std::move(received.fd));
      }
      break;
    default:
      log::warn("the guard sent a message that is not for a runner");
  }
}

}  // namespace oqto::runner
