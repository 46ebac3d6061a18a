// Invites, for administrators in the browser and for the operator; and the operator's other verbs.
#include <algorithm>

#include "accounts/service.h"
#include "base/encoding.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::accounts {

using ipc::AdminVerb;
using ipc::Event;
using ipc::FieldKey;
using ipc::Outcome;

namespace {

constexpr std::uint64_t kHourMs = 3600 * 1000;
constexpr const char* kOperator = "oqtoctl";

ipc::AdminReply accepted(std::string body) {
  return ipc::AdminReply{.ok = 1, .body = {std::move(body)}};
}
ipc::AdminReply refused(std::string_view why) {
  return ipc::AdminReply{.ok = 0, .body = {error_answer(why, "REFUSED", 0)}};
}
ipc::AdminReply refused(const Error& cause) {
  if (cause.code == Errc::unavailable) {
    return refused("the audit log is not available; nothing was changed");
  }
  if (cause.code != Errc::limit && cause.code != Errc::not_found) log::error("an operator's request failed", cause);
  return refused(cause.what);
}

}  // namespace

// --- invites -----------------------------------------------------------------------------------

Result<Service::MadeInvite> Service::make_invite(const InviteBody& wish, AuditPairs who,
                                                 std::uint32_t created_by) {
  const auto intent = TRY(recorder_.intent(Event::invite_create, who));
  const std::uint64_t now = sys::now_ms();
  std::string code = to_base64url(random_token());
  auto invite = store_.add_invite(sha256(std::string_view(code)), wish.role, created_by, now,
                                  now + wish.expires_hours * kHourMs);
  recorder_.outcome(Event::invite_create, intent,
                    invite ? Status() : std::unexpected(invite.error()),
                    {{FieldKey::invite, invite ? std::to_string(invite->id) : ""}});
  return MadeInvite{TRY(std::move(invite)), std::move(code)};
}

ipc::AuthReply Service::list_invites(const Call& call) {
  const ReplyOr admin = require_admin(call, Event::admin);
  if (!admin) return admin.error();
  const auto invites = store_.list_invites(sys::now_ms());
  if (!invites) return failure_reply(invites.error());
  return reply_with(200, invites_answer(*invites));
}

ipc::AuthReply Service::create_invite(const Call& call) {
  const ReplyOr admin = require_admin(call, Event::invite_create);
  if (!admin) return admin.error();
  const auto wish = read_invite_wish(call.body);
  if (!wish) return error_reply(Code::bad_request, wish.error());
  const auto made = make_invite(*wish,
                                {{FieldKey::account, std::to_string(admin->account.id)},
                                 {FieldKey::username, admin->account.username},
                                 {FieldKey::remote, call.remote},
                                 {FieldKey::role, std::string(role_name(wish->role))}},
                                admin->account.id);
  if (!made && made.error().code == Errc::limit) {
    return error_reply(Code::conflict, made.error().what);
  }
  if (!made) return failure_reply(made.error());
  return reply_with(201, invite_answer(made->invite, made->code));
}

ipc::AuthReply Service::revoke_invite(const Call& call) {
  const ReplyOr admin = require_admin(call, Event::invite_revoke);
  if (!admin) return admin.error();
  const auto id = read_id(call.body);
  if (!id) return error_reply(Code::bad_request, id.error());
  auto revoked = revoke_invite(*id, {{FieldKey::account, std::to_string(admin->account.id)},
                                     {FieldKey::username, admin->account.username},
                                     {FieldKey::remote, call.remote},
                                     {FieldKey::invite, std::to_string(*id)}});
  if (!revoked && revoked.error().code == Errc::not_found) {
    return error_reply(Code::not_found, revoked.error().what);
  }
  if (!revoked) return failure_reply(revoked.error());
  return reply_with(204);
}

Status Service::revoke_invite(std::uint64_t id, AuditPairs who) {
  if (!TRY(store_.is_open_invite(id))) {
    return fail(Errc::not_found, "there is no open invitation of that number");
  }
  const auto intent = TRY(recorder_.intent(Event::invite_revoke, who));
  const auto revoked = store_.revoke_invite(id);
  recorder_.outcome(Event::invite_revoke, intent, revoked);
  return revoked;
}

// --- the operator --------------------------------------------------------------------------------

