#include "accounts/service.h"

#include "base/encoding.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::accounts {

using ipc::AuthEndpoint;
using ipc::CookieAction;
using ipc::Event;
using ipc::FieldKey;
using ipc::Outcome;

namespace {

constexpr std::size_t kSweepBatch = 100;

struct CodeRow {
  std::uint16_t status;
  std::string_view name;
};
constexpr CodeRow kCodes[] = {{400, "BAD_REQUEST"},         {401, "UNAUTHORIZED"},
                              {403, "FORBIDDEN"},           {404, "NOT_FOUND"},
                              {409, "CONFLICT"},            {429, "THROTTLED"},
                              {503, "SERVICE_UNAVAILABLE"}, {500, "INTERNAL_ERROR"}};
static_assert(std::size(kCodes) == static_cast<std::size_t>(Code::kEnd));

}  // namespace

ipc::AuthReply reply_with(std::uint16_t status, std::string body, CookieAction cookie) {
  ipc::AuthReply reply;
  reply.status = status;
  reply.cookie = cookie;
  reply.body.value = std::move(body);
  return reply;
}

ipc::AuthReply error_reply(Code code, std::string_view text, std::uint32_t retry_after_s) {
  const CodeRow& row = kCodes[static_cast<std::size_t>(code)];
  auto reply = reply_with(row.status, error_answer(text, row.name, retry_after_s));
  reply.retry_after_s = retry_after_s;
  return reply;
}

ipc::AuthReply failure_reply(const Error& cause) {
  if (cause.code == Errc::unavailable) {
    return error_reply(Code::service_unavailable,
                       "the audit log is not available; nothing was changed");
  }
  log::error("a request failed", cause);
  return error_reply(Code::internal_error, "the accounts service failed; nothing was changed");
}

Status Service::start() {
  if (TRY(store_.has_accounts())) return {};
  setup_token_ = to_base64url(random_token());
  return {};
}

void Service::handle(Call call, const Respond& respond) {
  switch (call.endpoint) {
    case AuthEndpoint::state: return respond(state(call));
    case AuthEndpoint::setup: return setup(std::move(call), respond);
    case AuthEndpoint::login: return login(std::move(call), respond);
    case AuthEndpoint::register_user: return register_user(std::move(call), respond);
    case AuthEndpoint::logout: return respond(logout(call));
    case AuthEndpoint::me: return respond(me(call));
    case AuthEndpoint::list_invites: return respond(list_invites(call));
    case AuthEndpoint::create_invite: return respond(create_invite(call));
    case AuthEndpoint::revoke_invite: return respond(revoke_invite(call));
    case AuthEndpoint::change_password: return change_password(std::move(call), respond);
    case AuthEndpoint::reset_password: return reset_password(std::move(call), respond);
    case AuthEndpoint::list_logins: return respond(list_logins(call));
    case AuthEndpoint::end_logins: return respond(end_logins(call));
    case AuthEndpoint::kEnd: break;  // the codec refuses it
  }
  respond(error_reply(Code::not_found, "there is no such endpoint"));
}

Result<std::optional<Login>> Service::find_login(const ipc::Token& token) {
  return store_.find_login(sha256(token), sys::now_ms());
}

Status Service::check(std::span<const std::uint64_t> logins, std::span<const std::uint32_t> accounts) {
  const std::uint64_t now = sys::now_ms();
  for (const std::uint64_t login : logins) {
    if (!TRY(store_.login_stands(login, now))) tell_.revoked(login);
  }
  for (const std::uint32_t id : accounts) {
    const auto account = TRY(store_.find_account(id));
    if (!account || account->disabled) tell_.ended(id, true);
  }
  return {};
}

ipc::AuthReply Service::state(const Call& call) {
  const auto has_accounts = store_.has_accounts();
  if (!has_accounts) return failure_reply(has_accounts.error());
  std::optional<Login> login;
  auto cookie = CookieAction::keep;
  if (call.token) {
    const auto found = store_.find_login(*call.token, sys::now_ms(), call.remote);
    if (!found) return failure_reply(found.error());
    login = *found;
    if (!login) cookie = CookieAction::clear;
  }
  return reply_with(200, state_answer(!*has_accounts, login ? &login->account : nullptr, unavailable_), cookie);
}

