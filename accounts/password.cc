// Passwords that change, and the logins of an account, for whoever is signed in to it. A new password ends
// what the old one opened: the other logins, their connections, the browsers that counted as known, and a
// link for a reset.
#include <algorithm>
#include <iterator>

#include "accounts/rules.h"
#include "accounts/service.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::accounts {

using ipc::CookieAction;
using ipc::Event;
using ipc::FieldKey;
using ipc::Outcome;

namespace {

constexpr std::string_view kDeadReset =
    "this link is not valid: it was used, replaced, or has expired; ask the operator for another one";
constexpr std::string_view kWrongOld = "the current password is wrong";

HashSource source_of(const Account& account) {
  return {.trusted = true, .name = "account " + std::to_string(account.id)};
}

}  // namespace

// --- the own password ----------------------------------------------------------------------------

void Service::change_password(Call call, const Respond& respond) {
  auto body = read_password(call.body);
  wipe(call.body);
  const ReplyOr login = require_login(call);
  if (!login) return respond(login.error());
  if (!body) return respond(error_reply(Code::bad_request, body.error()));
  const Account& account = login->account;
  auto problem = password_problem(body->new_password, account.username);
  if (!problem && body->new_password == body->password) problem = "the new password is the old one";
  if (problem) return respond(error_reply(Code::bad_request, *problem));
  Attempt attempt{.remote = {}, .network = {}, .username = account.username, .device = 0,
                  .trusted = true};
  if (auto refused = refuse_early(call, attempt, source_of(account))) return respond(std::move(*refused));
  auto against = store_.password_hash(account.id);
  if (!against) return respond(failure_reply(against.error()));
  HashJob job{.source = source_of(account), .password = std::move(body->password), .against = *against,
              .next = std::move(body->new_password)};
  hasher_.submit(std::move(job), [this, call = std::move(call), attempt = std::move(attempt),
                                  keep = body->keep_others, against = std::move(*against),
                                  respond](const HashDone& done) {
    if (done.gave_way || (done.ok && done.new_hash.empty())) return respond(not_hashed(attempt, done));
    const ReplyOr before = require_login(call);
    const auto reply = finish_change(call, attempt, keep, against, done);
    respond(reply);
    // After the answer, which has the new cookie: this browser comes back with it.
    if (reply.status == 200 && before) tell_.revoked(before->id);
  });
}

ipc::AuthReply Service::finish_change(const Call& call, const Attempt& attempt, bool keep_others,
                                      const std::string& against, const HashDone& done) {
  const ReplyOr login = require_login(call);  // again: it may have been ended meanwhile
  if (!login) return login.error();
  const Account& account = login->account;
  const std::string id = std::to_string(account.id);
  const auto current = store_.password_hash(account.id);
  if (!current) return failure_reply(current.error());
  if (!done.ok || *current != against) {
    const auto recorded = recorder_.happened(
        Event::password_change, Outcome::failure,
        {{FieldKey::account, id}, {FieldKey::username, account.username}, {FieldKey::remote, call.remote},
         {FieldKey::reason, "wrong password"}});
    if (const auto counted = throttle_.failed(attempt, sys::now_ms()); !counted) {
      return failure_reply(counted.error());
    }
    if (!recorded) return failure_reply(recorded.error());
    return error_reply(Code::forbidden, kWrongOld);
  }
  const Tokens tokens = new_tokens();
  const auto intent = recorder_.intent(
      Event::password_change,
      {{FieldKey::account, id}, {FieldKey::username, account.username}, {FieldKey::remote, call.remote},
       {FieldKey::command, keep_others ? "change, other logins stay" : "change"}});
  if (!intent) return failure_reply(intent.error());
  std::uint64_t begun = 0;
  const auto change = [&]() -> Result<std::vector<std::uint64_t>> {
    auto transaction = TRY(store_.begin());
    TRY(store_.set_password_hash(account.id, done.new_hash));
    TRY(store_.forget_reset(account.id));
    TRY(store_.forget_devices(account.id));
    std::vector<std::uint64_t> ended;
    if (!keep_others) ended = TRY(store_.end_logins_of(account.id, login->id));
    // This browser's login begins anew too: whoever has a copy of its cookies is out.
    const StartedLogin started = TRY(start_login(account, call, tokens, sys::now_ms()));
    begun = started.id;
    std::ranges::copy_if(started.ended, std::back_inserter(ended), [&](std::uint64_t other) { return other != login->id; });
    TRY(throttle_.succeeded(attempt));
    TRY(transaction.commit());
    return ended;
  };
  const auto ended = change();
  if (!ended) {
    recorder_.outcome(Event::password_change, *intent, std::unexpected(ended.error()));
    return failure_reply(ended.error());
  }
  std::vector<std::uint64_t> all = *ended;
  all.push_back(login->id);
  recorder_.outcome(Event::password_change, *intent, {},
                    {{FieldKey::login, std::to_string(begun)}, {FieldKey::ended_logins, numbers_text(all)}});
  for (const std::uint64_t other : *ended) tell_.revoked(other);
  auto reply = signed_in(200, account, tokens);
  reply.body.value = ended_answer(ended->size());
  return reply;
}

// --- a forgotten one: with a link from `oqtoctl accounts reset-password` ---------------------------

