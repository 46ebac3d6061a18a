// Where the log or accounts.db takes nothing, as on a full disk, an account can still be disabled,
// its logins ended, and a login ended by its owner: whoever keeps the disk full must not keep their
// access by it. Such an act takes effect at once, is kept in `owed`, and is written and recorded,
// with its time, when that is possible. Nothing that gives anybody anything goes this way.
#include "accounts/service.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::accounts {

using ipc::Event;
using ipc::FieldKey;
using ipc::Outcome;

namespace {

constexpr std::uint64_t kTryEveryMs = 2000;

const char* command_of(OwedAct::Kind kind) {
  return kind == OwedAct::Kind::disable  ? "disable"
         : kind == OwedAct::Kind::revoke ? "revoke_logins"
                                         : "";
}

}  // namespace

void Service::keep_owed(Owed owed) {
  owed_ = std::move(owed);
  for (const OwedAct& act : owed_.acts()) store_.withhold(act);
  if (!owed_.acts().empty())
    log::warn("acts of before are not in the log yet", {{"count", owed_.acts().size()}});
}

Status Service::store_act(const OwedAct& act) {
  if (act.kind == OwedAct::Kind::logout) return store_.end_login(act.login);
  auto transaction = TRY(store_.begin());
  TRY(store_.forget_devices(act.account));
  if (act.kind == OwedAct::Kind::disable) {
    TRY(store_.set_disabled(act.account, true));
    (void)TRY(store_.end_logins_of(act.account));
    TRY(store_.forget_reset(act.account));
  } else {
    TRY(store_.end_logins_until(act.account, act.login));
  }
  return transaction.commit();
}

Status Service::end_at_once(OwedAct act) {
  if (act.kind == OwedAct::Kind::revoke) act.login = TRY(store_.last_login());
  act.at_ms = sys::now_ms();
  // Kept before it is done: a crash in between does it again, never leaves it out of the log.
  const auto place = owed_.add(act);
  if (place && store_act(act)) owed_.is_stored(*place);
  if (place) store_.withhold(owed_.acts()[*place]);
  log::warn(place ? "an act takes effect before it is in the log"
                  : "an act ends connections only: too many wait for the log",
            {{"act", act.kind == OwedAct::Kind::logout ? "logout" : command_of(act.kind)},
             {"account", act.account}});
  // Whatever else fails: what is open ends.
  if (act.kind == OwedAct::Kind::logout) {
    tell_.revoked(act.login);
  } else {
    tell_.ended(act.account, act.kind == OwedAct::Kind::disable);
  }
  if (!place) return fail(Errc::unavailable, place.error().what);
  return {};
}

Status Service::record_act(const OwedAct& act) {
  const std::string reason =
      "it took effect then, when the log or accounts.db could not be written";
  const Operator who{act.operator_uid, act.operator_name};
  const bool is_logout = act.kind == OwedAct::Kind::logout;
  const Recorder::ForOperator operators(recorder_, is_logout ? nullptr : &who);
  if (is_logout) {
    return recorder_.happened(Event::logout, Outcome::success,
                              {{FieldKey::account, std::to_string(act.account)},
                               {FieldKey::username, act.username},
                               {FieldKey::remote, act.remote},
                               {FieldKey::login, std::to_string(act.login)},
                               {FieldKey::at, sys::utc_text(act.at_ms)},
                               {FieldKey::reason, reason}});
  }
  return recorder_.happened(Event::account_change, Outcome::success,
                            {{FieldKey::process, "oqtoctl"},
                             {FieldKey::account, std::to_string(act.account)},
                             {FieldKey::username, act.username},
                             {FieldKey::command, command_of(act.kind)},
                             {FieldKey::at, sys::utc_text(act.at_ms)},
                             {FieldKey::reason, reason}});
}

// In their order. A crash between the record and its removal from the file records an act twice.
void Service::settle_owed() {
  const std::uint64_t now = sys::monotonic_ms();
  if (owed_.acts().empty() || now < owed_tried_ms_ + kTryEveryMs) return;
  owed_tried_ms_ = now;
  while (!owed_.acts().empty()) {
    const OwedAct& act = owed_.acts().front();
    if (!act.is_stored) {
      if (!store_act(act)) return;
      owed_.is_stored(0);
    }
    if (!record_act(act)) return;
    store_.release(act);
    owed_.drop_first();
  }
  log::info("everything that took effect before is in the log now");
}

}  // namespace oqto::accounts