ipc::AuthReply Service::me(const Call& call) {
  const ReplyOr login = require_login(call);
  if (!login) return login.error();
  return reply_with(200, user_json(login->account));
}

Service::ReplyOr Service::require_login(const Call& call) {
  if (call.token) {
    const auto found = store_.find_login(*call.token, sys::now_ms(), call.remote);
    if (!found) return std::unexpected(failure_reply(found.error()));
    if (*found) return **found;
  }
  auto reply = error_reply(Code::unauthorized, "sign in first");
  if (call.token) reply.cookie = CookieAction::clear;
  return std::unexpected(std::move(reply));
}

Service::ReplyOr Service::require_admin(const Call& call, Event event) {
  auto login = require_login(call);
  if (!login || login->account.role == ipc::Role::admin) return login;
  const auto recorded = recorder_.happened(
      event, Outcome::failure,
      {{FieldKey::account, std::to_string(login->account.id)},
       {FieldKey::username, login->account.username},
       {FieldKey::remote, call.remote},
       {FieldKey::reason, "only administrators may do this"}});
  if (!recorded) return std::unexpected(failure_reply(recorded.error()));
  return std::unexpected(error_reply(Code::forbidden, "only administrators may do this"));
}

ipc::AuthReply Service::logout(const Call& call) {
  if (const auto body = read_empty(call.body); !body) {
    return error_reply(Code::bad_request, body.error());
  }
  auto done = reply_with(204, {}, CookieAction::clear);
  if (!call.token) return done;
  const auto login = store_.find_login(*call.token, sys::now_ms());
  if (!login) return failure_reply(login.error());
  if (!*login) return done;  // it has ended before
  const Account& account = (*login)->account;
  const OwedAct act{.kind = OwedAct::Kind::logout, .account = account.id, .login = (*login)->id, .remote = call.remote,
                    .username = account.username};
  const auto intent = recorder_.intent(Event::logout,
                                       {{FieldKey::account, std::to_string(account.id)},
                                        {FieldKey::username, account.username},
                                        {FieldKey::remote, call.remote},
                                        {FieldKey::login, std::to_string((*login)->id)}});
  const auto ended = intent ? store_.end_login((*login)->id) : std::unexpected(intent.error());
  if (intent) recorder_.outcome(Event::logout, *intent, ended);
  if (!ended) {
    const auto done_all_the_same = end_at_once(act);
    return done_all_the_same ? done : failure_reply(done_all_the_same.error());
  }
  tell_.revoked((*login)->id);
  return done;
}

void Service::sweep() {
  const std::uint64_t now = sys::now_ms();
  if (const auto swept = throttle_.sweep(now); !swept) {
    log::error("the sweep failed", swept.error());
  }
  if (const auto swept = store_.forget_old_devices(now); !swept) {
    log::error("the sweep failed", swept.error());
  }
  const auto expired = store_.expired_logins(swept_, now, kSweepBatch);
  if (!expired) return log::error("the sweep failed", expired.error());
  // Also while the log refuses their connections end; what is not recorded stays in the list, and is told again.
  bool records = true;
  for (const Login& login : *expired) {
    tell_.revoked(login.id);
    records = records && remove_expired(login);
  }
  swept_ = expired->size() == kSweepBatch ? expired->back().id : 0;
  if (!records) log::warn("expired logins stay in the list until the audit log is back");
}

bool Service::remove_expired(const Login& login) {
  const auto recorded = recorder_.happened(Event::logout, Outcome::success,
                                           {{FieldKey::account, std::to_string(login.account.id)},
                                            {FieldKey::username, login.account.username},
                                            {FieldKey::login, std::to_string(login.id)},
                                            {FieldKey::reason, "expired"}});
  if (!recorded) return false;
  if (const auto ended = store_.end_login(login.id); !ended) {
    log::error("an expired login could not be removed", ended.error());
  }
  return true;
}

}  // namespace oqto::accounts
