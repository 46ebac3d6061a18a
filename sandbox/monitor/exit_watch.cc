#include "sandbox/monitor/exit_watch.h"

#include <poll.h>
#include <sys/wait.h>

#include <charconv>

#include "base/sys.h"
#include "sandbox/monitor/process_info.h"

namespace oqto::sandbox {
namespace {

using ipc::FieldKey;

ipc::AuditAppend new_record(ipc::Outcome outcome) {
  ipc::AuditAppend record;
  record.event = ipc::Event::exec_exit;
  record.phase = ipc::Phase::outcome;
  record.outcome = outcome;
  return record;
}

bool has_ended(const Fd& pidfd) {
  pollfd end{pidfd.get(), POLLIN, 0};
  return ::poll(&end, 1, 0) > 0;
}

}  // namespace

ExitWatch::~ExitWatch() {
  for (const auto& [process, watched] : running_) loop_->unwatch(watched->pidfd, *watched);
}

Submission::Index ExitWatch::begin(pid_t process, Fd pidfd) {
  if (const auto found = running_.find(process); found != running_.end()) {
    if (!has_ended(found->second->pidfd)) {  // another program of the same process
      found->second->index = std::make_shared<std::uint64_t>(ipc::kNoIndex);
      found->second->since = sys::monotonic_ms();
      return found->second->index;
    }
    on_end(process);
  }
  auto watched = std::make_unique<Watched>(*this);
  watched->process = process;
  watched->pidfd = std::move(pidfd);
  watched->index = std::make_shared<std::uint64_t>(ipc::kNoIndex);
  watched->since = sys::monotonic_ms();
  if (loop_ == nullptr || running_.size() >= kMaxExitWatches || !watched->pidfd ||
      !loop_->watch(watched->pidfd, *watched)) {
    ++unseen_;
    return nullptr;
  }
  return running_.emplace(process, std::move(watched)).first->second->index;
}

// Until its parent has asked for it the status stands in /proc, afterwards newer kernels (6.15) tell
// it to whoever holds a descriptor.
std::optional<int> ExitWatch::status_of(const Watched& watched) const {
  if (const auto status = exit_status_in_proc(tracees_, watched.process)) {
    // It is that process's, and no successor's, if that was still there afterwards.
    if (sys::pidfd_kill(watched.pidfd, 0)) return status;
  }
  return exit_status_of(watched.pidfd);
}

void ExitWatch::on_end(pid_t process) {
  const auto found = running_.find(process);
  if (found == running_.end()) return;
  Watched& watched = *found->second;
  ended_.push_back({process, watched.index, sys::monotonic_ms() - watched.since, status_of(watched)});
  loop_->unwatch(watched.pidfd, watched);
  gone_.push_back(std::move(found->second));
  running_.erase(found);
}

void ExitWatch::record(const Ended& ended) {
  const bool well = ended.status && WIFEXITED(*ended.status) && WEXITSTATUS(*ended.status) == 0;
  auto record = new_record(!ended.status ? ipc::Outcome::unknown
                           : well        ? ipc::Outcome::success
                                         : ipc::Outcome::failure);
  record.add(FieldKey::pid, std::to_string(ended.process));
  if (ended.status && WIFEXITED(*ended.status)) {
    record.add(FieldKey::exit_status, std::to_string(WEXITSTATUS(*ended.status)));
  } else if (ended.status) {
    record.add(FieldKey::signal, std::to_string(WTERMSIG(*ended.status)));
  }
  record.add(FieldKey::duration_ms, std::to_string(ended.duration_ms));
  recorder_.submit({.record = std::move(record), .intent = ended.index});
}

void ExitWatch::tick(std::size_t reserved) {
  gone_.clear();
  while (!ended_.empty() && recorder_.available() && recorder_.has_room(reserved)) {
    record(ended_.front());
    ended_.pop_front();
  }
  if (unseen_ == 0 || !recorder_.available() || !recorder_.has_room(reserved)) return;
  auto record = new_record(ipc::Outcome::unknown);
  record.phase = ipc::Phase::event;
  record.add(FieldKey::count, std::to_string(unseen_));
  record.add(FieldKey::reason, "programs whose end is not seen: too many run at once");
  unseen_ = 0;
  recorder_.add(std::move(record));
}

void ExitWatch::flush() {
  std::vector<pid_t> over;
  for (const auto& [process, watched] : running_) {
    if (has_ended(watched->pidfd)) over.push_back(process);
  }
  for (const pid_t process : over) on_end(process);
  constexpr std::size_t kForTheRest = 1;
  tick(kForTheRest);
  if (ended_.empty() || !recorder_.available()) return;
  auto record = new_record(ipc::Outcome::unknown);
  record.phase = ipc::Phase::event;
  record.add(FieldKey::count, std::to_string(ended_.size()));
  record.add(FieldKey::reason, "further programs ended with the session");
  ended_.clear();
  recorder_.add(std::move(record));
}

}  // namespace oqto::sandbox
