// What an operator has changed is read again while we serve (oqtoctl reload, SIGHUP): we open it, and whose it is
// judges it. Until that part has accepted it, it goes on with what it has, and so does whoever is started in its place.
#include <signal.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "guard/guard.h"
#include "guard/host_policy.h"
#include "guard/operator_files.h"

namespace oqto::guard {
namespace {

constexpr std::uint64_t kPatienceMs = 20'000;
constexpr std::array kParts{ipc::ReloadPart::certificate, ipc::ReloadPart::gateway, ipc::ReloadPart::policy};

std::string_view part_name(ipc::ReloadPart part) {
  return part == ipc::ReloadPart::policy ? "policy" : part == ipc::ReloadPart::gateway ? "gateway" : "certificate";
}

}  // namespace

void Guard::begin_reload(ipc::AuditAppend asked, Operator* asker) {
  if (reload_) {
    reload_->again = std::move(asked);
    return;
  }
  reload_ = std::make_unique<Reloading>();
  reload_->request = next_record_++;
  reload_->deadline = sys::monotonic_ms() + kPatienceMs;
  reload_->record = std::move(asked);
  if (asker != nullptr) asker->awaits = reload_->request;
  const Config& config = own_.config;
  auto certificate = copy_tls_file(config.tls_certificate);
  auto key = copy_tls_file(config.tls_key);
  if (certificate && key) {
    offer(ipc::Process::relay, ipc::ReloadPart::certificate, own_.tls_certificate, config.tls_certificate,
          std::move(certificate));
    offer(ipc::Process::relay, ipc::ReloadPart::key, own_.tls_key, config.tls_key, std::move(key));
  } else {
    refuse_reload(ipc::ReloadPart::certificate, certificate ? about_file(config.tls_key, key.error())
                                                            : about_file(config.tls_certificate, certificate.error()));
  }
  offer(ipc::Process::gateway, ipc::ReloadPart::gateway, own_.gateway_config, config.gateway_config(),
        copy_gateway_config(config.gateway_config()));
  reload_policy();
}

void Guard::offer(ipc::Process to, ipc::ReloadPart part, Fd& in_force, const std::string& path, Result<Fd> copy) {
  const Child& child = *core(to);
  if (!copy) return refuse_reload(part, about_file(path, copy.error()));
  if (!child.has_served) {  // perhaps because of what it has: it gets this when it is started again
    in_force = std::move(*copy);
    return refuse_reload(part, "it has not come up yet, and is started with this from now on: see `oqtoctl status`");
  }
  if (child.health != ipc::Health::ready || !core(to)->channel.send(ipc::Reload{part}, *copy)) {
    return refuse_reload(part, "it is not running now: try again in a moment");
  }
  reload_->offered.push_back({part, &in_force, std::move(*copy)});
}

Status Guard::on_reloaded(Child& child, ipc::Received& received) {
  const auto answer = TRY(received.as<ipc::Reloaded>());
  const auto own = child.process == ipc::Process::relay ? ipc::ReloadPart::certificate : ipc::ReloadPart::gateway;
  if (!reload_ || answer.part != own || std::ranges::count(reload_->offered, own, &Reloading::Offered::part) == 0) {
    return fail(Errc::bad_message, "an answer to no reload, or too late for it");
  }
  std::erase_if(reload_->offered, [&](Reloading::Offered& offered) {
    if ((offered.part == ipc::ReloadPart::gateway) != (own == ipc::ReloadPart::gateway)) return false;
    if (answer.ok == 1) *offered.in_force = std::move(offered.copy);
    return true;
  });
  answer_reload(answer);
  return {};
}

// --- the policy: read by the parser that reads the tenants', which is a child like any other here --

void Guard::reload_policy() {
  const auto file = open_host_policy(own_.config);
  if (!file) return refuse_reload(ipc::ReloadPart::policy, about_file(own_.config.host_policy, file.error()));
  if (!*file) return take_host_policies(sandbox::built_in_policies(), "built in");
  reload_->parser = std::make_unique<Child>(*this, ipc::Process::policy_parser, 0);
  const Status started =
      start_child(*reload_->parser, host_policy_parser(own_.config, own_.programs.policy, own_.uids.policy_parser(),
                                                       {nullptr, &*file}));
  if (!started) (void)on_host_policy_failed(*reload_->parser, started.error().what);
}

bool Guard::on_host_policy(Child& parser, const sandbox::Policy& policy) {
  if (!reload_ || reload_->parser.get() != &parser) return false;
  reload_->policies.push_back(policy);
  sandbox::HostPolicies all;
  if (reload_->policies.size() < all.size()) return true;
  std::ranges::move(reload_->policies, all.begin());
  bury(std::move(reload_->parser));
  take_host_policies(all, own_.config.host_policy);
  return true;
}

bool Guard::on_host_policy_failed(Child& parser, std::string_view why) {
  if (!reload_ || reload_->parser.get() != &parser) return false;
  bury(std::move(reload_->parser));
  refuse_reload(ipc::ReloadPart::policy, why);
  return true;
}

void Guard::take_host_policies(const sandbox::HostPolicies& policies, std::string_view what) {
  const bool changed = policies != own_.host_policies;
  const auto before = unavailable_profiles();
  own_.host_policies = policies;
  if (changed) record_host_policies();
  if (Child& accounts = *core(ipc::Process::accounts); before != unavailable_profiles()) {
    for (auto& [account, tenant] : tenants_) send_host_facts(*tenant.runner);
    accounts.ended_by_us = "to learn of the host's policy";
    if (accounts.pid >= 0) (void)sys::pidfd_kill(accounts.pidfd, SIGTERM);  // started again with what it says to strangers
  }
  answer_reload({ipc::ReloadPart::policy, 1, changed, what, 0});
}

void Guard::record_host_policies() {
  for (const sandbox::Policy& policy : own_.host_policies) {
    ipc::AuditAppend loaded = happened(ipc::Event::policy_load);
    loaded.add(ipc::FieldKey::profile, sandbox::profile_name(policy.profile))
        .add(ipc::FieldKey::policy, sandbox::canonical_text(policy));
    record(std::move(loaded));
  }
}

// --- the end ---------------------------------------------------------------------------------------

void Guard::refuse_reload(ipc::ReloadPart part, std::string_view why) {
  if (part == ipc::ReloadPart::key) part = ipc::ReloadPart::certificate;
  if (std::ranges::count(reload_->answers, part, &ipc::Reloaded::part) == 0) answer_reload({part, 0, 0, why, 0});
}

void Guard::answer_reload(const ipc::Reloaded& answer) {
  reload_->answers.push_back(answer);
  if (reload_->answers.size() == kParts.size()) finish_reload();
}

void Guard::end_late_reload(std::uint64_t now) {
  if (now < reload_->deadline) return;
  bury(std::move(reload_->parser));
  const std::uint64_t late = reload_->request;
  for (const ipc::ReloadPart part : kParts) {  // the last one ends it
    if (reload_ && reload_->request == late) refuse_reload(part, "it did not answer in time: see `oqtoctl status`");
  }
}

void Guard::finish_reload() {
  const std::unique_ptr<Reloading> ended = std::move(reload_);
  bool is_whole = true;
  std::string all;
  for (const ipc::Reloaded& answer : ended->answers) {
    const std::string_view result = answer.ok == 0 ? "refused" : answer.changed != 0 ? "changed" : "unchanged";
    log::info("reload", {{"part", part_name(answer.part)}, {"result", result}, {"what", answer.what.view()}});
    all += (all.empty() ? "" : "; ") + std::string(part_name(answer.part)) + " " + std::string(result) + ": " + answer.what.str();
    is_whole = is_whole && answer.ok != 0;
  }
  ended->record.outcome = is_whole ? ipc::Outcome::success : ipc::Outcome::failure;
  record(std::move(ended->record.add(ipc::FieldKey::reason, all)));
  for (const auto& peer : operators_) {
    if (peer->closed || peer->awaits != ended->request) continue;
    for (const ipc::Reloaded& answer : ended->answers) (void)peer->channel.send(answer);
    (void)peer->channel.send(ipc::CtlEnd{1, ""});
  }
  if (ended->again && !stopping_) begin_reload(std::move(*ended->again), nullptr);
}

}  // namespace oqto::guard
