// JSON for --json and for what accounts answers; the JSON library stays behind json.cc.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/host.h"

namespace oqto::cli {

struct SetupLink {
  std::optional<std::string> token;  // none: the host is set up already
};
struct MadeInvite {
  std::string code;
  std::string role;
  std::uint64_t expires_at = 0;  // unix milliseconds
};
struct AccountRow {
  std::uint32_t id = 0;
  std::string username;
  std::string role;
  std::uint64_t created_at = 0;
  std::uint64_t last_login_at = 0;  // 0: never
  bool disabled = false;
};
struct InviteRow {
  std::uint64_t id = 0;
  std::string role, state, made_by, used_by;  // made_by empty: the operator
  std::uint64_t created_at = 0, expires_at = 0;
};
struct LoginRow {
  std::uint64_t id = 0;
  std::uint64_t created_at = 0, last_seen_at = 0, expires_at = 0;
  std::string remote, agent;
};
struct MadeReset {
  std::string username, code;
  std::uint64_t expires_at = 0;
};
struct AccountPage {
  std::vector<AccountRow> accounts;
  std::uint32_t next_after = 0;  // 0: that was all
};

Outcome<SetupLink> read_setup_link(const std::string& json);
Outcome<MadeInvite> read_invite(const std::string& json);
Outcome<AccountPage> read_accounts(const std::string& json);
Outcome<std::vector<std::uint64_t>> read_revoked(const std::string& json);  // which logins
Outcome<bool> read_changed(const std::string& json);
Outcome<std::vector<InviteRow>> read_invites(const std::string& json);
Outcome<std::vector<LoginRow>> read_logins(const std::string& json);
Outcome<MadeReset> read_reset(const std::string& json);
std::string read_error(const std::string& json);

std::string invite_body(std::string_view role, std::uint64_t expires_hours);
std::string username_body(const std::string& username);
std::string disable_body(const std::string& username, bool disabled);
std::string page_body(std::uint32_t after);
std::string id_body(const std::string& number);  // a whole number, as text
std::string login_body(const std::string& username, const std::string& number);
std::string reset_body(const std::string& username, std::uint64_t expires_hours);

std::string status_json(const HostStatus& status);
std::string setup_link_json(const SetupLink& link, const std::string& url);
std::string invite_json(const MadeInvite& invite, const std::string& url);
std::string accounts_json(const std::vector<AccountRow>& accounts);
std::string revoked_json(const std::vector<std::uint64_t>& logins);
std::string changed_json(bool changed);
std::string invites_json(const std::vector<InviteRow>& invites);
std::string logins_json(const std::vector<LoginRow>& logins);
std::string reset_json(const MadeReset& reset, const std::string& url);

std::string reload_json(const std::vector<ipc::Reloaded>& parts);

std::string_view reload_part_name(ipc::ReloadPart part);
std::string_view reload_result(const ipc::Reloaded& part);  // changed, unchanged, refused
std::string_view health_name(ipc::Health health);
std::string_view profile_name(ipc::Profile profile);

}  // namespace oqto::cli
