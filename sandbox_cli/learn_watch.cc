#include "sandbox_cli/learn_watch.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

#include "policies/session_syscalls.h"
#include "sandbox/monitor/filters.h"

namespace oqto::sandbox_cli {
namespace {

constexpr int kBatch = 32;

bool is_exec(int call) {
  return call == SYS_execve || call == SYS_execveat;
}
bool is_open(int call) {
  return call == SYS_open || call == SYS_openat || call == SYS_creat;
}

bool writes(std::uint64_t flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0;
}

}  // namespace

LearnWatch::~LearnWatch() {
  if (loop_ != nullptr) loop_->unwatch(listener_.fd(), *this);
}

Status LearnWatch::attach(ipc::Loop& loop) {
  TRY(loop.watch(listener_.fd(), *this));
  loop_ = &loop;
  return {};
}

void LearnWatch::on_ready(std::uint32_t) {
  for (int i = 0; i < kBatch; ++i) {
    const auto state = listener_.state();
    if (state == sandbox::Listener::State::finished && loop_ != nullptr) {
      loop_->unwatch(listener_.fd(), *this);
      loop_ = nullptr;
    }
    if (state != sandbox::Listener::State::ready) return;
    const auto notification = listener_.receive();
    if (!notification) return;
    answer(*notification);
  }
}

// What is let go on finds only what the sandbox shows it: looking decides nothing.
void LearnWatch::answer(const seccomp_notif& notification) {
  const seccomp_data& call = notification.data;
  const std::string name(sandbox::syscall_name(static_cast<std::uint32_t>(call.nr)));
  policies::CallArguments arguments{};
  std::ranges::copy(call.args, arguments.begin());
  const auto judged = policies::judge_syscall(name, arguments, run_own_programs_);
  if (judged.error == 0 && (is_exec(call.nr) || is_open(call.nr))) {
    if (is_open(call.nr)) note_open(notification);
    listener_.go_on(notification.id);
    return;
  }
  if (learned_.calls.size() < kMaxLearned) ++learned_.calls[name];
  listener_.refuse(notification.id, judged.error != 0 ? judged.error : EPERM);
}

void LearnWatch::note_open(const seccomp_notif& notification) {
  const seccomp_data& call = notification.data;
  const auto task = static_cast<pid_t>(notification.pid);
  const bool at = call.nr == SYS_openat;
  const auto path = tracees_.path(task, call.args[at ? 1 : 0]);
  if (!path || path->empty()) return;
  std::string base = "/";
  if (!path->starts_with('/')) {
    const auto dir = static_cast<int>(call.args[0]);  // of which the kernel takes 32 bits
    const std::string link = at && dir != AT_FDCWD ? "fd/" + std::to_string(dir) : "cwd";
    auto target = tracees_.link(task, link.c_str());
    if (!target) return;
    base = std::move(*target);
  }
  if (!listener_.is_waiting(notification.id) || learned_.files.size() >= kMaxLearned) return;
  const bool write = call.nr == SYS_creat || writes(call.args[at ? 2 : 1]);
  bool& written = learned_.files[sandbox::resolve_text(base, *path)];
  written = written || write;
}

}  // namespace oqto::sandbox_cli
