// What holds the tenants of a host to their share of the disk, as the guard has it.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "ipc/ctl_messages.h"
#include "storage/quota.h"

namespace oqto::storage {

// Exit status of oqto-storage: this and the kind.
constexpr int kExitBase = 10;

class Tenants {
 public:
  Tenants() = default;
  // Directories: STATE, and STATE/tenants, which may be another file system. `wanted` of each
  // tenant.
  Tenants(ipc::DiskLimits kind, Fd state, Fd tenants, Limits wanted)
      : kind_(kind), state_(std::move(state)), tenants_(std::move(tenants)), wanted_(wanted) {}

  // What is counted apart, so that an agent that fills its workspace does not keep its tenant's
  // history from being written, and with it every message that would have it tidy up.
  enum class Part : std::uint8_t {
    work,   // home and workspaces
    state,  // the history, and what the runner keeps: an eighth as much more
  };
  // To be called before anything is beneath `dir`, and again whenever the tenant comes. `project`:
  // a number that is nobody else's. Does nothing where the host has no limits.
  Status limit(const Fd& dir, Part part, std::uint32_t account, std::uint32_t project);

  void describe(ipc::CtlTenant& row) const;
  [[nodiscard]] ipc::CtlStorage status() const;

  // What an operator should know of tenants' shares, a sentence each. Empty: nothing. How full the
  // disk of the state directory is, the guard judges itself (ipc/readiness.h).
  [[nodiscard]] std::vector<std::string> troubles() const;
  // What fills that did not before. Call often: it looks every few seconds.
  std::vector<std::string> news(std::uint64_t now_ms);

 private:
  static constexpr std::uint64_t kLookEveryMs = 5'000;
  struct Space {
    std::uint64_t bytes = 0, free = 0, files = 0, free_files = 0;
  };
  static Space space_of(const Fd& dir);
  // One tenant alone never gets more than the half of the file system.
  [[nodiscard]] Limits effective(Part part) const;

  ipc::DiskLimits kind_ = ipc::DiskLimits::none;
  Fd state_, tenants_;
  Limits wanted_;
  std::map<std::pair<std::uint32_t, Part>, std::uint32_t> projects_;  // by account
  // What was said already, by a key that does not change with the numbers. False: it is over.
  std::map<std::string, bool> said_;
  std::uint64_t looked_ms_ = 0;

  struct Trouble {
    std::string key;
    std::string text;
    bool holds = false;    // at 80 %
    bool lingers = false;  // not below 75 % again
  };
  [[nodiscard]] std::vector<Trouble> look() const;
};

}  // namespace oqto::storage
