#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <filesystem>

#include "accounts/hasher.h"
#include "accounts/rules.h"
#include "accounts/secrets.h"
#include "accounts/store.h"
#include "accounts/throttle.h"

namespace oqto::accounts {
namespace {

TEST(Rules, UsernamesAreLowerCaseNamesOfTwoToThirtyTwo) {
  for (const auto* good : {"ab", "ann", "a.b_c-9", "abcdefghijklmnopqrstuvwxyz012345"}) {
    EXPECT_FALSE(username_problem(good)) << good;
  }
  for (const auto* bad : {"", "a", "9ab", ".ab", "Ann", "a b", "a/b", "../ab", "a\n",
                          "\xc3\xa4nn", "abcdefghijklmnopqrstuvwxyz0123456"}) {
    EXPECT_TRUE(username_problem(bad)) << bad;
  }
  EXPECT_TRUE(username_problem(std::string_view("ab\0", 3)));
}

TEST(Rules, PasswordsThatAttackersTryFirstAreRefused) {
  for (const auto* bad : {"short", "password1234", "PassWordPassWord", "aaaaaaaaaaaa",
                          "abababababab", "123456789012", "210987654321", "abcdefghijklmnop",
                          "annabellannabell", "annabell2024", "qwertyuiop123"}) {
    EXPECT_TRUE(password_problem(bad, "annabell")) << bad;
  }
  EXPECT_TRUE(password_problem(std::string(257, 'x') + "abcdefg", "ann"));
  for (const auto* good : {"a blue horse on the roof", "annabell and her 3 cats", "12 Monkeys ran",
                           "\xe2\x82\xac\xe2\x82\xac\xc3\xa4\xc3\xb6\xc3\xbc 7"}) {
    EXPECT_FALSE(password_problem(good, "annabell")) << good;
  }
}

TEST(Throttle, DelaysDoubleAfterTheFreeFailuresUpToTheBound) {
  EXPECT_EQ(delay_after_s(4), 0U);
  EXPECT_EQ(delay_after_s(5), 2U);
  EXPECT_EQ(delay_after_s(6), 4U);
  EXPECT_EQ(delay_after_s(13), 512U);
  EXPECT_EQ(delay_after_s(14), 900U);
  EXPECT_EQ(delay_after_s(1'000'000), 900U);
}

TEST(Rules, NamesThatLookLikeTheHostsOwnOrLikeAnothersAreRefused) {
  for (const auto* bad : {"alice.", "alice--", "al..ice", "a-", "a.-b", "x__y"}) {
    EXPECT_TRUE(username_problem(bad)) << bad;
  }
  for (const auto* bad : {"root", "r.o.o.t", "ro0t", "system", "sys-tem", "oqto", "oqt0", "oqto-guard", "audit-d"}) {
    EXPECT_TRUE(is_reserved(bad, true)) << bad;
  }
  EXPECT_TRUE(is_reserved("admin", false));
  EXPECT_FALSE(is_reserved("admin", true));
  EXPECT_FALSE(is_reserved("rooter", false));
  EXPECT_EQ(skeleton_of("a-l.i_ce"), "alice");
  EXPECT_EQ(skeleton_of("b0b-1"), "bobl");
}

TEST(Throttle, CountsIpv4ByAddressAndIpv6ByNetwork) {
  EXPECT_EQ(remote_prefix("192.0.2.7:4711"), "192.0.2.7");
  EXPECT_EQ(remote_prefix("[::ffff:192.0.2.7]:4711"), "192.0.2.7");
  EXPECT_EQ(remote_prefix("[2001:db8::1]:1"), remote_prefix("[2001:db8::ffff:2]:2"));
  EXPECT_NE(remote_prefix("[2001:db8::1]:1"), remote_prefix("[2001:db8:0:1::1]:1"));
  EXPECT_EQ(remote_network("192.0.2.7:4711"), "192.0.2.0/24");
  EXPECT_EQ(remote_network("[::ffff:192.0.2.7]:4711"), "192.0.2.0/24");
  EXPECT_EQ(remote_network("[2001:db8:1:1::1]:1"), remote_network("[2001:db8:1:ffff::1]:1"));
  EXPECT_NE(remote_network("[2001:db8:1::1]:1"), remote_network("[2001:db8:2::1]:1"));
  EXPECT_EQ(remote_network("odd"), "odd");
  EXPECT_EQ(remote_prefix("odd"), "odd");
  EXPECT_EQ(remote_prefix(""), "");
}

// A flood of names must push out neither those that exist nor those that do not, or it tells which are which; and what
// it leaves is bounded.
TEST(Throttle, AttackAFloodOfNamesTellsNotWhichAccountsExist) {
  char directory[] = "/tmp/oqto-throttle-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  {
    Database db = *Store::open(directory);
    Store store(db);
    ASSERT_TRUE(store.add_account("exists", "x", ipc::Role::user, 1));
    Throttle throttle(db);
    const std::uint64_t now = 1'800'000'000'000;
    const auto attempt = [](const std::string& name) {
      return Attempt{.remote = "192.0.2.7", .network = "192.0.2.0/24", .username = name, .device = 0, .trusted = false};
    };
    for (const char* name : {"exists", "nobody"}) {
      for (int i = 0; i < 6; ++i) ASSERT_TRUE(throttle.admit(attempt(name), now));
    }
    ASSERT_TRUE(db.script(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 50000) INSERT INTO guess_throttle "
        "SELECT 'network 198.51.100.0/24 u' || i, 0, 1, 1800000000001, 0, 1800000000001 FROM n"));
    ASSERT_TRUE(throttle.sweep(now + 1));
    const auto exists = throttle.admit(attempt("exists"), now + 1), nobody = throttle.admit(attempt("nobody"), now + 1);
    ASSERT_TRUE(exists && nobody);
    EXPECT_NE(exists->retry_after_s, 0U);
    EXPECT_EQ(nobody->retry_after_s, exists->retry_after_s);
    auto left = *db.query("SELECT count(*) FROM guess_throttle");
    ASSERT_TRUE(*left.next());
    EXPECT_LE(left.number(0), kMaxGuessSources);
    // And when neither has to wait any more, both are dropped alike.
    ASSERT_TRUE(db.script("UPDATE guess_throttle SET blocked_until = 1, updated_at = 1800000000000 WHERE source LIKE '%exists' "
                          "OR source LIKE '%nobody'"));
    ASSERT_TRUE(db.script(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 50000) INSERT INTO guess_throttle "
        "SELECT 'network 203.0.113.0/24 u' || i, 0, 1, 1800000000002, 0, 1800000000002 FROM n"));
    ASSERT_TRUE(throttle.sweep(now + 2));
    auto both = *db.query("SELECT count(*) FROM guess_throttle WHERE source LIKE '%exists' OR source LIKE '%nobody'");
    ASSERT_TRUE(*both.next());
    EXPECT_EQ(both.number(0), 0U);
  }
  std::filesystem::remove_all(directory);
}