ipc::AdminReply Service::admin(const ipc::AdminCall& call, const Operator& who) {
  const Recorder::ForOperator operators(recorder_, who);
  asking_ = &who;
  const std::string_view body = call.body.value;
  switch (call.verb) {
    case AdminVerb::setup_link: return admin_setup_link();
    case AdminVerb::list_accounts: return admin_list_accounts(body);
    case AdminVerb::create_invite: return admin_create_invite(body);
    case AdminVerb::list_invites: return admin_list_invites(body);
    case AdminVerb::revoke_logins: return admin_revoke_logins(body);
    case AdminVerb::disable: return admin_disable(body);
    case AdminVerb::revoke_invite: return admin_revoke_invite(body);
    case AdminVerb::reset_password: return admin_reset_password(body);
    case AdminVerb::list_logins: return admin_list_logins(body);
    case AdminVerb::kEnd: break;  // the codec refuses it
  }
  return refused("there is no such verb");
}

ipc::AdminReply Service::admin_setup_link() {
  const auto recorded = recorder_.happened(
      Event::admin, Outcome::success,
      {{FieldKey::process, kOperator}, {FieldKey::command, "setup_link"}});
  if (!recorded) return refused(recorded.error());
  return accepted(setup_link_answer(setup_token_));
}

ipc::AdminReply Service::admin_list_accounts(std::string_view body) {
  const auto after = read_list_accounts(body);
  if (!after) return refused(after.error());
  const auto recorded = recorder_.happened(
      Event::admin, Outcome::success,
      {{FieldKey::process, kOperator}, {FieldKey::command, "list_accounts"}});
  if (!recorded) return refused(recorded.error());
  const auto accounts = store_.list_accounts(*after, kMaxListedAccounts);
  if (!accounts) return refused(accounts.error());
  return accepted(accounts_answer(*accounts));
}

ipc::AdminReply Service::admin_list_invites(std::string_view body) {
  if (const auto empty = read_empty(body); !empty) return refused(empty.error());
  const auto recorded = recorder_.happened(
      Event::admin, Outcome::success,
      {{FieldKey::process, kOperator}, {FieldKey::command, "list_invites"}});
  if (!recorded) return refused(recorded.error());
  const auto invites = store_.list_invites(sys::now_ms());
  if (!invites) return refused(invites.error());
  return accepted(invites_answer(*invites));
}

ipc::AdminReply Service::admin_create_invite(std::string_view body) {
  const auto wish = read_invite_wish(body);
  if (!wish) return refused(wish.error());
  const auto made = make_invite(*wish,
                                {{FieldKey::process, kOperator},
                                 {FieldKey::role, std::string(role_name(wish->role))}},
                                0);
  if (!made) return refused(made.error());
  return accepted(admin_invite_answer(made->invite, made->code));
}

// Ends every login of the account, and sets whether it is disabled if `disabled` is not -1.
Result<std::vector<std::uint64_t>> Service::end_logins(const Account& account, std::string_view why, int disabled) {
  const auto recorded = recorder_.intent(Event::account_change,
                                         {{FieldKey::process, kOperator},
                                          {FieldKey::account, std::to_string(account.id)},
                                          {FieldKey::username, account.username},
                                          {FieldKey::command, std::string(why)}});
  const OwedAct act{.kind = disabled == 1 ? OwedAct::Kind::disable : OwedAct::Kind::revoke, .account = account.id,
                    .operator_uid = asking_->uid, .operator_name = asking_->name,
                    .username = account.username};
  if (!recorded && disabled == 0) return std::unexpected(recorded.error());
  if (!recorded) {
    TRY(end_at_once(act));
    return std::vector<std::uint64_t>{};
  }
  const std::uint64_t intent = *recorded;
  const auto change = [&]() -> Result<std::vector<std::uint64_t>> {
    auto transaction = TRY(store_.begin());
    if (disabled >= 0) TRY(store_.set_disabled(account.id, disabled != 0));
    auto ended = TRY(store_.end_logins_of(account.id));
    TRY(store_.forget_devices(account.id));
    if (disabled == 1) TRY(store_.forget_reset(account.id));
    TRY(transaction.commit());
    return ended;
  };
  const auto ended = change();
  recorder_.outcome(Event::account_change, intent, ended ? Status() : std::unexpected(ended.error()),
                    {{FieldKey::ended_logins, ended ? numbers_text(*ended) : ""}});
  if (!ended && disabled == 0) return std::unexpected(ended.error());
  if (!ended) {
    TRY(end_at_once(act));
    return std::vector<std::uint64_t>{};
  }
  // By account and not by login: of a login that is gone already a connection may still be there.
  tell_.ended(account.id, disabled == 1);
  return ended;
}

std::expected<Account, ipc::AdminReply> Service::named(std::string_view username) {
  auto account = store_.find_account(username);
  if (!account) return std::unexpected(refused(account.error()));
  if (!*account) return std::unexpected(refused("there is no account of that name: see `oqtoctl accounts`"));
  return **std::move(account);
}

