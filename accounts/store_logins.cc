// Logins, the browsers they come from, and links that set a new password.
#include "accounts/store.h"

#include <algorithm>

namespace oqto::accounts {

Result<StartedLogin> Store::start_login(std::uint32_t account, const Digest& token,
                                        const std::optional<Digest>& replaces, const LoginFrom& from,
                                        std::uint64_t now) {
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
  TRY(db_.run("INSERT INTO logins (account, token_sha256, created_at, last_seen_at, expires_at, "
              "remote, agent) VALUES (?, ?, ?, ?, ?, ?, ?)", account, token, now, now,
              now + kLoginAbsoluteMs, from.remote, from.agent));
  started.id = db_.last_id();
  TRY(db_.run("UPDATE accounts SET last_login_at = ? WHERE id = ?", now, account));
  return started;
}

Result<std::optional<Login>> Store::find_login(const Digest& token, std::uint64_t now,
                                               std::string_view remote) {
  auto row = TRY(db_.query(
      "SELECT l.id, l.last_seen_at, a.id, a.username, a.role, a.disabled, a.created_at, "
      "a.last_login_at FROM logins l JOIN accounts a ON a.id = l.account "
      "WHERE l.token_sha256 = ?1 AND l.expires_at > ?2 AND l.last_seen_at + ?3 > ?2 "
      "AND a.disabled = 0 AND a.id <= ?4", token, now, kLoginIdleMs, last_account_));
  if (!TRY(row.next())) return std::nullopt;
  Login login{.id = row.number(0), .account = read_account(row, 2)};
  if (is_withheld(login.account.id, login.id)) return std::nullopt;
  if (row.number(1) + kLastSeenStepMs <= now) {
    // Whoever is signed in stays so where that cannot be written (a full disk).
    (void)db_.run("UPDATE logins SET last_seen_at = ?1, remote = iif(?2 = '', remote, ?2) WHERE id = ?3",
                  now, remote, login.id);
  }
  return login;
}

Result<bool> Store::login_stands(std::uint64_t login, std::uint64_t now) {
  auto row = TRY(db_.query(
      "SELECT l.account FROM logins l JOIN accounts a ON a.id = l.account WHERE l.id = ?1 AND "
      "l.expires_at > ?2 AND l.last_seen_at + ?3 > ?2 AND a.disabled = 0 AND a.id <= ?4",
      login, now, kLoginIdleMs, last_account_));
  if (!TRY(row.next())) return false;
  return !is_withheld(static_cast<std::uint32_t>(row.number(0)), login);
}

Status Store::end_login(std::uint64_t login) {
  TRY(db_.run("DELETE FROM logins WHERE id = ?", login));
  return {};
}

Result<std::vector<std::uint64_t>> Store::end_logins_of(std::uint32_t account, std::uint64_t but) {
  std::vector<std::uint64_t> ended;
  {
    auto row = TRY(db_.query("SELECT id FROM logins WHERE account = ? AND id <> ?", account, but));
    while (TRY(row.next())) ended.push_back(row.number(0));
  }
  TRY(db_.run("DELETE FROM logins WHERE account = ? AND id <> ?", account, but));
  return ended;
}

Status Store::end_logins_until(std::uint32_t account, std::uint64_t last) {
  return db_.run("DELETE FROM logins WHERE account = ? AND id <= ?", account, last);
}

Result<std::uint64_t> Store::last_login() {
  auto row = TRY(db_.query("SELECT coalesce(max(id), 0) FROM logins"));
  return TRY(row.next()) ? row.number(0) : 0;
}

Result<std::vector<LoginRow>> Store::list_logins(std::uint32_t account, std::uint64_t now) {
  auto row = TRY(db_.query(
      "SELECT id, created_at, last_seen_at, expires_at, remote, agent FROM logins WHERE account = ?1 "
      "AND expires_at > ?2 AND last_seen_at + ?3 > ?2 ORDER BY last_seen_at DESC, id DESC LIMIT ?4",
      account, now, kLoginIdleMs, kMaxLoginsPerAccount));
  std::vector<LoginRow> logins;
  while (TRY(row.next())) {
    if (is_withheld(account, row.number(0))) continue;
    logins.push_back({.id = row.number(0), .created_at = row.number(1), .last_seen_at = row.number(2),
                      .expires_at = std::min(row.number(3), row.number(2) + kLoginIdleMs),
                      .from = {.remote = row.text(4), .agent = row.text(5)}});
  }
  return logins;
}

Result<std::vector<Login>> Store::expired_logins(std::uint64_t after, std::uint64_t now, std::size_t limit) {
  auto row = TRY(db_.query(
      "SELECT l.id, a.id, a.username, a.role, a.disabled, a.created_at, a.last_login_at "
      "FROM logins l JOIN accounts a ON a.id = l.account "
      "WHERE l.id > ?4 AND (l.expires_at <= ?1 OR l.last_seen_at + ?2 <= ?1) ORDER BY l.id LIMIT ?3",
      now, kLoginIdleMs, limit, after));
  std::vector<Login> logins;
  while (TRY(row.next())) {
    logins.push_back(Login{.id = row.number(0), .account = read_account(row, 1)});
  }
  return logins;
}

// --- devices -------------------------------------------------------------------------------------

Result<std::uint64_t> Store::find_device(std::uint32_t account, const Digest& token, std::uint64_t now) {
  auto row = TRY(db_.query("SELECT id FROM devices WHERE token_sha256 = ? AND account = ? AND created_at + ? > ?",
                           token, account, kDeviceLifeMs, now));
  return TRY(row.next()) ? row.number(0) : 0;
}

Status Store::remember_device(std::uint32_t account, const Digest& token, const std::optional<Digest>& replaces,
                              std::uint64_t now) {
  // What the old one is worth to other accounts is not this one's to move or to end: whoever holds a copy of it may
  // have signed in to an account of their own.
  if (replaces) TRY(db_.run("DELETE FROM devices WHERE token_sha256 = ? AND account = ?", *replaces, account));
  TRY(db_.run("INSERT INTO devices (token_sha256, account, created_at, last_used_at) VALUES (?1, ?2, ?3, ?3)",
              token, account, now));
  TRY(db_.run("DELETE FROM devices WHERE id IN (SELECT id FROM devices WHERE account = ? "
              "ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?)", account, kMaxDevicesPerAccount));
  return {};
}

Status Store::forget_devices(std::uint32_t account, const std::optional<Digest>& but) {
  TRY(db_.run("DELETE FROM devices WHERE account = ? AND token_sha256 <> ?", account, but.value_or(Digest{})));
  return {};
}

Status Store::forget_old_devices(std::uint64_t now) {
  TRY(db_.run("DELETE FROM devices WHERE created_at < ?", now - std::min(now, kDeviceLifeMs)));
  return {};
}

// --- reset links ---------------------------------------------------------------------------------

Status Store::add_reset(std::uint32_t account, const Digest& code, std::uint64_t now,
                        std::uint64_t expires_at) {
  TRY(db_.run("INSERT INTO resets (account, code_sha256, created_at, expires_at) VALUES (?1, ?2, ?3, ?4) "
              "ON CONFLICT (account) DO UPDATE SET code_sha256 = ?2, created_at = ?3, expires_at = ?4",
              account, code, now, expires_at));
  return {};
}

Result<std::optional<Account>> Store::find_reset(const Digest& code, std::uint64_t now) {
  auto row = TRY(db_.query(
      "SELECT a.id, a.username, a.role, a.disabled, a.created_at, a.last_login_at FROM resets r "
      "JOIN accounts a ON a.id = r.account WHERE r.code_sha256 = ? AND r.expires_at > ? AND a.disabled = 0",
      code, now));
  if (!TRY(row.next())) return std::nullopt;
  auto account = seen(read_account(row, 0));
  if (account.disabled) return std::nullopt;
  return account;
}

Status Store::forget_reset(std::uint32_t account) {
  TRY(db_.run("DELETE FROM resets WHERE account = ?", account));
  return {};
}

}  // namespace oqto::accounts
