// Runs the real oqto-accounts over socket pairs, with the test as guard, relay and auditd.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "ipc/audit.h"
#include "ipc/channel.h"

namespace oqto::accounts {

constexpr int kAnswerMs = 30'000;
inline const std::string kPassword = "a blue horse on the roof";

// Answers every AuditAppend like auditd, on its own thread, and keeps the records.
class TestAuditd {
 public:
  enum class Mode { answers, refuses, is_silent };
  explicit TestAuditd(ipc::Channel channel, Mode mode);
  ~TestAuditd();
  [[nodiscard]] std::vector<ipc::AuditAppend> records() const;

 private:
  void serve();
  ipc::Channel channel_;
  Mode mode_;
  std::atomic<bool> stop_ = false;
  mutable std::mutex mutex_;
  std::vector<ipc::AuditAppend> records_;
  std::thread thread_;
};

struct TempDir {
  TempDir();
  ~TempDir();
  std::filesystem::path path;
};

class TestHost {
 public:
  explicit TestHost(std::vector<std::string> unavailable = {});
  std::uint32_t last_account = 65'535;  // of the next start()
  ~TestHost();

  void start(TestAuditd::Mode audit = TestAuditd::Mode::answers);
  int stop();      // SIGTERM; the exit status
  void crash();    // SIGKILL
  void restart() { crash(), start(); }
  void edit_database(const std::string& sql);  // only while stopped
  [[nodiscard]] std::string database_value(const std::string& sql) const;  // only while stopped
  [[nodiscard]] std::string all_bytes() const;  // every file of the state directory, and stderr
  [[nodiscard]] pid_t pid() const { return pid_; }

  [[nodiscard]] std::string state_dir() const { return (dir_.path / "state").string(); }

  // --- auditd ---
  void audit_gone() { auditd_.reset(); }
  void wire_audit(TestAuditd::Mode mode = TestAuditd::Mode::answers);
  [[nodiscard]] std::vector<ipc::AuditAppend> records() const { return auditd_->records(); }

  // --- relay ---
  ipc::Channel connect(const std::string& remote = "192.0.2.1:4711");
  void wire_relay();
  void break_relay() { relay_ = ipc::Channel(); }
  ipc::Channel& relay() { return relay_; }
  std::optional<ipc::Token> device;  // the cookie of the browser that the calls below come from
  std::string agent = "test/1.0";
  ipc::AuthReply call(ipc::AuthEndpoint endpoint, const std::string& body = "{}",
                      const std::optional<ipc::Token>& token = std::nullopt,
                      const std::string& remote = "192.0.2.1:4711");

  // --- guard ---
  ipc::Channel& guard() { return guard_; }
  std::optional<ipc::TokenOwner> lookup(const ipc::Token& token);
  std::vector<std::uint64_t> revoked();  // since the last call; after a round trip
  struct Ended {
    std::uint32_t account;
    bool disabled;
    bool operator==(const Ended&) const = default;
  };
  std::vector<Ended> ended();  // accounts, likewise
  void check(const std::vector<std::uint64_t>& logins, const std::vector<std::uint32_t>& accounts);
  ipc::AdminReply admin(ipc::AdminVerb verb, const std::string& body = "{}");

  // --- short cuts; they fail the test if the answer is not a success ---
  std::string setup_token();
  ipc::Token set_up(const std::string& username = "boss");
  std::string invite(const std::string& role = "user");
  ipc::Token join(const std::string& username, const std::string& role = "user");
  ipc::AuthReply login(const std::string& username, const std::string& password,
                       const std::string& remote = "192.0.2.1:4711");

 private:
  TempDir dir_;
  std::vector<std::string> unavailable_;
  pid_t pid_ = -1;
  ipc::Channel guard_;
  ipc::Channel relay_;
  std::unique_ptr<TestAuditd> auditd_;
  std::vector<std::uint64_t> revoked_;
  std::vector<Ended> accounts_ended_;
  std::uint64_t next_request_ = 1;
};

ipc::AuthCall auth_call(ipc::AuthEndpoint endpoint, const std::string& body,
                        const std::optional<ipc::Token>& token = std::nullopt);
ipc::AuthReply next_reply(ipc::Channel& channel);
// The value at a JSON pointer: text as it is, anything else as JSON; "<none>" if it is not there.
std::string at(const std::string& json, const std::string& pointer);
std::string quoted(const std::string& text);  // as JSON
// "setup intent", "login event failure" …, in order.
std::vector<std::string> summary(const std::vector<ipc::AuditAppend>& records);

}  // namespace oqto::accounts