ipc::AdminReply Service::admin_revoke_logins(std::string_view body) {
  const auto wish = read_revoke(body);
  if (!wish) return refused(wish.error());
  const auto account = named(wish->username);
  if (!account) return account.error();
  if (wish->id != 0) return revoke_one(*account, wish->id);
  const auto ended = end_logins(*account, "revoke_logins", -1);
  if (!ended) return refused(ended.error());
  return accepted(revoked_answer(*ended));
}

ipc::AdminReply Service::revoke_one(const Account& account, std::uint64_t login) {
  const auto logins = store_.list_logins(account.id, sys::now_ms());
  if (!logins) return refused(logins.error());
  if (!std::ranges::any_of(*logins, [&](const LoginRow& row) { return row.id == login; })) {
    return refused("this account has no login of that number: see `oqtoctl accounts logins`");
  }
  const auto intent = recorder_.intent(Event::account_change,
                                       {{FieldKey::process, kOperator},
                                        {FieldKey::account, std::to_string(account.id)},
                                        {FieldKey::username, account.username},
                                        {FieldKey::command, "revoke_login"},
                                        {FieldKey::login, std::to_string(login)}});
  if (!intent) return refused(intent.error());
  const auto ended = store_.end_login(login);
  recorder_.outcome(Event::account_change, *intent, ended, {{FieldKey::ended_logins, std::to_string(login)}});
  if (!ended) return refused(ended.error());
  tell_.revoked(login);
  return accepted(revoked_answer({login}));
}

ipc::AdminReply Service::admin_list_logins(std::string_view body) {
  const auto username = read_username(body);
  if (!username) return refused(username.error());
  const auto account = named(*username);
  if (!account) return account.error();
  const auto recorded = recorder_.happened(Event::admin, Outcome::success,
                                           {{FieldKey::process, kOperator},
                                            {FieldKey::command, "list_logins"},
                                            {FieldKey::account, std::to_string(account->id)},
                                            {FieldKey::username, account->username}});
  if (!recorded) return refused(recorded.error());
  const auto logins = store_.list_logins(account->id, sys::now_ms());
  if (!logins) return refused(logins.error());
  return accepted(logins_answer(*logins, 0));
}

ipc::AdminReply Service::admin_reset_password(std::string_view body) {
  const auto wish = read_reset_wish(body);
  if (!wish) return refused(wish.error());
  const auto account = named(wish->username);
  if (!account) return account.error();
  if (account->disabled) return refused("this account is disabled: `oqtoctl accounts enable` it first");
  const auto intent = recorder_.intent(Event::account_change,
                                       {{FieldKey::process, kOperator},
                                        {FieldKey::account, std::to_string(account->id)},
                                        {FieldKey::username, account->username},
                                        {FieldKey::command, "reset_password: a link was made"}});
  if (!intent) return refused(intent.error());
  const std::string code = to_base64url(random_token());
  const std::uint64_t now = sys::now_ms();
  const std::uint64_t expires_at = now + wish->expires_hours * kHourMs;
  const auto added = store_.add_reset(account->id, sha256(std::string_view(code)), now, expires_at);
  recorder_.outcome(Event::account_change, *intent, added);
  if (!added) return refused(added.error());
  return accepted(reset_answer(*account, code, expires_at));
}

ipc::AdminReply Service::admin_revoke_invite(std::string_view body) {
  const auto id = read_id(body);
  if (!id) return refused(id.error());
  const auto revoked = revoke_invite(*id, {{FieldKey::process, kOperator},
                                           {FieldKey::invite, std::to_string(*id)}});
  if (!revoked) return refused(revoked.error());
  return accepted("{}");
}

ipc::AdminReply Service::admin_disable(std::string_view body) {
  const auto wish = read_disable(body);
  if (!wish) return refused(wish.error());
  const auto account = named(wish->username);
  if (!account) return account.error();
  owed_tried_ms_ = 0;
  if (!wish->disabled) settle_owed();  // or what is written later undoes it
  if (!wish->disabled && owes()) return refused("acts of before are not written yet: make room on the disk, then try again");
  const std::string what = wish->disabled ? "disable" : "enable";
  if (account->disabled == wish->disabled) {  // nothing changes: it was asked for, no more
    const auto recorded = recorder_.happened(Event::admin, Outcome::success,
                                             {{FieldKey::process, kOperator},
                                              {FieldKey::command, what},
                                              {FieldKey::account, std::to_string(account->id)},
                                              {FieldKey::username, account->username},
                                              {FieldKey::reason, "it was so already"}});
    if (!recorded && !wish->disabled) return refused(recorded.error());
    return accepted(changed_answer(false));
  }
  const auto ended = end_logins(*account, what, wish->disabled ? 1 : 0);
  if (!ended) return refused(ended.error());
  return accepted(changed_answer(true));
}

}  // namespace oqto::accounts