TEST(Secrets, TheDummyCostsWhatARealHashCosts) {
  ASSERT_TRUE(init_secrets());
  EXPECT_FALSE(is_outdated(kDummyHash));
  EXPECT_FALSE(verify_password("", kDummyHash));
}

TEST(Hasher, MakesANewHashForAnOutdatedOne) {
  ASSERT_TRUE(init_secrets());
  const auto hasher = Hasher::start();
  ASSERT_TRUE(hasher);
  // argon2id of "a blue horse" with 8 MiB and one pass: what an earlier version might have stored.
  const std::string outdated =
      "$argon2id$v=19$m=8192,t=1,p=1$29jmHzUHpQ021qHRBgoqdA$"
      "byHC5d2ANBAOdBCugdKTcVsmVpPry0fwdxKanFztYvk";
  std::size_t verified = 0;
  std::size_t submitted = 0;
  for (; submitted < kMaxQueuedHashes; ++submitted) {
    const HashSource source{.trusted = submitted % 2 == 0, .name = std::to_string(submitted)};
    ASSERT_TRUE((*hasher)->has_room(source));
    (*hasher)->submit({.source = source, .password = submitted % 2 == 0 ? "a blue horse" : "a green horse",
                       .against = outdated, .next = {}},
                      [&](const HashDone& done) {
                        if (done.ok) {
                          ++verified;
                          EXPECT_FALSE(is_outdated(done.new_hash));
                        } else {
                          EXPECT_TRUE(done.new_hash.empty());
                        }
                      });
  }
  while (verified < (submitted + 1) / 2) {
    pollfd entry{(*hasher)->fd().get(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, 30'000), 1);
    (*hasher)->deliver();
  }
}

TEST(Hasher, AttackASourceThatFillsTheLineGivesWayToOthersAndOneOfItsOwnIsNotHeldUp) {
  ASSERT_TRUE(init_secrets());
  const auto hasher = Hasher::start();
  ASSERT_TRUE(hasher);
  int answered = 0;
  int gave_way = 0;
  int newcomers = 0;
  const auto submit = [&](const HashSource& source, int& good) {
    if (!(*hasher)->has_room(source)) return false;
    (*hasher)->submit({.source = source, .password = "a blue horse", .against = {}, .next = {}},
                      [&](const HashDone& done) {
                        ++answered;
                        if (done.gave_way) ++gave_way;
                        if (done.ok) ++good;
                      });
    return true;
  };
  int good = 0;
  int submitted = 0;
  for (int source = 0; source < 100; ++source) {  // as many as there is room for, of ever new sources
    for (int i = 0; i < 9; ++i) submitted += submit({.trusted = false, .name = std::to_string(source)}, good) ? 1 : 0;
  }
  for (const bool trusted : {false, true}) {
    if (submit({.trusted = trusted, .name = "newcomer"}, newcomers)) ++submitted;
  }
  while (answered < submitted) {
    pollfd entry{(*hasher)->fd().get(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, 30'000), 1);
    (*hasher)->deliver();
  }
  EXPECT_GE(newcomers, 1) << "the trusted line is its own";
  EXPECT_GT(gave_way, 0);
  EXPECT_EQ(good + newcomers + gave_way, answered);
}

}  // namespace
}  // namespace oqto::accounts
