// The programs of one session: started on the runner's request, signalled, reaped. Nothing here
// waits: an exec that is held up by the monitor holds up that program alone. Whatever of a start
// the monitor could hold up (exec, and opening files) happens in the child.
#pragma once
#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "ipc/channel.h"
#include "ipc/loop.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxPrograms = 64;  // running, and waiting with their descriptors

class Programs {
 public:
  // `environment`: what that of every program begins with. `null`: /dev/null, for the stdio that
  // nothing is given for.
  Programs(ipc::Loop& loop, ipc::Channel& runner, std::vector<std::string> environment, Fd null)
      : loop_(loop),
        runner_(runner),
        environment_(std::move(environment)),
        null_(std::move(null)) {}

  // One message of the runner. An error ends the session: the runner broke the protocol.
  Status on_message(const ipc::Received& received);

  // After SIGCHLD: reaps everything, orphans of others included.
  Status reap();

 private:
  struct Program final : ipc::Watcher {
    Program(Programs& owner, std::uint32_t chosen) : programs(owner), number(chosen) {}
    void on_ready(std::uint32_t) override { programs.exec_decided(*this); }

    Programs& programs;
    std::uint32_t number;
    pid_t pid = -1;
    Fd exec_result;  // closes on exec; until then it may bring an errno
    Fd in_out, in, out, err;
  };

  struct Prepared;
  [[noreturn]] void become(const Prepared& program, int result);
  int take_terminal(const Prepared& program, int& slave);
  Status give_stdio(const ipc::Received& received);
  Status start(const ipc::StartProgram& wanted);
  Status signal(const ipc::SignalProgram& wanted);
  Result<Program*> slot(std::uint32_t number);
  void exec_decided(Program& program);
  void forget(std::uint32_t number);
  template <class Message>
  void tell(const Message& message);

  ipc::Loop& loop_;
  ipc::Channel& runner_;
  std::vector<std::string> environment_;
  Fd null_;
  std::map<std::uint32_t, Program> programs_;
  Status told_;  // the first failure to tell the runner something
};

}  // namespace oqto::sandbox
