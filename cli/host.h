// The way to a running host: the guard's root-only socket, and through it a channel to accounts.
// Errors are one line for people, with the next step.
#pragma once
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "ipc/channel.h"
#include "ipc/messages.h"

namespace oqto::cli {

constexpr int kAnswerTimeoutMs = 10'000;
constexpr int kReloadTimeoutMs = 30'000;  // longer than the guard's patience with a part
constexpr std::size_t kMaxRows = 100'000;

template <class T = void>
using Outcome = std::expected<T, std::string>;

struct HostStatus {
  std::vector<ipc::CtlProcess> processes;
  std::vector<ipc::CtlTenant> tenants;
  std::vector<ipc::CtlSession> sessions;
  std::vector<ipc::CtlTrouble> troubles;
  std::optional<ipc::CtlStorage> storage;
};

class Host {
 public:
  static Outcome<Host> connect(const std::string& state);

  Outcome<HostStatus> status();
  Outcome<std::vector<ipc::Reloaded>> reload();
  Outcome<> kill_session(const Uuid& session, std::uint32_t account);  // 0: whose it is, if it is one alone
  Outcome<> kill_tenant(std::uint32_t account);
  // auditd does it and says the index that AuditManaged names.
  Outcome<std::uint64_t> audit_erase(std::uint32_t account, std::uint32_t day);
  Outcome<std::uint64_t> audit_prune(std::uint64_t index);
  // The JSON of the answer; the error is what accounts says.
  Outcome<std::string> accounts(ipc::AdminVerb verb, std::string body);

 private:
  Host(ipc::Channel guard, std::string state)
      : guard_(std::move(guard)), state_(std::move(state)) {}
  Outcome<> send(ipc::CtlRequest request);
  Outcome<ipc::Received> receive(int patience_ms = kAnswerTimeoutMs);
  Outcome<std::uint64_t> read_end();
  [[nodiscard]] std::string lost() const;

  ipc::Channel guard_;
  ipc::Channel accounts_;
  std::string state_;
};

// The login name of who runs this, for what is recorded; it is a claim, the uid is the kernel's word.
std::string operator_name();

}  // namespace oqto::cli
