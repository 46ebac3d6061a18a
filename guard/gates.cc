// What crosses a session's gate besides bytes: its sockets, its rules, and the questions that only
// its user can answer. We keep no state of a question: both ends do, and ours is to see that nobody
// asks or answers for a session that is not theirs.
#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "guard/guard.h"

namespace oqto::guard {
namespace {

bool is_filtered(const sandbox::Policy& policy) {
  return policy.network == policies::Network::filtered;
}

// Some rule of the session reaches this port, or its user may be asked about names at it.
bool may_reach(const sandbox::Policy& policy, std::uint16_t port) {
  if (policy.unknown_hosts != policies::Ask::deny && (port == 80 || port == 443)) return true;
  const std::string wanted = ':' + std::to_string(port);
  return std::ranges::any_of(policy.domains.values, [&](const std::string& rule) {
    return rule.ends_with(wanted) || rule.ends_with(":*");
  });
}

}  // namespace

Status Guard::send_gate(Session& session) {
  ipc::Channel& gateway = core(ipc::Process::gateway)->channel;
  if (!gateway) return fail(Errc::unavailable, "the gateway is not running");
  session.listening.clear();  // a gateway that is gone has taken its listeners along
  const ipc::GateUsage& used = session.usage;
  TRY(gateway.send(ipc::OpenGate{session.number, session.account, used.calls, used.tokens_in, used.tokens_out,
                                 used.cost_nanos, used.estimated_calls, session.id, session.policy.delegated_fetch,
                                 session.policy.audit_contents}));
  if (is_filtered(session.policy)) {
    ipc::GateRules rules;
    rules.session = session.number;
    rules.domains.values = session.policy.domains.values;
    rules.ask_unknown = session.policy.unknown_hosts == policies::Ask::prompt;
    rules.ask_timeout_s = static_cast<std::uint32_t>(session.policy.ask_timeout_s);
    TRY(gateway.send(rules));
    TRY(gateway.send(ipc::GateSocket{session.number, ipc::GateSocketKind::dns_tcp}, session.network.dns_tcp));
  }
  TRY(gateway.send(ipc::GateSocket{session.number, ipc::GateSocketKind::model}, session.network.model));
  return gateway.send(ipc::GateSocket{session.number, ipc::GateSocketKind::dns}, session.network.dns);
}

Status Guard::on_gate_listen(Child& child, ipc::Received& received) {
  const auto wanted = TRY(received.as<ipc::GateListen>());
  const GateAddress at{wanted.address, wanted.port};
  const auto refuse = [&](int error) {
    return child.channel.send(ipc::GateListenFailed{wanted.session, at.first, at.second,
                                                    static_cast<std::uint32_t>(error)});
  };
  Session* const session = find_session(wanted.session);
  if (session == nullptr || !session->network.netns) return refuse(ESRCH);  // it has just ended
  if (!is_filtered(session->policy) || !is_name_address(at.first) || !may_reach(session->policy, at.second)) {
    return fail(Errc::bad_message, "a listener that the session's policy has no use for");
  }
  if (session->listening.size() >= kMaxGateListeners) return refuse(EMFILE);
  if (session->listening.contains(at)) return refuse(EADDRINUSE);
  const auto listener = listen_in_network(own_.own_netns, session->network.netns, at);
  if (!listener) return refuse(listener.error().sys);  // the session may have taken the port
  session->listening.insert(at);
  return child.channel.send(ipc::GateListener{wanted.session, at.first, at.second}, *listener);
}

// --- questions to the session's user -------------------------------------------------------------

Status Guard::on_approval_ask(Child& child, ipc::Received& received) {
  auto ask = TRY(received.as<ipc::ApprovalAsk>());
  const bool from_gateway = child.process == ipc::Process::gateway;
  const bool about_host = ask.kind == ipc::ApprovalKind::host;
  if (from_gateway ? !about_host : ask.session != child.session) {
    return fail(Errc::bad_message, "a question that is not this process's to ask");
  }
  Session* const session = find_session(from_gateway ? ask.session : child.number);
  if (session == nullptr) return {};  // it has just ended
  ask.session = session->id;
  const sandbox::Policy& policy = session->policy;
  const bool may_ask = about_host ? is_filtered(policy) && policy.unknown_hosts == policies::Ask::prompt
                                    : std::ranges::any_of(policy.ask.values, [](const std::string& item) {
                                        return item.starts_with("prompt:");
                                      });
  if (!may_ask || ask.timeout_s == 0 || ask.timeout_s > policy.ask_timeout_s) {
    return fail(Errc::bad_message, "a question that the session's policy does not ask");
  }
  // The launcher adds which process it was, and sends the question back.
  Child* next = nullptr;
  if (session->state == Session::State::live) {
    next = from_gateway ? session->launcher.get() : tenants_.at(session->account).runner.get();
  }
  if (next == nullptr || !next->channel || !next->channel.send(ask)) {
    answer_approval(*session, {ask.session, ask.kind, ask.question, ipc::ApprovalChoice::deny});
  }
  return {};
}

Status Guard::on_approval_answer(Child& child, ipc::Received& received) {
  const auto answer = TRY(received.as<ipc::ApprovalAnswer>());
  Session* const session = session_of(child.account, answer.session);
  if (session != nullptr) answer_approval(*session, answer);  // else it has ended since it asked
  return {};
}

void Guard::answer_approval(Session& session, ipc::ApprovalAnswer answer) {
  if (answer.kind == ipc::ApprovalKind::host) answer.session = session.number;
  Child* const asker = answer.kind == ipc::ApprovalKind::host ? core(ipc::Process::gateway)
                                                              : session.launcher.get();
  // One that is gone, or does not read, has or will come to its own no.
  if (asker != nullptr && asker->channel) (void)asker->channel.send(answer);
}

}  // namespace oqto::guard
