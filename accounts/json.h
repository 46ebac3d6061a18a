// The JSON of browsers and operators: strict reading of small flat objects, and the answers. The
// only file behind this header is the only one that sees the JSON library.
#pragma once
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accounts/store.h"

namespace oqto::accounts {

constexpr std::size_t kMaxBodyFields = 8;
constexpr std::uint64_t kDefaultInviteHours = 72;
constexpr std::uint64_t kMaxInviteHours = 720;
constexpr std::uint64_t kDefaultResetHours = 24;
constexpr std::uint64_t kMaxResetHours = 168;
constexpr std::size_t kMaxTypedName = 64;    // of a name that may not exist
constexpr std::size_t kMaxSecretText = 128;  // setup tokens and invite codes have 43
constexpr std::size_t kMaxListedAccounts = 300;

// The error is text for people. Unknown fields, fields given twice and any nesting are errors.
template <class T>
using Parsed = std::expected<T, std::string>;

struct SetupBody { std::string token, username, password; };
struct LoginBody { std::string username, password; };
struct RegisterBody { std::string invite_code, username, password; };
struct InviteBody { ipc::Role role = ipc::Role::user; std::uint64_t expires_hours = 0; };
struct PasswordBody { std::string password, new_password; bool keep_others = false; };
struct ResetBody { std::string code, password; };
struct EndLoginsBody { std::uint64_t id = 0; bool others = false; };  // exactly one of them
struct ResetWish { std::string username; std::uint64_t expires_hours = 0; };
struct RevokeBody { std::string username; std::uint64_t id = 0; };  // 0: all its logins
struct DisableBody { std::string username; bool disabled = false; };

Parsed<SetupBody> read_setup(std::string_view body);
Parsed<LoginBody> read_login(std::string_view body);
Parsed<RegisterBody> read_register(std::string_view body);
Parsed<PasswordBody> read_password(std::string_view body);
Parsed<ResetBody> read_reset(std::string_view body);
Parsed<EndLoginsBody> read_end_logins(std::string_view body);
Parsed<InviteBody> read_invite_wish(std::string_view body);
Parsed<std::uint64_t> read_id(std::string_view body);           // {"id"}
Parsed<std::string> read_username(std::string_view body);       // {"username"}
Parsed<RevokeBody> read_revoke(std::string_view body);
Parsed<ResetWish> read_reset_wish(std::string_view body);
Parsed<DisableBody> read_disable(std::string_view body);
Parsed<std::uint32_t> read_list_accounts(std::string_view body);  // {"after"?}
Parsed<bool> read_empty(std::string_view body);                 // {} or nothing

std::string user_json(const Account& account);
std::string user_answer(const Account& account);  // {"user": USER}
// `unavailable`: "PROFILE: why this host cannot enforce it".
std::string state_answer(bool setup_required, const Account* user,
                         const std::vector<std::string>& unavailable);
std::string invites_answer(const std::vector<Invite>& invites);
std::string invite_answer(const Invite& invite, std::string_view code);
// `current`: the login that asks, or 0.
std::string logins_answer(const std::vector<LoginRow>& logins, std::uint64_t current);
std::string ended_answer(std::size_t ended);  // {"ended": n}
std::string error_answer(std::string_view text, std::string_view code, std::uint32_t retry_after_s);

// For the operator.
std::string setup_link_answer(const std::optional<std::string>& token);
std::string accounts_answer(const std::vector<Account>& accounts);  // with "next_after" if cut
std::string admin_invite_answer(const Invite& invite, std::string_view code);
std::string reset_answer(const Account& account, std::string_view code, std::uint64_t expires_at);
std::string revoked_answer(const std::vector<std::uint64_t>& logins);
std::string changed_answer(bool changed);

}  // namespace oqto::accounts
