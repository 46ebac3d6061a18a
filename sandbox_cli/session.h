// One running sandbox with one program in it, from the first process to the last: what passes in
// and out of it, and how it ended.
#pragma once
#include <array>
#include <deque>
#include <memory>
#include <set>

#include "sandbox/cgroup.h"
#include "sandbox_cli/prompt.h"
#include "sandbox_cli/setup.h"
#include "sandbox_cli/terminal.h"

namespace oqto::sandbox_cli {

constexpr std::uint64_t kStopMs = 5000;  // from SIGTERM to SIGKILL

// Exit statuses that are not the program's.
constexpr int kNotStarted = 2;
constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;
constexpr int kSignalled = 128;  // plus its number

struct Ended {
  int status = kNotStarted;  // for our caller
  int signal = 0;            // that ended the program
  bool started = false;      // the program ran
  std::string rule;          // what decided, if the program did not end by itself: one line
};

class Services;  // monitor, record and egress: services.h

class Session {
 public:
  Session(const Options& options, Setup setup, ipc::Loop loop, Fd signals);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Ended run();
  [[nodiscard]] Services& services() { return *services_; }

 private:
  template <void (Session::*Handler)()>
  struct Watch final : ipc::Watcher {
    explicit Watch(Session& owner) : session(owner) {}
    void on_ready(std::uint32_t) override { (session.*Handler)(); }
    Session& session;
  };

  Outcome<> start();
  Outcome<> start_cgroup();
  Outcome<> watch();
  void start_program();
  Outcome<> give_stdio();
  void serve();
  void finish();

  void on_control();
  void on_message(ipc::Received& received);
  void on_failed(int error);
  void on_exited(const ipc::ProgramExited& exited);
  void on_signals();
  void on_signal(int number);
  void on_errors();
  void on_gone();
  void reap();

  void pass_on(int number);
  void stop_for(std::string rule, int status);
  void suspend();
  void end(int status, std::string rule);
  [[nodiscard]] int next_timeout() const;
  void tick();

  const Options& options_;
  Setup setup_;
  ipc::Loop loop_;
  Fd signals_;
  Terminal terminal_;
  Prompter prompter_;
  std::optional<sandbox::CgroupTree> tree_;
  sandbox::Cgroup leaf_;
  sandbox::StartedSandbox sandbox_;
  std::unique_ptr<Services> services_;

  std::deque<std::string> candidates_;  // paths inside that the program's name may mean
  std::uint32_t program_ = 0;           // number of the present attempt
  int worst_error_ = 0;                 // of the attempts so far
  std::vector<int> early_signals_;      // before there was a program
  std::uint64_t wall_clock_at_ = 0;     // monotonic ms; 0: none
  std::uint64_t kill_at_ = 0;
  std::uint64_t settle_at_ = 0;  // when we have begun to wait
  std::string stop_rule_;  // why we stop it
  int stop_status_ = 0;
  bool done_ = false;
  bool reaped_ = false;  // the stage
  std::string said_;     // by the stage
  Ended ended_;

  Watch<&Session::on_control> control_watch_{*this};
  Watch<&Session::on_signals> signal_watch_{*this};
  Watch<&Session::on_errors> errors_watch_{*this};
  Watch<&Session::on_gone> gone_watch_{*this};
};

// Signals that whoever started us has us ignore stay ignored, and are not passed on.
void leave_ignored_signals();

// Where the shell outside finds `name`; "" if nowhere. For advice only.
std::string found_outside(const std::string& name);

// Where the shell inside would look for `name`, in this order.
std::deque<std::string> program_candidates(const std::string& name, const sandbox::World& world,
                                           const std::string& directory);

}  // namespace oqto::sandbox_cli
