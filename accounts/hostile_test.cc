// Peers that send what they should not, and an audit log that is not there.
#include <algorithm>

#include "accounts/test_host.h"
#include "base/sys.h"

namespace oqto::accounts {
namespace {

using ipc::AdminVerb;
using ipc::AuthEndpoint;

TEST(Body, EveryMalformedOneGetsOneClear400) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  const std::vector<std::pair<AuthEndpoint, std::string>> bodies = {
      {AuthEndpoint::login, ""},
      {AuthEndpoint::login, "null"},
      {AuthEndpoint::login, "[]"},
      {AuthEndpoint::login, "7"},
      {AuthEndpoint::login, "\"text\""},
      {AuthEndpoint::login, "{"},
      {AuthEndpoint::login, "{} {}"},
      {AuthEndpoint::login, "{}"},
      {AuthEndpoint::login, R"({"username":"boss"})"},
      {AuthEndpoint::login, R"({"username":7,"password":"x"})"},
      {AuthEndpoint::login, R"({"username":"boss","password":null})"},
      {AuthEndpoint::login, R"({"username":"boss","password":["x"]})"},
      {AuthEndpoint::login, R"({"username":{"$ne":""},"password":"x"})"},
      {AuthEndpoint::login, R"({"username":"boss","password":"x","role":"admin"})"},
      {AuthEndpoint::login, R"({"username":"boss","username":"ann","password":"x"})"},
      {AuthEndpoint::login, R"({"username":"","password":"x"})"},
      {AuthEndpoint::login, R"({"username":"boss","password":")" + std::string(257, 'x') + "\"}"},
      {AuthEndpoint::login, R"({"username":")" + std::string(9000, 'u') + R"(","password":"x"})"},
      {AuthEndpoint::login, "{\"username\":\"\xff\xfe\",\"password\":\"x\"}"},
      {AuthEndpoint::login, R"({"username":"\ud800","password":"x"})"},
      {AuthEndpoint::login, std::string(16'000, '[')},
      {AuthEndpoint::login, R"({"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1})"},
      {AuthEndpoint::setup, R"({"token":1,"username":"a","password":"b"})"},
      {AuthEndpoint::register_user, R"({"invite_code":true,"username":"a","password":"b"})"},
      {AuthEndpoint::logout, R"({"all":true})"},
      {AuthEndpoint::create_invite, R"({"role":"boss"})"},
      {AuthEndpoint::create_invite, R"({"role":0})"},
      {AuthEndpoint::create_invite, R"({"expires_hours":0})"},
      {AuthEndpoint::create_invite, R"({"expires_hours":721})"},
      {AuthEndpoint::create_invite, R"({"expires_hours":-1})"},
      {AuthEndpoint::create_invite, R"({"expires_hours":1.5})"},
      {AuthEndpoint::create_invite, R"({"expires_hours":"72"})"},
      {AuthEndpoint::create_invite, R"({"expires_hours":1e999})"},
      {AuthEndpoint::revoke_invite, R"({"id":"1 OR 1=1"})"},
      {AuthEndpoint::revoke_invite, R"({"id":99999999999999999999})"}};
  ipc::Channel connection = host.connect();  // one connection for all: nothing else stops
  for (const auto& [endpoint, body] : bodies) {
    ASSERT_TRUE(connection.send(auth_call(endpoint, body, admin)));
    const auto reply = next_reply(connection);
    EXPECT_EQ(reply.status, 400) << body.substr(0, 80);
    EXPECT_EQ(reply.cookie, ipc::CookieAction::keep);
    EXPECT_EQ(at(reply.body.value, "/code"), "BAD_REQUEST");
    EXPECT_GT(at(reply.body.value, "/error").size(), 10U);
  }
  EXPECT_TRUE(host.lookup(admin));
}

TEST(Body, SqlInTextIsOnlyText) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  const std::string attack = "boss'; DELETE FROM accounts; --";
  EXPECT_EQ(host.login(attack, attack).status, 401);
  EXPECT_EQ(host.login("boss' --", "x").status, 401);
  EXPECT_EQ(host.login("boss", "' OR 'a'='a").status, 401);
  EXPECT_TRUE(host.lookup(admin));
  host.stop();
  EXPECT_EQ(host.database_value("SELECT count(*) FROM accounts"), "1");
  EXPECT_EQ(host.database_value("SELECT count(*) FROM guess_throttle WHERE source = "
                                "'network 192.0.2.0/24 boss''; DELETE FROM accounts; --'"), "1");
}

TEST(Connection, SecondCallBeforeTheAnswerEndsOnlyThatConnection) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  ipc::Channel connection = host.connect();
  const auto call = auth_call(AuthEndpoint::login, R"({"username":"boss","password":"wrong one"})");
  ASSERT_TRUE(connection.send(call));
  ASSERT_TRUE(connection.send(call));
  const auto received = connection.wait(kAnswerMs);
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code, Errc::unavailable);
  EXPECT_TRUE(host.lookup(admin));
  const auto lines = summary(host.records());
  EXPECT_NE(std::find(lines.begin(), lines.end(), "violation event failure"), lines.end());
}

