// What the records of accounts say: whose an act is, which invitation, and which operator asked.
#include <sys/resource.h>

#include <algorithm>

#include "accounts/test_host.h"

namespace oqto::accounts {
namespace {

using ipc::AdminVerb;
using ipc::AuthEndpoint;
using ipc::FieldKey;

// The values of one field, joined; "" if it is not there.
std::string field(const ipc::AuditAppend& record, FieldKey key) {
  std::string values;
  for (const auto& entry : record.list) values += entry.key == key ? entry.value : "";
  return values;
}

// The newest record of this event and phase.
ipc::AuditAppend newest(const TestHost& host, ipc::Event event, ipc::Phase phase) {
  const auto records = host.records();
  const auto found = std::find_if(records.rbegin(), records.rend(), [&](const ipc::AuditAppend& record) {
    return record.event == event && record.phase == phase;
  });
  EXPECT_NE(found, records.rend()) << ipc::event_name(event);
  return found == records.rend() ? ipc::AuditAppend{} : *found;
}

// What has been sent before it has arrived when it is answered.
void settle(TestHost& host) { (void)host.admin(AdminVerb::setup_link); }

TEST(Probe, IsAnsweredAfterAWrite) {
  TestHost host;
  host.start();
  for (std::uint64_t request = 5; request < 8; ++request) {
    ASSERT_TRUE(host.guard().send(ipc::Probe{request}));
    const auto received = host.guard().wait(kAnswerMs);
    ASSERT_TRUE(received);
    const auto probed = received->as<ipc::Probed>();
    ASSERT_TRUE(probed);
    EXPECT_EQ(probed->request, request);
    EXPECT_EQ(probed->ok, 1) << probed->why.view();
  }
  EXPECT_EQ(host.stop(), 0);
  EXPECT_EQ(host.database_value("PRAGMA application_id"), "1332835439") << "it was written";
}

TEST(Probe, SaysNoWhereNothingCanBeWrittenAndYesAgain) {
  TestHost host;
  host.start();
  const auto ask = [&host] {
    EXPECT_TRUE(host.guard().send(ipc::Probe{1}));
    const auto received = host.guard().wait(kAnswerMs);
    const auto probed = received ? received->as<ipc::Probed>() : Result<ipc::Probed>(fail(Errc::unavailable, ""));
    return probed ? probed->why.str() : "no answer";
  };
  EXPECT_EQ(ask(), "");
  const rlimit full{100, 100'000'000}, roomy{100'000'000, 100'000'000};
  ASSERT_EQ(::prlimit(host.pid(), RLIMIT_FSIZE, &full, nullptr), 0);
  EXPECT_EQ(ask(), "the accounts database failed");
  ASSERT_EQ(::prlimit(host.pid(), RLIMIT_FSIZE, &roomy, nullptr), 0);
  EXPECT_EQ(ask(), "");
  EXPECT_EQ(host.stop(), 0);
}

TEST(Records, EveryOutcomeSaysWhoseItIs) {
  TestHost host;
  host.set_up();
  (void)host.join("ann");
  const auto signed_in = host.login("ann", kPassword);
  EXPECT_EQ(host.call(AuthEndpoint::logout, "{}", signed_in.token).status, 204);
  EXPECT_EQ(host.admin(AdminVerb::disable, R"({"username":"ann","disabled":true})").ok, 1);
  settle(host);
  std::size_t outcomes = 0;
  for (const auto& record : host.records()) {
    if (record.phase != ipc::Phase::outcome) continue;
    ++outcomes;
    if (record.event == ipc::Event::invite_create) {
      EXPECT_NE(field(record, FieldKey::process) + field(record, FieldKey::account), "");
      continue;
    }
    EXPECT_NE(field(record, FieldKey::account), "") << ipc::event_name(record.event);
    EXPECT_NE(field(record, FieldKey::username), "") << ipc::event_name(record.event);
  }
  EXPECT_EQ(outcomes, 6U) << "setup, invite.create, account.create, login, logout, account.change";
  EXPECT_EQ(field(newest(host, ipc::Event::account_create, ipc::Phase::outcome), FieldKey::account), "2");
}

TEST(Records, AnInvitationIsTheSameNumberFromItsMakingToItsUse) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  const auto made = host.call(AuthEndpoint::create_invite, R"({"role":"user","expires_hours":1})", admin);
  const std::string id = at(made.body.value, "/invite/id");
  const std::string body = "{\"invite_code\":" + quoted(at(made.body.value, "/code")) +
                           R"(,"username":"ann","password":)" + quoted(kPassword) + "}";
  EXPECT_EQ(host.call(AuthEndpoint::register_user, body).status, 201);
  const auto other = host.call(AuthEndpoint::create_invite, R"({"role":"user","expires_hours":1})", admin);
  const std::string other_id = at(other.body.value, "/invite/id");
  EXPECT_EQ(host.call(AuthEndpoint::revoke_invite, "{\"id\":" + other_id + "}", admin).status, 204);
  settle(host);
  std::vector<std::string> numbers;
  for (const auto& record : host.records()) {
    if (record.event == ipc::Event::invite_create && record.phase == ipc::Phase::outcome) {
      EXPECT_EQ(field(record, FieldKey::account), "1") << "who made it";
      numbers.push_back(field(record, FieldKey::invite));
    }
  }
  EXPECT_EQ(numbers, (std::vector{id, other_id}));
  for (const auto phase : {ipc::Phase::intent, ipc::Phase::outcome}) {
    EXPECT_EQ(field(newest(host, ipc::Event::account_create, phase), FieldKey::invite), id);
    EXPECT_EQ(field(newest(host, ipc::Event::invite_revoke, phase), FieldKey::invite), other_id);
  }
}

TEST(Records, WhatAnOperatorAsksForNamesHimAndWhatOthersDoDoesNot) {
  TestHost host;  // its operator is ann, of uid 1000
  host.set_up();
  EXPECT_EQ(host.admin(AdminVerb::create_invite, "{}").ok, 1);
  EXPECT_EQ(host.admin(AdminVerb::disable, R"({"username":"boss","disabled":true})").ok, 1);
  settle(host);
  std::size_t named = 0;
  for (const auto& record : host.records()) {
    const bool by_operator = field(record, FieldKey::process) == "oqtoctl";
    EXPECT_EQ(field(record, FieldKey::operator_uid), by_operator ? "1000" : "") << ipc::event_name(record.event);
    EXPECT_EQ(field(record, FieldKey::operator_name), by_operator ? "ann (claimed)" : "");
    if (by_operator) ++named;
  }
  EXPECT_GE(named, 5U) << "intents and outcomes of both, and the setup links";
}

TEST(Records, SayWhichLoginBeganAndWhichEnded) {
  TestHost host;
  const ipc::Token first = host.set_up();
  const auto number = [&](const ipc::Token& token) { return std::to_string(host.lookup(token)->login); };
  const std::string one = number(first);
  settle(host);
  EXPECT_EQ(field(newest(host, ipc::Event::setup, ipc::Phase::outcome), FieldKey::login), one);

  const std::string two = number(host.login("boss", kPassword).token), three = number(host.login("boss", kPassword).token);
  settle(host);
  EXPECT_EQ(field(newest(host, ipc::Event::login, ipc::Phase::outcome), FieldKey::login), three);

  ASSERT_EQ(host.call(AuthEndpoint::end_logins, "{\"id\":" + two + "}", first).status, 200);
  settle(host);
  EXPECT_EQ(field(newest(host, ipc::Event::logout, ipc::Phase::intent), FieldKey::login), two);
  EXPECT_EQ(field(newest(host, ipc::Event::logout, ipc::Phase::outcome), FieldKey::ended_logins), two);

  const std::string four = number(host.login("boss", kPassword).token);
  ASSERT_EQ(host.call(AuthEndpoint::end_logins, R"({"others":true})", first).status, 200);
  settle(host);
  EXPECT_EQ(field(newest(host, ipc::Event::logout, ipc::Phase::outcome), FieldKey::ended_logins), three + " " + four);

  const std::string body = "{\"password\":" + quoted(kPassword) + R"(,"new_password":"a green cow in the cellar"})";
  const auto changed = host.call(AuthEndpoint::change_password, body, first);
  ASSERT_EQ(changed.status, 200);
  const std::string five = number(changed.token);
  settle(host);
  EXPECT_EQ(field(newest(host, ipc::Event::password_change, ipc::Phase::outcome), FieldKey::ended_logins), one);
  EXPECT_EQ(field(newest(host, ipc::Event::password_change, ipc::Phase::outcome), FieldKey::login), five);

  ASSERT_EQ(host.admin(AdminVerb::revoke_logins, R"({"username":"boss"})").ok, 1);
  settle(host);
  EXPECT_EQ(field(newest(host, ipc::Event::account_change, ipc::Phase::outcome), FieldKey::ended_logins), five);
}

TEST(Records, WhatAnOperatorWantsThatIsSoAlreadyIsNoChange) {
  TestHost host;
  const ipc::Token boss = host.set_up();
  const auto changes = [&] {
    return std::ranges::count(host.records(), ipc::Event::account_change, &ipc::AuditAppend::event);
  };
  EXPECT_EQ(host.admin(AdminVerb::disable, R"({"username":"boss","disabled":false})").body.value, R"({"changed":false})");
  settle(host);
  EXPECT_EQ(changes(), 0) << "no record of an act that did not happen";
  EXPECT_TRUE(host.lookup(boss)) << "and no login ended";
  EXPECT_EQ(host.ended(), std::vector<TestHost::Ended>{});
  EXPECT_EQ(host.admin(AdminVerb::disable, R"({"username":"boss","disabled":true})").body.value, R"({"changed":true})");
  EXPECT_EQ(host.admin(AdminVerb::disable, R"({"username":"boss","disabled":true})").body.value, R"({"changed":false})");
  settle(host);
  EXPECT_EQ(changes(), 2) << "one intent and one outcome";
}

TEST(Logins, AttackAnExpiredOneAndItsConnectionsEndAlsoWhileTheLogRefuses) {
  TestHost host;
  const ipc::Token boss = host.set_up();
  const auto login = host.lookup(boss)->login;
  host.crash();
  host.edit_database("UPDATE logins SET expires_at = 1");
  host.start(TestAuditd::Mode::refuses);
  EXPECT_FALSE(host.lookup(boss));
  EXPECT_EQ(host.call(AuthEndpoint::me, "{}", boss).status, 401);
  EXPECT_EQ(host.revoked(), std::vector<std::uint64_t>{login}) << "the guard ends its connections";
  host.crash();
  EXPECT_EQ(host.database_value("SELECT count(*) FROM logins"), "1") << "its end is recorded when the log is back";
  host.start();
  settle(host);
  EXPECT_EQ(field(newest(host, ipc::Event::logout, ipc::Phase::event), FieldKey::login), std::to_string(login));
}

TEST(Range, NoAccountBeyondItIsMadeAndOneThatWasIsToldSo) {
  TestHost host;
  host.set_up();
  const ipc::Token ann = host.join("ann");
  const std::string invite = host.invite();
  host.crash();
  host.last_account = 1;
  host.start();
  EXPECT_FALSE(host.lookup(ann)) << "a login from before";
  const auto refused = host.login("ann", kPassword);
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.value.find("uid-count"), std::string::npos) << refused.body.value;
  EXPECT_EQ(host.login("ann", "wrong password").status, 401) << "only who has the password learns of it";
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
  const auto made = host.call(AuthEndpoint::register_user, R"({"invite_code":")" + invite + R"(","username":"bob","password":)" +
                                                               quoted(kPassword) + "}");
  EXPECT_EQ(made.status, 409);
  EXPECT_NE(made.body.value.find("uid-count"), std::string::npos) << made.body.value;
  host.crash();
  host.last_account = 3;
  host.start();
  EXPECT_TRUE(host.lookup(ann)) << "with a larger range all is as it was";
  EXPECT_EQ(host.call(AuthEndpoint::register_user, R"({"invite_code":")" + invite + R"(","username":"bob","password":)" +
                                                       quoted(kPassword) + "}").status, 201) << "the invitation is still good";
}

}  // namespace
}  // namespace oqto::accounts
