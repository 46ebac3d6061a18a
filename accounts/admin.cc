// Invites, for administrators in the browser and for the operator; and the operator's other verbs.
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
  if (cause.code != Errc::limit) log::error("an operator's request failed", cause);
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
  const auto invites = store_.list_invites();
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
  const auto open = store_.is_open_invite(*id);
  if (!open) return failure_reply(open.error());
  if (!*open) return error_reply(Code::not_found, "there is no open invitation of that number");
  const auto intent = recorder_.intent(Event::invite_revoke,
                                       {{FieldKey::account, std::to_string(admin->account.id)},
                                        {FieldKey::username, admin->account.username},
                                        {FieldKey::remote, call.remote},
                                        {FieldKey::invite, std::to_string(*id)}});
  if (!intent) return failure_reply(intent.error());
  const auto revoked = store_.revoke_invite(*id);
  recorder_.outcome(Event::invite_revoke, *intent, revoked);
  if (!revoked) return failure_reply(revoked.error());
  return reply_with(204);
}

// --- the operator --------------------------------------------------------------------------------

ipc::AdminReply Service::admin(const ipc::AdminCall& call, const Operator& who) {
  const Recorder::ForOperator operators(recorder_, who);
  const std::string_view body = call.body.value;
  switch (call.verb) {
    case AdminVerb::setup_link: return admin_setup_link();
    case AdminVerb::list_accounts: return admin_list_accounts(body);
    case AdminVerb::create_invite: return admin_create_invite(body);
    case AdminVerb::list_invites: return admin_list_invites(body);
    case AdminVerb::revoke_logins: return admin_revoke_logins(body);
    case AdminVerb::disable: return admin_disable(body);
    case AdminVerb::revoke_invite:
    case AdminVerb::reset_password:
    case AdminVerb::list_logins:
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
  const auto invites = store_.list_invites();
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
Result<std::size_t> Service::end_logins(const Account& account, std::string_view why,
                                        int disabled) {
  const auto intent = TRY(recorder_.intent(Event::account_change,
                                           {{FieldKey::process, kOperator},
                                            {FieldKey::account, std::to_string(account.id)},
                                            {FieldKey::username, account.username},
                                            {FieldKey::command, std::string(why)}}));
  const auto change = [&]() -> Result<std::vector<std::uint64_t>> {
    auto transaction = TRY(store_.begin());
    if (disabled >= 0) TRY(store_.set_disabled(account.id, disabled != 0));
    auto ended = TRY(store_.end_logins_of(account.id));
    TRY(transaction.commit());
    return ended;
  };
  const auto ended = change();
  recorder_.outcome(Event::account_change, intent,
                    ended ? Status() : std::unexpected(ended.error()));
  if (!ended) return std::unexpected(ended.error());
  for (const std::uint64_t login : *ended) on_revoked_(login);
  return ended->size();
}

ipc::AdminReply Service::admin_revoke_logins(std::string_view body) {
  const auto username = read_username(body);
  if (!username) return refused(username.error());
  const auto account = store_.find_account(*username);
  if (!account) return refused(account.error());
  if (!*account) return refused("there is no account of that name: see `oqtoctl accounts`");
  const auto ended = end_logins(**account, "revoke_logins", -1);
  if (!ended) return refused(ended.error());
  return accepted(revoked_answer(*ended));
}

ipc::AdminReply Service::admin_disable(std::string_view body) {
  const auto wish = read_disable(body);
  if (!wish) return refused(wish.error());
  const auto account = store_.find_account(wish->username);
  if (!account) return refused(account.error());
  if (!*account) return refused("there is no account of that name: see `oqtoctl accounts`");
  const auto ended = end_logins(**account, wish->disabled ? "disable" : "enable",
                                wish->disabled ? 1 : 0);
  if (!ended) return refused(ended.error());
  return accepted("{}");
}

}  // namespace oqto::accounts
