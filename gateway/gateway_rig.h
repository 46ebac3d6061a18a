// What the tests of the whole process stand on: the guard's and auditd's ends of its channels, a
// harness's end of a session's sockets, and scripted providers. Everything is on loopback.
#pragma once
#include <signal.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/encoding.h"
#include "base/fd.h"
#include "ipc/audit.h"

namespace oqto::gateway::test {

constexpr int kPatienceMs = 20'000;

std::string field(const ipc::AuditAppend& record, ipc::FieldKey key);
std::string dns_query(const std::string& name, std::uint16_t type);

// A child that is killed with its owner.
class Child {
 public:
  Child() = default;
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { (void)end(SIGKILL); }
  void adopt(pid_t pid) { pid_ = pid; }
  int end(int signal);  // the wait status
  [[nodiscard]] pid_t pid() const { return pid_; }
  int wait();

 private:
  pid_t pid_ = -1;
};

// auditd as the gateway sees it.
class FakeAudit {
 public:
  explicit FakeAudit(Fd end);
  ~FakeAudit();
  void hold(bool on);    // answers wait
  void refuse(bool on);  // answers are refusals
  ipc::AuditAppend wait_record(ipc::Phase phase);  // the next one of that phase
  ipc::AuditAppend wait_event(ipc::Event event);   // the next one of that event
  void refuse_blobs(bool on) {
    const std::scoped_lock lock(mutex_);
    refuse_blobs_ = on;
  }
  // What was stored, and whose, under the name that it was given.
  std::pair<std::string, std::uint32_t> blob(const std::string& name) {
    const std::scoped_lock lock(mutex_);
    return blobs_[name];
  }
  ipc::Outcome wait_outcome() { return wait_record(ipc::Phase::outcome).outcome; }
  ipc::Outcome last_outcome() { return wait_outcome(); }
  void disconnect();
  void connect(Fd end);

 private:
  void serve();
  void answer(const ipc::AuditAppend& record);
  void take_blob(const ipc::Received& received);
  ipc::AuditAppend wait_for(const std::function<bool(const ipc::AuditAppend&)>& wanted);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ipc::AuditAppend> records_;
  std::deque<ipc::AuditAppend> held_;
  bool hold_ = false;
  bool refuse_ = false;
  bool refuse_blobs_ = false;
  std::map<std::string, std::pair<std::string, std::uint32_t>> blobs_;
  bool ended_ = false;
  std::uint64_t next_index_ = 0;
  ipc::Channel channel_;
  std::thread thread_;
};

class Rig {
 public:
  explicit Rig(const std::string& toml,
               const std::string& ca_file = "/etc/ssl/certs/ca-certificates.crt");
  ipc::GateUsage usage();  // waits for the next report
  void drop_audit() { audit.disconnect(); }
  void rewire_audit();
  int end(int signal) { return process_.end(signal); }
  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  int end_by_closing_the_guard();
  // For a configuration that is refused: the exit status, and what was said on stderr.
  static int exit_status_with(const std::string& toml, std::string& errors);

  ipc::Channel guard;
  std::string models_json;  // what it said unasked

 private:
  Child process_;

 public:
  FakeAudit audit;

 private:
  Rig(std::pair<Fd, Fd> guard_pair, std::pair<Fd, Fd> audit_pair, const std::string& toml,
      const std::string& ca_file);
};

struct Answer {
  int status = 0;  // 0: none
  std::string head;
  std::string body;       // without the framing of chunks
  bool complete = false;  // the framing says so
};

// The harness of one session.
class Pi {
 public:
  explicit Pi(Rig& rig, std::uint32_t account = 7, const Uuid& id = Uuid::random()) : Pi(rig, ipc::OpenGate{{}, account}, id) {}
  Pi(Rig& rig, ipc::OpenGate gate, const Uuid& id = Uuid::random());  // the session's number is its own
  Answer post(const std::string& target, const std::string& body, const std::string& headers = "");
  Fd begin(const std::string& target, const std::string& body, const std::string& headers = "");
  Fd send(const std::string& bytes);
  std::string read_until(const Fd& call, const std::string& mark);  // or to the end
  std::string ask_dns(const std::string& name, std::uint16_t type);

  Uuid number = Uuid::random();   // the guard's
  Uuid session;                   // what records say
  std::string models_json;
  std::string settings_json;

 private:
  std::uint16_t model_port_ = 0;
  std::uint16_t dns_port_ = 0;
};

// tests/tools/mock-provider.mjs
class Mock {
 public:
  explicit Mock(const std::string& require_key = "");
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  void script(const std::string& json);
  std::string get(const std::string& path) const;
  // Waits until /__mock/state contains the text.
  [[nodiscard]] bool reaches(const std::string& text) const;

 private:
  Child process_;
  std::uint16_t port_ = 0;
};

// TLS with a certificate for localhost, of an authority of its own, in front of a provider on this port.
class TlsFront {
 public:
  explicit TlsFront(std::uint16_t provider);
  ~TlsFront();
  [[nodiscard]] std::string url() const {
    return "https://localhost:" + std::to_string(port_) + "/v1";
  }
  [[nodiscard]] std::string ca_file() const { return dir_ + "/ca.pem"; }

 private:
  std::string dir_;
  Child process_;
  std::uint16_t port_ = 0;
};

}  // namespace oqto::gateway::test
