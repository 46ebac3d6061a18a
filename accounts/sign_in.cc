// Setup, login and registration: endpoints that hash a password, and so answer later. Whatever was
// checked before the hashing is checked again after it. Who shows a setup link, an invitation or a known
// device does not wait for strangers.
#include "accounts/rules.h"
#include "accounts/service.h"
#include "base/encoding.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::accounts {

using ipc::CookieAction;
using ipc::Event;
using ipc::FieldKey;
using ipc::Outcome;

namespace {

constexpr std::uint32_t kBusyRetryS = 2;
constexpr std::string_view kWrongPassword = "the user name or the password is wrong";
constexpr std::string_view kDeadSetupLink =
    "this setup link is not valid: get the current one with `oqtoctl setup-link`";
constexpr std::string_view kNoUids =
    "this host has no uids for this account any more: its operator can give it more (uid-count)";
constexpr std::string_view kAlreadySetUp = "this host is set up already: sign in instead";
constexpr std::string_view kTaken = "this user name is taken, or too much like one that is: choose another one";
constexpr std::string_view kReserved = "this user name is reserved for the host: choose another one";

// Nobody guesses a code: whoever has it may know what became of it.
std::string_view why_dead(const std::optional<Invite>& invite) {
  const auto state = invite ? invite->state : InviteState::revoked;
  if (state == InviteState::used) return "this invitation was used already: sign in, or ask for another one";
  if (state == InviteState::expired) return "this invitation has expired: ask for another one";
  return "this invitation is not valid: ask for another one";
}

Attempt stranger(const std::string& remote) {
  return {.remote = remote_prefix(remote), .network = remote_network(remote), .username = {},
          .device = 0, .trusted = false};
}

}  // namespace

ipc::AuthReply Service::signed_in(std::uint16_t status, const Account& account, const Tokens& tokens) {
  auto reply = reply_with(status, user_answer(account), CookieAction::set);
  reply.token = tokens.login;
  reply.device_cookie = CookieAction::set;
  reply.device = tokens.device;
  return reply;
}

// The device's too: whoever has copied the cookie loses it with the next sign-in of the browser that it is from.
Service::Tokens Service::new_tokens() { return {.login = random_token(), .device = random_token()}; }

Result<StartedLogin> Service::start_login(const Account& account, const Call& call, const Tokens& tokens,
                                          std::uint64_t now) {
  const auto shown = call.device ? std::optional(sha256(*call.device)) : std::nullopt;
  TRY(store_.remember_device(account.id, sha256(tokens.device), shown, now));
  return store_.start_login(account.id, sha256(tokens.login), call.token,
                            {.remote = call.remote, .agent = call.agent}, now);
}

// One of the two ways to a new account.
struct Service::NewAccount {
  Call call;
  Attempt attempt;
  std::string username;
  std::string password;
  std::optional<std::string> setup_token;  // the first administrator
  std::optional<std::string> invite_code;  // everybody else
};

bool Service::is_setup_token(std::string_view text) const {
  return setup_token_ && equal_secrets(sha256(text), sha256(std::string_view(*setup_token_)));
}

// Overload and throttling, before any expensive work.
std::optional<ipc::AuthReply> Service::refuse_early(const Call& call, const Attempt& attempt,
                                                    const HashSource& source) {
  if (!hasher_.has_room(source)) {
    return error_reply(Code::service_unavailable, "too many people sign in right now: try again",
                       kBusyRetryS);
  }
  const auto admission = throttle_.admit(attempt, sys::now_ms());
  if (!admission) return failure_reply(admission.error());
  if (admission->retry_after_s == 0) return std::nullopt;
  if (admission->note) {
    const auto recorded = recorder_.happened(
        Event::login_throttled, Outcome::failure,
        {{FieldKey::username, attempt.username.value_or("")},
         {FieldKey::remote, call.remote},
         {FieldKey::reason, attempt.username ? "throttled" : "throttled before sign-up"}});
    if (!recorded) return failure_reply(recorded.error());
  }
  return error_reply(Code::throttled, "too many attempts: wait before the next one",
                     admission->retry_after_s);
}

// The answer when nothing was hashed; the attempt does not count.
ipc::AuthReply Service::not_hashed(const Attempt& attempt, const HashDone& done) {
  if (const auto undone = throttle_.not_tried(attempt); !undone) return failure_reply(undone.error());
  return error_reply(Code::service_unavailable, done.gave_way ? "too many people sign in right now: try again"
                                                              : "memory is short: try again", kBusyRetryS);
}

void Service::setup(Call call, const Respond& respond) {
  auto body = read_setup(call.body);
  wipe(call.body);
  if (!body) return respond(error_reply(Code::bad_request, body.error()));
  Attempt attempt = stranger(call.remote);
  make_account(NewAccount{.call = std::move(call), .attempt = std::move(attempt),
                          .username = std::move(body->username),
                          .password = std::move(body->password),
                          .setup_token = std::move(body->token), .invite_code = {}},
               respond);
}

