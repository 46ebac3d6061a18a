#include "guard/guard.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::guard {
namespace {

constexpr int kIdleTickMs = 1000;
constexpr int kBusyTickMs = 50;
constexpr std::uint64_t kStageTimeoutMs = 6000;

// The order in which things end, so that what depends on another ends before it, and the log ends
// last. A stage begins when nothing of the ones before is left.
constexpr std::array kStopOrder{ipc::Process::relay,       ipc::Process::auditor,       ipc::Process::runner,
                                ipc::Process::session,     ipc::Process::policy_parser, ipc::Process::hstry,
                                ipc::Process::gateway,     ipc::Process::accounts,      ipc::Process::auditd,
                                ipc::Process::audit_signer};

// Which process is behind a start or a stop of all, and who logged in where that comes from.
ipc::AuditAppend host_record(ipc::Event event, pid_t by, uid_t uid) {
  ipc::AuditAppend record = happened(event);
  const bool is_admin = event == ipc::Event::admin;  // its command is what was asked for
  record.add(ipc::FieldKey::pid, std::to_string(by)).add(ipc::FieldKey::uid, std::to_string(uid));
  if (const std::string name = is_admin ? "reload" : sys::process_name(by); !name.empty()) {
    record.add(ipc::FieldKey::command, name);
  }
  if (const auto login = sys::login_uid(by)) record.add(ipc::FieldKey::operator_uid, std::to_string(*login));
  return record;
}

}  // namespace

Guard::Guard(Resources resources, ipc::Loop loop) : own_(std::move(resources)), loop_(std::move(loop)) {}

Status Guard::start() {
  // What outlives its parent (a sandbox's stage below a killed launcher, a dead relay's connections) comes
  // to us to be reaped, so that nothing of a session is left when we say that it has ended.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return fail_errno("prctl(CHILD_SUBREAPER)");
  TRY(loop_.watch(own_.signals, signal_watch_));
  TRY(loop_.watch(own_.operator_socket, operator_watch_));
  ipc::AuditAppend started = host_record(ipc::Event::host_start, ::getppid(), ::getuid());
  if (const char* const sudo = std::getenv("SUDO_USER")) {
    started.add(ipc::FieldKey::operator_name, std::string(sudo) + " (claimed)");
  }
  record(std::move(started.add(ipc::FieldKey::boot, sys::boot_id())));
  record_host_policies();
  return start_core();
}

// --- what may be said, by whom, and when ---------------------------------------------------------

Status Guard::dispatch(Child& child, ipc::Received& received) {
  using enum ipc::Process;
  struct Rule {
    ipc::Process from;
    ipc::Tag tag;
    ipc::Health when;
    Status (Guard::*handle)(Child&, ipc::Received&);
  };
  using ipc::Health;
  static constexpr std::array kRules{
      Rule{relay, ipc::Tag::connection_opened, Health::ready, &Guard::on_connection_opened},
      Rule{relay, ipc::Tag::reloaded, Health::ready, &Guard::on_reloaded},
      Rule{gateway, ipc::Tag::reloaded, Health::ready, &Guard::on_reloaded},
      Rule{relay, ipc::Tag::certificate_facts, Health::starting, &Guard::on_certificate_facts},
      Rule{relay, ipc::Tag::certificate_facts, Health::ready, &Guard::on_certificate_facts},
      Rule{accounts, ipc::Tag::probed, Health::ready, &Guard::on_probed},
      Rule{hstry, ipc::Tag::probed, Health::ready, &Guard::on_probed},
      Rule{auditd, ipc::Tag::audit_managed, Health::ready, &Guard::on_audit_managed},
      Rule{accounts, ipc::Tag::token_owner, Health::ready, &Guard::on_token_owner},
      Rule{accounts, ipc::Tag::token_unknown, Health::ready, &Guard::on_token_unknown},
      Rule{accounts, ipc::Tag::login_revoked, Health::ready, &Guard::on_login_revoked},
      Rule{accounts, ipc::Tag::account_ended, Health::ready, &Guard::on_account_ended},
      Rule{runner, ipc::Tag::create_workspace, Health::ready, &Guard::on_create_workspace},
      Rule{runner, ipc::Tag::start_session, Health::ready, &Guard::on_start_session},
      Rule{runner, ipc::Tag::stop_session, Health::ready, &Guard::on_stop_session},
      Rule{gateway, ipc::Tag::gate_file, Health::ready, &Guard::on_gate_file},
      Rule{gateway, ipc::Tag::gate_usage, Health::ready, &Guard::on_gate_usage},
      Rule{gateway, ipc::Tag::models_file, Health::ready, &Guard::on_models_file},
      Rule{gateway, ipc::Tag::gate_listen, Health::ready, &Guard::on_gate_listen},
      Rule{gateway, ipc::Tag::approval_ask, Health::ready, &Guard::on_approval_ask},
      Rule{session, ipc::Tag::approval_ask, Health::ready, &Guard::on_approval_ask},
      Rule{runner, ipc::Tag::approval_answer, Health::ready, &Guard::on_approval_answer},
      Rule{session, ipc::Tag::launch_failed, Health::starting, &Guard::on_launch_failed},
      Rule{policy_parser, ipc::Tag::policy_parsed, Health::starting, &Guard::on_policy_parsed},
      Rule{policy_parser, ipc::Tag::launch_failed, Health::starting, &Guard::on_launch_failed},
  };
  if (received.tag == ipc::Tag::ready) return on_ready(child, received);
  for (const Rule& rule : kRules) {
    if (rule.from == child.process && rule.tag == received.tag && rule.when == child.health) {
      return (this->*rule.handle)(child, received);
    }
  }
  return fail(Errc::bad_message, "a message that this process may not send now");
}

