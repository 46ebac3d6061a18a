// For tests, as root: one sandbox as an ordinary user of a host would start it, without a guard and
// without records. The user's files are below a directory of the test's own.
#pragma once
#include <signal.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "sandbox/launch/test_session.h"
#include "sandbox/world/world.h"

namespace oqto::sandbox {

class TestWorld {
 public:
  // The World begins as the stand-alone tool's: real home ~ = DIR/home/user, workspace
  // ~/project, both shown at their own places, and a private home DIR/private.
  // `in_memory`: DIR is a file system of its own, which is faster.
  explicit TestWorld(bool in_memory = false);
  ~TestWorld();

  World world;

  // As the user, with what it would own: paths below DIR.
  std::string write(const std::string& path, std::string_view content = {});  // and its parents
  std::string make_directory(const std::string& path);
  Ran outside(const std::string& script) const;  // in the workspace

  // "" once it is ready, else why not.
  std::string start();
  // In the workspace; standard output and error together.
  Ran run(const std::string& script);
  // The output, without the line's end, or "STATUS: output" if it failed.
  std::string say(const std::string& script);
  // What the sandbox's own processes have said since the last call.
  std::string errors() const;
  // Ends it as a user would: by ending the program that started it. Waits for the janitor.
  void stop(int signal = SIGTERM);

  [[nodiscard]] const std::string& dir() const { return dir_; }
  [[nodiscard]] const std::string& home() const { return world.real_home; }
  [[nodiscard]] const std::string& workspace() const { return world.workspace.outside; }
  [[nodiscard]] uid_t uid() const { return uid_; }
  [[nodiscard]] pid_t starter() const { return starter_; }
  [[nodiscard]] const std::vector<Fd>& network() const { return network_; }  // dns, dns, pool...
  [[nodiscard]] bool exists(const std::string& path) const;
  std::vector<int> leak{};  // descriptors that the starter has open besides its own

 private:
  [[noreturn]] void be_starter(const Fd& to_test);
  void answer_notifications();
  uid_t uid_;
  bool in_memory_;
  std::string dir_;
  pid_t starter_ = -1;
  ipc::Channel control_;
  Fd listener_, errors_, stop_read_, stop_write_;
  std::vector<Fd> network_;
  std::thread answers_;
  std::uint32_t next_program_ = 1;
};

}  // namespace oqto::sandbox
