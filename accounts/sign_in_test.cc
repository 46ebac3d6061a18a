#include <openssl/sha.h>

#include <algorithm>
#include <fstream>

#include "accounts/test_host.h"
#include "base/encoding.h"

namespace oqto::accounts {
namespace {

using ipc::AdminVerb;
using ipc::AuthEndpoint;
using ipc::CookieAction;

std::string setup_body(const std::string& token, const std::string& username) {
  return R"({"token":")" + token + R"(","username":")" + username + R"(","password":)" +
         quoted(kPassword) + "}";
}

std::string as_bytes(const ipc::Token& token) { return {token.begin(), token.end()}; }

TEST(Setup, LinkMakesTheFirstAdministratorOnceAndIsDeadThen) {
  TestHost host;
  const std::string token = host.setup_token();
  EXPECT_EQ(token.size(), 43U);
  EXPECT_EQ(host.call(AuthEndpoint::state).body.value, R"({"profiles":[{"available":true,"name":"minimal"},{"available":true,"name":"development"},)"
            R"({"available":true,"name":"strict"}],"setup_required":true,"user":null})");

  const auto made = host.call(AuthEndpoint::setup, setup_body(token, "boss"));
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(made.cookie, CookieAction::set);
  EXPECT_EQ(made.body.value, R"({"user":{"id":1,"role":"admin","username":"boss"}})");

  const auto replay = host.call(AuthEndpoint::setup, setup_body(token, "mallory"));
  EXPECT_EQ(replay.status, 409);
  EXPECT_EQ(replay.cookie, CookieAction::keep);
  EXPECT_EQ(at(replay.body.value, "/code"), "CONFLICT");
  EXPECT_EQ(host.admin(AdminVerb::setup_link).body.value, R"({"setup_required":false})");
  const auto state = host.call(AuthEndpoint::state, "", made.token);
  EXPECT_EQ(at(state.body.value, "/user/username"), "boss");
}

TEST(State, SaysWhichProfilesThisHostCannotEnforceAndWhy) {
  TestHost host({"strict: no cgroup \"memory\"", "minimal: too long"});
  const std::string state = host.call(AuthEndpoint::state).body.value;
  EXPECT_EQ(at(state, "/profiles/0/available"), "false");
  EXPECT_EQ(at(state, "/profiles/0/why"), "too long");
  EXPECT_EQ(at(state, "/profiles/1/name"), "development");
  EXPECT_EQ(at(state, "/profiles/1/available"), "true");
  EXPECT_EQ(at(state, "/profiles/1/why"), "<none>");
  EXPECT_EQ(at(state, "/profiles/2/name"), "strict");
  EXPECT_EQ(at(state, "/profiles/2/why"), "no cgroup \"memory\"");
}

TEST(Setup, WrongTokenIsRefusedAndChangesNothing) {
  TestHost host;
  std::string token = host.setup_token();
  token[0] = token[0] == 'A' ? 'B' : 'A';
  EXPECT_EQ(host.call(AuthEndpoint::setup, setup_body(token, "boss")).status, 403);
  EXPECT_EQ(at(host.call(AuthEndpoint::state).body.value, "/setup_required"), "true");
}

TEST(Setup, TwoAtOnceMakeOneAdministrator) {
  TestHost host;
  const std::string token = host.setup_token();
  ipc::Channel first = host.connect();
  ipc::Channel second = host.connect();
  ASSERT_TRUE(first.send(auth_call(AuthEndpoint::setup, setup_body(token, "first"))));
  ASSERT_TRUE(second.send(auth_call(AuthEndpoint::setup, setup_body(token, "second"))));
  std::vector<std::uint16_t> statuses{next_reply(first).status, next_reply(second).status};
  std::sort(statuses.begin(), statuses.end());
  EXPECT_EQ(statuses, (std::vector<std::uint16_t>{201, 409}));
  EXPECT_EQ(host.stop(), 0);
  EXPECT_EQ(host.database_value("SELECT count(*) FROM accounts"), "1");
}

TEST(Setup, LinkOfAnEarlierStartIsDead) {
  TestHost host;
  const std::string old = host.setup_token();
  host.restart();
  EXPECT_NE(host.setup_token(), old);
  EXPECT_EQ(host.call(AuthEndpoint::setup, setup_body(old, "boss")).status, 403);
}

TEST(Login, RightPasswordGivesALoginThatTheGuardCanLookUp) {
  TestHost host;
  host.set_up();
  const auto reply = host.login("boss", kPassword);
  ASSERT_EQ(reply.status, 200) << reply.body.value;
  const auto owner = host.lookup(reply.token);
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->account, 1U);
  EXPECT_EQ(owner->role, ipc::Role::admin);
  EXPECT_EQ(owner->username.view(), "boss");
  EXPECT_EQ(host.call(AuthEndpoint::me, "", reply.token).body.value,
            R"({"id":1,"role":"admin","username":"boss"})");
}

TEST(Login, WrongPasswordUnknownNameAndDisabledAccountGetTheSameAnswer) {
  TestHost host;
  host.set_up();
  host.join("frozen");
  ASSERT_EQ(host.admin(AdminVerb::disable, R"({"username":"frozen","disabled":true})").ok, 1);
  const auto wrong = host.login("boss", "not the password");
  EXPECT_EQ(wrong.status, 401);
  EXPECT_EQ(wrong.cookie, CookieAction::keep);
  for (const auto& other : {host.login("nobody", "not the password"),
                            host.login("frozen", kPassword),
                            host.login("' OR '1'='1", "' OR '1'='1' --")}) {
    EXPECT_EQ(other.status, wrong.status);
    EXPECT_EQ(other.body, wrong.body);
  }
}

TEST(Login, TokenIsNewEachTimeAndReplacesTheOneThatTheBrowserHeld) {
  TestHost host;
  const ipc::Token first = host.set_up();
  const auto login = host.lookup(first)->login;
  const std::string body = "{\"username\":\"boss\",\"password\":" + quoted(kPassword) + "}";
  const auto reply = host.call(AuthEndpoint::login, body, first);
  ASSERT_EQ(reply.status, 200);
  EXPECT_NE(reply.token, first);
  EXPECT_FALSE(host.lookup(first));
  EXPECT_TRUE(host.lookup(reply.token));
  EXPECT_EQ(host.revoked(), std::vector<std::uint64_t>{login});
}

TEST(Login, FailuresSlowDownGuessingAlsoForTheRightPasswordAndAcrossACrash) {
  TestHost host;
  host.set_up();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(host.login("boss", "wrong password").status, 401);
  const auto refused = host.login("boss", kPassword);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(at(refused.body.value, "/code"), "THROTTLED");
  EXPECT_GE(refused.retry_after_s, 1U);
  EXPECT_EQ(at(refused.body.value, "/retry_after_s"), std::to_string(refused.retry_after_s));

  // The waiting time is stored: make it long, so that the restart cannot outlast it.
  host.crash();
  host.edit_database("UPDATE guess_throttle SET blocked_until = blocked_until + 600000");
  host.start();
  EXPECT_EQ(host.login("boss", kPassword).status, 429);
  host.crash();
  host.edit_database("UPDATE guess_throttle SET blocked_until = 0");
  host.start();
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
  host.stop();
  EXPECT_EQ(host.database_value("SELECT count(*) FROM guess_throttle"), "0");
}

TEST(Login, AttackGuessingOnFillsTheLogNoFurther) {
  TestHost host;
  host.set_up();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(host.login("boss", "wrong password").status, 401);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(host.login("boss", "wrong password").status, 429);
  const auto records = host.records();
  const auto throttled = std::ranges::count(records, ipc::Event::login_throttled, &ipc::AuditAppend::event);
  EXPECT_EQ(throttled, 2) << "one for the account, one for the address";
}

TEST(Login, UnknownNamesAreThrottledLikeKnownOnes) {
  TestHost host;
  host.set_up();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(host.login("nobody", "wrong password").status, 401);
  EXPECT_EQ(host.login("nobody", "wrong password").status, 429);
  EXPECT_EQ(host.login("boss", kPassword).status, 200) << "other accounts are not affected";
}

TEST(Login, OneNetworkAddressMayNotTryManyNames) {
  TestHost host;
  host.set_up();
  const std::string body = R"({"invite_code":"guess","username":"mallory","password":"x"})";
  int tried = 0;
  ipc::AuthReply reply;
  do {  // other addresses of the same /64
    const std::string remote = "[2001:db8::" + std::to_string(tried) + "]:99";
    reply = host.call(AuthEndpoint::register_user, body, std::nullopt, remote);
  } while (reply.status == 403 && ++tried < 100);
  EXPECT_EQ(reply.status, 429);
  EXPECT_GE(tried, 20);
  EXPECT_EQ(host.call(AuthEndpoint::register_user, body, std::nullopt, "[2001:db8:1::1]:99").status,
            403);
}

TEST(Login, FloodIsAnsweredInFullAndTheGuardIsServedMeanwhile) {
  TestHost host;
  const ipc::Token token = host.set_up();
  std::vector<ipc::Channel> flood;
  for (int i = 0; i < 40; ++i) {
    const std::string n = std::to_string(i);
    flood.push_back(host.connect("198.51.100." + n + ":1"));
    ASSERT_TRUE(flood.back().send(auth_call(
        AuthEndpoint::login, R"({"username":"user)" + n + R"(","password":"wrong password"})")));
  }
  EXPECT_TRUE(host.lookup(token));
  for (ipc::Channel& connection : flood) {
    const auto reply = next_reply(connection);
    EXPECT_TRUE(reply.status == 401 || reply.status == 503) << reply.status;
  }
}

TEST(Login, TheOldestEndWhenOneAccountHasTooMany) {
  TestHost host;
  const ipc::Token oldest = host.set_up();
  host.crash();
  host.edit_database(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 31) "
      "INSERT INTO logins (account, token_sha256, created_at, last_seen_at, expires_at) SELECT "
      "1, randomblob(32), created_at, last_seen_at + i, expires_at FROM n, logins WHERE id = 1");
  host.start();
  EXPECT_TRUE(host.lookup(oldest));
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
  EXPECT_FALSE(host.lookup(oldest));
  EXPECT_EQ(host.revoked(), std::vector<std::uint64_t>{1});
  host.stop();
  EXPECT_EQ(host.database_value("SELECT count(*) FROM logins"), "32");
}

