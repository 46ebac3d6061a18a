#include "audit/auditd/entry_class.h"

#include <array>
#include <utility>

namespace oqto::audit {
namespace {

using ipc::Event;

constexpr std::uint32_t kFile = 1001, kProcess = 1007, kFinding = 2004, kAccountChange = 3001,
                        kAuthentication = 3002, kAuthorize = 3003, kEntity = 3004,
                        kUserAccess = 3005, kNetwork = 4001, kSsh = 4007, kConfigState = 5019,
                        kLifecycle = 6002, kApi = 6003;
constexpr std::uint32_t kOther = 99;

constexpr auto kClasses = std::to_array<std::pair<Event, OcsfClass>>({
    {Event::process_start, {kProcess, 1}},
    {Event::process_stop, {kProcess, 2}},
    {Event::login, {kAuthentication, 1}},
    {Event::logout, {kAuthentication, 2}},
    {Event::setup, {kAccountChange, 1}},
    {Event::invite_create, {kEntity, 1}},
    {Event::invite_revoke, {kEntity, 4}},
    {Event::account_create, {kAccountChange, 1}},
    {Event::account_change, {kAccountChange, kOther}},
    {Event::connection, {kNetwork, 1}},
    {Event::command, {kApi, kOther}},
    {Event::workspace_create, {kEntity, 1}},
    {Event::session_start, {kAuthorize, 1}},
    {Event::session_stop, {kAuthorize, kOther}},
    {Event::exec, {kProcess, 1}},
    {Event::model_call, {kApi, kOther}},
    {Event::violation, {kFinding, 1}},
    {Event::admin, {kApi, kOther}},
    {Event::denial, {kFinding, 1}},
    {Event::approval, {kAuthorize, kOther}},
    {Event::network, {kNetwork, 1}},
    {Event::login_throttled, {kAuthentication, 1}},
    {Event::token_create, {kAuthentication, 3}},  // Authentication Ticket
    {Event::token_revoke, {kAuthentication, kOther}},
    {Event::role_change, {kUserAccess, 1}},
    {Event::tool_call, {kApi, kOther}},
    {Event::file_create, {kFile, 1}},
    {Event::file_read, {kFile, 2}},
    {Event::file_update, {kFile, 3}},
    {Event::file_delete, {kFile, 4}},
    {Event::file_rename, {kFile, 5}},
    {Event::terminal_open, {kAuthorize, kOther}},
    {Event::terminal_close, {kAuthorize, kOther}},
    {Event::recording_chunk, {kApi, 1}},
    {Event::ssh_open, {kSsh, 1}},
    {Event::ssh_close, {kSsh, 2}},
    {Event::ssh_sign, {kSsh, kOther}},
    {Event::config_load, {kConfigState, 1}},
    {Event::policy_load, {kConfigState, 1}},
    {Event::clock_step, {kFinding, 1}},
    {Event::log_gap, {kFinding, 1}},
    {Event::log_full, {kFinding, 1}},
    {Event::epoch_seal, {kLifecycle, kOther}},
    {Event::audit_read, {kApi, 2}},
    {Event::key_erase, {kApi, 4}},
    {Event::log_prune, {kApi, 4}},
    {Event::host_start, {kLifecycle, 3}},
    {Event::host_stop, {kLifecycle, 4}},
    {Event::exec_exit, {kProcess, 2}},
    {Event::password_change, {kAccountChange, 3}},
    {Event::budget, {kFinding, 1}},
    {Event::adopt, {kLifecycle, kOther}},
});

constexpr bool is_complete_and_in_order() {
  for (std::size_t i = 0; i < kClasses.size(); ++i) {
    if (static_cast<std::size_t>(kClasses[i].first) != i) return false;
  }
  return kClasses.size() == static_cast<std::size_t>(Event::kEnd);
}
static_assert(is_complete_and_in_order());

}  // namespace

OcsfClass ocsf_class(Event event) {
  return kClasses[static_cast<std::size_t>(event)].second;
}

}  // namespace oqto::audit
