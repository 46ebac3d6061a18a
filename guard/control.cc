// oqtoctl on the root-only socket: rows of our own tables, kills, and a channel to accounts.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "guard/guard.h"

namespace oqto::guard {

void Operator::on_ready(std::uint32_t) { guard.operator_message(*this); }

void Guard::accept_operator() {
  Fd fd = Fd::adopt(::accept4(own_.operator_socket.get(), nullptr, nullptr,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != 0) return;
  if (operators_.size() >= kMaxOperators) return;
  auto entry = std::make_unique<Operator>(*this, ipc::Channel(std::move(fd)));
  entry->uid = sys::login_uid(peer.pid).value_or(peer.uid);
  if (loop_.watch(entry->channel.fd(), *entry)) operators_.push_back(std::move(entry));
}

void Guard::operator_message(Operator& peer) {
  if (peer.closed) return;
  const auto received = peer.channel.receive();
  if (!received && received.error().code == Errc::limit) return;
  Status status = received ? Status{} : Status(std::unexpected(received.error()));
  if (received) {
    const auto request = received->as<ipc::CtlRequest>();
    status = request ? answer_operator(peer, *request) : Status(std::unexpected(request.error()));
  }
  if (!status) close_operator(peer);
}

void Guard::close_operator(Operator& peer) {
  if (std::exchange(peer.closed, true)) return;  // removed in tick()
  loop_.unwatch(peer.channel.fd(), peer);
  peer.channel = ipc::Channel();
}

Status Guard::answer_operator(Operator& peer, const ipc::CtlRequest& request) {
  if (request.version != ipc::kProtocolVersion) {
    return peer.channel.send(ipc::CtlEnd{0, "oqtoctl and the running host are of different versions"});
  }
  if (request.verb == ipc::CtlVerb::status) {
    peer.asks_status = true;
    return ask_health(), Status();
  }
  if (request.verb == ipc::CtlVerb::accounts) {
    const auto ends = TRY(sys::seqpacket_pair());
    Child& accounts = *core(ipc::Process::accounts);
    if (!accounts.channel || !accounts.channel.send(ipc::AdminPeer{peer.uid, request.operator_name}, ends.first)) {
      return peer.channel.send(ipc::CtlEnd{0, "accounts is not running; see `oqtoctl status`"});
    }
    return peer.channel.send(ipc::CtlAccounts{}, ends.second);
  }
  if (request.verb == ipc::CtlVerb::audit_erase || request.verb == ipc::CtlVerb::audit_prune) {
    return manage_audit(peer, request);
  }
  ipc::AuditAppend act = happened(ipc::Event::admin);
  act.add(ipc::FieldKey::operator_uid, std::to_string(peer.uid));
  if (const auto name = request.operator_name.str(); !name.empty()) {
    act.add(ipc::FieldKey::operator_name, name + " (claimed)");
  }
  if (request.verb == ipc::CtlVerb::reload) {
    if (reload_ || stopping_) return peer.channel.send(ipc::CtlEnd{0, "a reload or a stop is under way: try again later"});
    begin_reload(std::move(act.add(ipc::FieldKey::command, "reload")), &peer);
    return {};
  }
  if (request.verb == ipc::CtlVerb::kill_session) {
    std::vector<const Session*> meant;
    for (const auto& [number, session] : sessions_) {
      const bool is_theirs = request.account == 0 || request.account == session->account;
      if (is_theirs && session->id == request.session) meant.push_back(session.get());
    }
    if (meant.empty()) return peer.channel.send(ipc::CtlEnd{0, "there is no such session"});
    if (meant.size() > 1) return peer.channel.send(ipc::CtlEnd{0, "several tenants have a session of this id: name the tenant, too"});
    act.add(ipc::FieldKey::command, "kill session")
        .add(ipc::FieldKey::session, request.session.text())
        .add(ipc::FieldKey::account, std::to_string(meant.front()->account));
    record(std::move(act));
    end_session(meant.front()->number, "killed by the operator");
    return peer.channel.send(ipc::CtlEnd{1, ""});
  }
  if (request.verb != ipc::CtlVerb::kill_tenant) return peer.channel.send(ipc::CtlEnd{0, "this host does not know that"});
  const auto tenant = tenants_.find(request.account);
  if (tenant == tenants_.end()) return peer.channel.send(ipc::CtlEnd{0, "this tenant is not active"});
  act.add(ipc::FieldKey::command, "kill tenant")
      .add(ipc::FieldKey::account, std::to_string(request.account));
  record(std::move(act));
  kill_tenant_sessions(request.account, "killed by the operator");
  for (Child* child : {tenant->second.runner.get(), tenant->second.hstry.get()}) {
    child->ended_by_us = "killed by an operator";
    if (child->pid >= 0) (void)sys::pidfd_kill(child->pidfd, SIGKILL);  // restarted when it is reaped
  }
  return peer.channel.send(ipc::CtlEnd{1, ""});
}

// auditd records it and does it.
Status Guard::manage_audit(Operator& peer, const ipc::CtlRequest& request) {
  const auto verb = request.verb == ipc::CtlVerb::audit_erase ? ipc::AuditVerb::erase : ipc::AuditVerb::prune;
  const ipc::AuditManage wanted{next_record_++, verb, request.account, request.day, request.index,
                                peer.uid, request.operator_name};
  Child& auditd = *core(ipc::Process::auditd);
  if (auditd.health != ipc::Health::ready || !auditd.channel.send(wanted)) {
    return peer.channel.send(ipc::CtlEnd{0, "auditd is not running; see `oqtoctl status`"});
  }
  peer.awaits = wanted.request;
  return {};
}

Status Guard::on_audit_managed(Child&, ipc::Received& received) {
  const auto done = TRY(received.as<ipc::AuditManaged>());
  for (const auto& peer : operators_) {
    if (peer->closed || peer->awaits != done.request) continue;
    (void)peer->channel.send(ipc::CtlEnd{done.ok, done.why.view(), done.index});
  }
  return {};
}

Status Guard::send_status(Operator& peer) {
  ipc::CtlProcess self;
  self.pid = static_cast<std::uint32_t>(::getpid());
  self.health = ipc::Health::ready;
  TRY(peer.channel.send(self));
  const auto send_process = [&](const Child& child) {
    ipc::CtlProcess row;
    row.process = child.process;
    row.account = child.account;
    row.pid = child.pid < 0 ? 0 : static_cast<std::uint32_t>(child.pid);
    row.uid = child.uid;
    row.health = child.health;
    row.restarts = child.restarts;
    row.started_at_ms = child.started_at_ms;
    return peer.channel.send(row);
  };
  for (const auto& child : core_) TRY(send_process(*child));
  TRY(peer.channel.send(own_.storage.status()));
  for (const auto& [account, tenant] : tenants_) {
    TRY(send_process(*tenant.runner));
    TRY(send_process(*tenant.hstry));
    ipc::CtlTenant row;
    row.account = account;
    row.username = std::string_view(tenant.username);
    row.runner_uid = own_.uids.runner(account);
    row.agent_uid = own_.uids.agent(account);
    for (const auto& [id, connection] : connections_) {
      row.connections += connection->state == Connection::State::open && connection->account == account;
    }
    for (const auto& [id, session] : sessions_) row.sessions += session->account == account;
    own_.storage.describe(row);
    TRY(peer.channel.send(row));
  }
  for (const auto& [number, session] : sessions_) {
    ipc::CtlSession row;
    row.session = session->id;
    row.account = session->account;
    row.workspace = session->workspace;
    row.profile = session->policy.profile;
    if (session->launcher) row.pid = static_cast<std::uint32_t>(session->launcher->pid);
    row.health = session->state == Session::State::live ? ipc::Health::ready : ipc::Health::starting;
    row.started_at_ms = session->started_at_ms;
    row.calls = session->usage.calls;
    row.tokens_in = session->usage.tokens_in;
    row.tokens_out = session->usage.tokens_out;
    const sandbox::Controllers has = own_.cgroups ? own_.cgroups->controllers() : sandbox::Controllers{};
    const sandbox::CgroupUsage use = session->cgroup ? session->cgroup.usage() : sandbox::CgroupUsage{};
    row.memory_bytes = use.memory_bytes;
    row.memory_limit = has.memory ? session->policy.limits.memory_bytes : 0;
    row.swap_bytes = use.swap_bytes;
    row.processes = use.processes;
    row.processes_limit = has.pids ? session->policy.limits.max_processes : 0;
    row.cpu_ms = use.cpu_us / 1000;
    row.io_read_bytes = use.io_read_bytes;
    row.io_written_bytes = use.io_written_bytes;
    row.cpu_pressure = static_cast<std::uint32_t>(use.cpu_pressure);
    row.memory_pressure = static_cast<std::uint32_t>(use.memory_pressure);
    row.io_pressure = static_cast<std::uint32_t>(use.io_pressure);
    TRY(peer.channel.send(row));
  }
  for (const ipc::CtlTrouble& trouble : troubles_) TRY(peer.channel.send(trouble));
  return peer.channel.send(ipc::CtlEnd{1, ""});
}

}  // namespace oqto::guard
