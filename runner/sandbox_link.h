// One live sandbox as the runner sees it: the channel to its oqto-init, which starts programs in it and
// tells of their ends. Every program that is started here is an exec like any other: the log has it.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ipc/messages.h"
#include "runner/peer.h"

namespace oqto::runner {

// argv, environment and directory of a program inside the sandbox.
struct Program {
  std::vector<std::string> argv;  // argv[0] is an absolute path
  std::vector<std::string> env;
  std::string cwd;
};

class SandboxLink {
 public:
  SandboxLink(Reactor& reactor, ipc::Channel init);

  // What becomes descriptors 0, 1 and 2 of a program.
  struct Stdio {
    const Fd& input;
    const Fd& output;
    const Fd& errors;
  };
  struct Events {
    std::function<void(std::uint32_t pid)> started = [](std::uint32_t) {};  // inside
    std::function<void(std::string how)> ended;  // once: it exited, or was never executed
  };
  // The number by which stop() knows it.
  Result<std::uint32_t> start(const Program& program, const Stdio& stdio, Events events);
  void stop(std::uint32_t program);  // SIGKILL; its end is told as ever
  void forget(std::uint32_t program) { programs_.erase(program); }

  // Once, if the sandbox goes before this object does. The programs' ends are not told then.
  void on_gone(std::function<void()> task) { gone_ = std::move(task); }

 private:
  void on_message(ipc::Received& received);
  void finish(std::uint32_t program, const std::string& how);

  Peer init_;
  std::map<std::uint32_t, std::shared_ptr<Events>> programs_;
  std::uint32_t next_ = 1;
  std::function<void()> gone_ = [] {};
};

// Runs a small program of the sandbox's own and takes what it writes; for what must be looked at, or
// done, from inside. `done` is called once, at the latest when this object goes.
class InsideProgram {
 public:
  struct Bounds {
    std::size_t output = 64 * 1024;  // bytes; more ends it, and is an error
    std::uint64_t time_ms = 10'000;
  };
  struct Said {
    std::string output;
    std::uint32_t pid = 0;  // inside
  };
  using Done = std::function<void(Result<Said>)>;
  InsideProgram(Reactor& reactor, SandboxLink& link, const Program& program, Bounds bounds, Done done);
  ~InsideProgram();
  InsideProgram(const InsideProgram&) = delete;
  [[nodiscard]] bool done() const { return !done_; }

 private:
  Status begin(Reactor& reactor, const Program& program);
  bool read_output();  // false: nothing more now
  void settle(Status status);

  SandboxLink& link_;
  Bounds bounds_;
  Done done_;
  std::uint32_t program_ = 0;
  Said said_;
  Fd output_;
  Watch watch_;
  Timer deadline_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace oqto::runner