void Service::register_user(Call call, const Respond& respond) {
  auto body = read_register(call.body);
  wipe(call.body);
  if (!body) return respond(error_reply(Code::bad_request, body.error()));
  Attempt attempt = stranger(call.remote);
  make_account(NewAccount{.call = std::move(call), .attempt = std::move(attempt),
                          .username = std::move(body->username),
                          .password = std::move(body->password), .setup_token = {},
                          .invite_code = std::move(body->invite_code)},
               respond);
}

// The order matters: who holds no valid token or code learns nothing about names and rules.
std::optional<ipc::AuthReply> Service::still_allowed(const NewAccount& wish, std::uint64_t now,
                                                     std::optional<Invite>& invite) {
  if (wish.setup_token) {
    const auto has_accounts = store_.has_accounts();
    if (!has_accounts) return failure_reply(has_accounts.error());
    if (*has_accounts) return error_reply(Code::conflict, kAlreadySetUp);
    if (!is_setup_token(*wish.setup_token)) return error_reply(Code::forbidden, kDeadSetupLink);
  } else {
    auto found = store_.find_invite(sha256(std::string_view(*wish.invite_code)), now);
    if (!found) return failure_reply(found.error());
    if (!*found || (*found)->state != InviteState::open) return error_reply(Code::forbidden, why_dead(*found));
    invite = std::move(*found);
  }
  if (const auto problem = username_problem(wish.username)) {
    return error_reply(Code::bad_request, *problem);
  }
  if (is_reserved(wish.username, !invite || invite->role == ipc::Role::admin)) {
    return error_reply(Code::conflict, kReserved);
  }
  const auto taken = store_.has_alike(skeleton_of(wish.username));
  if (!taken) return failure_reply(taken.error());
  if (*taken) return error_reply(Code::conflict, kTaken);
  return std::nullopt;
}

void Service::make_account(NewAccount wish, const Respond& respond) {
  std::optional<Invite> invite;
  auto refused = still_allowed(wish, sys::now_ms(), invite);
  const HashSource source{.trusted = true, .name = invite ? "invite " + std::to_string(invite->id) : "setup"};
  wish.attempt.trusted = !refused;  // else counted by its address, as a stranger
  if (auto early = refuse_early(wish.call, wish.attempt, source)) return respond(std::move(*early));
  if (refused) return respond(std::move(*refused));
  if (const auto problem = password_problem(wish.password, wish.username)) {
    wipe(wish.password);
    return respond(error_reply(Code::bad_request, *problem));
  }
  HashJob job{.source = source, .password = std::move(wish.password), .against = {}, .next = {}};
  hasher_.submit(std::move(job), [this, wish = std::move(wish), respond](const HashDone& done) {
    respond(done.ok ? finish_account(wish, done.new_hash) : not_hashed(wish.attempt, done));
  });
}

ipc::AuthReply Service::finish_account(const NewAccount& wish, const std::string& hash) {
  const std::uint64_t now = sys::now_ms();
  std::optional<Invite> invite;
  if (auto no = still_allowed(wish, now, invite)) return std::move(*no);
  const Tokens tokens = new_tokens();
  const Event event = invite ? Event::account_create : Event::setup;
  const auto intent = recorder_.intent(
      event, {{FieldKey::username, wish.username},
              {FieldKey::role, std::string(role_name(invite ? invite->role : ipc::Role::admin))},
              {FieldKey::remote, wish.call.remote},
              {FieldKey::invite, invite ? std::to_string(invite->id) : ""}});
  if (!intent) return failure_reply(intent.error());

  const auto created = create_account(wish, hash, invite, tokens, now);
  recorder_.outcome(event, *intent, created ? Status() : std::unexpected(created.error()),
                    {{FieldKey::account, created ? std::to_string(created->first.id) : ""},
                     {FieldKey::login, created ? std::to_string(created->second.id) : ""},
                     {FieldKey::ended_logins, created ? numbers_text(created->second.ended) : ""}});
  if (!created && created.error().code == Errc::limit) {
    return error_reply(Code::conflict, created.error().what);
  }
  if (!created) return failure_reply(created.error());
  setup_token_.reset();
  for (const std::uint64_t ended : created->second.ended) tell_.revoked(ended);
  return signed_in(201, created->first, tokens);
}

Result<std::pair<Account, StartedLogin>> Service::create_account(
    const NewAccount& wish, const std::string& hash, const std::optional<Invite>& invite,
    const Tokens& tokens, std::uint64_t now) {
  auto transaction = TRY(store_.begin());
  const auto role = invite ? invite->role : ipc::Role::admin;
  auto account = TRY(store_.add_account(wish.username, hash, role, now));
  if (invite) TRY(store_.use_invite(invite->id, account.id, now));
  auto started = TRY(start_login(account, wish.call, tokens, now));
  TRY(throttle_.succeeded(wish.attempt));
  TRY(transaction.commit());
  return std::pair{std::move(account), std::move(started)};
}

