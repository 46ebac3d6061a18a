// Browsers that an account knows, and copies of their cookies.
#include <utility>

#include "accounts/test_password.h"

namespace oqto::accounts {
namespace {

using ipc::AdminVerb;
using ipc::AuthEndpoint;
using ipc::CookieAction;

// Whether this cookie has a count of guesses of its own: five wrong ones from a network leave a known device alone.
bool is_known(TestHost& host, const std::string& name, const ipc::Token& device, const std::string& remote) {
  const auto before = std::exchange(host.device, std::nullopt);
  for (int i = 0; i < 6; ++i) (void)host.login(name, "wrong password", remote);
  host.device = device;
  const auto status = host.login(name, "wrong password", remote).status;
  host.device = before;
  EXPECT_TRUE(status == 401 || status == 429) << status;
  return status == 401;
}

TEST(Devices, AttackACopiedCookieIsWorthNothingAfterAChangeOfThePassword) {
  for (const std::string more : {"", R"(,"keep_others":true)"}) {
    TestHost host;
    host.set_up();
    const auto elsewhere = host.login("boss", kPassword);
    const auto owner = host.login("boss", kPassword);
    EXPECT_TRUE(is_known(host, "boss", owner.device, "198.51.100.1:1")) << "before";
    host.device = owner.device;
    const auto changed = host.call(AuthEndpoint::change_password, change(kPassword, kNew, more), owner.token);
    ASSERT_EQ(changed.status, 200);
    EXPECT_EQ(changed.device_cookie, CookieAction::set);
    EXPECT_FALSE(is_known(host, "boss", elsewhere.device, "198.51.101.1:1")) << more;
    EXPECT_FALSE(is_known(host, "boss", owner.device, "198.51.102.1:1")) << "a copy of this browser's " << more;
    EXPECT_TRUE(is_known(host, "boss", changed.device, "198.51.103.1:1")) << "the browser itself " << more;
    host.crash();
    EXPECT_EQ(host.database_value("SELECT count(*) FROM devices"), "1");
  }
}

TEST(Devices, AttackACopiedCookieIsWorthNothingAfterAReset) {
  TestHost host;
  host.set_up();
  const auto owner = host.login("boss", kPassword);
  host.device = owner.device;
  const auto done = host.call(AuthEndpoint::reset_password, reset(make_reset(host, "boss")));
  ASSERT_EQ(done.status, 200);
  EXPECT_FALSE(is_known(host, "boss", owner.device, "198.51.100.1:1"));
  EXPECT_TRUE(is_known(host, "boss", done.device, "198.51.101.1:1"));
}

TEST(Devices, AttackACopiedCookieIsWorthNothingAfterTheNextSignInOfItsBrowser) {
  TestHost host;
  host.set_up();
  host.join("ann");
  const auto boss = host.login("boss", kPassword);
  host.device = boss.device;
  const auto again = host.login("boss", kPassword);
  EXPECT_FALSE(is_known(host, "boss", boss.device, "198.51.100.1:1"));
  EXPECT_TRUE(is_known(host, "boss", again.device, "198.51.101.1:1"));
  host.device = again.device;
  const auto ann = host.login("ann", kPassword);  // one browser, two people: it is known to the last one
  EXPECT_TRUE(is_known(host, "ann", ann.device, "198.51.102.1:1"));
  EXPECT_FALSE(is_known(host, "boss", ann.device, "198.51.103.1:1"));
}

TEST(Devices, AttackSigningInToOnesOwnAccountWithACopiedCookieTakesNothingFromItsOwner) {
  TestHost host;
  host.set_up();
  host.join("eve");
  const auto boss = host.login("boss", kPassword);
  host.device = boss.device;  // a copy
  const auto eve = host.login("eve", kPassword);
  EXPECT_FALSE(is_known(host, "boss", eve.device, "198.51.100.1:1")) << "no trust that was not hers";
  EXPECT_TRUE(is_known(host, "boss", boss.device, "198.51.101.1:1")) << "the owner's browser";
  host.device = boss.device;
  ASSERT_EQ(host.login("boss", kPassword).status, 200);
  EXPECT_FALSE(is_known(host, "boss", boss.device, "198.51.102.1:1")) << "the copy, from then on";
}

TEST(Devices, AttackNothingRenewsOneBeyondItsLife) {
  TestHost host;
  host.set_up();
  host.join("ann");
  host.device = host.login("boss", kPassword).device;
  host.crash();
  host.edit_database("UPDATE devices SET created_at = created_at - 60 * 24 * 3600 * 1000");
  host.start();
  EXPECT_FALSE(is_known(host, "boss", *host.device, "198.51.100.1:1"));
  const auto ann = host.login("ann", kPassword);  // who shows it
  EXPECT_FALSE(is_known(host, "boss", ann.device, "198.51.101.1:1"));
}

TEST(Devices, EndWithTheLoginsOfTheAccount) {
  TestHost host;
  host.set_up();
  const auto elsewhere = host.login("boss", kPassword);
  const auto here = host.login("boss", kPassword);
  host.device = here.device;
  ASSERT_EQ(host.call(AuthEndpoint::end_logins, R"({"others":true})", here.token).status, 200);
  EXPECT_FALSE(is_known(host, "boss", elsewhere.device, "198.51.100.1:1"));
  EXPECT_TRUE(is_known(host, "boss", here.device, "198.51.101.1:1"));
  ASSERT_EQ(host.admin(AdminVerb::revoke_logins, R"({"username":"boss"})").ok, 1);
  EXPECT_FALSE(is_known(host, "boss", here.device, "198.51.102.1:1"));
}

}  // namespace
}  // namespace oqto::accounts
