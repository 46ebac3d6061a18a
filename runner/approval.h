// A question of the host to the session's user: what something in the sandbox attempted, as a canonical
// input request, and what the user's answer means. Pure.
#pragma once
#include <optional>
#include <string>

#include "ipc/audit.h"
#include "ipc/messages.h"
#include "protocol/command.h"
#include "protocol/event.h"

namespace oqto::runner {

// The texts come from inside the sandbox: whatever could disguise them is shown as an escape.
protocol::InputRequest approval_request(const ipc::ApprovalAsk& ask, std::string request_id);

// Nothing: it answers none of the choices.
std::optional<ipc::ApprovalChoice> approval_choice(const protocol::InputResponse& response);

// That it was asked, with all the facts; the answer's record has the same request id.
ipc::AuditAppend approval_record(const ipc::ApprovalAsk& ask, std::string_view request_id);

// Control characters, and those that reorder or hide others, become `\u{XX}`.
std::string visible_text(std::string_view text);

}  // namespace oqto::runner
