// Accounts, logins and invites in accounts.db. Times are unix milliseconds. Secrets (tokens, codes)
// come in as SHA-256 and passwords as argon2id strings; nothing here could be used to sign in.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "accounts/owed_act.h"
#include "accounts/sqlite.h"
#include "base/result.h"
#include "ipc/messages.h"

namespace oqto::accounts {

using Digest = std::array<std::uint8_t, 32>;  // SHA-256

// A login ends after this long without a request, and in any case after the absolute limit. Working
// agents are not affected: only the browser must sign in again.
constexpr std::uint64_t kLoginIdleMs = 12ULL * 3600 * 1000;
constexpr std::uint64_t kLoginAbsoluteMs = 7ULL * 24 * 3600 * 1000;
constexpr std::uint64_t kLastSeenStepMs = 60 * 1000;  // how often last_seen_at is written at most
constexpr std::size_t kMaxLoginsPerAccount = 32;       // the oldest ends when one more begins
constexpr std::size_t kMaxDevicesPerAccount = 32;      // the oldest one is forgotten
constexpr std::uint64_t kDeviceLifeMs = 60ULL * 24 * 3600 * 1000;  // from the sign-in that made it; nothing renews it
constexpr std::size_t kMaxOpenInvites = 150;
constexpr std::size_t kMaxListedInvites = 200;
constexpr std::uint32_t kMaxAccountId = 65535;  // the tenants' uids derive from it

std::string_view role_name(ipc::Role role);
std::optional<ipc::Role> parse_role(std::string_view name);

struct Account {
  std::uint32_t id = 0;  // never reused
  std::string username;
  ipc::Role role = ipc::Role::user;
  bool disabled = false;
  std::uint64_t created_at = 0;
  std::uint64_t last_login_at = 0;  // 0: never
};

struct Login {
  std::uint64_t id = 0;
  Account account;
};

struct LoginFrom {
  std::string remote;  // address:port
  std::string agent;   // what the browser called itself
};

struct LoginRow {  // for the list
  std::uint64_t id = 0;
  std::uint64_t created_at = 0;
  std::uint64_t last_seen_at = 0;
  std::uint64_t expires_at = 0;  // if it is not used before
  LoginFrom from;
};

struct StartedLogin {
  std::uint64_t id = 0;
  std::vector<std::uint64_t> ended;  // logins that this one replaces
};

enum class InviteState : std::uint8_t { open, suspended, expired, used, revoked };
std::string_view state_name(InviteState state);

struct Invite {
  std::uint64_t id = 0;
  ipc::Role role = ipc::Role::user;
  std::uint64_t created_at = 0;
  std::uint64_t expires_at = 0;
  std::string used_by;  // user name; empty: nobody yet
  std::string made_by;  // user name; empty: the operator
  InviteState state = InviteState::open;
};

// The columns, in order: id, username, role, disabled, created_at, last_login_at.
Account read_account(const Query& row, int first);

class Store {
 public:
  // `state_dir` must be a directory of this process's user with mode 0700.
  static Result<Database> open(const std::string& state_dir);
  // Accounts beyond `last_account` have no uids on this host: none is made, and none has a login.
  explicit Store(Database& db, std::uint32_t last_account = kMaxAccountId) : db_(db), last_account_(last_account) {}

  // Whether something could be written now: writes a number of the file's header anew.
  Status probe() { return db_.script("PRAGMA application_id = 1332835439"); }  // "Oqto"

  Result<Transaction> begin() { return Transaction::begin(db_); }

  // --- accounts ---
  Result<bool> has_accounts();
  Result<std::optional<Account>> find_account(std::string_view username);
  Result<std::optional<Account>> find_account(std::uint32_t id);
  Result<bool> has_alike(std::string_view skeleton);  // a name with this skeleton_of()
  Result<std::string> password_hash(std::uint32_t account);
  // Errc::denied: the name is taken. Errc::limit: all numbers were given out.
  Result<Account> add_account(std::string_view username, std::string_view password_hash,
                              ipc::Role role, std::uint64_t now);
  Status set_password_hash(std::uint32_t account, std::string_view hash);
  Status set_disabled(std::uint32_t account, bool disabled);
  Result<std::vector<Account>> list_accounts(std::uint32_t after, std::size_t limit);

