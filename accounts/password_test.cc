// Passwords that change, lists of logins, and what the guard learns of what has ended.
#include <algorithm>

#include "accounts/test_password.h"

namespace oqto::accounts {
namespace {

using ipc::AdminVerb;
using ipc::AuthEndpoint;
using ipc::CookieAction;
using Ended = std::vector<TestHost::Ended>;

TEST(Password, ChangingItAsksTheOldOneAndEndsTheOtherLogins) {
  TestHost host;
  host.set_up();
  const ipc::Token here = host.join("ann");
  const auto elsewhere = host.login("ann", kPassword);
  const auto login = host.lookup(elsewhere.token)->login;
  const auto own = host.lookup(here)->login;
  EXPECT_EQ(host.call(AuthEndpoint::change_password, change("not the password", kNew), here).status, 403);
  EXPECT_EQ(host.call(AuthEndpoint::change_password, change(kPassword, kNew)).status, 401);
  const auto done = host.call(AuthEndpoint::change_password, change(kPassword, kNew), here);
  ASSERT_EQ(done.status, 200) << done.body.value;
  EXPECT_EQ(done.body.value, R"({"ended":1})");
  EXPECT_EQ(done.cookie, CookieAction::set);
  EXPECT_FALSE(host.lookup(here)) << "a copy of this browser's cookie is worth nothing";
  EXPECT_TRUE(host.lookup(done.token));
  EXPECT_FALSE(host.lookup(elsewhere.token));
  EXPECT_EQ(host.revoked(), (std::vector<std::uint64_t>{login, own}));
  EXPECT_EQ(host.login("ann", kPassword).status, 401);
  EXPECT_EQ(host.login("ann", kNew).status, 200);
}

TEST(Password, OtherLoginsStayWhereOneWantsIt) {
  TestHost host;
  const ipc::Token here = host.set_up();
  const auto elsewhere = host.login("boss", kPassword);
  EXPECT_EQ(host.call(AuthEndpoint::change_password, change(kPassword, kNew, R"(,"keep_others":true)"), here).body.value,
            R"({"ended":0})");
  EXPECT_TRUE(host.lookup(elsewhere.token));
}

TEST(Password, AWeakOrTheSameOneIsRefusedAndNothingChanges) {
  TestHost host;
  const ipc::Token here = host.set_up();
  for (const auto& [fresh, why] : std::vector<std::pair<std::string, std::string>>{
           {kPassword, "the old one"}, {"short", "at least 12"}, {"password1234", "attacker"}, {"bossbossboss", "user name"}}) {
    const auto reply = host.call(AuthEndpoint::change_password, change(kPassword, fresh), here);
    EXPECT_EQ(reply.status, 400);
    EXPECT_NE(at(reply.body.value, "/error").find(why), std::string::npos) << reply.body.value;
  }
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
}

TEST(Password, AttackAStolenCookieMayNotGuessTheOldOneAndKeepsNobodyOut) {
  TestHost host;
  const ipc::Token stolen = host.set_up();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(host.call(AuthEndpoint::change_password, change("guess number " + std::to_string(i), kNew), stolen).status, 403);
  }
  EXPECT_EQ(host.call(AuthEndpoint::change_password, change(kPassword, kNew), stolen).status, 429);
  EXPECT_EQ(host.login("boss", kPassword, "203.0.113.7:1").status, 200);
}

TEST(Password, ALoginThatIsBeingCheckedWhileItChangesDoesNotBegin) {
  TestHost host;
  const ipc::Token here = host.set_up();
  ipc::Channel changing = host.connect();
  ASSERT_TRUE(changing.send(auth_call(AuthEndpoint::change_password, change(kPassword, kNew), here)));
  std::vector<ipc::Channel> logins;
  for (int i = 0; i < 4; ++i) {
    logins.push_back(host.connect("203.0." + std::to_string(i) + ".1:1"));
    ASSERT_TRUE(logins.back().send(auth_call(
        AuthEndpoint::login, R"({"username":"boss","password":)" + quoted(kPassword) + "}")));
  }
  ASSERT_EQ(next_reply(changing).status, 200);
  for (ipc::Channel& login : logins) {
    const auto reply = next_reply(login);
    EXPECT_FALSE(reply.status == 200 && host.lookup(reply.token)) << "if it began before, it was ended";
  }
}

TEST(Reset, ALinkSetsANewPasswordOnceEndsEverythingAndSignsIn) {
  TestHost host;
  host.set_up();
  const ipc::Token old = host.join("ann");
  const std::string code = make_reset(host, "ann");
  EXPECT_TRUE(host.lookup(old)) << "making the link ends nothing";
  EXPECT_EQ(host.call(AuthEndpoint::reset_password, reset(code, "short")).status, 400);
  const auto done = host.call(AuthEndpoint::reset_password, reset(code));
  ASSERT_EQ(done.status, 200) << done.body.value;
  EXPECT_EQ(at(done.body.value, "/user/username"), "ann");
  EXPECT_EQ(done.cookie, CookieAction::set);
  EXPECT_FALSE(host.lookup(old));
  EXPECT_TRUE(host.lookup(done.token));
  EXPECT_EQ(host.ended(), (Ended{{2, false}})) << "every connection, whatever login it came with";
  EXPECT_EQ(host.call(AuthEndpoint::reset_password, reset(code)).status, 403);
  EXPECT_EQ(host.login("ann", kPassword).status, 401);
  EXPECT_EQ(host.login("ann", kNew).status, 200);
}

TEST(Reset, AnOlderAnExpiredAndADisabledAccountsLinkAreDead) {
  TestHost host;
  host.set_up();
  host.join("ann");
  const std::string older = make_reset(host, "ann");
  const std::string newer = make_reset(host, "ann");
  EXPECT_EQ(host.call(AuthEndpoint::reset_password, reset(older)).status, 403);
  host.crash();
  host.edit_database("UPDATE resets SET expires_at = 1");
  host.start();
  EXPECT_EQ(host.call(AuthEndpoint::reset_password, reset(newer)).status, 403);
  const std::string code = make_reset(host, "ann");
  ASSERT_EQ(host.admin(AdminVerb::disable, R"({"username":"ann","disabled":true})").ok, 1);
  EXPECT_EQ(host.call(AuthEndpoint::reset_password, reset(code)).status, 403);
  EXPECT_EQ(host.admin(AdminVerb::reset_password, R"({"username":"ann"})").ok, 0);
  ASSERT_EQ(host.admin(AdminVerb::disable, R"({"username":"ann","disabled":false})").ok, 1);
  EXPECT_EQ(host.call(AuthEndpoint::reset_password, reset(code)).status, 403) << "it does not come back";
  EXPECT_EQ(host.admin(AdminVerb::reset_password, R"({"username":"nobody"})").ok, 0);
}

TEST(Reset, AttackGuessingLinksIsCountedByAddressAndAValidOneIsNot) {
  TestHost host;
  host.set_up();
  const std::string code = make_reset(host, "boss");
  int tried = 0;
  while (host.call(AuthEndpoint::reset_password, reset(std::string(43, 'A'))).status == 403) ASSERT_LT(++tried, 100);
  EXPECT_EQ(host.call(AuthEndpoint::reset_password, reset(code)).status, 200);
}

TEST(Reset, TwoAtOnceWithOneLinkSetOnePassword) {
  TestHost host;
  host.set_up();
  const std::string code = make_reset(host, "boss");
  ipc::Channel first = host.connect();
  ipc::Channel second = host.connect();
  ASSERT_TRUE(first.send(auth_call(AuthEndpoint::reset_password, reset(code))));
  ASSERT_TRUE(second.send(auth_call(AuthEndpoint::reset_password, reset(code, "a third one of them"))));
  std::vector<std::uint16_t> statuses{next_reply(first).status, next_reply(second).status};
  std::sort(statuses.begin(), statuses.end());
  EXPECT_EQ(statuses, (std::vector<std::uint16_t>{200, 403}));
}

TEST(Logins, ListSaysWhenFromWhereAndWithWhatAndWhichIsThisOne) {
  TestHost host;
  const ipc::Token first = host.set_up();
  host.agent = std::string("Firefox \x01\xc3\xa4 on Linux");
  const auto second = host.login("boss", kPassword, "203.0.113.7:99");
  const std::string list = host.call(AuthEndpoint::list_logins, "", first).body.value;
  EXPECT_EQ(at(list, "/logins/0/remote"), "203.0.113.7:99");
  EXPECT_EQ(at(list, "/logins/0/agent"), "Firefox  on Linux") << "printable ASCII only";
  EXPECT_EQ(at(list, "/logins/0/current"), "false");
  EXPECT_EQ(at(list, "/logins/1/agent"), "test/1.0");
  EXPECT_EQ(at(list, "/logins/1/current"), "true");
  EXPECT_EQ(at(list, "/logins/2"), "<none>");
  EXPECT_GT(std::stoull(at(list, "/logins/0/expires_at")), std::stoull(at(list, "/logins/0/last_seen_at")));
  EXPECT_EQ(host.call(AuthEndpoint::list_logins).status, 401);
  const std::string told = host.admin(AdminVerb::list_logins, R"({"username":"boss"})").body.value;
  EXPECT_EQ(at(told, "/logins/0/id"), at(list, "/logins/0/id"));
  EXPECT_EQ(host.admin(AdminVerb::list_logins, R"({"username":"nobody"})").ok, 0);
}

TEST(Logins, OneOrAllOthersEndAndTheGuardIsTold) {
  TestHost host;
  const ipc::Token here = host.set_up();
  std::vector<ipc::Token> others;
  for (int i = 0; i < 3; ++i) others.push_back(host.login("boss", kPassword).token);
  const auto first = host.lookup(others[0])->login;
  const auto one = host.call(AuthEndpoint::end_logins, "{\"id\":" + std::to_string(first) + "}", here);
  EXPECT_EQ(one.body.value, R"({"ended":1})");
  EXPECT_EQ(one.cookie, CookieAction::keep);
  EXPECT_FALSE(host.lookup(others[0]));
  EXPECT_EQ(host.revoked(), std::vector<std::uint64_t>{first});
  EXPECT_EQ(host.call(AuthEndpoint::end_logins, R"({"others":true})", here).body.value, R"({"ended":2})");
  EXPECT_FALSE(host.lookup(others[2]));
  EXPECT_EQ(host.revoked().size(), 2U);
  const auto self = host.call(AuthEndpoint::end_logins, "{\"id\":" + std::to_string(host.lookup(here)->login) + "}", here);
  EXPECT_EQ(self.cookie, CookieAction::clear);
  EXPECT_FALSE(host.lookup(here));
}

TEST(Logins, AttackAnothersLoginIsNotFound) {
  TestHost host;
  const ipc::Token boss = host.set_up();
  const ipc::Token ann = host.join("ann");
  const std::string theirs = "{\"id\":" + std::to_string(host.lookup(boss)->login) + "}";
  EXPECT_EQ(host.call(AuthEndpoint::end_logins, theirs, ann).status, 404);
  EXPECT_TRUE(host.lookup(boss));
  EXPECT_EQ(host.admin(AdminVerb::revoke_logins, R"({"username":"ann",)" + theirs.substr(1)).ok, 0);
  EXPECT_TRUE(host.lookup(boss));
  for (const auto* body : {"{}", R"({"others":false})", R"({"id":0})", R"({"id":1,"others":true})"}) {
    EXPECT_EQ(host.call(AuthEndpoint::end_logins, body, ann).status, 400) << body;
  }
}

TEST(Revocation, ATokenThatWasLostOnTheWayIsNamedWhenTheGuardAsks) {
  TestHost host;
  const ipc::Token boss = host.set_up();
  const ipc::Token ann = host.join("ann");
  const auto login = host.lookup(ann)->login;
  const auto stands = host.lookup(boss)->login;
  host.crash();  // as if the logout had been committed, and its message never sent
  host.edit_database("DELETE FROM logins WHERE id = " + std::to_string(login));
  host.start();
  host.check({login, stands, 4711}, {1, 2});
  EXPECT_EQ(host.revoked(), (std::vector<std::uint64_t>{login, 4711}));
  EXPECT_EQ(host.ended(), Ended{});
  host.crash();
  host.edit_database("UPDATE accounts SET disabled = 1 WHERE id = 2");
  host.start();
  host.check({}, {1, 2, 99});
  EXPECT_EQ(host.ended(), (Ended{{2, true}, {99, true}}));
}

TEST(Revocation, AsMuchAsTheGuardCanHaveIsAnswered) {
  TestHost host;
  const ipc::Token boss = host.set_up();
  std::vector<std::uint64_t> logins(4096);
  for (std::size_t i = 0; i < logins.size(); ++i) logins[i] = 1'000'000 + i;
  std::vector<std::uint32_t> accounts(512);
  for (std::size_t i = 0; i < accounts.size(); ++i) accounts[i] = static_cast<std::uint32_t>(100 + i);
  host.check(logins, accounts);
  EXPECT_EQ(host.revoked(), logins);
  EXPECT_EQ(host.ended().size(), accounts.size());
  EXPECT_TRUE(host.lookup(boss));
}

TEST(Revocation, DisablingNamesTheAccountAlsoWhenNoLoginIsLeft) {
  TestHost host;
  host.set_up();
  const ipc::Token ann = host.join("ann");
  ASSERT_EQ(host.call(AuthEndpoint::logout, "{}", ann).status, 204);
  ASSERT_EQ(host.admin(AdminVerb::disable, R"({"username":"ann","disabled":true})").ok, 1);
  EXPECT_EQ(host.ended(), (Ended{{2, true}}));
  EXPECT_EQ(host.admin(AdminVerb::revoke_logins, R"({"username":"ann"})").body.value, R"({"logins":[],"revoked":0})");
  EXPECT_EQ(host.ended(), (Ended{{2, false}}));
}

TEST(Upgrade, ADatabaseOfTheFirstVersionKeepsItsAccountsAndLogins) {
  TestHost host;
  const ipc::Token boss = host.set_up();
  host.crash();
  host.edit_database(
      "DROP TABLE devices; DROP TABLE resets; DROP TABLE guess_throttle; DROP TABLE rate_throttle; "
      "ALTER TABLE logins DROP COLUMN remote; ALTER TABLE logins DROP COLUMN agent; "
      "CREATE TABLE account_throttle (username TEXT PRIMARY KEY) STRICT; "
      "CREATE TABLE remote_throttle (remote TEXT PRIMARY KEY) STRICT; PRAGMA user_version = 1");
  host.start();
  EXPECT_TRUE(host.lookup(boss));
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
}

TEST(PasswordRecords, SayWhoseItIsAndNeverWhatItIs) {
  TestHost host;
  host.set_up();
  const ipc::Token ann = host.join("ann");
  host.call(AuthEndpoint::change_password, change("not the password", kNew), ann);
  ASSERT_EQ(host.call(AuthEndpoint::change_password, change(kPassword, kNew), ann).status, 200);
  const std::string code = make_reset(host, "ann");
  ASSERT_EQ(host.call(AuthEndpoint::reset_password, reset(code, "a third one of them")).status, 200);
  (void)host.admin(AdminVerb::setup_link);
  std::vector<std::string> lines;
  std::string everything;
  for (const auto& record : host.records()) {
    for (const auto& field : record.list) everything += field.value + '\n';
    if (record.event != ipc::Event::password_change) continue;
    lines.push_back(summary({record}).front());
    const bool named = std::ranges::any_of(record.list, [](const auto& field) {
      return field.key == ipc::FieldKey::username && field.value == "ann";
    });
    EXPECT_TRUE(named) << lines.back();
  }
  EXPECT_EQ(lines, (std::vector<std::string>{
                       "password.change event failure", "password.change intent", "password.change outcome success",
                       "password.change intent", "password.change outcome success"}));
  everything += host.all_bytes();
  for (const std::string& secret : {kPassword, kNew, code, std::string("a third one of them")}) {
    EXPECT_EQ(everything.find(secret), std::string::npos);
  }
}

TEST(PasswordRecords, WithoutTheLogNothingChanges) {
  TestHost host;
  const ipc::Token boss = host.set_up();
  const std::string code = make_reset(host, "boss");
  host.audit_gone();
  EXPECT_EQ(host.call(AuthEndpoint::change_password, change(kPassword, kNew), boss).status, 503);
  EXPECT_EQ(host.call(AuthEndpoint::reset_password, reset(code)).status, 503);
  EXPECT_EQ(host.call(AuthEndpoint::end_logins, R"({"others":true})", boss).status, 503);
  EXPECT_EQ(host.admin(AdminVerb::reset_password, R"({"username":"boss"})").ok, 0);
  host.wire_audit();
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
  EXPECT_EQ(host.call(AuthEndpoint::reset_password, reset(code)).status, 200) << "the link is still alive";
}

}  // namespace
}  // namespace oqto::accounts