void Service::reset_password(Call call, const Respond& respond) {
  auto body = read_reset(call.body);
  wipe(call.body);
  if (!body) return respond(error_reply(Code::bad_request, body.error()));
  const Digest code = sha256(std::string_view(body->code));
  const auto account = store_.find_reset(code, sys::now_ms());
  if (!account) return respond(failure_reply(account.error()));
  const bool valid = account->has_value();
  Attempt attempt{.remote = remote_prefix(call.remote), .network = {}, .username = {},
                  .device = 0, .trusted = valid};
  const HashSource source = valid ? source_of(**account) : HashSource{};
  if (auto refused = refuse_early(call, attempt, source)) return respond(std::move(*refused));
  if (!valid) return respond(error_reply(Code::forbidden, kDeadReset));
  if (const auto problem = password_problem(body->password, (*account)->username)) {
    return respond(error_reply(Code::bad_request, *problem));
  }
  HashJob job{.source = source, .password = std::move(body->password), .against = {}, .next = {}};
  hasher_.submit(std::move(job), [this, call = std::move(call), attempt = std::move(attempt), code,
                                  respond](const HashDone& done) {
    respond(done.ok ? finish_reset(call, code, done.new_hash) : not_hashed(attempt, done));
  });
}

ipc::AuthReply Service::finish_reset(const Call& call, const Digest& code, const std::string& hash) {
  const std::uint64_t now = sys::now_ms();
  const auto found = store_.find_reset(code, now);
  if (!found) return failure_reply(found.error());
  if (!*found) return error_reply(Code::forbidden, kDeadReset);
  const Account& account = **found;
  const Tokens tokens = new_tokens();
  const auto intent = recorder_.intent(Event::password_change,
                                       {{FieldKey::account, std::to_string(account.id)},
                                        {FieldKey::username, account.username},
                                        {FieldKey::remote, call.remote},
                                        {FieldKey::command, "reset with a link"}});
  if (!intent) return failure_reply(intent.error());
  StartedLogin started;  // in place of whose this browser had, which may be somebody else's
  std::vector<std::uint64_t> ended;
  const auto change = [&]() -> Status {
    auto transaction = TRY(store_.begin());
    TRY(store_.set_password_hash(account.id, hash));
    TRY(store_.forget_reset(account.id));
    ended = TRY(store_.end_logins_of(account.id));
    TRY(store_.forget_devices(account.id));
    started = TRY(start_login(account, call, tokens, now));
    return transaction.commit();
  };
  const Status changed = change();
  std::ranges::copy(started.ended, std::back_inserter(ended));
  recorder_.outcome(Event::password_change, *intent, changed,
                    {{FieldKey::login, changed ? std::to_string(started.id) : ""},
                     {FieldKey::ended_logins, changed ? numbers_text(ended) : ""}});
  if (!changed) return failure_reply(changed.error());
  tell_.ended(account.id, false);  // all its connections: none is of the login that begins here
  for (const std::uint64_t login : started.ended) tell_.revoked(login);
  return signed_in(200, account, tokens);
}

// --- the list of logins --------------------------------------------------------------------------

ipc::AuthReply Service::list_logins(const Call& call) {
  const ReplyOr login = require_login(call);
  if (!login) return login.error();
  const auto logins = store_.list_logins(login->account.id, sys::now_ms());
  if (!logins) return failure_reply(logins.error());
  return reply_with(200, logins_answer(*logins, login->id));
}

ipc::AuthReply Service::end_logins(const Call& call) {
  const ReplyOr login = require_login(call);
  if (!login) return login.error();
  const auto wish = read_end_logins(call.body);
  if (!wish) return error_reply(Code::bad_request, wish.error());
  const Account& account = login->account;
  const auto logins = store_.list_logins(account.id, sys::now_ms());
  if (!logins) return failure_reply(logins.error());
  const bool own = wish->others || std::ranges::any_of(*logins, [&](const LoginRow& row) { return row.id == wish->id; });
  if (!own) return error_reply(Code::not_found, "you have no login of that number");
  const auto intent = recorder_.intent(
      Event::logout, {{FieldKey::account, std::to_string(account.id)}, {FieldKey::username, account.username},
                      {FieldKey::remote, call.remote},
                      {FieldKey::command, wish->others ? "end all other logins" : "end one login"},
                      {FieldKey::login, wish->others ? "" : std::to_string(wish->id)}});
  if (!intent) return failure_reply(intent.error());
  // Where the others end, their browsers are no known devices any more either.
  const auto end = [&]() -> Result<std::vector<std::uint64_t>> {
    auto transaction = TRY(store_.begin());
    std::vector<std::uint64_t> gone{wish->id};
    if (wish->others) {
      gone = TRY(store_.end_logins_of(account.id, login->id));
      TRY(store_.forget_devices(account.id, call.device ? std::optional(sha256(*call.device)) : std::nullopt));
    } else {
      TRY(store_.end_login(wish->id));
    }
    TRY(transaction.commit());
    return gone;
  };
  const auto ended = end();
  recorder_.outcome(Event::logout, *intent, ended ? Status() : std::unexpected(ended.error()),
                    {{FieldKey::ended_logins, ended ? numbers_text(*ended) : ""}});
  if (!ended) return failure_reply(ended.error());
  for (const std::uint64_t other : *ended) tell_.revoked(other);
  const bool itself = wish->id == login->id;
  return reply_with(200, ended_answer(ended->size()), itself ? CookieAction::clear : CookieAction::keep);
}

}  // namespace oqto::accounts
