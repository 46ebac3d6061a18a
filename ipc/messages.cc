#include "ipc/messages.h"

namespace oqto::ipc {

std::string_view process_name(Process process) {
  static constexpr std::string_view kNames[] = {"guard",   "relay",     "keyholder", "accounts",
                                                "auditd",  "signer",    "gateway",   "ssh-proxy",
                                                "runner",  "hstry",     "session",   "oqtoctl",
                                                "auditor"};
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

}  // namespace oqto::ipc