  // --- logins ---
  // `replaces`: the token that the browser held until now. The caller holds the transaction.
  Result<StartedLogin> start_login(std::uint32_t account, const Digest& token,
                                   const std::optional<Digest>& replaces, const LoginFrom& from,
                                   std::uint64_t now);
  [[nodiscard]] bool has_uids(std::uint32_t account) const { return account <= last_account_; }
  // Nothing if unknown, ended, idle for too long, expired, or of an account that is disabled or has no uids. `remote`: from where
  // it is used, if that is known.
  Result<std::optional<Login>> find_login(const Digest& token, std::uint64_t now,
                                          std::string_view remote = {});
  Result<bool> login_stands(std::uint64_t login, std::uint64_t now);  // find_login() would find it
  Status end_login(std::uint64_t login);
  Result<std::vector<std::uint64_t>> end_logins_of(std::uint32_t account, std::uint64_t but = 0);
  Status end_logins_until(std::uint32_t account, std::uint64_t last);
  Result<std::uint64_t> last_login();
  Result<std::vector<LoginRow>> list_logins(std::uint32_t account, std::uint64_t now);
  Result<std::vector<Login>> expired_logins(std::uint64_t after, std::uint64_t now, std::size_t limit);

  // --- what has ended, though the tables do not say so yet (emergency.cc) ---
  void withhold(const OwedAct& act);
  void release(const OwedAct& act);  // now they do

  // --- devices: browsers that have signed in to an account ---
  Result<std::uint64_t> find_device(std::uint32_t account, const Digest& token, std::uint64_t now);  // its number, or 0
  // `replaces`: the token that the browser showed, which is worth nothing to this account afterwards. To others the new
  // one is worth nothing: a browser is a known device of the account that signed in from it last.
  Status remember_device(std::uint32_t account, const Digest& token, const std::optional<Digest>& replaces,
                         std::uint64_t now);
  Status forget_devices(std::uint32_t account, const std::optional<Digest>& but = std::nullopt);
  Status forget_old_devices(std::uint64_t now);

  // --- links that set a new password, at most one for an account ---
  Status add_reset(std::uint32_t account, const Digest& code, std::uint64_t now, std::uint64_t expires_at);
  // Whose it is, while it can be used.
  Result<std::optional<Account>> find_reset(const Digest& code, std::uint64_t now);
  Status forget_reset(std::uint32_t account);

  // --- invites ---
  // Errc::limit: too many are open.
  Result<Invite> add_invite(const Digest& code, ipc::Role role, std::uint32_t created_by,
                            std::uint64_t now, std::uint64_t expires_at);
  Result<std::optional<Invite>> find_invite(const Digest& code, std::uint64_t now);
  Status use_invite(std::uint64_t invite, std::uint32_t account, std::uint64_t now);
  // False: there is no open invite of that number.
  Result<bool> is_open_invite(std::uint64_t invite);
  Status revoke_invite(std::uint64_t invite);
  // Not the revoked ones. First all that are not used and not expired, then the others; newest first.
  Result<std::vector<Invite>> list_invites(std::uint64_t now);

 private:
  [[nodiscard]] bool is_withheld(std::uint32_t account, std::uint64_t login) const;
  Account seen(Account account) const;

  Database& db_;
  const std::uint32_t last_account_;
  std::set<std::uint32_t> disabled_;
  std::map<std::uint32_t, std::uint64_t> ended_until_;  // by account: the last login of those that ended
  std::set<std::uint64_t> ended_;
};

}  // namespace oqto::accounts
