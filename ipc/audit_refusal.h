// Why a record was refused, as an error that can be shown to whoever wanted the act.
#pragma once
#include "ipc/audit.h"

namespace oqto::ipc {

inline constexpr Error kLogRefuses{Errc::unavailable, "the audit log does not accept records now", 0};
inline constexpr Error kBudgetUsedUp{Errc::unavailable,
                              "this account has used up its share of the audit log for this day; "
                              "it goes on at 00:00 UTC",
                              0};

inline const Error& refusal_error(const AuditRefused& refused) {
  return refused.reason == RefusedFor::budget ? kBudgetUsedUp : kLogRefuses;
}

inline bool is_over_budget(const Error& error) { return std::string_view(error.what) == kBudgetUsedUp.what; }

}  // namespace oqto::ipc