void Service::login(Call call, const Respond& respond) {
  auto body = read_login(call.body);
  wipe(call.body);
  if (!body) return respond(error_reply(Code::bad_request, body.error()));
  auto account = store_.find_account(body->username);
  if (!account) return respond(failure_reply(account.error()));
  Attempt attempt = stranger(call.remote);
  attempt.username = std::move(body->username);
  HashSource source{.trusted = false, .name = attempt.network};
  if (*account && call.device) {
    const auto device = store_.find_device((*account)->id, sha256(*call.device), sys::now_ms());
    if (!device) return respond(failure_reply(device.error()));
    attempt.device = *device;
    if (*device != 0) source = {.trusted = true, .name = "account " + std::to_string((*account)->id)};
  }
  if (auto refused = refuse_early(call, attempt, source)) return respond(std::move(*refused));

  HashJob job{.source = std::move(source), .password = std::move(body->password), .against = kDummyHash,
              .next = {}};
  if (*account) {
    auto hash = store_.password_hash((*account)->id);
    if (!hash) return respond(failure_reply(hash.error()));
    job.against = std::move(*hash);
  }
  const std::string against = job.against;
  hasher_.submit(std::move(job), [this, call = std::move(call), attempt = std::move(attempt), against,
                                  account = std::move(*account), respond](const HashDone& done) {
    respond(done.gave_way ? not_hashed(attempt, done) : finish_login(call, attempt, account, against, done));
  });
}

ipc::AuthReply Service::finish_login(const Call& call, const Attempt& attempt,
                                     const std::optional<Account>& account, const std::string& against,
                                     const HashDone& done) {
  // Read again: it may have been disabled, or got another password, while this one was checked.
  const auto current = store_.find_account(*attempt.username);
  if (!current) return failure_reply(current.error());
  if (account && done.ok) {
    const auto hash = store_.password_hash(account->id);
    if (!hash) return failure_reply(hash.error());
    if (*hash != against) return not_hashed(attempt, HashDone{.ok = false, .gave_way = true, .new_hash = {}});
  }
  const bool right = account && done.ok && *current && !(*current)->disabled;
  const std::string id = account ? std::to_string(account->id) : "";
  if (!right) {
    const bool disabled = *current && (*current)->disabled;
    const auto recorded = recorder_.happened(
        Event::login, Outcome::failure,
        {{FieldKey::account, id},
         {FieldKey::username, *attempt.username},
         {FieldKey::remote, call.remote},
         {FieldKey::reason, !account ? "unknown user" : disabled ? "disabled" : "wrong password"}});
    if (const auto counted = throttle_.failed(attempt, sys::now_ms()); !counted) {
      return failure_reply(counted.error());
    }
    if (!recorded) return failure_reply(recorded.error());
    return error_reply(Code::unauthorized, kWrongPassword);
  }
  if (!store_.has_uids(account->id)) return no_uids(call, attempt, *account);
  const Tokens tokens = new_tokens();
  const auto intent = recorder_.intent(Event::login, {{FieldKey::account, id},
                                                      {FieldKey::username, account->username},
                                                      {FieldKey::remote, call.remote}});
  if (!intent) return failure_reply(intent.error());
  const auto started = begin_login(*account, call, attempt, done.new_hash, tokens);
  recorder_.outcome(Event::login, *intent, started ? Status() : std::unexpected(started.error()),
                    {{FieldKey::login, started ? std::to_string(started->id) : ""},
                     {FieldKey::ended_logins, started ? numbers_text(started->ended) : ""}});
  if (!started) return failure_reply(started.error());
  for (const std::uint64_t ended : started->ended) tell_.revoked(ended);
  return signed_in(200, **current, tokens);
}

// Made while the range was larger. The password was right: whoever it is may know.
ipc::AuthReply Service::no_uids(const Call& call, const Attempt& attempt, const Account& account) {
  const auto recorded = recorder_.happened(Event::login, Outcome::failure,
                                           {{FieldKey::account, std::to_string(account.id)},
                                            {FieldKey::username, account.username},
                                            {FieldKey::remote, call.remote},
                                            {FieldKey::reason, "no uids for this account: uid-count is too small"}});
  if (const auto undone = throttle_.succeeded(attempt); !undone) return failure_reply(undone.error());
  if (!recorded) return failure_reply(recorded.error());
  return error_reply(Code::forbidden, kNoUids);
}

Result<StartedLogin> Service::begin_login(const Account& account, const Call& call,
                                          const Attempt& attempt, const std::string& new_hash,
                                          const Tokens& tokens) {
  auto transaction = TRY(store_.begin());
  if (!new_hash.empty()) TRY(store_.set_password_hash(account.id, new_hash));
  auto started = TRY(start_login(account, call, tokens, sys::now_ms()));
  TRY(throttle_.succeeded(attempt));
  TRY(transaction.commit());
  return started;
}

}  // namespace oqto::accounts
