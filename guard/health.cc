// Whether the host could serve now. When somebody asks, the parts are asked to write something, at most once
// a second; everybody who waits gets the same answer. No tenant's part can delay it, or make it a no.
#include <algorithm>

#include "base/sys.h"
#include "guard/guard.h"
#include "ipc/readiness.h"

namespace oqto::guard {
namespace {

constexpr std::uint64_t kProbeAgainMs = 1000;
constexpr std::uint64_t kProbeTimeoutMs = 3000;
constexpr std::size_t kMaxTroubles = 16;

bool is_awaited(const std::unique_ptr<Child>& child) {
  return child->health == ipc::Health::ready && child->probe != 0 && sys::monotonic_ms() < child->probe_until;
}

std::string why_unwell(const Child& child) {
  if (child.health == ipc::Health::starting) return "it is starting";
  if (child.health != ipc::Health::ready) return "it is not running";
  return child.probe != 0 && child.cannot_write.empty() ? "it does not answer" : child.cannot_write;
}

}  // namespace

void Guard::probe(Child& child) {
  if (child.health != ipc::Health::ready || child.probe != 0) return;  // one at a time
  child.probe = next_record_++;
  child.probe_until = sys::monotonic_ms() + kProbeTimeoutMs;
  const bool sent = child.process == ipc::Process::auditd ? audit_ && audit_.send(ipc::AuditProbe{child.probe})
                                                          : child.channel && child.channel.send(ipc::Probe{child.probe});
  if (!sent) settle_probe(child, child.probe, "it does not read what it is sent");
}

void Guard::settle_probe(Child& child, std::uint64_t request, std::string_view cannot_write) {
  if (request == 0 || child.probe != request) return;  // 0: none is awaited
  child.probe = 0;
  child.cannot_write = cannot_write;
}

Status Guard::on_probed(Child& child, ipc::Received& received) {
  const auto probed = TRY(received.as<ipc::Probed>());
  settle_probe(child, probed.request, probed.ok == 1 ? std::string_view() : probed.why.view());
  return {};
}

Status Guard::on_certificate_facts(Child&, ipc::Received& received) {
  certificate_ = TRY(received.as<ipc::CertificateFacts>());
  return {};
}

void Guard::ask_health() {
  if (sys::monotonic_ms() < probed_at_ + kProbeAgainMs) return;
  probed_at_ = sys::monotonic_ms();
  is_judged_ = false;
  probe(*core(ipc::Process::auditd));
  probe(*core(ipc::Process::accounts));
  const auto next = tenants_.upper_bound(probed_tenant_);  // one history after the other
  probed_tenant_ = next == tenants_.end() ? 0 : next->first;
  if (next != tenants_.end()) probe(*next->second.hstry);
}

// Each turn of the loop.
void Guard::answer_health() {
  if (!is_judged_ && std::ranges::any_of(core_, is_awaited)) return;
  if (!std::exchange(is_judged_, true)) troubles_ = judge();
  const auto is_ready = static_cast<std::uint8_t>(std::ranges::all_of(troubles_, &ipc::CtlTrouble::is_warning));
  for (const std::uint64_t id : std::exchange(asking_, {})) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) continue;
    found->second->state = Connection::State::idle;
    if (!found->second->channel.send(ipc::Probed{0, is_ready, ""})) drop(id);
  }
  for (const auto& peer : operators_) {
    if (std::exchange(peer->asks_status, false) && !send_status(*peer)) close_operator(*peer);
  }
}

std::vector<ipc::CtlTrouble> Guard::judge() const {
  std::vector<ipc::CtlTrouble> all;
  const auto say = [&all](bool is_warning, std::string_view part, std::string_view why) {
    if (why.empty() || (is_warning && all.size() >= kMaxTroubles)) return;  // what takes the host away is always said
    all.push_back({static_cast<std::uint8_t>(is_warning), part, why});
  };
  for (const auto& child : core_) say(false, ipc::process_name(child->process), why_unwell(*child));
  struct statvfs disk{};
  const bool is_there = ::fstatvfs(own_.state.get(), &disk) == 0;
  for (const auto& trouble : {ipc::judge_certificate(certificate_, sys::now_ms()), ipc::judge_disk(is_there ? &disk : nullptr)}) {
    if (trouble) all.push_back(*trouble);
  }
  const bool is_lost = own_.cgroups && own_.cgroups->is_lost();
  say(!is_lost, "cgroups", is_lost ? "the cgroup tree of this host was removed: no session can start" : sandbox::cgroup_advice(own_.cgroups));
  for (const std::string& why : own_.storage.troubles()) say(true, "storage", why);  // of tenants: as many as they like
  for (const auto& [account, tenant] : tenants_) {
    const std::string why = is_awaited(tenant.hstry) ? "" : why_unwell(*tenant.hstry);
    if (!why.empty()) say(true, "hstry", "of account " + std::to_string(account) + ": " + why);
  }
  return all;
}

}  // namespace oqto::guard
