// The world of a runner under test: the real oqto-runner and the real hstry, sealed, with the test as
// guard, auditd, oqto-init and Pi. Pi is scripted by the text of the prompt.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ipc/audit.h"
#include "ipc/channel.h"
#include "protocol/json.h"

namespace oqto::runner::test {

struct AuditedRecord {
  ipc::Phase phase{};
  ipc::Outcome outcome{};
  std::string command;
  std::string args;
  ipc::Event event{};
  std::string text;  // all fields, as `name=value`, one per line
};

// One scripted Pi (with its oqto-init), on its own thread.
class FakePi {
 public:
  FakePi(Fd init, Uuid session);
  ~FakePi();
  std::vector<std::string> argv;  // as StartProgram said
  std::vector<std::string> ran;   // the last argument of each other program that was started
  std::string processes = "1\n42\n43\nself\n";  // what is in /proc
  std::function<void()> on_exit;  // the whole sandbox is gone

 private:
  void serve();
  bool on_init();
  bool handle(const protocol::Json& command);
  void prompt(const std::string& text);
  void turn(const std::string& text);
  void say(const std::string& line);
  void answer(const protocol::Json& command, const std::string& data = "");

  ipc::Channel init_;
  Fd input_;
  Fd output_;
  Fd errors_;
  Fd given_[4];  // by StdioKind, for the next program
  std::uint32_t program_ = 1;
  bool hanging_ = false;
  std::string waiting_for_;  // id of an open dialog
  std::thread thread_;
};

// One browser, as a WebSocket client over the stream that the guard would hand over.
class Browser {
 public:
  explicit Browser(Fd stream);
  ~Browser();
  protocol::Json next(int timeout_ms = 10'000);  // null: nothing came
  // The next frame for which `wanted` holds; all frames read are kept in `seen`.
  protocol::Json until(const std::function<bool(const protocol::Json&)>& wanted, int timeout_ms = 10'000);
  protocol::Json event(std::string_view name);
  void send(const std::string& text);
  std::string command(std::string_view session, std::string_view fields);  // -> its id
  protocol::Json ask(std::string_view session, std::string_view fields);   // -> the response
  bool ended(int timeout_ms = 10'000);

  std::vector<protocol::Json> seen;
  std::vector<protocol::Json> pushed;  // what is told to every connection of the account

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::size_t looked_at_ = 0;  // of `seen`, by event()
  int next_id_ = 1;
};

class Host {
 public:
  Host();
  ~Host();

  std::unique_ptr<Browser> connect(std::string_view head = {});
  Fd open_stream();  // the test's end of a stream that the runner got
  void disconnect(std::uint64_t connection);  // as the guard tells the runner; they are numbered from 1
  void start_runner();
  int stop_runner();   // SIGTERM; the exit status
  void start_history();
  void stop_history();  // SIGKILL
  void pause_history(bool on);  // SIGSTOP, SIGCONT
  void keep_contents(bool on) { keep_contents_ = on; }  // in sandboxes that start from now on
  void audit_answers(bool on) { audit_answers_ = on; }
  void refuse_outcomes(int count) { outcomes_to_refuse_ = count; }
  void cut_audit();
  void wire_audit();
  std::vector<AuditedRecord> audited();
  std::vector<std::string> last_argv();
  void tell_facts(const std::string& models_json, const std::vector<std::string>& unavailable);
  void ask_user(const ipc::ApprovalAsk& ask);  // as the guard passes a question on
  std::vector<ipc::ApprovalAnswer> answers();  // of the runner, so far
  int sandboxes_started() const { return sandboxes_; }

 private:
  void guard_loop();
  void audit_loop(std::shared_ptr<ipc::Channel> channel);

  std::string dir_;
  pid_t runner_ = -1;
  pid_t history_ = -1;
  std::mutex mutex_;  // guard channel, pis, records
  ipc::Channel guard_;
  ipc::Channel history_guard_;
  Fd history_end_;  // the runner's end, until it is handed over
  std::shared_ptr<ipc::Channel> audit_;
  std::vector<std::thread> threads_;
  std::map<Uuid, std::unique_ptr<FakePi>> pis_;
  std::vector<std::unique_ptr<FakePi>> dead_;
  std::vector<AuditedRecord> records_;
  std::vector<ipc::ApprovalAnswer> answers_;
  std::atomic<bool> audit_answers_ = true;
  std::atomic<int> outcomes_to_refuse_ = 0;
  std::atomic<bool> keep_contents_ = false;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> ready_ = false;
  std::atomic<int> sandboxes_ = 0;
  std::uint64_t next_connection_ = 1;
  Fd audit_end_;
};

}  // namespace oqto::runner::test
