// Starting, watching, restarting and re-wiring the processes.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "guard/guard.h"

namespace oqto::guard {
namespace {

constexpr std::uint64_t kFirstBackoffMs = 100;
constexpr std::uint64_t kMaxBackoffMs = 5'000;
constexpr std::uint64_t kHealthyAfterMs = 10'000;  // then it is started again at once
constexpr int kMovedExit = 78;  // of oqto-audit-signer (audit/signer/signer_binding.h)
constexpr int kMessagesPerTurn = 8;  // one busy peer does not starve the others

bool has_audit_channel(ipc::Process process) {
  using enum ipc::Process;
  return process != auditd && process != audit_signer && process != policy_parser;
}

}  // namespace

void Child::on_ready(std::uint32_t) { guard.child_message(*this); }
void Child::ExitWatch::on_ready(std::uint32_t) { child.guard.child_exited(child); }

Child* Guard::core(ipc::Process process) {
  for (const auto& child : core_) {
    if (child->process == process) return child.get();
  }
  return nullptr;
}

std::vector<Child*> Guard::all_children() {
  std::vector<Child*> all;
  for (const auto& child : core_) all.push_back(child.get());
  for (auto& [account, tenant] : tenants_) {
    all.push_back(tenant.runner.get());
    all.push_back(tenant.hstry.get());
  }
  for (auto& [id, session] : sessions_) {
    if (session->launcher) all.push_back(session->launcher.get());
    if (session->parser) all.push_back(session->parser.get());
  }
  if (reload_ && reload_->parser) all.push_back(reload_->parser.get());
  for (const auto& child : dying_) all.push_back(child.get());
  std::erase_if(all, [](const Child* child) { return child->pid < 0; });
  return all;
}

Status Guard::start_core() {
  using enum ipc::Process;
  for (const ipc::Process process : {audit_signer, auditd, accounts, gateway, auditor, relay}) {
    core_.push_back(std::make_unique<Child>(*this, process, 0));
  }
  for (const auto& child : core_) TRY(start_core_child(*child));
  return {};
}

Status Guard::start_core_child(Child& child) {
  using enum ipc::Process;
  const std::string& state = own_.config.state;
  switch (child.process) {
    case audit_signer: {
      const Fd peer = TRY(peer_end(child, *core(auditd), false));
      return start_child(child, {.program = own_.programs.signer,
                                 .name = "oqto-audit-signer",
                                 .args = {"--key-dir", state + "/audit/key"},
                                 .uid = own_.uids.signer(),
                                 .fds = {&peer}});
    }
    case auditd: {
      const Fd peer = TRY(peer_end(child, *core(audit_signer), false));
      TRY(start_child(child, {.program = own_.programs.auditd,
                              .name = "oqto-auditd",
                              .args = {"--log-dir", state + "/audit/log"},
                              .uid = own_.uids.auditd(),
                              .fds = {&peer}}));
      rewire_audit();
      return {};
    }
    case accounts: {
      const Fd peer = TRY(peer_end(child, *core(relay), false));
      std::vector<std::string> args{"--state-dir", state + "/accounts", "--last-account",
                                    std::to_string(last_account(own_.config))};
      for (const std::string& why : unavailable_profiles()) args.insert(args.end(), {"--unavailable", why});
      return start_child(child, {.program = own_.programs.accounts,
                                 .name = "oqto-accounts",
                                 .args = std::move(args),
                                 .uid = own_.uids.accounts(),
                                 .fds = {&peer}});
    }
    case relay: {
      const Fd peer = TRY(peer_end(child, *core(accounts), false));
      return start_child(child, {.program = own_.programs.relay,
                                 .name = "oqto-relay",
                                 .args = {"--origin", own_.config.origin},
                                 .uid = own_.uids.relay(),
                                 .fds = {&peer, &own_.listener, &own_.tls_certificate, &own_.tls_key,
                                         &own_.assets},
                                 .max_files = 8192});
    }
    case gateway:
      (void)::lseek(own_.gateway_config.get(), 0, SEEK_SET);  // a predecessor has read it to the end
      return start_child(child, {.program = own_.programs.gateway,
                                 .name = "oqto-gateway",
                                 .args = {"--config-name", own_.config.gateway_config()},
                                 .uid = own_.uids.gateway(),
                                 .fds = {nullptr, &own_.gateway_config},
                                 .netns = &own_.host_netns,
                                 .max_files = 65536});  // two for each connection of a session
    case auditor:
      return start_child(child, {.program = own_.programs.auditor,
                                 .name = "oqto-auditor",
                                 .args = {"--state-dir", state + "/auditor", "--log-dir", state + "/audit/log"},
                                 .uid = own_.uids.auditor(),
                                 .group = own_.uids.auditd()});
    default:
      return fail(Errc::invalid, "not a core process");
  }
}

Status Guard::start_tenant_child(Tenant& tenant, Child& child) {
  const bool runner = child.process == ipc::Process::runner;
  const Fd peer = TRY(peer_end(child, runner ? *tenant.hstry : *tenant.runner, true));
  const std::string dir = own_.config.state + "/tenants/" + std::to_string(tenant.account) + "/state/";
  if (runner) {
    TRY(start_child(child, {.program = own_.programs.runner,
                            .name = "oqto-runner",
                            .args = {"--state-dir", dir + "runner", "--account",
                                     std::to_string(tenant.account), "--sleep-minutes",
                                     std::to_string(own_.config.sleep_minutes)},
                            .uid = own_.uids.runner(tenant.account),
                            .fds = {&peer}}));
    send_host_facts(child);  // it finds them before its first connection
    return {};
  }
  return start_child(child, {.program = own_.programs.hstry,
                             .name = "hstry",
                             .args = {"--state-dir", dir + "hstry"},
                             .uid = own_.uids.runner(tenant.account),
                             .fds = {&peer}});
}

// Both ends of a peer channel are made when either side starts; the other is handed its end at once
// if it runs, or finds it when it starts.
Result<Fd> Guard::peer_end(Child& child, Child& other, bool stream) {
  if (child.waiting_peer) return std::move(child.waiting_peer);
  auto ends = TRY(stream ? sys::stream_pair() : sys::seqpacket_pair());
  if (other.pid < 0) {
    other.waiting_peer = std::move(ends.second);
  } else {
    (void)other.channel.send(ipc::Wire{ipc::WireRole::peer}, ends.second);  // its exit is noticed
  }
  return std::move(ends.first);
}

Status Guard::start_child(Child& child, Spawn wanted) {
  auto control = TRY(sys::seqpacket_pair());
  auto audit = TRY(sys::seqpacket_pair());
  wanted.fds.insert(wanted.fds.begin(),
                    {&control.second, has_audit_channel(child.process) ? &audit.second : nullptr});
  Spawned spawned = TRY(spawn(wanted));
  child.pid = spawned.pid;
  child.uid = wanted.uid;
  child.pidfd = std::move(spawned.pidfd);
  child.channel = ipc::Channel(std::move(control.first));
  child.health = ipc::Health::starting;
  child.started_at_ms = sys::now_ms();
  child.started = sys::monotonic_ms();
  child.restart_at = 0;
  child.ended_by_us = {};
  child.probe = 0;
  child.cannot_write.clear();
  TRY(loop_.watch(child.channel.fd(), child));
  TRY(loop_.watch(child.pidfd, child.exit_watch));
  if (has_audit_channel(child.process)) announce_audit_source(child, std::move(audit.first));
  ipc::AuditAppend started = happened(ipc::Event::process_start);
  started.add(ipc::FieldKey::process, ipc::process_name(child.process))
      .add(ipc::FieldKey::pid, std::to_string(child.pid))
      .add(ipc::FieldKey::uid, std::to_string(child.uid));
  if (child.account != 0) started.add(ipc::FieldKey::account, std::to_string(child.account));
  if (child.session != Uuid{}) started.add(ipc::FieldKey::session, child.session.text());
  record(std::move(started));
  return {};
}

void Guard::announce_audit_source(Child& child, Fd end) {
  Child* const auditd = core(ipc::Process::auditd);
  if (auditd == nullptr || auditd->pid < 0) return;  // rewire_audit() follows its start
  ipc::AuditSource source;
  source.process = child.process;
  source.account = child.account;
  if (const auto tenant = tenants_.find(child.account); tenant != tenants_.end()) {
    source.username = std::string_view(tenant->second.username);
  }
  source.session = child.session;
  source.pid = static_cast<std::uint32_t>(child.pid);
  source.uid = child.uid;
  (void)auditd->channel.send(source, end);  // if it is gone, its exit is noticed
}

// auditd has just been started: everybody, ourselves included, gets a new channel to it.
void Guard::rewire_audit() {
  if (audit_) loop_.unwatch(audit_.fd(), audit_watch_);
  auto own = sys::seqpacket_pair();
  if (!own) return;
  Child* const auditd = core(ipc::Process::auditd);
  ipc::AuditSource source;
  source.process = ipc::Process::guard;
  source.pid = static_cast<std::uint32_t>(::getpid());
  (void)auditd->channel.send(source, own->second);
  audit_ = ipc::Channel(std::move(own->first));
  (void)loop_.watch(audit_.fd(), audit_watch_);
  for (Child* child : all_children()) {
    if (!has_audit_channel(child->process)) continue;
    auto ends = sys::seqpacket_pair();
    if (!ends) continue;
    (void)child->channel.send(ipc::Wire{ipc::WireRole::audit}, ends->second);
    announce_audit_source(*child, std::move(ends->first));
  }
  for (Unsettled& kept : backlog_) kept.is_sent = false;  // to the one before, perhaps
  flush_at_ = 0;
  flush_backlog();
}

void Guard::child_message(Child& child) {
  for (int i = 0; i < kMessagesPerTurn && child.channel; ++i) {
    auto received = child.channel.receive();
    if (!received) {
      if (received.error().code == Errc::limit) return;
      if (received.error().code == Errc::bad_message) {
        kill_child(child, received.error().what);
      } else {  // it closed its end: the exit follows
        loop_.unwatch(child.channel.fd(), child);
        child.channel = ipc::Channel();
      }
      return;
    }
    const pid_t before = child.pid;
    const Status status = dispatch(child, *received);
    if (!status) {
      kill_child(child, status.error().what);
      return;
    }
    if (child.pid != before) return;
  }
}

void Guard::kill_child(Child& child, std::string_view why) {
  log::error("a process broke the protocol and is killed",
             {{"process", ipc::process_name(child.process)}, {"pid", child.pid}, {"why", why}});
  ipc::AuditAppend violation = happened(ipc::Event::violation, ipc::Outcome::failure);
  violation.add(ipc::FieldKey::process, ipc::process_name(child.process))
      .add(ipc::FieldKey::pid, std::to_string(child.pid))
      .add(ipc::FieldKey::reason, why);
  record(std::move(violation));
  (void)sys::pidfd_kill(child.pidfd, SIGKILL);
  if (child.channel) loop_.unwatch(child.channel.fd(), child);
  child.channel = ipc::Channel();
}

void Guard::unwatch(Child& child) {
  if (child.channel) loop_.unwatch(child.channel.fd(), child);
  if (child.pidfd) loop_.unwatch(child.pidfd, child.exit_watch);
}

void Guard::bury(std::unique_ptr<Child> child) {
  if (!child) return;
  if (child->pid < 0) {
    graveyard_.push_back(std::move(child));
    return;
  }
  child->ended_by_us = child->process == ipc::Process::session ? "its session was ended" : "its work was done";
  (void)sys::pidfd_kill(child->pidfd, SIGKILL);
  dying_.push_back(std::move(child));
}

void Guard::child_exited(Child& child) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED | WNOHANG) != 0 ||
      info.si_pid == 0) {
    return;
  }
  child_message(child);  // what it said before it ended
  const bool killed = info.si_code != CLD_EXITED;
  const bool is_ordinary = !child.ended_by_us.empty() || (!killed && info.si_status == 0);
  ipc::AuditAppend stopped =
      happened(ipc::Event::process_stop, is_ordinary ? ipc::Outcome::success : ipc::Outcome::failure);
  stopped.add(ipc::FieldKey::process, ipc::process_name(child.process))
      .add(ipc::FieldKey::pid, std::to_string(child.pid))
      .add(killed ? ipc::FieldKey::signal : ipc::FieldKey::exit_status,
           std::to_string(info.si_status));
  if (!child.ended_by_us.empty()) stopped.add(ipc::FieldKey::reason, child.ended_by_us);
  record(std::move(stopped));
  unwatch(child);
  child.pid = -1;
  child.pidfd.reset();
  child.channel = ipc::Channel();
  child.health = ipc::Health::stopped;
  forget_offers(child);

  if (child.process == ipc::Process::session || child.process == ipc::Process::policy_parser) {
    const auto dead = std::find_if(dying_.begin(), dying_.end(),
                                   [&](const auto& entry) { return entry.get() == &child; });
    if (dead != dying_.end()) {
      graveyard_.push_back(std::move(*dead));
      dying_.erase(dead);
      return;
    }
    if (on_host_policy_failed(child, "it could not be read; the host's log may say why")) return;
    Session* const session = find_session(child.number);
    if (session == nullptr) return;
    if (session->launcher.get() == &child) {
      end_session(session->number, session->why_ended.empty() ? "the sandbox has ended"
                                                          : std::string(session->why_ended));
    } else if (session->state == Session::State::reading_policy) {
      fail_session(*session, ipc::Refusal::invalid, "the workspace's policy could not be read");
    }
    return;
  }
  if (child.process == ipc::Process::runner) {
    kill_tenant_sessions(child.account, "the runner of this tenant has ended");
  }
  if (stopping_) return;
  if (child.process == ipc::Process::audit_signer && !killed && info.si_status == kMovedExit) {
    failure_ = fail(Errc::denied, "this state directory is not where its log was signed; the signer said what to do");
    stopping_ = true;
    return;
  }
  const bool was_healthy = sys::monotonic_ms() - child.started > kHealthyAfterMs;
  child.in_a_row = was_healthy ? 0 : std::min(child.in_a_row, 6U) + 1;
  child.restart_at = sys::monotonic_ms() + std::min(kMaxBackoffMs, (kFirstBackoffMs << child.in_a_row) / 2 * (child.in_a_row != 0));
  child.health = ipc::Health::restarting;
  ++child.restarts;
  log::warn("a process has ended and will be started again",
            {{"process", ipc::process_name(child.process)}, {"status", info.si_status},
             {"killed", static_cast<int>(killed)}});
}

void Guard::restart(Child& child) {
  Status status;
  if (child.account == 0) {
    status = start_core_child(child);
  } else if (const auto tenant = tenants_.find(child.account); tenant != tenants_.end()) {
    status = start_tenant_child(tenant->second, child);
  }
  if (!status) {
    log::error("a process could not be started", status.error());
    child.restart_at = sys::monotonic_ms() + kMaxBackoffMs;
    return;
  }
  if (child.process != ipc::Process::gateway) return;
  for (auto& [id, session] : sessions_) {  // the new gateway learns of the live sessions
    if (session->network.model) (void)send_gate(*session);
  }
}

}  // namespace oqto::guard