Status Guard::on_ready(Child& child, ipc::Received& received) {
  const auto ready = TRY(received.as<ipc::Ready>());
  if (ready.version != ipc::kProtocolVersion) {
    return fail(Errc::bad_message, "a program of another version: install all of one build");
  }
  if (child.health != ipc::Health::starting) return fail(Errc::bad_message, "ready twice");
  child.health = ipc::Health::ready;
  child.has_served = true;
  if (child.process == ipc::Process::accounts) check_logins(child);
  if (child.process != ipc::Process::session) return {};
  Session* const session = find_session(child.number);
  if (session != nullptr && session->launcher.get() == &child) session_ready(*session);
  return {};
}

// --- the loop ------------------------------------------------------------------------------------

Status Guard::run() {
  while (!(stopping_ && stop_stage_ >= kStopOrder.size())) {
    TRY(loop_.run_once(next_timeout()));
    tick();
  }
  const std::uint64_t deadline = sys::monotonic_ms() + kStageTimeoutMs;
  while (::waitpid(-1, nullptr, WNOHANG) >= 0 && sys::monotonic_ms() < deadline) ::usleep(1000);
  log::info("stopped");
  return failure_;
}

void Guard::reap_orphans() {
  siginfo_t info{};
  while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
    for (const Child* child : all_children()) {
      if (child->pid == info.si_pid) return;  // its own watch reaps it, with what it ended with
    }
    (void)::waitpid(info.si_pid, nullptr, WNOHANG);
    info = {};
  }
}

int Guard::next_timeout() const {
  const bool waiting =
      stopping_ || reload_ || !asking_.empty() || !pending_.empty() || !dying_.empty() || !emptying_.empty() ||
      std::any_of(sessions_.begin(), sessions_.end(),
                  [](const auto& entry) { return entry.second->state != Session::State::live; }) ||
      std::any_of(core_.begin(), core_.end(), [](const auto& child) { return child->restart_at != 0; }) ||
      std::any_of(tenants_.begin(), tenants_.end(), [](const auto& entry) {
        return entry.second.runner->restart_at != 0 || entry.second.hstry->restart_at != 0;
      });
  return waiting ? kBusyTickMs : kIdleTickMs;
}

void Guard::tick() {
  const std::uint64_t now = sys::monotonic_ms();
  give_up_late_records(now);
  end_late_sessions(now);
  if (reload_ && stopping_) end_reload("the host stops");
  if (reload_ && reload_->deadline <= now) end_reload("it did not answer in time, and may take it yet: see the host's log");
  if (stopping_) {
    shut_down();
  } else {
    for (const auto& child : core_) {
      if (child->restart_at != 0 && child->restart_at <= now) restart(*child);
    }
    for (auto& [account, tenant] : tenants_) {
      for (Child* child : {tenant.hstry.get(), tenant.runner.get()}) {
        if (child->restart_at != 0 && child->restart_at <= now) restart(*child);
      }
    }
  }
  reap_orphans();
  for (const std::string& what : own_.storage.news(now)) log::warn("the disk fills", {{"what", what}});
  remove_cgroups();
  if (audit_) flush_backlog();
  answer_health();
  std::erase_if(operators_, [](const auto& peer) { return peer->closed; });
  graveyard_.clear();
  dropped_.clear();
}

void Guard::on_signal() {
  signalfd_siginfo info{};
  if (::read(own_.signals.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
  if (stopping_) return;
  const bool reloads = info.ssi_signo == SIGHUP;
  ipc::AuditAppend asked = host_record(reloads ? ipc::Event::admin : ipc::Event::host_stop,
                                       static_cast<pid_t>(info.ssi_pid), info.ssi_uid);
  asked.add(ipc::FieldKey::signal, std::to_string(info.ssi_signo));
  if (reloads) return begin_reload(std::move(asked), nullptr);
  if (info.ssi_pid == 0) asked.add(ipc::FieldKey::reason, "its terminal, or from outside of its PID namespace");
  log::info("stopping: sessions first, the audit log last", {{"signal", info.ssi_signo}});
  stopping_ = true;
  record(std::move(asked));
  say_good_bye();
}

// Called each turn while stopping: ends one kind of process after the other.
void Guard::shut_down() {
  for (; stop_stage_ < kStopOrder.size(); ++stop_stage_) {
    const ipc::Process process = kStopOrder[stop_stage_];
    if (process == ipc::Process::session && stop_deadline_ == 0) {
      std::vector<Uuid> numbers;
      for (const auto& [number, session] : sessions_) numbers.push_back(number);
      for (const Uuid& number : numbers) end_session(number, "the host is stopping");
    }
    std::vector<Child*> left = all_children();
    std::erase_if(left, [&](const Child* child) { return child->process != process; });
    const std::uint64_t now = sys::monotonic_ms();
    if (!left.empty() && stop_deadline_ == 0) {
      for (Child* child : left) (void)sys::pidfd_kill(child->pidfd, SIGTERM);
      stop_deadline_ = now + kStageTimeoutMs;
      return;
    }
    if (!left.empty()) {
      if (now < stop_deadline_) return;
      for (Child* child : left) {
        log::warn("a process did not stop in time and is killed",
                  {{"process", ipc::process_name(process)}, {"pid", child->pid}});
        (void)sys::pidfd_kill(child->pidfd, SIGKILL);
      }
      stop_deadline_ = now + kStageTimeoutMs;
      return;
    }
    stop_deadline_ = 0;
  }
}

}  // namespace oqto::guard
