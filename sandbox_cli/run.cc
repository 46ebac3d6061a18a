#include "sandbox_cli/run.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "sandbox_cli/learn.h"
#include "sandbox_cli/services.h"
#include "sandbox_cli/session.h"

namespace oqto::sandbox_cli {
namespace {

// What a message to oqto-init holds.
constexpr std::size_t kMaxArguments = 4096;
constexpr std::size_t kArgumentHead = 4;  // in the message that carries them
constexpr std::size_t kMaxArgumentBytes = 56 * 1024;

// How a run ended, for --json.
struct Report {
  Ended ended;
  const EffectivePolicy* policy = nullptr;  // null: it did not come so far
  std::uint64_t duration_ms = 0;
  std::uint64_t denials = 0;
};

Json to_json(const Report& report) {
  Json json = Json::object();
  const char* signal = report.ended.signal == 0 ? nullptr : ::sigabbrev_np(report.ended.signal);
  json.set("exit_status", report.ended.status)
      .set("started", report.ended.started)
      .set("signal", signal == nullptr ? Json() : Json("SIG" + std::string(signal)))
      .set("rule", report.ended.rule.empty() ? Json() : Json(report.ended.rule))
      .set("duration_ms", report.duration_ms)
      .set("denials", report.denials);
  if (report.policy != nullptr) {
    std::vector<std::string> files;
    if (!report.policy->host.path.empty()) files.push_back(report.policy->host.path);
    if (report.policy->workspace) files.push_back(report.policy->workspace->path);
    json.set("profile", report.policy->profile)
        .set("network", policies::network_name(report.policy->policy.network))
        .set("policy_files", files);
  }
  return json;
}

int tell(const Options& options, const Report& report) {
  if (!report.ended.rule.empty()) complain(report.ended.rule);
  if (options.json) {
    const Fd to = Fd::adopt(::fcntl(options.status_fd.value_or(STDERR_FILENO), F_DUPFD_CLOEXEC, 3));
    (void)sys::write_all(to, to_json(report).text() + '\n');
  }
  return report.ended.status;
}

Outcome<> check_program(const Options& options) {
  std::size_t bytes = 0;
  for (const std::string& word : options.program) bytes += word.size() + kArgumentHead;
  if (options.program.size() > kMaxArguments || bytes > kMaxArgumentBytes) {
    return std::unexpected(
        "too many arguments: at most 4096, with 56 KiB together; give the rest in "
        "a file, or through a shell's own patterns: run -- sh -c '…'");
  }
  return {};
}

// A directory would be a way out of the sandbox, a block device the host's disk.
Outcome<> check_stdio() {
  for (int number = 0; number <= 2; ++number) {
    struct stat info {};
    if (::fstat(number, &info) != 0) return std::unexpected("standard descriptors cannot be used");
    if (S_ISDIR(info.st_mode) || S_ISBLK(info.st_mode)) {
      return std::unexpected("descriptor " + std::to_string(number) +
                             " is a directory or a disk: redirect it to something else");
    }
  }
  return {};
}

// Everything that is passed on or handled; SIGPIPE and SIGTTOU only so that they do not end us.
Result<Fd> take_signals() {
  sigset_t quiet;
  sigemptyset(&quiet);
  (void)sigaddset(&quiet, SIGPIPE);
  (void)sigaddset(&quiet, SIGTTOU);
  if (::sigprocmask(SIG_BLOCK, &quiet, nullptr) != 0) return fail_errno("sigprocmask");
  auto signals = ipc::signal_fd(
      {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP, SIGCHLD});
  leave_ignored_signals();
  return signals;
}

struct Prepared {
  Setup setup;
  ipc::Loop loop;
  Fd signals;
};

Outcome<Prepared> get_ready(const Options& options) {
  TRY(check_program(options));
  TRY(check_stdio());
  Setup setup = TRY(prepare(options));
  auto loop = ipc::Loop::create();
  auto signals = take_signals();
  if (!loop || !signals) return std::unexpected("no descriptors for waiting");
  return Prepared{std::move(setup), std::move(*loop), std::move(*signals)};
}

}  // namespace

int run(Options options) {
  if (options.command == "shell") options.program = {"/bin/bash"};
  Report report;
  const std::uint64_t begin = sys::monotonic_ms();

  // --- nothing started ---
  auto ready = get_ready(options);
  if (!ready) {
    report.ended.rule = ready.error();
    return tell(options, report);
  }
  for (const std::string& notice : ready->setup.notices) complain(notice);
  const EffectivePolicy policy = ready->setup.policy;
  report.policy = &policy;

  // --- a sandbox runs ---
  Session session(options, std::move(ready->setup), std::move(ready->loop),
                  std::move(ready->signals));
  report.ended = session.run();
  report.duration_ms = sys::monotonic_ms() - begin;
  report.denials = session.services().record().denials();
  return tell(options, report);
}

int learn(Options options) {
  auto ready = get_ready(options);
  if (!ready) return refused(ready.error(), options.json);
  prepare_learning(ready->setup);
  const LearnFrom from = learn_from(ready->setup);
  Session session(options, std::move(ready->setup), std::move(ready->loop),
                  std::move(ready->signals));
  const Ended ended = session.run();
  if (!ended.rule.empty()) complain(ended.rule);
  if (!ended.started) return ended.status;
  return propose(options, from, session.services(), ended.status);
}

}  // namespace oqto::sandbox_cli
