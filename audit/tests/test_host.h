// For tests: stands in for the guard. Starts the real oqto-auditd and oqto-audit-signer, hands out
// audit channels, kills and restarts them.
#pragma once
#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "ipc/audit.h"

namespace oqto::audit {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Output {
  int status = -1;
  std::string out;  // stdout and stderr
};
Output run(const std::string& command);  // through sh

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& content);
std::vector<std::string> files_beneath(const std::string& dir);  // regular files, relative, sorted
void copy_directory(const std::string& from, const std::string& to);  // without what binds it to its place

// One started program: 3 is our channel to it, 5 the peer that was given.
struct Child {
  pid_t pid = -1;
  ipc::Channel guard;
  int wait();  // exit status, or 128 + signal
};

class TestHost {
 public:
  TestHost();
  ~TestHost();

  // Both, wired to each other; waits until auditd is ready, false if it ended instead.
  bool start();
  bool start_auditd();
  bool start_auditd_with(Fd signer_channel);  // somebody else plays the signer
  void start_signer();
  // A new signer, as the guard replaces one that died: auditd gets its channel with Wire.
  void rewire_signer();
  int stop_auditd();  // closes its guard channel; its exit status
  int stop_signer();
  void stop() { (void)stop_auditd(), (void)stop_signer(); }
  void kill_auditd();
  void kill_signer();

  ipc::Channel source(ipc::Process process = ipc::Process::runner, std::uint32_t account = 7,
                      std::string_view username = "ann", std::uint32_t pid = 4242,
                      std::uint32_t uid = 20001);
  ipc::AuditClient client() { return ipc::AuditClient(source()); }

  [[nodiscard]] std::string log_dir() const { return dir_.path() + "/log"; }
  [[nodiscard]] std::string key_dir() const { return dir_.path() + "/key"; }
  [[nodiscard]] std::string verify_command(const std::string& log = {}) const;
  [[nodiscard]] Output verify() const { return run(verify_command()); }
  // The first one is published a moment after the first entries.
  void wait_for_checkpoint() const;

  Child auditd;
  Child signer;
  std::vector<std::string> auditd_arguments;
  std::vector<std::string> signer_arguments;
  std::map<std::string, std::string> auditd_environment;
  std::map<std::string, std::string> signer_environment;

 private:
  TempDir dir_;
  Fd auditd_peer_;  // the ends of the next auditd <-> signer pair
  Fd signer_peer_;
};

std::vector<std::string> entries_of(const TestHost& host);  // committed, as the segments have them
std::string batches_of(const std::string& segment);  // without the room behind them
// How many of the entries tell of this event.
std::size_t count_events(const std::vector<std::string>& entries, std::string_view event);
bool contains(const std::string& text, std::string_view part);
ipc::AuditAppend record(ipc::Event event, ipc::Phase phase = ipc::Phase::event);
std::string program(const char* name);  // path of a built binary

}  // namespace oqto::audit
