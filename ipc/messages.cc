#include "ipc/messages.h"

namespace oqto::ipc {

std::string_view process_name(Process process) {
  static constexpr std::string_view kNames[] = {"guard",   "relay",     "keyholder", "accounts",
                                                "auditd",  "signer",    "gateway",   "ssh-proxy",
                                                "runner",  "hstry",     "session",   "oqtoctl",
                                                "auditor", "policy-parser"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Process::kEnd));
  return kNames[static_cast<std::size_t>(process)];
}

std::string_view refusal_name(Refusal refusal) {
  static constexpr std::string_view kNames[] = {"unauthenticated", "forbidden",   "not_found",
                                                "conflict",        "limit",       "unavailable",
                                                "invalid"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Refusal::kEnd));
  return kNames[static_cast<std::size_t>(refusal)];
}

std::string_view stop_reason_text(StopReason reason) {
  static constexpr std::string_view kTexts[] = {
      "stopped by its user", "put to sleep: nobody used it", "put to sleep: another session needed its place",
      "its agent ended", "its runner was stopped", "its runner no longer waited for it"};
  static_assert(std::size(kTexts) == static_cast<std::size_t>(StopReason::kEnd));
  return kTexts[static_cast<std::size_t>(reason)];
}

}  // namespace oqto::ipc
