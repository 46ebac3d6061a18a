#include <algorithm>

#include "accounts/test_host.h"

namespace oqto::accounts {
namespace {

using ipc::AdminVerb;
using ipc::AuthEndpoint;

std::string register_body(const std::string& code, const std::string& username,
                          const std::string& password = kPassword) {
  return "{\"invite_code\":" + quoted(code) + ",\"username\":" + quoted(username) +
         ",\"password\":" + quoted(password) + "}";
}

TEST(Invites, AdministratorMakesOneThatWorksOnce) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  const auto made = host.call(AuthEndpoint::create_invite, R"({"role":"user","expires_hours":1})",
                              admin);
  ASSERT_EQ(made.status, 201) << made.body.value;
  const std::string code = at(made.body.value, "/code");
  EXPECT_EQ(at(made.body.value, "/invite/role"), "user");

  const auto joined = host.call(AuthEndpoint::register_user, register_body(code, "ann"));
  EXPECT_EQ(joined.status, 201);
  EXPECT_EQ(joined.body.value, R"({"user":{"id":2,"role":"user","username":"ann"}})");
  EXPECT_TRUE(host.lookup(joined.token));
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, "bob")).status, 403);

  const auto list = host.call(AuthEndpoint::list_invites, "", admin);
  EXPECT_EQ(at(list.body.value, "/invites/0/used_by"), "ann");
}

TEST(Invites, TwoAtOnceWithOneCodeMakeOneAccount) {
  TestHost host;
  host.set_up();
  const std::string code = host.invite();
  ipc::Channel first = host.connect();
  ipc::Channel second = host.connect();
  ASSERT_TRUE(first.send(auth_call(AuthEndpoint::register_user, register_body(code, "ann"))));
  ASSERT_TRUE(second.send(auth_call(AuthEndpoint::register_user, register_body(code, "bob"))));
  std::vector<std::uint16_t> statuses{next_reply(first).status, next_reply(second).status};
  std::sort(statuses.begin(), statuses.end());
  EXPECT_EQ(statuses, (std::vector<std::uint16_t>{201, 403}));
}

TEST(Invites, TwoAtOnceWithOneNameMakeOneAccount) {
  TestHost host;
  host.set_up();
  ipc::Channel first = host.connect();
  ipc::Channel second = host.connect();
  const auto one = auth_call(AuthEndpoint::register_user, register_body(host.invite(), "ann"));
  const auto two = auth_call(AuthEndpoint::register_user, register_body(host.invite(), "ann"));
  ASSERT_TRUE(first.send(one));
  ASSERT_TRUE(second.send(two));
  std::vector<std::uint16_t> statuses{next_reply(first).status, next_reply(second).status};
  std::sort(statuses.begin(), statuses.end());
  EXPECT_EQ(statuses, (std::vector<std::uint16_t>{201, 409}));
}

TEST(Invites, RevokedOrExpiredOnesAreDead) {
  TestHost host;
  const ipc::Token admin = host.set_up();
  const auto made = host.call(AuthEndpoint::create_invite, "{}", admin);
  const std::string id = "{\"id\":" + at(made.body.value, "/invite/id") + "}";
  EXPECT_EQ(host.call(AuthEndpoint::revoke_invite, id, admin).status, 204);
  EXPECT_EQ(host.call(AuthEndpoint::revoke_invite, id, admin).status, 404);
  const std::string revoked = at(made.body.value, "/code");
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(revoked, "ann")).status, 403);

  const std::string expired = host.invite();
  host.crash();
  host.edit_database("UPDATE invites SET expires_at = 1");
  host.start();
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(expired, "ann")).status, 403);
}

TEST(Invites, AreForAdministratorsOnly) {
  TestHost host;
  host.set_up();
  for (const std::string role : {"user", "auditor"}) {
    const ipc::Token token = host.join("a-" + role, role);
    for (const auto endpoint : {AuthEndpoint::list_invites, AuthEndpoint::create_invite,
                                AuthEndpoint::revoke_invite}) {
      EXPECT_EQ(host.call(endpoint, "{}", token).status, 403) << role;
      EXPECT_EQ(host.call(endpoint, "{}").status, 401);
      EXPECT_EQ(host.call(endpoint, "{}", ipc::Token{1, 2, 3}).status, 401);
    }
  }
}