TEST(Connection, ForeignMessagesEndOnlyThatConnection) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  ipc::Channel first = host.connect();
  ASSERT_TRUE(first.send(ipc::AdminCall{.verb = AdminVerb::list_accounts, .body = {"{}"}}));
  EXPECT_FALSE(first.wait(kAnswerMs)) << "the operator's verbs are not for browsers";
  ipc::Channel second = host.connect();
  ASSERT_TRUE(second.send(ipc::LookupToken{.request = 1, .token = admin}));
  EXPECT_FALSE(second.wait(kAnswerMs)) << "looking up tokens is for the guard";
  ipc::Channel third = host.connect();
  ASSERT_TRUE(third.send(ipc::AuthPeer{.connection = 1, .remote = "x"},
                         sys::seqpacket_pair()->first));
  EXPECT_FALSE(third.wait(kAnswerMs));
  EXPECT_TRUE(host.lookup(admin));
}

TEST(Connection, LeavingWhileThePasswordIsCheckedHarmsNobody) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  for (int i = 0; i < 4; ++i) {
    ipc::Channel connection = host.connect();
    ASSERT_TRUE(connection.send(
        auth_call(AuthEndpoint::login, R"({"username":"ann","password":"wrong password"})")));
  }
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
  EXPECT_TRUE(host.lookup(admin));
}

TEST(Relay, ThatBreaksTheProtocolLosesItsChannelAndANewOneIsWired) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  ipc::Channel before = host.connect();
  ASSERT_TRUE(before.send(auth_call(AuthEndpoint::state, "")));
  EXPECT_EQ(next_reply(before).status, 200);
  ASSERT_TRUE(host.relay().send(ipc::LookupToken{.request = 1, .token = admin}));
  EXPECT_FALSE(host.relay().wait(kAnswerMs));
  host.wire_relay();
  EXPECT_EQ(host.call(AuthEndpoint::me, "", admin).status, 200);
  ASSERT_TRUE(before.send(auth_call(AuthEndpoint::me, "", admin)));
  EXPECT_EQ(next_reply(before).status, 200) << "connections made before go on";
}

TEST(Relay, ThatDiesIsReplaced) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  host.break_relay();
  EXPECT_TRUE(host.lookup(admin));
  host.wire_relay();
  EXPECT_EQ(host.call(AuthEndpoint::me, "", admin).status, 200);
}

