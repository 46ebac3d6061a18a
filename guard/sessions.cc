// One session from the runner's wish to a live sandbox: policy, record, network, gate, launcher.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "guard/guard.h"
#include "sandbox/launch/launch_plan.h"

namespace oqto::guard {
namespace {

constexpr std::uint64_t kStartTimeoutMs = 30'000;
constexpr char kWorkspacePolicy[] = ".oqto/sandbox.toml";

}  // namespace

Session* Guard::find_session(const Uuid& number) {
  const auto found = sessions_.find(number);
  return found == sessions_.end() ? nullptr : found->second.get();
}

Session* Guard::session_of(std::uint32_t account, const Uuid& id) {
  const auto found = std::ranges::find_if(sessions_, [&](const auto& entry) {
    return entry.second->account == account && entry.second->id == id;
  });
  return found == sessions_.end() ? nullptr : found->second.get();
}

void Guard::refuse_request(Child& runner, std::uint64_t request, ipc::Refusal refusal,
                           std::string_view why) {
  if (runner.channel) (void)runner.channel.send(ipc::Refused{request, refusal, why});
}

Status Guard::on_create_workspace(Child& child, ipc::Received& received) {
  const auto wanted = TRY(received.as<ipc::CreateWorkspace>());
  Tenant& tenant = tenants_.at(child.account);
  const Fd workspaces = TRY(ensure_dir(tenant.dir, "workspaces", 0711, 0));
  struct stat info{};
  if (::fstat(workspaces.get(), &info) == 0 && info.st_nlink >= kMaxWorkspacesPerTenant + 2) {
    refuse_request(child, wanted.request, ipc::Refusal::limit, "this account has 256 workspaces");
    return {};
  }
  const auto made = ensure_dir(workspaces, wanted.workspace.text().c_str(), 0700,
                               own_.uids.agent(child.account));
  if (!made) {
    refuse_request(child, wanted.request, ipc::Refusal::unavailable,
                   "the workspace's directory could not be made; the host's log says why");
    log::error("a workspace could not be made", made.error());
    return {};
  }
  return child.channel.send(ipc::WorkspaceCreated{wanted.request});
}

Result<Session*> Guard::prepare_session(Tenant& tenant, const ipc::StartSession& wanted) {
  const std::string name = wanted.workspace.text();
  const Fd workspaces = TRY(ensure_dir(tenant.dir, "workspaces", 0711, 0));
  const Fd homes = TRY(ensure_dir(tenant.dir, "home", 0711, 0));
  auto session = std::make_unique<Session>();
  session->workspace_dir = TRY(sys::open_beneath(workspaces, name.c_str(), O_PATH | O_DIRECTORY));
  // The agent owns both: it must not be able to shut itself out for good.
  for (const Fd* parent : {&workspaces, &homes}) {
    (void)!::fchmodat(parent->get(), name.c_str(), 0700, 0);
  }
  session->home_dir = TRY(ensure_dir(homes, name.c_str(), 0700, own_.uids.agent(tenant.account)));
  session->number = Uuid::random();
  session->id = wanted.session;
  session->workspace = wanted.workspace;
  session->account = tenant.account;
  session->request = wanted.request;
  session->profile = wanted.profile;
  session->policy = own_.host_policies[static_cast<std::size_t>(wanted.profile)];
  session->deadline = sys::monotonic_ms() + kStartTimeoutMs;
  session->started_at_ms = sys::now_ms();
  Session* const raw = session.get();
  sessions_.emplace(raw->number, std::move(session));
  return raw;
}

Status Guard::on_start_session(Child& child, ipc::Received& received) {
  const auto wanted = TRY(received.as<ipc::StartSession>());
  if (session_of(child.account, wanted.session) != nullptr) {
    refuse_request(child, wanted.request, ipc::Refusal::conflict,
                   "this session is running or still ending; try again in a moment");
    return {};
  }
  if (tenants_.at(child.account).disabled) {
    refuse_request(child, wanted.request, ipc::Refusal::forbidden, "this account is disabled");
    return {};
  }
  const auto count = std::count_if(sessions_.begin(), sessions_.end(), [&](const auto& entry) {
    return entry.second->account == child.account;
  });
  if (static_cast<std::size_t>(count) >= kMaxSessionsPerTenant) {
    refuse_request(child, wanted.request, ipc::Refusal::limit,
                   "16 sessions of this account are working at once; wait for one to finish, or stop one");
    return {};
  }
  const auto session = prepare_session(tenants_.at(child.account), wanted);
  if (!session) {
    refuse_request(child, wanted.request, ipc::Refusal::not_found, "there is no such workspace");
    return {};
  }
  if (const Status status = read_workspace_policy(**session); !status) {
    const bool theirs = status.error().code == Errc::invalid;
    fail_session(**session, theirs ? ipc::Refusal::invalid : ipc::Refusal::unavailable,
                 status.error().what);
  }
  return {};
}

// The text is the tenant's, so a sealed process with the tenant's rights opens and parses it; we see
// a bounded value, and take the tighter of it and the host's in every dimension.
Status Guard::read_workspace_policy(Session& session) {
  session.parser = std::make_unique<Child>(*this, ipc::Process::policy_parser, session.account);
  session.parser->session = session.id;
  session.parser->number = session.number;
  return start_child(*session.parser, {.program = own_.programs.policy,
                                       .name = "oqto-policy",
                                       .args = {"--source", "workspace", "--name", kWorkspacePolicy},
                                       .uid = own_.uids.agent(session.account),
                                       .fds = {nullptr},
                                       .open_beneath = &session.workspace_dir,
                                       .open_path = kWorkspacePolicy});
}

Status Guard::on_policy_parsed(Child& child, ipc::Received& received) {
  const auto parsed = TRY(received.as<sandbox::PolicyParsed>());
  if (on_host_policy(child, parsed.asked)) return {};
  Session* const session = find_session(child.number);
  if (session == nullptr || session->parser.get() != &child) return {};
  session->policy = sandbox::effective(own_.host_policies, session->profile, parsed.asked);
  bury(std::move(session->parser));
  const std::string why = why_unenforceable(session->policy);
  if (why.empty()) {
    record_session(*session);
  } else {
    fail_session(*session, ipc::Refusal::invalid, why);
  }
  return {};
}

Status Guard::on_launch_failed(Child& child, ipc::Received& received) {
  const auto failed = TRY(received.as<ipc::LaunchFailed>());
  if (on_host_policy_failed(child, failed.why.view())) return {};
  Session* const session = find_session(child.number);
  if (session == nullptr) return {};
  const bool policy = session->parser.get() == &child;
  if (!policy && session->launcher.get() != &child) return {};
  fail_session(*session, policy ? ipc::Refusal::invalid : ipc::Refusal::unavailable,
               failed.why.view());
  return {};
}

void Guard::record_session(Session& session) {
  session.state = Session::State::recording;
  const auto policy = sys::sealed_memfd("policy", sandbox::canonical_text(session.policy));
  const std::uint64_t request = next_record_++;
  if (!policy || !audit_ || !audit_.send(ipc::AuditBlob{request, session.account}, *policy)) {
    return session_recorded(session.number, 0, false, 0);
  }
  pending_.push_back({request, sys::monotonic_ms() + kRecordTimeoutMs, session.number, 0, &Guard::policy_stored});
}

void Guard::policy_stored(const Uuid& number, std::uint64_t, bool durable, std::uint64_t) {
  Session* const found = find_session(number);
  if (found == nullptr || found->state != Session::State::recording) return;
  if (!durable) return session_recorded(number, 0, false, 0);
  const Session& session = *found;
  ipc::AuditAppend starting;
  starting.event = ipc::Event::session_start;
  starting.phase = ipc::Phase::intent;
  starting.add(ipc::FieldKey::account, std::to_string(session.account))
      .add(ipc::FieldKey::session, session.id.text())
      .add(ipc::FieldKey::workspace, session.workspace.text())
      .add(ipc::FieldKey::policy, sandbox::canonical_text(session.policy))
      .add(ipc::FieldKey::policy_blob, stored_blob_);
  record_then(std::move(starting), session.number, 0, &Guard::session_recorded);
}

void Guard::session_recorded(const Uuid& number, std::uint64_t, bool durable, std::uint64_t index) {
  Session* const session = find_session(number);
  if (session == nullptr || session->state != Session::State::recording) {
    return record_end(ipc::Event::session_start, durable ? index : ipc::kNoIndex, 0, ipc::Outcome::failure,
                      "nothing was started: nobody waited for it any more");
  }
  if (!durable) {
    fail_session(*session, ipc::Refusal::unavailable,
                 "the audit log does not accept records now; nothing was started");
    return;
  }
  session->record = index;
  open_gate(*session);
}

void Guard::open_gate(Session& session) {
  session.state = Session::State::opening_gate;
  auto network = make_session_network(own_.own_netns, session.policy.network == policies::Network::filtered);
  if (!network) {
    log::error("a session's network could not be made", network.error());
    fail_session(session, ipc::Refusal::unavailable, "the session's network could not be made");
    return;
  }
  session.network = std::move(*network);
  if (!send_gate(session)) {
    fail_session(session, ipc::Refusal::unavailable, "the model gateway is not running");
  }
}

Status Guard::on_gate_file(Child&, ipc::Received& received) {
  const auto file = TRY(received.as<ipc::GateFile>());
  Session* const session = find_session(file.session);
  if (session == nullptr || session->state != Session::State::opening_gate) return {};
  session->gate_files[static_cast<std::size_t>(file.kind)] = std::move(received.fd);
  if (!session->gate_files[0] || !session->gate_files[1]) return {};
  if (const Status status = launch(*session); !status) {
    log::error("a session could not be launched", status.error());
    fail_session(*session, ipc::Refusal::unavailable, status.error().what);
  }
  return {};
}

Status Guard::launch(Session& session) {
  session.state = Session::State::launching;
  TRY(enter_cgroup(session));
  auto control = TRY(sys::seqpacket_pair());
  session.control = std::move(control.first);
  const std::string tenant = own_.config.state + "/tenants/" + std::to_string(session.account);
  const std::string workspace = session.workspace.text();
  const std::string runtime = own_.config.state + "/runtime/";
  session.launcher = std::make_unique<Child>(*this, ipc::Process::session, session.account);
  session.launcher->session = session.id;
  session.launcher->number = session.number;
  TRY(start_child(*session.launcher,
                  {.program = own_.programs.launch,
                   .name = "oqto-launch",
                   .args = {"--home", tenant + "/home/" + workspace,
                            "--workspace", tenant + "/workspaces/" + workspace,
                            "--pi", runtime + "pi", "--pi-cache", runtime + "pi-cache",
                            "--init", runtime + "oqto-init"},
                   .uid = own_.uids.agent(session.account),
                   .fds = {nullptr, &control.second, &session.gate_files[0], &session.gate_files[1],
                           &session.workspace_dir, &session.home_dir, &session.network.refused},
                   .netns = &session.network.netns,
                   .cgroup = &session.cgroup.directory(),
                   .max_processes = session.policy.limits.max_processes,
                   .max_files = session.policy.limits.open_files}));
  sandbox::LaunchPlan plan;
  plan.session = session.id;
  plan.policy = session.policy;
  return session.launcher->channel.send(plan);
}

ipc::SessionStarted Guard::started_answer(const Session& session) const {
  const sandbox::Policy& policy = session.policy;
  const bool limited = own_.cgroups && own_.cgroups->controllers().enough();
  ipc::SessionStarted answer;
  answer.request = session.request;
  answer.session = session.id;
  answer.profile = policy.profile;
  answer.network = policies::network_name(policy.network);
  answer.asks_unknown_hosts = policy.network == policies::Network::filtered &&
                              policy.unknown_hosts == policies::Ask::prompt;
  if (policy.network == policies::Network::filtered) answer.domains.values = policy.domains.values;
  answer.allow_read.values = policy.allow_read.values;
  answer.allow_write.values = policy.allow_write.values;
  answer.ask.values = policy.ask.values;
  answer.memory_bytes = limited ? policy.limits.memory_bytes : 0;
  answer.cpu_percent = limited ? policy.limits.cpu_percent : 0;
  answer.max_processes = policy.limits.max_processes;
  answer.tmp_bytes = policy.limits.tmp_bytes;
  answer.wall_clock_s = policy.limits.wall_clock_s;
  answer.delegated_fetch = policy.delegated_fetch;
  answer.audit_contents = policy.audit_contents;
  return answer;
}

void Guard::session_ready(Session& session) {
  session.state = Session::State::live;
  session.deadline = sys::monotonic_ms() + session.policy.limits.wall_clock_s * 1000;
  ipc::AuditAppend started;
  started.event = ipc::Event::session_start;
  started.phase = ipc::Phase::outcome;
  started.outcome = ipc::Outcome::success;
  started.intent = session.record;
  started.add(ipc::FieldKey::session, session.id.text())
      .add(ipc::FieldKey::pid, std::to_string(session.launcher->pid));
  record(std::move(started));
  session.answered = true;
  Child& runner = *tenants_.at(session.account).runner;
  if (!runner.channel || !runner.channel.send(started_answer(session), session.control)) {
    end_session(session.number, "the runner is gone");
    return;
  }
  session.control.reset();
}

void Guard::fail_session(Session& session, ipc::Refusal refusal, std::string_view why) {
  if (!session.answered) {
    session.answered = true;
    refuse_request(*tenants_.at(session.account).runner, session.request, refusal, why);
  }
  end_session(session.number, why);
}

void Guard::end_session(const Uuid& number, std::string_view said) {
  const auto found = sessions_.find(number);
  if (found == sessions_.end()) return;
  Session& session = *found->second;
  std::string why(said);
  // Whoever notices it first cannot know: the kernel has ended all of it.
  if (session.cgroup && session.cgroup.usage().memory_kills != 0) {
    why = "it used more memory than its limit of " +
          std::to_string(session.policy.limits.memory_bytes / policies::kMiB) + " MiB (limits.memory_bytes)";
  }
  const bool was_live = session.state == Session::State::live;
  if (session.network.model) {
    if (ipc::Channel& gateway = core(ipc::Process::gateway)->channel; gateway) {
      (void)gateway.send(ipc::CloseGate{number});
    }
  }
  ipc::AuditAppend stopped;
  stopped.event = was_live ? ipc::Event::session_stop : ipc::Event::session_start;
  stopped.phase = was_live ? ipc::Phase::event : ipc::Phase::outcome;
  stopped.outcome = was_live ? ipc::Outcome::success : ipc::Outcome::failure;
  if (!was_live) stopped.intent = session.record;
  stopped.add(ipc::FieldKey::session, session.id.text())
      .add(ipc::FieldKey::account, std::to_string(session.account))
      .add(ipc::FieldKey::reason, why);
  record(std::move(stopped));
  if (was_live) {
    if (Child& runner = *tenants_.at(session.account).runner; runner.channel) {
      (void)runner.channel.send(ipc::SessionEnded{session.id, std::string_view(why)});
    }
  }
  bury(std::move(session.parser));
  bury(std::move(session.launcher));
  leave_cgroup(session);
  sessions_.erase(found);
}

void Guard::kill_tenant_sessions(std::uint32_t account, std::string_view why) {
  std::vector<Uuid> numbers;
  for (const auto& [number, session] : sessions_) {
    if (session->account == account) numbers.push_back(number);
  }
  for (const Uuid& number : numbers) end_session(number, why);
}

Status Guard::on_stop_session(Child& child, ipc::Received& received) {
  const auto stop = TRY(received.as<ipc::StopSession>());
  Session* const session = session_of(child.account, stop.session);
  if (session == nullptr) return {};
  end_session(session->number, stopping_ ? "the host is stopping" : ipc::stop_reason_text(stop.reason));
  return {};
}

Status Guard::on_gate_usage(Child&, ipc::Received& received) {
  const auto usage = TRY(received.as<ipc::GateUsage>());
  Session* const session = find_session(usage.session);
  if (session == nullptr) return {};
  session->usage = usage;
  if (Child& runner = *tenants_.at(session->account).runner; runner.channel) {
    (void)runner.channel.send(ipc::SessionUsage{session->id, usage.calls, usage.tokens_in, usage.tokens_out,
                                                usage.cost_nanos, usage.estimated_calls});
  }
  return {};
}

Status Guard::on_models_file(Child&, ipc::Received& received) {
  TRY(received.as<ipc::ModelsFile>());
  models_ = std::move(received.fd);
  for (auto& [account, tenant] : tenants_) send_host_facts(*tenant.runner);
  return {};
}

// Opened anew for each runner, to be read only: tenants share not even the place that one has read to.
void Guard::send_host_facts(Child& runner) {
  if (!models_ || !runner.channel) return;
  const std::string path = "/proc/self/fd/" + std::to_string(models_.get());
  const auto models = sys::open_file(path.c_str(), O_RDONLY | O_NONBLOCK);
  if (!models) return log::error("the models could not be opened", models.error());
  (void)runner.channel.send(ipc::HostFacts{{unavailable_profiles()}}, *models);
}

}  // namespace oqto::guard