TEST(Invites, RefusedRegistrationLeavesTheInvitationOpen) {
  TestHost host;
  host.set_up();
  const std::string code = host.invite();
  for (const auto& [username, password, status] :
       std::vector<std::tuple<std::string, std::string, int>>{
           {"boss", kPassword, 409},
           {"Ann", kPassword, 400},
           {"x'; DROP TABLE accounts; --", kPassword, 400},
           {"ann", "short", 400},
           {"ann", "PasswordPassword", 400},
           {"annabell", "annabellannabell", 400}}) {
    const auto reply = host.call(AuthEndpoint::register_user,
                                 register_body(code, username, password));
    EXPECT_EQ(reply.status, status) << username << ' ' << reply.body.value;
  }
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, "ann")).status, 201);
}

TEST(Invites, NoAccountIsMadeBeyondTheLastNumber) {
  TestHost host;
  host.set_up();
  const std::string code = host.invite();
  host.crash();
  host.edit_database("INSERT INTO accounts (id, username, password_hash, role, created_at) "
                     "VALUES (65535, 'last', '', 'user', 1)");
  host.start();
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, "ann")).status, 409);
  host.stop();
  EXPECT_EQ(host.database_value("SELECT count(*) FROM invites WHERE used_by IS NULL"), "1");
}

TEST(Invites, PasswordMayHoldAnyCharacters) {
  TestHost host;
  host.set_up();
  const std::string password = std::string("quote ' \" \\ nul ") + '\0' +
                               " \xe2\x82\xac \xf0\x9f\x90\xb4";
  ASSERT_EQ(host.call(AuthEndpoint::register_user,
                      register_body(host.invite(), "ann", password)).status, 201);
  EXPECT_EQ(host.login("ann", password).status, 200);
  EXPECT_EQ(host.login("ann", password.substr(0, 16)).status, 401) << "not cut at the NUL";
}

TEST(Invites, AttackThoseOfADisabledAdministratorDoNotOpenBeforeTheirMakerIsBack) {
  TestHost host;
  const ipc::Token boss = host.set_up();
  const ipc::Token second = host.join("second", "admin");
  const std::string code = at(host.call(AuthEndpoint::create_invite, R"({"role":"admin"})", second).body.value, "/code");
  ASSERT_EQ(host.admin(AdminVerb::disable, R"({"username":"second","disabled":true})").ok, 1);
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, "mallory")).status, 403);
  const auto list = host.call(AuthEndpoint::list_invites, "", boss).body.value;
  EXPECT_EQ(at(list, "/invites/0/state"), "suspended");
  EXPECT_EQ(at(list, "/invites/0/made_by"), "second");
  ASSERT_EQ(host.admin(AdminVerb::disable, R"({"username":"second","disabled":false})").ok, 1);
  host.crash();
  host.edit_database("UPDATE accounts SET role = 'user' WHERE username = 'second'");
  host.start();
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, "mallory")).status, 403)
      << "no administrator any more";
  host.crash();
  host.edit_database("UPDATE accounts SET role = 'admin' WHERE username = 'second'");
  host.start();
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, "ann")).status, 201);
}

TEST(Invites, AttackManyDeadOnesHideNoOpenOneAndTheOperatorRevokesIt) {
  TestHost host;
  const ipc::Token boss = host.set_up();
  const std::string code = at(host.call(AuthEndpoint::create_invite, R"({"role":"admin"})", boss).body.value, "/code");
  host.crash();
  host.edit_database("WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 300) INSERT INTO invites "
                     "(code_sha256, role, created_at, expires_at) SELECT randomblob(32), 'user', 1, 1 FROM n");
  host.start();
  for (const auto& list : {host.call(AuthEndpoint::list_invites, "", boss).body.value,
                           host.admin(AdminVerb::list_invites).body.value}) {
    EXPECT_EQ(at(list, "/invites/0/id"), "1");
    EXPECT_EQ(at(list, "/invites/0/state"), "open");
    EXPECT_EQ(at(list, "/invites/1/state"), "expired");
  }
  EXPECT_EQ(host.admin(AdminVerb::revoke_invite, R"({"id":1})").ok, 1);
  EXPECT_EQ(host.admin(AdminVerb::revoke_invite, R"({"id":1})").ok, 0);
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, "ann")).status, 403);
}

TEST(Invites, TheLongestListOfThemFitsIntoAnAnswer) {
  TestHost host;
  const ipc::Token boss = host.set_up(std::string(32, 'b'));
  host.crash();
  host.edit_database("WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 300) INSERT INTO invites "
                     "(id, code_sha256, role, created_at, expires_at, created_by, used_by, used_at) SELECT "
                     "1000000000 + i, randomblob(32), 'auditor', 1700000000000, 9700000000000, 1, 1, 1 FROM n");
  host.start();
  EXPECT_EQ(at(host.call(AuthEndpoint::list_invites, "", boss).body.value, "/invites/199/state"), "used");
}

