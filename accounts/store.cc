#include "accounts/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/sys.h"

namespace oqto::accounts {
namespace {

constexpr std::uint64_t kSchemaVersion = 1;

constexpr char kSchema[] = R"(
BEGIN IMMEDIATE;
CREATE TABLE accounts (
  id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 65535),
  username TEXT NOT NULL UNIQUE,
  password_hash TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('admin', 'user', 'auditor')),
  created_at INTEGER NOT NULL,
  last_login_at INTEGER,
  disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1))) STRICT;
CREATE TABLE logins (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  account INTEGER NOT NULL REFERENCES accounts (id),
  token_sha256 BLOB NOT NULL UNIQUE CHECK (length(token_sha256) = 32),
  created_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL) STRICT;
CREATE INDEX logins_of_account ON logins (account);
CREATE TABLE invites (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  code_sha256 BLOB NOT NULL UNIQUE CHECK (length(code_sha256) = 32),
  role TEXT NOT NULL CHECK (role IN ('admin', 'user', 'auditor')),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  created_by INTEGER REFERENCES accounts (id),
  used_by INTEGER REFERENCES accounts (id),
  used_at INTEGER,
  revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1))) STRICT;
CREATE TABLE account_throttle (
  username TEXT PRIMARY KEY,
  known INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  blocked_until INTEGER NOT NULL,
  noted_until INTEGER NOT NULL DEFAULT 0,
  updated_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE remote_throttle (
  remote TEXT PRIMARY KEY,
  arrival INTEGER NOT NULL,
  noted_until INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;)";

constexpr std::string_view kRoles[] = {"admin", "user", "auditor"};
static_assert(std::size(kRoles) == static_cast<std::size_t>(ipc::Role::kEnd));

// The columns, in order: id, username, role, disabled, created_at, last_login_at.
Account read_account(const Query& row, int first = 0) {
  Account account;
  account.id = static_cast<std::uint32_t>(row.number(first));
  account.username = row.text(first + 1);
  account.role = parse_role(row.text(first + 2)).value_or(ipc::Role::user);
  account.disabled = row.number(first + 3) != 0;
  account.created_at = row.number(first + 4);
  account.last_login_at = row.number(first + 5);
  return account;
}

// The columns, in order: id, role, created_at, expires_at, user name of used_by.
Invite read_invite(const Query& row) {
  Invite invite;
  invite.id = row.number(0);
  invite.role = parse_role(row.text(1)).value_or(ipc::Role::user);
  invite.created_at = row.number(2);
  invite.expires_at = row.number(3);
  invite.used_by = row.text(4);
  return invite;
}

// The path of the checked directory without links, which SQLite refuses anywhere in a path.
Result<std::string> check_state_dir(const std::string& path) {
  const Fd dir = TRY(sys::open_file(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat info {};
  if (::fstat(dir.get(), &info) != 0) return fail_errno("fstat of the state directory");
  if (info.st_uid != ::geteuid() || (info.st_mode & 07777) != 0700) {
    return fail(Errc::invalid, "the state directory must be of mode 0700 and of this user");
  }
  char* const resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return fail_errno("realpath of the state directory");
  std::string result = resolved;
  ::free(resolved);
  return result;
}

}  // namespace

std::string_view role_name(ipc::Role role) { return kRoles[static_cast<std::size_t>(role)]; }

std::optional<ipc::Role> parse_role(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kRoles); ++i) {
    if (kRoles[i] == name) return static_cast<ipc::Role>(i);
  }
  return std::nullopt;
}

Result<Database> Store::open(const std::string& state_dir) {
  const std::string dir = TRY(check_state_dir(state_dir));
  (void)::umask(077);
  Database db = TRY(Database::open(dir + "/accounts.db"));
  std::uint64_t version = 0;
  {
    auto row = TRY(db.query("PRAGMA user_version"));
    if (TRY(row.next())) version = row.number(0);
  }
  if (version == 0) TRY(db.script(kSchema));
  if (version > kSchemaVersion) {
    return fail(Errc::invalid, "accounts.db was written by a newer version of Oqto");
  }
  return db;
}

