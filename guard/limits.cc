// What a session may use, and what becomes of one that used it up.
#include <sys/stat.h>

#include "base/sys.h"
#include "guard/guard.h"

namespace oqto::guard {
namespace {

// The launcher's end is the end of all that the agent runs. What tidies up after it has this long,
// before the kernel ends whatever is still in the session's cgroup.
constexpr std::uint64_t kTidyMs = 1000;

}  // namespace

// What this host cannot hold a session to is refused, with the way out; empty if there is nothing.
std::string Guard::why_unenforceable(const sandbox::Policy& policy) const {
  if (!policy.in_range() || sandbox::canonical_text(policy).size() > ipc::kMaxFieldBytes) {
    return "the policies of the host and of the workspace together are too long to be recorded";
  }
  if (policy.network == policies::Network::open) {
    return "network mode `open` is for the stand-alone oqto-sandbox: use `filtered` or `isolated`";
  }
  const bool limited = own_.cgroups && own_.cgroups->controllers().enough();
  if (limited || policy.cgroups == policies::Cgroups::optional) return {};
  return "profile " + std::string(sandbox::profile_name(policy.profile)) +
         " requires cgroup limits. Either: " + sandbox::cgroup_advice(own_.cgroups) +
         ". Or do without: `[limits] cgroups = \"optional\"` in " + own_.config.host_policy;
}

std::vector<std::string> Guard::unavailable_profiles() const {
  std::vector<std::string> all;
  for (const sandbox::Policy& policy : own_.host_policies) {
    const std::string why = why_unenforceable(policy);
    if (why.empty()) continue;
    const std::string name(sandbox::profile_name(policy.profile));
    // Also strangers read it, so it names no file of this machine; a start that is refused does.
    all.push_back(name +
                  ": this host cannot enforce its limits; its operator sees with `oqtoctl status` what is missing");
  }
  return all;
}

// Without controllers a leaf still makes the end of a session certain; without cgroup v2 there is none.
Status Guard::enter_cgroup(Session& session) {
  if (!own_.cgroups) return {};
  struct stat info{};
  if (::fstat(session.workspace_dir.get(), &info) != 0) return fail_errno("fstat");
  session.cgroup = TRY(own_.cgroups->make(session.number.text(), session.policy.limits, info.st_dev));
  return {};
}

void Guard::leave_cgroup(Session& session) {
  if (!session.cgroup) return;
  emptying_.push_back({std::move(session.cgroup), sys::monotonic_ms() + kTidyMs});
}

void Guard::remove_cgroups() {
  std::erase_if(emptying_, [this](const Emptying& ended) {
    const Status removed = own_.cgroups->remove(ended.leaf);
    if (removed || removed.error().code != Errc::limit) return true;
    if (sys::monotonic_ms() >= ended.kill_at) (void)ended.leaf.kill();
    return false;
  });
}

void Guard::remove_cgroup_tree() {
  if (own_.cgroups) own_.cgroups->remove_tree();
}

void Guard::end_late_sessions(std::uint64_t now) {
  std::vector<Session*> late;
  for (const auto& [id, session] : sessions_) {
    if (session->deadline <= now) late.push_back(session.get());
  }
  for (Session* session : late) {
    if (session->state != Session::State::live) {
      fail_session(*session, ipc::Refusal::unavailable, "the sandbox did not start within 30 seconds");
      continue;
    }
    end_session(session->number, "its time is over: limits.wall_clock_s is " +
                                 std::to_string(session->policy.limits.wall_clock_s));
  }
}

}  // namespace oqto::guard