TEST(Invites, WhoHasOneLearnsWhatBecameOfItAndWhoGuessesLearnsNothing) {
  TestHost host;
  host.set_up();
  const std::string used = host.invite();
  ASSERT_EQ(host.call(AuthEndpoint::register_user, register_body(used, "ann")).status, 201);
  const std::string expired = host.invite();
  host.crash();
  host.edit_database("UPDATE invites SET expires_at = 1 WHERE used_by IS NULL");
  host.start();
  const auto say = [&](const std::string& code) {
    return at(host.call(AuthEndpoint::register_user, register_body(code, "bob")).body.value, "/error");
  };
  EXPECT_NE(say(used).find("used already"), std::string::npos);
  EXPECT_NE(say(expired).find("has expired"), std::string::npos);
  EXPECT_EQ(say(std::string(43, 'A')), "this invitation is not valid: ask for another one");
}

TEST(Names, AttackLookAlikesAndTheHostsOwnNamesAreRefusedAndOldAccountsStayValid) {
  TestHost host;
  host.set_up();
  (void)host.join("alice");
  const std::string code = host.invite();
  for (const auto* name : {"root", "system", "oqto", "oqto-guard", "admin"}) {
    EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, name), std::nullopt,
                        std::string("[2001:db8:") + std::to_string(std::string(name).size()) + "::1]:1").status, 409) << name;
  }
  for (const auto* name : {"alice.", "alice--", "al..ice"}) {
    EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, name)).status, 400) << name;
  }
  for (const auto* name : {"a.lice", "al-ice", "a_l_i_c_e"}) {
    EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, name)).status, 409) << name;
  }
  host.crash();
  host.edit_database("UPDATE accounts SET username = 'alice.' WHERE username = 'alice'");
  host.start();
  EXPECT_EQ(host.login("alice.", kPassword).status, 200);
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, "alice")).status, 409);
  EXPECT_EQ(host.call(AuthEndpoint::register_user, register_body(code, "alicia")).status, 201);
}

TEST(Operator, ListsAccountsAndMakesInvites) {
  TestHost host;
  host.set_up();
  host.join("ann");
  const std::string list = host.admin(AdminVerb::list_accounts).body.value;
  EXPECT_EQ(at(list, "/accounts/0/username"), "boss");
  EXPECT_EQ(at(list, "/accounts/1/username"), "ann");
  EXPECT_EQ(at(list, "/accounts/1/disabled"), "false");
  EXPECT_EQ(at(host.admin(AdminVerb::list_accounts, R"({"after":1})").body.value,
               "/accounts/0/username"), "ann");
  EXPECT_EQ(at(host.admin(AdminVerb::list_invites).body.value, "/invites/0/used_by"), "ann");
}

TEST(Operator, DisablesAnAccountAndItsLiveLogins) {
  TestHost host;
  host.set_up();
  const ipc::Token ann = host.join("ann");
  ASSERT_TRUE(host.lookup(ann));
  ASSERT_EQ(host.admin(AdminVerb::disable, R"({"username":"ann","disabled":true})").ok, 1);
  EXPECT_FALSE(host.lookup(ann));
  EXPECT_EQ(host.ended(), (std::vector<TestHost::Ended>{{2, true}}));
  ASSERT_EQ(host.admin(AdminVerb::disable, R"({"username":"ann","disabled":false})").ok, 1);
  EXPECT_FALSE(host.lookup(ann)) << "the old login stays ended";
  EXPECT_EQ(host.login("ann", kPassword).status, 200);
}

TEST(Operator, RevokesLoginsOfOneAccount) {
  TestHost host;
  const ipc::Token root = host.set_up();
  const ipc::Token ann = host.join("ann");
  const auto reply = host.admin(AdminVerb::revoke_logins, R"({"username":"ann"})");
  EXPECT_EQ(at(reply.body.value, "/revoked"), "1");
  EXPECT_EQ(at(reply.body.value, "/logins/0"), "2") << "the second login of this host";
  EXPECT_FALSE(host.lookup(ann));
  EXPECT_TRUE(host.lookup(root));
  const auto unknown = host.admin(AdminVerb::revoke_logins, R"({"username":"' OR 1=1 --"})");
  EXPECT_EQ(unknown.ok, 0);
  EXPECT_TRUE(host.lookup(root));
}

}  // namespace
}  // namespace oqto::accounts
