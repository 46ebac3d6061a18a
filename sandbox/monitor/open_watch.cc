#include "sandbox/monitor/open_watch.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <utility>

#include "base/sys.h"

namespace oqto::sandbox {
namespace {

constexpr std::uint64_t kWrites = O_ACCMODE | O_CREAT | O_TRUNC;

ipc::AuditAppend record_of(const Approvals::Settled& settled, ipc::Outcome outcome) {
  using ipc::FieldKey;
  static constexpr std::string_view kChoices[] = {"deny", "once", "session"};
  static_assert(std::size(kChoices) == static_cast<std::size_t>(ipc::ApprovalChoice::kEnd));
  const OpenRequest& request = settled.request;
  ipc::AuditAppend record;
  record.event = ipc::Event::approval;
  record.phase = ipc::Phase::event;
  record.outcome = outcome;
  record.add(FieldKey::path, request.path);
  record.add(FieldKey::choice, kChoices[static_cast<std::size_t>(settled.choice)]);
  record.add(FieldKey::rule, settled.rule);
  record.add(FieldKey::pid, std::to_string(request.process));
  record.add(FieldKey::exe, request.exe);
  record.add(FieldKey::cwd, request.cwd);
  for (const std::string& argument : request.argv) record.add(FieldKey::argv, argument);
  return record;
}

int error_of(const Error& error) {
  if (error.code == Errc::limit) return EFBIG;
  return error.sys != 0 ? error.sys : EACCES;
}

}  // namespace

// The path as the caller means it, links not followed: one that leads to a hidden file by a link
// finds its mask. False if it cannot be told, and then the kernel will not find it either.
bool OpenWatch::read_call(const seccomp_notif& notification, OpenRequest& request,
                          std::uint64_t& flags) const {
  const seccomp_data& call = notification.data;
  const auto task = static_cast<pid_t>(notification.pid);
  const bool at = call.nr == SYS_openat;
  const auto path = tracees_.path(task, call.args[at ? 1 : 0]);
  if (!path || path->empty()) return false;
  std::string base = "/";
  if (!path->starts_with('/')) {
    const auto dir = static_cast<int>(call.args[0]);  // of which the kernel takes 32 bits
    const std::string link = at && dir != AT_FDCWD ? "fd/" + std::to_string(dir) : "cwd";
    auto target = tracees_.link(task, link.c_str());
    if (!target) return false;
    base = std::move(*target);
  }
  request.path = resolve_text(base, *path);
  flags = call.nr == SYS_creat ? kWrites : call.args[at ? 2 : 1];
  return true;
}

void OpenWatch::on_open(const seccomp_notif& notification) {
  OpenRequest request;
  request.notification = notification.id;
  std::uint64_t flags = 0;
  const bool known = read_call(notification, request, flags);
  const AskPath* ask = known ? files_.find(request.path) : nullptr;
  // The mask of a directory is an empty one: there is nothing to approve about it.
  if (ask == nullptr || (flags & (O_PATH | O_DIRECTORY)) != 0 ||
      !files_.is_file(*ask, request.path)) {
    listener_.go_on(notification.id);
    return;
  }
  const auto task = static_cast<pid_t>(notification.pid);
  const auto numbers = tracees_.numbers(task);
  const auto image = numbers ? tracees_.image(numbers->process) : std::unexpected(numbers.error());
  if (!listener_.is_waiting(notification.id)) return;
  if (!image) {
    listener_.refuse(notification.id, EACCES);
    return;
  }
  request.process = numbers->process;
  request.inside = numbers->inside;
  request.close_on_exec = (flags & O_CLOEXEC) != 0;
  request.argv = image->argv;
  request.exe = image->exe;
  request.cwd = image->cwd;
  if ((flags & kWrites) != 0) {
    refuse({std::move(request), ipc::ApprovalChoice::deny, "read-only"}, EACCES);
    return;
  }
  settle(approvals_.consider(std::move(request), ask->automatic, sys::monotonic_ms()));
}

void OpenWatch::on_answer(std::uint64_t question, ipc::ApprovalChoice choice) {
  settle(approvals_.on_answer(question, choice, sys::monotonic_ms()));
}

void OpenWatch::tick() {
  settle(std::exchange(later_, {}));
  settle(approvals_.expire(sys::monotonic_ms()));
}

void OpenWatch::settle(std::vector<Approvals::Settled> settled) {
  for (Approvals::Settled& each : settled) {
    int error = EACCES;
    if (each.choice != ipc::ApprovalChoice::deny && recorder_.available()) {
      if (!recorder_.has_room(0)) {
        later_.push_back(std::move(each));
        continue;
      }
      error = grant(each);
    }
    if (error != 0) refuse(each, error);
  }
}

// The record comes first: what cannot be recorded is not handed out.
int OpenWatch::grant(const Approvals::Settled& settled) {
  const OpenRequest& request = settled.request;
  const AskPath* ask = files_.find(request.path);
  if (ask == nullptr) return EACCES;
  const auto copy = files_.copy(*ask, request.path);
  if (!copy) return error_of(copy.error());
  recorder_.add(record_of(settled, ipc::Outcome::success));
  return listener_.give(request.notification, *copy, request.close_on_exec);
}

// What a person (or nobody, in time) said is a record of its own. What we said is one of many.
void OpenWatch::refuse(const Approvals::Settled& settled, int error) {
  const bool asked = settled.rule == "answer" || settled.rule == "timeout";
  if (asked && recorder_.has_room(0)) {
    recorder_.add(record_of(settled, ipc::Outcome::failure));
  } else {
    (void)denials_.add({.process = settled.request.process,
                        .exe = settled.request.exe,
                        .what = "open",
                        .rule = "ask-path",
                        .reason = settled.rule,
                        .arguments = {},
                        .path = settled.request.path},
                       sys::monotonic_ms());
  }
  listener_.refuse(settled.request.notification, error);
}

}  // namespace oqto::sandbox