TEST(Logout, EndsTheLoginAndTellsTheGuard) {
  TestHost host;
  const ipc::Token token = host.set_up();
  const auto login = host.lookup(token)->login;
  const auto reply = host.call(AuthEndpoint::logout, "{}", token);
  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(reply.cookie, CookieAction::clear);
  EXPECT_EQ(reply.body.value, "");
  EXPECT_FALSE(host.lookup(token));
  EXPECT_EQ(host.revoked(), std::vector<std::uint64_t>{login});
  EXPECT_EQ(host.call(AuthEndpoint::me, "", token).status, 401);
  EXPECT_EQ(host.call(AuthEndpoint::logout, "{}", token).status, 204);
}

TEST(Expiry, IdleAndAbsoluteLimitsEndALoginAndTheSweepTellsTheGuard) {
  for (const char* const column : {"last_seen_at", "expires_at"}) {
    TestHost host;
    const ipc::Token token = host.set_up();
    const auto login = host.lookup(token)->login;
    host.crash();
    const std::string name = column;
    host.edit_database("UPDATE logins SET " + name + " = " + name + " - 604800000");
    host.start(TestAuditd::Mode::refuses);  // so that the sweep leaves it there
    EXPECT_FALSE(host.lookup(token)) << column;
    EXPECT_EQ(host.call(AuthEndpoint::me, "", token).status, 401);
    EXPECT_EQ(host.revoked(), std::vector<std::uint64_t>{login}) << "also without a record";
    host.restart();
    EXPECT_EQ(host.revoked(), std::vector<std::uint64_t>{login});
    host.stop();
    EXPECT_EQ(host.database_value("SELECT count(*) FROM logins"), "0");
  }
}

