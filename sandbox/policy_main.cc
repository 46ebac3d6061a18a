// oqto-policy: reads one policy file for the guard, which does not parse text itself. One per file:
// it gets the file open, seals itself, answers, and ends.
#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "base/sys.h"
#include "ipc/channel.h"
#include "sandbox/policy_toml.h"
#include "sandbox/seal.h"

namespace {

using namespace oqto;
using namespace oqto::sandbox;

constexpr int kFileFd = ipc::kFirstExtraFd;
constexpr const char* kUsage =
    "usage: oqto-policy --name FILE\n"
    "Started by oqto-guard, with the file open as descriptor 6; FILE is what errors call it.\n";

Status run(std::string_view name) {
  // --- nothing read yet ---
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  const Fd file = Fd::adopt(kFileFd);
  TRY(seal({.sets = {"io", "memory", "clock", "exit"}, .also = {}}));

  // --- sealed: the tenant's text ---
  const auto text = sys::read_all(file, kMaxPolicyBytes);
  if (!text) {
    return guard.send(ipc::LaunchFailed{
        ipc::Text<512>(std::string(name) + ": cannot be read: " + text.error().what)});
  }
  const auto policy = parse_policy(*text, name);
  if (!policy) return guard.send(ipc::LaunchFailed{ipc::Text<512>(policy.error())});
  return guard.send(PolicyParsed{*policy});
}

}  // namespace

int main(int argc, char** argv) {
  log::set_process_name("oqto-policy");
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    (void)std::fputs(kUsage, stdout);
    return 0;
  }
  if (argc != 3 || std::strcmp(argv[1], "--name") != 0) {
    (void)std::fputs(kUsage, stderr);
    return 2;
  }
  if (const Status closed = sys::close_from(kFileFd + 1); !closed) return log::exit_status(closed);
  if (const Status adopted = sys::adopt_inherited(ipc::kGuardFd, kFileFd - ipc::kGuardFd + 1);
      !adopted) {
    return log::exit_status(adopted);
  }
  return log::exit_status(run(argv[2]));
}
