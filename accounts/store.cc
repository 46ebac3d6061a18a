#include "accounts/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/sys.h"

namespace oqto::accounts {
namespace {

constexpr std::uint64_t kSchemaVersion = 2;

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

// Throttles begin anew; everything else stays.
constexpr char kVersion2[] = R"(
BEGIN IMMEDIATE;
ALTER TABLE logins ADD COLUMN remote TEXT NOT NULL DEFAULT '';
ALTER TABLE logins ADD COLUMN agent TEXT NOT NULL DEFAULT '';
CREATE TABLE devices (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  token_sha256 BLOB NOT NULL CHECK (length(token_sha256) = 32),
  account INTEGER NOT NULL REFERENCES accounts (id),
  created_at INTEGER NOT NULL,
  last_used_at INTEGER NOT NULL,
  UNIQUE (token_sha256, account)) STRICT;
CREATE INDEX devices_of_account ON devices (account);
CREATE TABLE resets (
  account INTEGER PRIMARY KEY REFERENCES accounts (id),
  code_sha256 BLOB NOT NULL UNIQUE CHECK (length(code_sha256) = 32),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL) STRICT;
DROP TABLE account_throttle;
DROP TABLE remote_throttle;
CREATE TABLE guess_throttle (
  source TEXT PRIMARY KEY,
  known INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  blocked_until INTEGER NOT NULL,
  noted_until INTEGER NOT NULL DEFAULT 0,
  updated_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE rate_throttle (
  source TEXT PRIMARY KEY,
  arrival INTEGER NOT NULL,
  noted_until INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
PRAGMA user_version = 2;
COMMIT;)";

constexpr std::string_view kRoles[] = {"admin", "user", "auditor"};
static_assert(std::size(kRoles) == static_cast<std::size_t>(ipc::Role::kEnd));

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

Account read_account(const Query& row, int first) {
  Account account;
  account.id = static_cast<std::uint32_t>(row.number(first));
  account.username = row.text(first + 1);
  account.role = parse_role(row.text(first + 2)).value_or(ipc::Role::user);
  account.disabled = row.number(first + 3) != 0;
  account.created_at = row.number(first + 4);
  account.last_login_at = row.number(first + 5);
  return account;
}

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
  if (version <= 1) TRY(db.script(kVersion2));
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
  return seen(read_account(row, 0));
}

Account Store::seen(Account account) const {
  account.disabled = account.disabled || disabled_.contains(account.id);
  return account;
}

void Store::withhold(const OwedAct& act) {
  if (act.is_stored) return;
  if (act.kind == OwedAct::Kind::disable) disabled_.insert(act.account);
  if (act.kind == OwedAct::Kind::logout) ended_.insert(act.login);
  if (act.kind == OwedAct::Kind::revoke) ended_until_[act.account] = std::max(ended_until_[act.account], act.login);
}

void Store::release(const OwedAct& act) {
  if (act.kind == OwedAct::Kind::disable) disabled_.erase(act.account);
  if (act.kind == OwedAct::Kind::logout) ended_.erase(act.login);
  // The others stay: no login of a number that is used again begins.
}

bool Store::is_withheld(std::uint32_t account, std::uint64_t login) const {
  const auto until = ended_until_.find(account);
  return disabled_.contains(account) || ended_.contains(login) || (until != ended_until_.end() && login <= until->second);
}

Result<std::optional<Account>> Store::find_account(std::uint32_t id) {
  auto row = TRY(db_.query("SELECT id, username, role, disabled, created_at, last_login_at "
                           "FROM accounts WHERE id = ?", id));
  if (!TRY(row.next())) return std::nullopt;
  return seen(read_account(row, 0));
}

Result<bool> Store::has_alike(std::string_view skeleton) {
  // skeleton_of() of rules.h, in SQL.
  auto row = TRY(db_.query("SELECT 1 FROM accounts WHERE replace(replace(replace(replace(replace("
                           "username, '.', ''), '_', ''), '-', ''), '0', 'o'), '1', 'l') = ? LIMIT 1", skeleton));
  return row.next();
}

Result<std::string> Store::password_hash(std::uint32_t account) {
  auto row = TRY(db_.query("SELECT password_hash FROM accounts WHERE id = ?", account));
  if (!TRY(row.next())) return fail(Errc::not_found, "no such account");
  return row.text(0);
}

Result<Account> Store::add_account(std::string_view username, std::string_view password_hash,
                                   ipc::Role role, std::uint64_t now) {
  auto last = TRY(db_.query("SELECT max(id) FROM accounts"));
  if (TRY(last.next()) && last.number(0) >= last_account_) {
    return fail(Errc::limit, "this host has no uids left for another account: its operator can give it more (uid-count)");
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
  while (TRY(row.next())) accounts.push_back(seen(read_account(row, 0)));
  return accounts;
}

}  // namespace oqto::accounts
