// Every execve and execveat of a session: noted before, while the caller is stopped in the kernel,
// and seen once more after, stopped before the new image's first instruction. What it then is, no
// thread of its own can have changed. Both go to the recorder, or the exec does not happen. An image
// whose arguments are too long for a record stays stopped until they are stored, and is not even read
// before there is room for them. An exec that does not come to an end is refused or killed, so that none
// keeps the places of others.
#pragma once
#include <deque>
#include <map>
#include <set>

#include "sandbox/monitor/exit_watch.h"
#include "sandbox/monitor/file_hashes.h"
#include "sandbox/monitor/listener.h"
#include "sandbox/monitor/recorder.h"
#include "sandbox/monitor/tracee.h"

namespace oqto::sandbox {

constexpr std::uint64_t kExecPatienceMs = 30'000;

class ExecWatch {
 public:
  ExecWatch(const Listener& listener, const Tracees& tracees, Recorder& recorder, bool hash_programs,
            std::uint64_t patience_ms)
      : listener_(listener),
        tracees_(tracees),
        recorder_(recorder),
        patience_ms_(patience_ms),
        exits_(tracees, recorder),
        hash_programs_(hash_programs) {}

  void on_exec(const seccomp_notif& notification);

  // For every status that waitpid(__WALL) brings of a task that is not the owner's own child. Our
  // thread must be the one that all execs were noted by: the kernel ties a tracer to its thread.
  void on_child(pid_t task, int status);
  // After all of them: execs that had to wait for another of the same process.
  void consider_deferred();
  void tick(std::uint64_t now);  // monotonic milliseconds

  // Records, once that is possible again, how many were refused meanwhile.
  void note_refusals();
  void stop() { stopped_ = true; }  // everything further is refused

  ExitWatch& exits() { return exits_; }
  // How many may yet need a record.
  [[nodiscard]] std::size_t in_flight() const { return in_flight_.size() + unread_.size(); }
  [[nodiscard]] bool waits() const {
    return refused_ != 0 || in_flight() != 0 || !deferred_.empty() || exits_.waits();
  }

 private:
  struct Exec {
    std::uint64_t id;  // of the notification
    pid_t task;
    ExecRequest request;
    std::uint64_t since = 0;  // monotonic
    bool killed = false;
  };
  struct Deferred {
    seccomp_notif notification;  // what it wants is read when it is its turn
    pid_t process;
  };
  // The kernel waits in its exec for something (a lease on the file), and begins anew whenever we interrupt it.
  struct HeldBack {
    std::uint64_t since, again_at;  // monotonic
  };
  struct Unread {
    pid_t process;
    ExecRequest request;
  };
  void consider(Exec exec, const seccomp_notif& notification);
  void kill_overdue(std::uint64_t now);
  [[nodiscard]] bool must_wait(pid_t task, pid_t process) const;
  void read_images();
  void take_image(pid_t process, const ExecRequest& request);
  void release(Exec exec);
  void refuse(const Exec& exec, int error, std::string_view reason);
  void on_stop(pid_t task, int status);
  void on_new_image(pid_t process);
  void submit_image(pid_t process, const ExecRequest& request, const Image& image);
  void go_on(pid_t process, ipc::AuditAppend& record, bool stored);
  void on_failed(pid_t task, const Exec& exec);
  [[nodiscard]] bool in_flight(pid_t process) const;

  const Listener& listener_;
  const Tracees& tracees_;
  Recorder& recorder_;
  const std::uint64_t patience_ms_;
  std::map<pid_t, Exec> in_flight_;  // attached and released, by task
  std::set<pid_t> held_;             // new images that do not run yet
  std::deque<Unread> unread_;        // of those: there was no room for what is in them
  std::deque<Deferred> deferred_;    // another exec of the same process is in flight, or it is held back
  std::map<pid_t, HeldBack> held_back_;  // by task
  std::uint64_t refused_ = 0;        // while nothing could be recorded, not recorded yet
  ExitWatch exits_;
  FileHashes hashes_;
  bool hash_programs_;
  bool stopped_ = false;
};

}  // namespace oqto::sandbox