Result<bool> Store::has_accounts() {
  auto row = TRY(db_.query("SELECT 1 FROM accounts LIMIT 1"));
  return row.next();
}

Result<std::optional<Account>> Store::find_account(std::string_view username) {
  auto row = TRY(db_.query("SELECT id, username, role, disabled, created_at, last_login_at "
                           "FROM accounts WHERE username = ?", username));
  if (!TRY(row.next())) return std::nullopt;
  return read_account(row);
}

Result<std::string> Store::password_hash(std::uint32_t account) {
  auto row = TRY(db_.query("SELECT password_hash FROM accounts WHERE id = ?", account));
  if (!TRY(row.next())) return fail(Errc::not_found, "no such account");
  return row.text(0);
}

Result<Account> Store::add_account(std::string_view username, std::string_view password_hash,
                                   ipc::Role role, std::uint64_t now) {
  auto last = TRY(db_.query("SELECT max(id) FROM accounts"));
  if (TRY(last.next()) && last.number(0) >= kMaxAccountId) {
    return fail(Errc::limit, "this host has no account numbers left");
  }
  TRY(db_.run("INSERT INTO accounts (username, password_hash, role, created_at) "
              "VALUES (?, ?, ?, ?)", username, password_hash, role_name(role), now));
  return Account{.id = static_cast<std::uint32_t>(db_.last_id()), .username = std::string(username),
                 .role = role, .disabled = false, .created_at = now, .last_login_at = 0};
}

Status Store::set_password_hash(std::uint32_t account, std::string_view hash) {
  TRY(db_.run("UPDATE accounts SET password_hash = ? WHERE id = ?", hash, account));
  return {};
}

Status Store::set_disabled(std::uint32_t account, bool disabled) {
  TRY(db_.run("UPDATE accounts SET disabled = ? WHERE id = ?", disabled ? 1 : 0, account));
  return {};
}

Result<std::vector<Account>> Store::list_accounts(std::uint32_t after, std::size_t limit) {
  auto row = TRY(db_.query("SELECT id, username, role, disabled, created_at, last_login_at "
                           "FROM accounts WHERE id > ? ORDER BY id LIMIT ?", after, limit));
  std::vector<Account> accounts;
  while (TRY(row.next())) accounts.push_back(read_account(row));
  return accounts;
}

Result<StartedLogin> Store::start_login(std::uint32_t account, const Digest& token,
                                        const std::optional<Digest>& replaces, std::uint64_t now) {
  StartedLogin started;
  {
    // The one that this browser had, and the oldest ones beyond the bound.
    auto row = TRY(db_.query(
        "SELECT id FROM logins WHERE token_sha256 = ?1 UNION SELECT id FROM (SELECT id FROM logins "
        "WHERE account = ?2 ORDER BY last_seen_at DESC, id DESC LIMIT -1 OFFSET ?3)",
        replaces.value_or(Digest{}), account, kMaxLoginsPerAccount - 1));
    while (TRY(row.next())) started.ended.push_back(row.number(0));
  }
  for (const std::uint64_t login : started.ended) TRY(end_login(login));
  TRY(db_.run("INSERT INTO logins (account, token_sha256, created_at, last_seen_at, expires_at) "
              "VALUES (?, ?, ?, ?, ?)", account, token, now, now, now + kLoginAbsoluteMs));
  started.id = db_.last_id();
  TRY(db_.run("UPDATE accounts SET last_login_at = ? WHERE id = ?", now, account));
  return started;
}

Result<std::optional<Login>> Store::find_login(const Digest& token, std::uint64_t now) {
  auto row = TRY(db_.query(
      "SELECT l.id, l.last_seen_at, a.id, a.username, a.role, a.disabled, a.created_at, "
      "a.last_login_at FROM logins l JOIN accounts a ON a.id = l.account "
      "WHERE l.token_sha256 = ?1 AND l.expires_at > ?2 AND l.last_seen_at + ?3 > ?2 "
      "AND a.disabled = 0", token, now, kLoginIdleMs));
  if (!TRY(row.next())) return std::nullopt;
  Login login{.id = row.number(0), .account = read_account(row, 2)};
  if (row.number(1) + kLastSeenStepMs <= now) {
    TRY(db_.run("UPDATE logins SET last_seen_at = ? WHERE id = ?", now, login.id));
  }
  return login;
}