TEST(Audit, RecordsIntentBeforeAndOutcomeAfterEachChange) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  host.login("boss", "wrong password");
  host.login("Who?", "wrong password");
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
  host.call(AuthEndpoint::create_invite, "{}", admin);
  host.call(AuthEndpoint::revoke_invite, R"({"id":1})", admin);
  host.join("ann");
  host.admin(AdminVerb::disable, R"({"username":"ann","disabled":true})");
  host.call(AuthEndpoint::logout, "{}", admin);
  (void)host.admin(AdminVerb::setup_link);  // its record shows that all before it have arrived
  EXPECT_EQ(summary(host.records()),
            (std::vector<std::string>{
                "admin event success", "setup intent", "setup outcome success",
                "login event failure", "login event failure", "login intent",
                "login outcome success", "invite.create intent", "invite.create outcome success",
                "invite.revoke intent", "invite.revoke outcome success", "invite.create intent",
                "invite.create outcome success", "account.create intent",
                "account.create outcome success", "account.change intent",
                "account.change outcome success", "logout intent", "logout outcome success",
                "admin event success"}));
  const auto records = host.records();
  EXPECT_EQ(records[2].intent, 1U) << "an outcome names its intent";
  const auto& fields = records[4].list;
  const auto typed = std::find_if(fields.begin(), fields.end(), [](const auto& field) {
    return field.key == ipc::FieldKey::username;
  });
  ASSERT_NE(typed, fields.end());
  EXPECT_EQ(typed->value, "Who?");
}

// But for what only takes away: full_disk_test.cc.
void expect_nothing_works(TestHost& host, const ipc::Token& admin, const std::string& code) {
  const std::string sign_up = R"({"invite_code":")" + code + R"(","username":"ann","password":)" +
                              quoted(kPassword) + "}";
  for (const auto& reply : {host.login("boss", kPassword), host.login("boss", "wrong password"),
                            host.call(AuthEndpoint::register_user, sign_up),
                            host.call(AuthEndpoint::create_invite, "{}", admin),
                            host.call(AuthEndpoint::revoke_invite, R"({"id":1})", admin)}) {
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(reply.cookie, ipc::CookieAction::keep);
    EXPECT_EQ(at(reply.body.value, "/code"), "SERVICE_UNAVAILABLE");
    EXPECT_EQ(at(reply.body.value, "/error"),
              "the audit log is not available; nothing was changed");
  }
  EXPECT_EQ(host.admin(AdminVerb::create_invite).ok, 0);
  EXPECT_EQ(host.admin(AdminVerb::reset_password, R"({"username":"boss"})").ok, 0);
  EXPECT_TRUE(host.lookup(admin)) << "reading still works";
}

TEST(Audit, WithoutItNothingChangesAndItWorksAgainWhenItIsBack) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  const std::string code = host.invite();
  host.audit_gone();
  expect_nothing_works(host, admin, code);
  host.wire_audit(TestAuditd::Mode::refuses);
  expect_nothing_works(host, admin, code);
  host.wire_audit();
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
  host.stop();
  EXPECT_EQ(host.database_value("SELECT count(*) FROM accounts WHERE disabled = 0"), "1");
  EXPECT_EQ(host.database_value("SELECT count(*) FROM logins"), "2");
  EXPECT_EQ(host.database_value("SELECT count(*) FROM invites WHERE revoked = 0 "
                                "AND used_by IS NULL"), "1");
}

TEST(Audit, ThatIsSilentIsNotWaitedForForEver) {
  TestHost host;
  host.set_up();
  host.wire_audit(TestAuditd::Mode::is_silent);
  EXPECT_EQ(host.login("boss", kPassword).status, 503);
  host.wire_audit();
  EXPECT_EQ(host.login("boss", kPassword).status, 200);
}

TEST(Audit, SetupWithoutItLeavesTheLinkAlive) {
  TestHost host;
  const std::string body = R"({"token":")" + host.setup_token() +
                           R"(","username":"boss","password":)" + quoted(kPassword) + "}";
  host.audit_gone();
  EXPECT_EQ(host.call(AuthEndpoint::setup, body).status, 503);
  host.wire_audit();
  EXPECT_EQ(host.call(AuthEndpoint::setup, body).status, 201);
}

}  // namespace
}  // namespace oqto::accounts
