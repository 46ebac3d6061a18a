// For tests, as root: plays the guard, auditd and the runner to one real session of the real
// oqto-launch.
#pragma once
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ipc/audit.h"
#include "sandbox/launch/launch_plan.h"

namespace oqto::sandbox {

struct Ran {
  bool started = false;
  int error = 0;  // errno of the exec, if it did not start
  int exit_status = -1;
  int signal = 0;
  std::string output{};
};

class AuditKeeper {  // acknowledges and keeps every record
 public:
  explicit AuditKeeper(ipc::Channel channel);
  ~AuditKeeper();
  std::vector<ipc::AuditAppend> records();
  // Waits until a record has a field of this value.
  bool wait_for(std::string_view value, int timeout_ms = 5000);

 private:
  void serve();
  ipc::Channel channel_;
  Fd stop_read_, stop_write_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ipc::AuditAppend> records_;
  std::thread thread_;
};

class TestSession {
 public:
  struct Options {
    Policy policy = profile_policy(ipc::Profile::development);
    std::string share_home_of{};  // directory of another session of the same tenant
    uid_t uid = 0;                // 0: a fresh one
    int leak = -1;                // left open as this descriptor number
    bool acknowledge = true;
    std::string models_json = "{\"providers\":{}}";
  };
  explicit TestSession(Options options);
  ~TestSession();

  // "" once it is ready, else why not.
  std::string start();
  Ran run(std::vector<std::string> argv, std::string_view input = {},
          std::vector<std::string> env = {});
  // Starts a program that goes on; its number for signal() and end(). `io` gets its stdio.
  std::uint32_t launch(std::vector<std::string> argv, Fd* io = nullptr);
  Ran end(std::uint32_t program, const Fd& io);
  void signal(std::uint32_t program, int signal);

  void lose_audit();
  void wire_audit();
  std::vector<std::string> processes_of_uid() const;  // on the host, by comm
  bool wait_gone(int timeout_ms = 5000) const;        // no process of the uid is left

  [[nodiscard]] const std::string& dir() const { return dir_; }
  [[nodiscard]] std::string workspace() const { return dir_ + "/workspace"; }
  [[nodiscard]] std::string home() const { return home_; }
  [[nodiscard]] uid_t uid() const { return uid_; }
  [[nodiscard]] pid_t launcher() const { return launcher_; }
  [[nodiscard]] AuditKeeper& audit() { return *audit_; }
  [[nodiscard]] ipc::Channel& control() { return control_; }
  [[nodiscard]] ipc::Channel& guard() { return guard_; }

 private:
  [[noreturn]] void become_launcher(std::vector<int> fds);
  Options options_;
  std::string dir_, home_;
  uid_t uid_;
  pid_t launcher_ = -1;
  ipc::Channel guard_, control_;
  Fd audit_end_;
  std::unique_ptr<AuditKeeper> audit_;
  std::uint32_t next_program_ = 1;
};

std::string pi_runtime();  // "" if it is not installed
std::string binary(const char* name);
std::string built(const std::string& name);  // below the build directory, for every uid to reach

// Every value of one field of a record.
std::vector<std::string> values(const ipc::AuditAppend& record, ipc::FieldKey key);

// Processes of this uid on the host, by comm; not those that have ended.
std::vector<std::string> processes_of(uid_t uid);

// A program run outside any sandbox with this uid: what an attack can do there.
Ran run_outside(uid_t uid, const std::vector<std::string>& argv, int leak = -1);

}  // namespace oqto::sandbox
