#include "cli/test_guard.h"

namespace oqto::cli {
namespace {

using ipc::AdminVerb;

TEST(People, ResetPasswordPrintsALinkWithItsEnd) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, AdminVerb::reset_password, R"({"username":"a\"b","expires_hours":24})",
                   R"({"username":"ann","code":"CODE","expires_at":1772357400000})");
  });
  const Ran ran = oqtoctl({"accounts", "reset-password", "a\"b", "--state", guard.state()});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "https://localhost:8443/#reset=CODE\nFor a new password of ann, once, until "
                     "2026-03-01T09:30:00+00:00. Using it ends every login.\n");
  EXPECT_NE(oqtoctl({"accounts", "reset-password", "a\"b", "--json", "--state", guard.state()})
                .out.find("\"url\": \"https://localhost:8443/#reset=CODE\""), std::string::npos);
}

TEST(People, LoginsAreListedAndWhatTheirBrowsersCallThemselvesReachesNoTerminal) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, AdminVerb::list_logins, R"({"username":"ann"})",
                   R"({"logins":[{"id":7,"created_at":1772357400000,"last_seen_at":1772357400000,)"
                   R"("expires_at":1772357400000,"remote":"192.0.2.1:5","agent":"x\u001b[2J","current":false}]})");
  });
  const Ran ran = oqtoctl({"accounts", "logins", "ann", "--state", guard.state()});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find("7      2026-03-01T09:30:00+00:00"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("192.0.2.1:5"), std::string::npos);
  EXPECT_EQ(ran.out.find('\x1b'), std::string::npos);
}

TEST(People, OneLoginOrAllAreRevoked) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, AdminVerb::revoke_logins, R"({"username":"ann","id":7})", R"({"revoked":1,"logins":[7]})");
  });
  EXPECT_EQ(oqtoctl({"accounts", "revoke", "ann", "7", "--state", guard.state()}).out, "1 login of ann was ended: 7.\n");
  FakeGuard all;
  all.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, AdminVerb::revoke_logins, R"({"username":"ann"})", R"({"revoked":2,"logins":[7,9]})");
  });
  EXPECT_EQ(oqtoctl({"accounts", "revoke", "ann", "--state", all.state()}).out, "2 logins of ann were ended: 7, 9.\n");
  EXPECT_NE(oqtoctl({"accounts", "revoke", "ann", "--json", "--state", all.state()}).out.find("\"revoked\": 2"), std::string::npos);
}

TEST(People, EnablingAnActiveAccountSaysThatNothingChanged) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, AdminVerb::disable, R"({"username":"ann","disabled":false})", R"({"changed":false})");
  });
  EXPECT_EQ(oqtoctl({"accounts", "enable", "ann", "--state", guard.state()}).out,
            "ann is active already; nothing was changed.\n");
  EXPECT_EQ(oqtoctl({"accounts", "enable", "ann", "--json", "--state", guard.state()}).out, "{\n  \"changed\": false\n}\n");
}

TEST(People, InvitationsAreListedWithTheirStateAndRevoked) {
  FakeGuard guard;
  guard.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, AdminVerb::list_invites, "{}",
                   R"({"invites":[{"id":3,"role":"admin","state":"suspended","made_by":"bob","created_at":1772357400000,)"
                   R"("expires_at":1772357400000,"used_by":null}]})");
  });
  const Ran ran = oqtoctl({"invites", "--state", guard.state()});
  EXPECT_EQ(ran.out, "ID  STATE      ROLE   MADE BY  CREATED                    EXPIRES                    USED BY\n"
                     "3   suspended  admin  bob      2026-03-01T09:30:00+00:00  2026-03-01T09:30:00+00:00  -\n") << ran.err;
  FakeGuard other;
  other.listen([](ipc::Channel& channel, const ipc::CtlRequest&) {
    serve_accounts(channel, AdminVerb::revoke_invite, R"({"id":3})", "{}");
  });
  EXPECT_EQ(oqtoctl({"invites", "revoke", "3", "--state", other.state()}).out, "The invitation was revoked.\n");
}

}  // namespace
}  // namespace oqto::cli
