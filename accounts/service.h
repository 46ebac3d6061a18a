// What the endpoints of docs/protocol.md (HTTP) and the operator's verbs do. Every change is
// recorded before it is made; if it cannot be recorded, the answer is 503 and nothing changes. What only takes
// away (emergency.cc) takes effect all the same, and is recorded later.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accounts/hasher.h"
#include "accounts/json.h"
#include "accounts/owed.h"
#include "accounts/recorder.h"
#include "accounts/secrets.h"
#include "accounts/store.h"
#include "accounts/throttle.h"
#include "ipc/messages.h"

namespace oqto::accounts {

enum class Code : std::uint8_t {
  bad_request, unauthorized, forbidden, not_found, conflict, throttled, service_unavailable,
  internal_error, kEnd
};
ipc::AuthReply reply_with(std::uint16_t status, std::string body = {},
                          ipc::CookieAction cookie = ipc::CookieAction::keep);
ipc::AuthReply error_reply(Code code, std::string_view text, std::uint32_t retry_after_s = 0);
// 503 if the cause is the audit log, else 500.
ipc::AuthReply failure_reply(const Error& cause);

struct Call {
  std::string remote;  // address:port
  ipc::AuthEndpoint endpoint{};
  std::optional<Digest> token;  // of the cookie, if there was one
  std::optional<ipc::Token> device;  // the device cookie, if there was one
  std::string agent;  // what the browser calls itself; printable
  std::string body;
};
using Respond = std::function<void(ipc::AuthReply)>;  // called exactly once, perhaps later
struct TellGuard {
  std::function<void(std::uint64_t login)> revoked;
  std::function<void(std::uint32_t account, bool disabled)> ended;
};

class Service {
 public:
  // `unavailable`: "PROFILE: why", for each that this host cannot enforce. `last_account`: the last that has uids.
  Service(Database& db, Recorder& recorder, Hasher& hasher, TellGuard tell,
          std::vector<std::string> unavailable = {}, std::uint32_t last_account = kMaxAccountId)
      : store_(db, last_account), throttle_(db), recorder_(recorder), hasher_(hasher),
        tell_(std::move(tell)), unavailable_(std::move(unavailable)) {}

  // Makes the setup token if there is no account yet.
  Status start();

  void handle(Call call, const Respond& respond);
  ipc::AdminReply admin(const ipc::AdminCall& call, const Operator& who);
  Result<std::optional<Login>> find_login(const ipc::Token& token);
  Status probe() { return store_.probe(); }  // Store's
  // Tells the guard which of these do not stand any more.
  Status check(std::span<const std::uint64_t> logins, std::span<const std::uint32_t> accounts);
  void keep_owed(Owed owed);  // before anything is served
  [[nodiscard]] bool owes() const { return !owed_.acts().empty(); }
  void settle_owed();  // call often while it owes: it tries every few seconds
  void sweep();  // from time to time: ends what has expired

 private:
  using Reply = ipc::AuthReply;
  using ReplyOr = std::expected<Login, Reply>;

  // sign_in.cc
  struct NewAccount;
  struct Tokens { ipc::Token login{}, device{}; };
  static Reply signed_in(std::uint16_t status, const Account& account, const Tokens& tokens);
  void setup(Call call, const Respond& respond);
  void login(Call call, const Respond& respond);
  void register_user(Call call, const Respond& respond);
  std::optional<Reply> refuse_early(const Call& call, const Attempt& attempt, const HashSource& source);
  Reply not_hashed(const Attempt& attempt, const HashDone& done);
  void make_account(NewAccount wish, const Respond& respond);
  Reply finish_account(const NewAccount& wish, const std::string& hash);
  std::optional<Reply> still_allowed(const NewAccount& wish, std::uint64_t now,
                                     std::optional<Invite>& invite);
  Reply finish_login(const Call& call, const Attempt& attempt, const std::optional<Account>& account,
                     const std::string& against, const HashDone& done);
  Reply no_uids(const Call& call, const Attempt& attempt, const Account& account);
  Result<StartedLogin> begin_login(const Account& account, const Call& call, const Attempt& attempt,
                                   const std::string& new_hash, const Tokens& tokens);
  static Tokens new_tokens();
  Result<StartedLogin> start_login(const Account& account, const Call& call, const Tokens& tokens,
                                   std::uint64_t now);  // in the caller's transaction
  Result<std::pair<Account, StartedLogin>> create_account(const NewAccount& wish,
                                                          const std::string& hash,
                                                          const std::optional<Invite>& invite,
                                                          const Tokens& tokens,
                                                          std::uint64_t now);
  bool is_setup_token(std::string_view text) const;

  // password.cc
  void change_password(Call call, const Respond& respond);
  void reset_password(Call call, const Respond& respond);
  Reply finish_change(const Call& call, const Attempt& attempt, bool keep_others,
                      const std::string& against, const HashDone& done);
  Reply finish_reset(const Call& call, const Digest& code, const std::string& hash);
  Reply list_logins(const Call& call);
  Reply end_logins(const Call& call);

  // service.cc
  Reply state(const Call& call);
  Reply me(const Call& call);
  Reply logout(const Call& call);
  bool remove_expired(const Login& login);  // false: it cannot be recorded
  ReplyOr require_login(const Call& call);
  ReplyOr require_admin(const Call& call, ipc::Event event);

  // admin.cc
  Reply list_invites(const Call& call);
  Reply create_invite(const Call& call);
  Reply revoke_invite(const Call& call);
  Status revoke_invite(std::uint64_t id, AuditPairs who);  // Errc::not_found: none is open
  ipc::AdminReply admin_setup_link();
  ipc::AdminReply admin_list_accounts(std::string_view body);
  ipc::AdminReply admin_create_invite(std::string_view body);
  ipc::AdminReply admin_list_invites(std::string_view body);
  ipc::AdminReply admin_revoke_logins(std::string_view body);
  ipc::AdminReply admin_disable(std::string_view body);
  ipc::AdminReply admin_revoke_invite(std::string_view body);
  ipc::AdminReply admin_reset_password(std::string_view body);
  ipc::AdminReply admin_list_logins(std::string_view body);
  std::expected<Account, ipc::AdminReply> named(std::string_view username);  // or why not
  ipc::AdminReply revoke_one(const Account& account, std::uint64_t login);
  Result<std::vector<std::uint64_t>> end_logins(const Account& account, std::string_view why, int disabled);
  struct MadeInvite { Invite invite; std::string code; };
  Result<MadeInvite> make_invite(const InviteBody& wish, AuditPairs who, std::uint32_t created_by);

  // emergency.cc. Errc::unavailable: too many acts wait already; connections end, and nothing else was done.
  Status end_at_once(OwedAct act);
  Status store_act(const OwedAct& act);
  Status record_act(const OwedAct& act);

  Store store_;
  Owed owed_;
  std::uint64_t owed_tried_ms_ = 0;
  const Operator* asking_ = nullptr;  // whose request is being answered
  Throttle throttle_;
  Recorder& recorder_;
  Hasher& hasher_;
  TellGuard tell_;
  std::vector<std::string> unavailable_;
  std::uint64_t swept_ = 0;  // the last login that the sweep has seen; 0: it begins anew
  std::optional<std::string> setup_token_;  // in memory only, dead with the first account
};

}  // namespace oqto::accounts
