// Invitations. One of whom the maker is disabled, or no administrator, is suspended: it opens again with
// its maker, and until then it is no better than one that does not exist.
#include "accounts/store.h"

namespace oqto::accounts {
namespace {

// The maker's right is looked at when the invitation is used: it may have been lost since.
constexpr std::string_view kInvites =
    "SELECT i.id, i.role, i.created_at, i.expires_at, used.username, maker.username, i.revoked, "
    "i.used_by IS NOT NULL, i.created_by IS NOT NULL AND (maker.disabled OR maker.role <> 'admin') "
    "FROM invites i LEFT JOIN accounts used ON used.id = i.used_by "
    "LEFT JOIN accounts maker ON maker.id = i.created_by ";

Invite read_invite(const Query& row, std::uint64_t now) {
  Invite invite;
  invite.id = row.number(0);
  invite.role = parse_role(row.text(1)).value_or(ipc::Role::user);
  invite.created_at = row.number(2);
  invite.expires_at = row.number(3);
  invite.used_by = row.text(4);
  invite.made_by = row.text(5);
  const bool revoked = row.number(6) != 0;
  const bool used = row.number(7) != 0;
  const bool suspended = row.number(8) != 0;
  invite.state = used                       ? InviteState::used
                 : revoked                  ? InviteState::revoked
                 : invite.expires_at <= now ? InviteState::expired
                 : suspended                ? InviteState::suspended
                                            : InviteState::open;
  return invite;
}

}  // namespace

std::string_view state_name(InviteState state) {
  constexpr std::string_view kNames[] = {"open", "suspended", "expired", "used", "revoked"};
  return kNames[static_cast<std::size_t>(state)];
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
                .used_by = {}, .made_by = {}, .state = InviteState::open};
}

Result<std::optional<Invite>> Store::find_invite(const Digest& code, std::uint64_t now) {
  static const std::string kByCode = std::string(kInvites) + "WHERE i.code_sha256 = ?";
  auto row = TRY(db_.query(kByCode.c_str(), code));
  if (!TRY(row.next())) return std::nullopt;
  return read_invite(row, now);
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

Result<std::vector<Invite>> Store::list_invites(std::uint64_t now) {
  // Those that can still let somebody in first: kMaxOpenInvites of them, so that none is left out.
  static const std::string kList =
      std::string(kInvites) + "WHERE i.revoked = 0 ORDER BY i.used_by IS NULL AND i.expires_at > ? DESC, "
                              "i.id DESC LIMIT ?";
  auto row = TRY(db_.query(kList.c_str(), now, kMaxListedInvites));
  std::vector<Invite> invites;
  while (TRY(row.next())) invites.push_back(read_invite(row, now));
  return invites;
}

}  // namespace oqto::accounts