Status Store::end_login(std::uint64_t login) {
  TRY(db_.run("DELETE FROM logins WHERE id = ?", login));
  return {};
}

Result<std::vector<std::uint64_t>> Store::end_logins_of(std::uint32_t account) {
  std::vector<std::uint64_t> ended;
  {
    auto row = TRY(db_.query("SELECT id FROM logins WHERE account = ?", account));
    while (TRY(row.next())) ended.push_back(row.number(0));
  }
  TRY(db_.run("DELETE FROM logins WHERE account = ?", account));
  return ended;
}

Result<std::vector<Login>> Store::expired_logins(std::uint64_t now, std::size_t limit) {
  auto row = TRY(db_.query(
      "SELECT l.id, a.id, a.username, a.role, a.disabled, a.created_at, a.last_login_at "
      "FROM logins l JOIN accounts a ON a.id = l.account "
      "WHERE l.expires_at <= ?1 OR l.last_seen_at + ?2 <= ?1 LIMIT ?3", now, kLoginIdleMs, limit));
  std::vector<Login> logins;
  while (TRY(row.next())) {
    logins.push_back(Login{.id = row.number(0), .account = read_account(row, 1)});
  }
  return logins;
}

Result<Invite> Store::add_invite(const Digest& code, ipc::Role role, std::uint32_t created_by,
                                 std::uint64_t now, std::uint64_t expires_at) {
  auto open = TRY(db_.query("SELECT count(*) FROM invites WHERE used_by IS NULL AND revoked = 0 "
                            "AND expires_at > ?", now));
  if (TRY(open.next()) && open.number(0) >= kMaxOpenInvites) {
    return fail(Errc::limit, "too many invitations are open: revoke some of them first");
  }
  TRY(db_.run("INSERT INTO invites (code_sha256, role, created_at, expires_at, created_by) "
              "VALUES (?, ?, ?, ?, nullif(?, 0))", code, role_name(role), now, expires_at,
              created_by));
  return Invite{.id = db_.last_id(), .role = role, .created_at = now, .expires_at = expires_at,
                .used_by = {}};
}

Result<std::optional<Invite>> Store::find_open_invite(const Digest& code, std::uint64_t now) {
  auto row = TRY(db_.query("SELECT id, role, created_at, expires_at, NULL FROM invites WHERE "
                           "code_sha256 = ? AND used_by IS NULL AND revoked = 0 AND expires_at > ?",
                           code, now));
  if (!TRY(row.next())) return std::nullopt;
  return read_invite(row);
}

Status Store::use_invite(std::uint64_t invite, std::uint32_t account, std::uint64_t now) {
  TRY(db_.run("UPDATE invites SET used_by = ?, used_at = ? "
              "WHERE id = ? AND used_by IS NULL AND revoked = 0", account, now, invite));
  if (db_.changes() != 1) return fail(Errc::not_found, "the invitation is no longer open");
  return {};
}

Result<bool> Store::is_open_invite(std::uint64_t invite) {
  auto row = TRY(db_.query("SELECT 1 FROM invites WHERE id = ? AND used_by IS NULL AND revoked = 0",
                           invite));
  return row.next();
}

Status Store::revoke_invite(std::uint64_t invite) {
  TRY(db_.run("UPDATE invites SET revoked = 1 WHERE id = ? AND used_by IS NULL", invite));
  return {};
}

Result<std::vector<Invite>> Store::list_invites() {
  auto row = TRY(db_.query("SELECT i.id, i.role, i.created_at, i.expires_at, a.username "
                           "FROM invites i LEFT JOIN accounts a ON a.id = i.used_by "
                           "WHERE i.revoked = 0 ORDER BY i.id DESC LIMIT ?", kMaxListedInvites));
  std::vector<Invite> invites;
  while (TRY(row.next())) invites.push_back(read_invite(row));
  return invites;
}

}  // namespace oqto::accounts
