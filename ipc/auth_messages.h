// Connections and authentication: relay, accounts and the guard.
#pragma once
#include "ipc/tags.h"

namespace oqto::ipc {

// --- relay -----------------------------------------------------------------------------------

struct ConnectionOpened {  // listener -> guard, with the guard's end of the connection's channel
  OQTO_MESSAGE(connection_opened, true);
  std::uint64_t connection = 0;
  Text<64> remote;  // address:port as the listener saw it
  bool fields(auto& io) { return io(connection, remote); }
};

struct CertificateFacts {  // listener -> guard, whenever it has read one: from when until when it is valid
  OQTO_MESSAGE(certificate_facts, false);
  std::uint64_t not_before_ms = 0, not_after_ms = 0;
  bool fields(auto& io) { return io(not_before_ms, not_after_ms); }
};

enum class ChannelKind : std::uint8_t { mux, kEnd };
struct OpenChannel {  // one sealed connection process -> guard, on its own channel
  OQTO_MESSAGE(open_channel, false);
  Token token{};
  ChannelKind kind{};
  bool fields(auto& io) { return io(token, kind); }
};
struct ChannelOpened {  // with one end of a stream pair whose other end the tenant's runner holds
  OQTO_MESSAGE(channel_opened, true);
  std::uint8_t reserved = 0;
  bool fields(auto& io) { return io(reserved); }
};
struct ChannelRefused {
  OQTO_MESSAGE(channel_refused, false);
  Refusal refusal{};
  bool fields(auto& io) { return io(refusal); }
};

struct AuthPeer {  // listener -> accounts, with accounts' end of that connection's auth channel
  OQTO_MESSAGE(auth_peer, true);
  std::uint64_t connection = 0;
  Text<64> remote;
  bool fields(auto& io) { return io(connection, remote); }
};

// The relay maps method and path to an endpoint and passes the body on unread.
enum class AuthEndpoint : std::uint8_t {
  state,          // GET  /api/auth/state
  setup,          // POST /api/auth/setup
  login,          // POST /api/auth/login
  register_user,  // POST /api/auth/register
  logout,         // POST /api/auth/logout
  me,             // GET  /api/me
  list_invites,   // GET  /api/auth/invites
  create_invite,  // POST /api/auth/invites
  revoke_invite,  // POST /api/auth/invites/revoke
  change_password,  // POST /api/auth/password
  reset_password,   // POST /api/auth/reset
  list_logins,      // GET  /api/auth/logins
  end_logins,       // POST /api/auth/logins/end
  kEnd
};
struct AuthCall {  // connection process -> accounts; one at a time per connection
  OQTO_MESSAGE(auth_call, false);
  AuthEndpoint endpoint{};
  std::uint8_t has_token = 0;
  Token token{};
  std::uint8_t has_device = 0;  // the browser's device cookie: proves nothing but having signed in before
  Token device{};
  Text<160> agent;  // its User-Agent, cut, for the list of logins
  LongText<16 * 1024> body;
  bool fields(auto& io) { return io(endpoint, has_token, token, has_device, device, agent, body); }
};
enum class CookieAction : std::uint8_t { keep, set, clear, kEnd };
struct AuthReply {
  OQTO_MESSAGE(auth_reply, false);
  std::uint16_t status = 0;  // HTTP status
  CookieAction cookie{};
  Token token{};                   // meaningful for CookieAction::set
  CookieAction device_cookie{};    // never CookieAction::clear: the device stays known after a logout
  Token device{};
  std::uint32_t retry_after_s = 0;  // with 429: seconds until another try makes sense
  LongText<60 * 1024> body;        // JSON
  bool fields(auto& io) { return io(status, cookie, token, device_cookie, device, retry_after_s, body); }
};

// --- accounts --------------------------------------------------------------------------------

struct LookupToken {  // guard -> accounts
  OQTO_MESSAGE(lookup_token, false);
  std::uint64_t request = 0;
  Token token{};
  bool fields(auto& io) { return io(request, token); }
};
struct TokenOwner {
  OQTO_MESSAGE(token_owner, false);
  std::uint64_t request = 0;
  std::uint64_t login = 0;     // row of the login session: what LoginRevoked names later
  std::uint32_t account = 0;   // row of the account, never reused
  Role role{};
  Text<64> username;
  bool fields(auto& io) { return io(request, login, account, role, username); }
};
struct TokenUnknown {
  OQTO_MESSAGE(token_unknown, false);
  std::uint64_t request = 0;
  bool fields(auto& io) { return io(request); }
};
struct LoginRevoked {  // logout, expiry, or an administrator: live connections of it end now
  OQTO_MESSAGE(login_revoked, false);
  std::uint64_t login = 0;
  bool fields(auto& io) { return io(login); }
};
// accounts -> guard: every connection of the account ends now, whichever login it came with.
struct AccountEnded {
  OQTO_MESSAGE(account_ended, false);
  std::uint32_t account = 0;
  std::uint8_t disabled = 0;  // 1: its sessions too, and none begins before the account is used again
  bool fields(auto& io) { return io(account, disabled); }
};
// guard -> accounts, when accounts has (re)started: what a predecessor may have ended without having said
// so. Answered by LoginRevoked and AccountEnded, one for each that does not stand any more.
struct CheckLogins {
  OQTO_MESSAGE(check_logins, false);
  static constexpr std::size_t kLoginBytes = 8, kAccountBytes = 4;  // little-endian, one after the other
  LongText<32 * 1024> logins;    // of all connections
  LongText<2 * 1024> accounts;   // of all active tenants
  bool fields(auto& io) { return io(logins, accounts); }
};

enum class AdminVerb : std::uint8_t {
  setup_link,     // {} -> {"setup_required": bool, "token"?: text}
  // {"after"?: id} -> {"accounts": [{id, username, role, created_at, last_login_at?, disabled}],
  // "next_after"?: id of the last one, if there are more}
  list_accounts,
  create_invite,  // {"role"?, "expires_hours"?} -> {"id", "code", "role", "expires_at"}
  list_invites,   // {} -> {"invites": [...]}
  revoke_logins,  // {"username", "id"?: of one login} -> {"revoked": n}
  disable,        // {"username", "disabled": bool} -> {}
  revoke_invite,  // {"id"} -> {}
  reset_password, // {"username", "expires_hours"?} -> {"code", "username", "expires_at"}
  list_logins,    // {"username"} -> {"logins": [...]}
  kEnd
};
// guard -> accounts, with its end of an operator's channel: who that is, for what is recorded.
struct AdminPeer {
  OQTO_MESSAGE(admin_peer, true);
  std::uint32_t operator_uid = 0;  // as in CtlRequest
  Text<64> operator_name{};
  bool fields(auto& io) { return io(operator_uid, operator_name); }
};
struct AdminCall {  // oqtoctl -> accounts, over a channel that the guard made for root
  OQTO_MESSAGE(admin_call, false);
  AdminVerb verb{};
  LongText<4096> body;  // JSON
  bool fields(auto& io) { return io(verb, body); }
};
struct AdminReply {
  OQTO_MESSAGE(admin_reply, false);
  std::uint8_t ok = 0;
  LongText<60 * 1024> body;  // JSON; {"error": text} when not ok
  bool fields(auto& io) { return io(ok, body); }
};

}  // namespace oqto::ipc
