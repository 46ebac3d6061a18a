#include "guard/host_policy.h"

#include <sys/wait.h>

#include "base/log.h"
#include "base/sys.h"
#include "guard/operator_files.h"
#include "ipc/channel.h"
#include "sandbox/launch/launch_plan.h"

namespace oqto::guard {
namespace {

constexpr int kTimeoutMs = 10'000;

// One policy per built-in profile, in their order, or the reason why there is none.
Result<sandbox::HostPolicies> answer(ipc::Channel& channel, const std::string& path) {
  sandbox::HostPolicies policies;
  for (std::size_t count = 0; count < policies.size();) {
    const auto received = TRY(channel.wait(kTimeoutMs));
    if (received.tag == ipc::Tag::ready) continue;
    if (received.tag == ipc::Tag::policy_parsed) {
      policies[count++] = TRY(received.as<sandbox::PolicyParsed>()).asked;
      continue;
    }
    const auto failed = TRY(received.as<ipc::LaunchFailed>());
    log::error("the host policy is refused", {{"file", path}, {"why", failed.why.view()}});
    return fail(Errc::invalid, "the host policy is refused: mend it, then start again");
  }
  return policies;
}

}  // namespace

Spawn host_policy_parser(const Config& config, const Fd& parser, uid_t uid, std::vector<const Fd*> fds) {
  return {.program = parser,
          .name = "oqto-policy",
          .args = {"--source", "host", "--name", config.host_policy},
          .uid = uid,
          .fds = std::move(fds)};
}

Result<sandbox::HostPolicies> read_host_policy(const Config& config, const Fd& parser, uid_t uid) {
  const auto file = open_host_policy(config);
  if (!file) log::error("the host policy is refused", {{"why", about_file(config.host_policy, file.error())}});
  if (!file) return std::unexpected(file.error());
  if (!*file) return sandbox::built_in_policies();
  auto ends = TRY(sys::seqpacket_pair());
  const Spawned child = TRY(spawn(host_policy_parser(config, parser, uid, {&ends.second, nullptr, nullptr, &*file})));
  ends.second.reset();
  ipc::Channel channel(std::move(ends.first));
  auto policy = answer(channel, config.host_policy);
  (void)sys::pidfd_kill(child.pidfd, SIGKILL);
  (void)::waitpid(child.pid, nullptr, 0);
  return policy;
}

}  // namespace oqto::guard
