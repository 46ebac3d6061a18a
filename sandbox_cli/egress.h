// The sandbox's way out in mode `filtered`: oqto-egress, started beside it with the sockets that
// belong to the sandbox's network.
#pragma once
#include "ipc/messages.h"
#include "sandbox/world/world.h"
#include "sandbox_cli/prompt.h"
#include "sandbox_cli/text.h"

namespace oqto::sandbox_cli {

class Egress final : public ipc::Watcher {
 public:
  Egress(ipc::Loop& loop, Prompter& prompter) : loop_(loop), prompter_(prompter) {}
  ~Egress() override { close(); }
  Egress(const Egress&) = delete;
  Egress& operator=(const Egress&) = delete;

  // Takes the sockets out of `sandbox`. `sink` gets one line of JSON per record. Returns when every
  // name that the policy writes out can be reached.
  Outcome<> start(const std::string& program, sandbox::StartedSandbox& sandbox,
                  const sandbox::Policy& policy, const Fd& sink);
  // True if it is ours that has ended.
  bool on_child(pid_t pid);
  void close();  // ends it

  void on_ready(std::uint32_t events) override;

 private:
  Outcome<> begin(const sandbox::Policy& policy);
  [[nodiscard]] std::string last_words() const;

  ipc::Loop& loop_;
  Prompter& prompter_;
  ipc::Channel channel_;
  Fd process_;
  pid_t pid_ = -1;
  pid_t member_ = -1;  // a process in the sandbox's network
  Fd errors_;
};

}  // namespace oqto::sandbox_cli
