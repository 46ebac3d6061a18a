// oqto-policy: reads one policy file for the guard, which does not parse text itself. One per file:
// it gets the file open, seals itself, answers, and ends. A workspace's file is answered with one
// PolicyParsed; the host's with one per built-in profile, in the order of ipc::Profile; a file that
// is refused with LaunchFailed alone.
#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "base/sys.h"
#include "ipc/channel.h"
#include "sandbox/policy/toml.h"
#include "sandbox/seal.h"

namespace {

using namespace oqto;
using namespace oqto::sandbox;

constexpr int kFileFd = ipc::kFirstExtraFd;
constexpr const char* kUsage =
    "usage: oqto-policy --name FILE [--source host|workspace]\n"
    "Started by oqto-guard, with the file open as descriptor 6; FILE is what errors call it. A\n"
    "workspace's file (the default) may only tighten.\n";

struct Options {
  std::string name;
  PolicySource source = PolicySource::workspace;
};

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i], value = argv[i + 1];
    if (flag == "--name") {
      options.name = value;
    } else if (flag == "--source" && (value == "host" || value == "workspace")) {
      options.source = value == "host" ? PolicySource::host : PolicySource::workspace;
    } else {
      return {};
    }
  }
  if (argc % 2 == 0 || options.name.empty()) return {};
  return options;
}

std::expected<std::vector<Policy>, std::string> parse(std::string_view text,
                                                      const Options& options) {
  PolicyContext context;
  context.name = options.name;
  context.source = options.source;
  context.hosted = true;
  std::vector<Policy> all;
  if (options.source == PolicySource::workspace) {
    all.push_back(TRY(parse_policy(text, context)).policy);
    return all;
  }
  for (std::size_t i = 0; i < policies::kProfiles; ++i) {
    const auto name = profile_name(static_cast<ipc::Profile>(i));
    ParsedPolicy parsed = TRY(parse_policy(text, context, name));
    for (const PolicyNote& note : parsed.notes) {
      if (i == 0) log::info("a line of the host's policy has no effect", {{"file", options.name}, {"line", note.line}, {"why", note.what}});
    }
    all.push_back(std::move(parsed.policy));
  }
  return all;
}

Status run(const Options& options) {
  // --- nothing read yet ---
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  const Fd file = Fd::adopt(kFileFd);
  TRY(seal({.sets = {"io", "memory", "clock", "exit"}, .also = {}}));

  // --- sealed: the tenant's text ---
  const auto text = sys::read_all(file, kMaxPolicyBytes);
  if (!text) {
    return guard.send(
        ipc::LaunchFailed{ipc::Text<512>(options.name + ": cannot be read: " + text.error().what)});
  }
  const auto policies = parse(*text, options);
  if (!policies) return guard.send(ipc::LaunchFailed{ipc::Text<512>(policies.error())});
  for (const Policy& policy : *policies) TRY(guard.send(PolicyParsed{policy}));
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  log::set_process_name("oqto-policy");
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    (void)std::fputs(kUsage, stdout);
    return 0;
  }
  const auto options = parse_options(argc, argv);
  if (!options) {
    (void)std::fputs(kUsage, stderr);
    return 2;
  }
  if (const Status closed = sys::close_from(kFileFd + 1); !closed) return log::exit_status(closed);
  if (const Status adopted = sys::adopt_inherited(ipc::kGuardFd, kFileFd - ipc::kGuardFd + 1);
      !adopted) {
    return log::exit_status(adopted);
  }
  return log::exit_status(run(*options));
}
