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
           {"root", kPassword, 409},
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

TEST(Operator, ListsAccountsAndMakesInvites) {
  TestHost host;
  host.set_up();
  host.join("ann");
  const std::string list = host.admin(AdminVerb::list_accounts).body.value;
  EXPECT_EQ(at(list, "/accounts/0/username"), "root");
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
  const auto login = host.lookup(ann)->login;
  ASSERT_EQ(host.admin(AdminVerb::disable, R"({"username":"ann","disabled":true})").ok, 1);
  EXPECT_FALSE(host.lookup(ann));
  EXPECT_EQ(host.revoked(), std::vector<std::uint64_t>{login});
  ASSERT_EQ(host.admin(AdminVerb::disable, R"({"username":"ann","disabled":false})").ok, 1);
  EXPECT_FALSE(host.lookup(ann)) << "the old login stays ended";
  EXPECT_EQ(host.login("ann", kPassword).status, 200);
}

TEST(Operator, RevokesLoginsOfOneAccount) {
  TestHost host;
  const ipc::Token root = host.set_up();
  const ipc::Token ann = host.join("ann");
  const auto reply = host.admin(AdminVerb::revoke_logins, R"({"username":"ann"})");
  EXPECT_EQ(reply.body.value, R"({"revoked":1})");
  EXPECT_FALSE(host.lookup(ann));
  EXPECT_TRUE(host.lookup(root));
  const auto unknown = host.admin(AdminVerb::revoke_logins, R"({"username":"' OR 1=1 --"})");
  EXPECT_EQ(unknown.ok, 0);
  EXPECT_TRUE(host.lookup(root));
}

}  // namespace
}  // namespace oqto::accounts
