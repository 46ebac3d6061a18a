#include "guard/host_policy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/sys.h"
#include "guard/spawn.h"
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

Result<sandbox::HostPolicies> read_host_policy(const Config& config, const Fd& parser, uid_t uid) {
  const auto file = sys::open_file(config.host_policy.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file && file.error().sys == ENOENT) return sandbox::built_in_policies();
  if (!file) return std::unexpected(file.error());
  struct stat info{};
  if (::fstat(file->get(), &info) != 0) return fail_errno("fstat");
  if (info.st_uid != 0 || (info.st_mode & 022) != 0 || !S_ISREG(info.st_mode)) {
    return fail(Errc::denied, "the host policy must be a file of root that nobody else can write");
  }
  auto ends = TRY(sys::seqpacket_pair());
  const Spawned child = TRY(spawn({.program = parser,
                                   .name = "oqto-policy",
                                   .args = {"--source", "host", "--name", config.host_policy},
                                   .uid = uid,
                                   .fds = {&ends.second, nullptr, nullptr, &*file}}));
  ends.second.reset();
  ipc::Channel channel(std::move(ends.first));
  auto policy = answer(channel, config.host_policy);
  (void)sys::pidfd_kill(child.pidfd, SIGKILL);
  (void)::waitpid(child.pid, nullptr, 0);
  return policy;
}

}  // namespace oqto::guard
