// Runs the real oqto-sandbox as an unprivileged user with a home and a workspace of its own.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"

namespace oqto::sandbox_cli {

using Words = std::vector<std::string>;
constexpr uid_t kTestUid = 54321;
constexpr int kTestTimeoutMs = 60'000;

struct Finished {
  int status = -1;  // of the process; 128+N if signal N ended it
  std::string out, err;
};

// A process that runs, with pipes or on a terminal.
class Running {
 public:
  Running(pid_t pid, Fd in, Fd out, Fd err)
      : pid_(pid), in_(std::move(in)), out_(std::move(out)), err_(std::move(err)) {}
  Running(Running&&) = default;
  Running& operator=(Running&&) = default;
  ~Running();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const Fd& terminal() const { return in_; }  // its other end, if it has one
  void type(std::string_view text) const;
  void close_input() { in_.reset(); }
  // Reads until `text` has been written; what was read so far. Fails the test on timeout.
  std::string read_until(std::string_view text);
  Finished finish();

 private:
  pid_t pid_ = -1;
  Fd in_, out_, err_;
  std::string seen_;
};

class Tool {
 public:
  Tool();
  ~Tool();
  Tool(const Tool&) = delete;
  Tool& operator=(const Tool&) = delete;

  [[nodiscard]] std::string home() const { return base_ + "/home"; }
  [[nodiscard]] std::string workspace() const { return base_ + "/home/project"; }
  [[nodiscard]] std::string bin() const { return base_ + "/bin"; }
  [[nodiscard]] std::string tool() const { return bin() + "/oqto-sandbox"; }

  // Both owned by the test's user.
  std::string write(const std::string& path, std::string_view content, mode_t mode = 0644) const;
  void make_directory(const std::string& path) const;
  [[nodiscard]] static std::string read(const std::string& path);

  // In the workspace, with a minimal environment and `environment` besides.
  Running start(const Words& arguments) const;
  Running start_on_terminal(const Words& arguments) const;
  Finished run(const Words& arguments, std::string_view input = "") const;
  Finished sandboxed(const Words& program) const;   // run -- PROGRAM
  Finished shell(const std::string& script) const;  // run -- sh -c SCRIPT
  // Any program, as the test's user, outside.
  Finished outside(const Words& argv) const;
  Finished outside_on_terminal(const Words& argv) const;

  Words environment;
  uid_t uid = kTestUid;

 private:
  Running spawn(Words argv, bool terminal) const;
  std::string base_;
};

}  // namespace oqto::sandbox_cli
