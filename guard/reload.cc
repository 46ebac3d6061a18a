// What an operator has changed is read again while we serve (oqtoctl reload, SIGHUP): we open it, and whose it is
// judges it. Until that part has accepted it, it goes on with what it has, and so does whoever is started in its place.
#include <signal.h>
#include <sys/stat.h>

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

ipc::Process owner(ipc::ReloadPart part) { return part == ipc::ReloadPart::gateway ? ipc::Process::gateway : ipc::Process::relay; }

std::string text_of(const ipc::Reloaded& answer) {
  const std::string_view result = answer.ok == 0 ? "refused" : answer.changed != 0 ? "changed" : "unchanged";
  return std::string(part_name(answer.part)) + " " + std::string(result) + ": " + answer.what.str();
}

}  // namespace

void Guard::begin_reload(ipc::AuditAppend asked, Operator* asker) {
  if (reload_) {
    if (reload_->again) record(std::move(reload_->again->add(ipc::FieldKey::reason, "joined with the reload after it")));
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
    const bool is_first_there = offer(ipc::Process::relay, ipc::ReloadPart::certificate, own_.tls_certificate,
                                      config.tls_certificate, std::move(certificate));
    if (is_first_there) (void)offer(ipc::Process::relay, ipc::ReloadPart::key, own_.tls_key, config.tls_key, std::move(key));
  } else {
    refuse_reload(ipc::ReloadPart::certificate, certificate ? about_file(config.tls_key, key.error())
                                                            : about_file(config.tls_certificate, certificate.error()));
  }
  struct stat in_force{};
  const bool has_one = ::fstat(own_.gateway_config.get(), &in_force) == 0 && in_force.st_size > 0;
  (void)offer(ipc::Process::gateway, ipc::ReloadPart::gateway, own_.gateway_config, config.gateway_config(),
              copy_gateway_config(config.gateway_config(), has_one));
  reload_policy();
}

// True: what belongs to it may follow.
bool Guard::offer(ipc::Process to, ipc::ReloadPart part, Fd& in_force, const std::string& path, Result<Fd> copy) {
  const auto refuse = [&](std::string_view why) { return refuse_reload(part, why), false; };
  Child& child = *core(to);
  if (!copy) return refuse(about_file(path, copy.error()));
  if (!child.has_served && child.health != ipc::Health::starting) {  // perhaps because of what it has
    in_force = std::move(*copy);
    return (void)refuse("it has not come up yet, and is started with this from now on: see `oqtoctl status`"), true;
  }
  if (child.health != ipc::Health::ready || !child.channel.send(ipc::Reload{part, reload_->request}, *copy)) {
    std::erase_if(offered_, [&](const Offered& each) { return each.request == reload_->request && owner(each.part) == to; });
    return refuse("it is not running now, or is busy: try again in a moment");
  }
  offered_.push_back({reload_->request, part, &in_force, std::move(*copy)});
  return true;
}

// An answer may come after its reload was given up, and during the next one. It counts for the files that it is about:
// a part that has taken them has them, so they are what it is started with again, whatever the operator was told. What
// was offered stays here until then, or until the part ends.
Status Guard::on_reloaded(Child& child, ipc::Received& received) {
  const auto answer = TRY(received.as<ipc::Reloaded>());
  const auto own = child.process == ipc::Process::relay ? ipc::ReloadPart::certificate : ipc::ReloadPart::gateway;
  const auto is_of = [&](const Offered& each) { return owner(each.part) == child.process && each.request <= answer.request; };
  const bool is_awaited = std::ranges::any_of(offered_, [&](const Offered& each) { return is_of(each) && each.request == answer.request; });
  if (!is_awaited || answer.part != own) return fail(Errc::bad_message, "an answer to no reload");
  std::erase_if(offered_, [&](Offered& each) {
    if (!is_of(each)) return false;  // answers come in order: an earlier one will not come any more
    if (answer.ok == 1 && each.request == answer.request) *each.in_force = std::move(each.copy);
    return true;
  });
  if (reload_ && reload_->request == answer.request) return answer_reload(answer), Status();
  ipc::AuditAppend late = happened(ipc::Event::admin, answer.ok == 1 ? ipc::Outcome::success : ipc::Outcome::failure);
  late.add(ipc::FieldKey::process, ipc::process_name(child.process)).add(ipc::FieldKey::reason, "answered a reload late: " + text_of(answer));
  log::warn("a reload was answered late", {{"what", text_of(answer)}});
  record(std::move(late));
  return {};
}

// What it has not answered it has not taken, for all that is to be known: it is started with what is in force.
void Guard::forget_offers(const Child& ended) {
  const auto forgotten = std::erase_if(offered_, [&](const Offered& each) { return owner(each.part) == ended.process; });
  if (forgotten == 0 || !reload_) return;
  refuse_reload(ended.process == ipc::Process::relay ? ipc::ReloadPart::certificate : ipc::ReloadPart::gateway,
                "it ended before it answered, and is started again with what was in force");
}

// --- the policy: read by the parser that reads the tenants', which is a child like any other here --

void Guard::reload_policy() {
  const auto file = open_host_policy(own_.config);
  if (!file) return refuse_reload(ipc::ReloadPart::policy, about_file(own_.config.host_policy, file.error()));
  if (const auto built_in = sandbox::built_in_policies(); !*file) {
    if (own_.host_policies == built_in) return take_host_policies(built_in, "built in");
    return refuse_reload(ipc::ReloadPart::policy, about_file(own_.config.host_policy, kIsGone));
  }
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

void Guard::end_reload(std::string_view why) {
  bury(std::move(reload_->parser));
  const std::uint64_t late = reload_->request;
  for (const ipc::ReloadPart part : kParts) {  // the last one ends it
    if (reload_ && reload_->request == late) refuse_reload(part, why);
  }
}

void Guard::finish_reload() {
  const std::unique_ptr<Reloading> ended = std::move(reload_);
  bool is_whole = true;
  std::string all;
  for (const ipc::Reloaded& answer : ended->answers) {
    log::info("reload", {{"what", text_of(answer)}});
    all += (all.empty() ? "" : "; ") + text_of(answer);
    is_whole = is_whole && answer.ok != 0;
  }
  ended->record.outcome = is_whole ? ipc::Outcome::success : ipc::Outcome::failure;
  record(std::move(ended->record.add(ipc::FieldKey::reason, all)));
  for (const auto& peer : operators_) {
    if (peer->closed || peer->awaits != ended->request) continue;
    for (const ipc::Reloaded& answer : ended->answers) (void)peer->channel.send(answer);
    (void)peer->channel.send(ipc::CtlEnd{1, ""});
  }
  if (ended->again && !stopping_) return begin_reload(std::move(*ended->again), nullptr);
  if (!ended->again) return;
  ended->again->outcome = ipc::Outcome::failure;
  record(std::move(ended->again->add(ipc::FieldKey::reason, "not carried out: the host stops")));
}

}  // namespace oqto::guard