TEST(Expiry, LoginOfADisabledAccountIsNone) {
  TestHost host;
  const ipc::Token token = host.set_up();
  host.crash();
  host.edit_database("UPDATE accounts SET disabled = 1");
  host.start();
  EXPECT_FALSE(host.lookup(token));
}

TEST(Expiry, UseKeepsALoginAlive) {
  TestHost host;
  const ipc::Token token = host.set_up();
  host.crash();
  host.edit_database("UPDATE logins SET last_seen_at = last_seen_at - 3600000");
  const std::string before = host.database_value("SELECT last_seen_at FROM logins");
  host.start();
  EXPECT_TRUE(host.lookup(token));
  host.stop();
  EXPECT_GT(host.database_value("SELECT last_seen_at FROM logins"), before);
}

TEST(Secrets, AreNeitherInTheDatabaseNorInTheAuditLogNorOnStderr) {
  TestHost host;
  const std::string setup_token = host.setup_token();
  const ipc::Token token = host.set_up();
  const std::string code = host.invite();
  host.login("boss", "a wrong password that leaks not");
  std::string haystack = host.all_bytes();
  for (const auto& record : host.records()) {
    for (const auto& field : record.list) haystack += field.value;
  }
  ipc::Token digest{};
  SHA256(token.data(), token.size(), digest.data());
  EXPECT_NE(haystack.find(as_bytes(digest)), std::string::npos) << "the search must work";
  EXPECT_NE(haystack.find("$argon2id$v=19$m=65536,t=3,p=1$"), std::string::npos);
  for (const std::string& secret : {kPassword, as_bytes(token), to_base64url(token), to_hex(token),
                                    setup_token, code, std::string("a wrong password")}) {
    EXPECT_EQ(haystack.find(secret), std::string::npos);
  }
}

TEST(Restart, KeepsAccountsLoginsAndInvites) {
  TestHost host;
  const ipc::Token token = host.set_up();
  const std::string code = host.invite("auditor");
  host.restart();
  EXPECT_TRUE(host.lookup(token));
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
  const auto joined = host.call(AuthEndpoint::register_user,
                                R"({"invite_code":")" + code + R"(","username":"ann","password":)" +
                                    quoted(kPassword) + "}");
  EXPECT_EQ(joined.status, 201);
  EXPECT_EQ(at(joined.body.value, "/user/role"), "auditor");
  EXPECT_EQ(at(joined.body.value, "/user/id"), "2");
}

TEST(Process, IsSealed) {
  TestHost host;
  std::ifstream file("/proc/" + std::to_string(host.pid()) + "/status");
  const std::string status{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos) << status;
  EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos);
  EXPECT_NE(status.find("CapEff:\t0000000000000000"), std::string::npos);
}

TEST(Process, EndsOrderlyWhenTheGuardGoes) {
  TestHost host;
  host.guard() = ipc::Channel();
  EXPECT_EQ(host.stop(), 0);
}

}  // namespace
}  // namespace oqto::accounts
