// Nothing can be written: the disk is full, or the log refuses. What takes away takes effect all
// the same.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "accounts/owed.h"
#include "accounts/test_host.h"
#include "tests/possible.h"

namespace oqto::accounts {
namespace {

using ipc::AdminVerb;
using ipc::AuthEndpoint;
using Mode = TestAuditd::Mode;

// The accounts process and all its files on a small tmpfs, in a mount namespace of this test's own.
class FullDisk : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!possible::as_root().empty()) return;
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
  void SetUp() override {
    NEEDS(possible::as_root());
    char path[] = "/tmp/oqto-full-XXXXXX";
    disk_ = ::mkdtemp(path);
    ASSERT_EQ(::mount("tmpfs", disk_.c_str(), "tmpfs", 0, "size=16m"), 0);
    ::setenv("TMPDIR", disk_.c_str(), 1);
    host_ = std::make_unique<TestHost>();
  }
  void TearDown() override {
    host_.reset();
    ::unsetenv("TMPDIR");
    if (disk_.empty()) return;
    (void)::umount2(disk_.c_str(), MNT_DETACH);
    (void)::rmdir(disk_.c_str());
  }

  void fill() const {
    const Fd file =
        Fd::adopt(::open((disk_ + "/filler").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600));
    const std::string piece(4096, 'x');
    while (::write(file.get(), piece.data(), piece.size()) > 0) {
    }
  }
  void make_room() const { ASSERT_EQ(::unlink((disk_ + "/filler").c_str()), 0); }

  // The record of an act that came before it could be written.
  bool is_recorded(ipc::Event event) const {
    for (int i = 0; i < 200; ++i) {
      const auto records = host_->records();
      if (std::ranges::any_of(records, [&](const ipc::AuditAppend& record) {
            return record.event == event && record.phase == ipc::Phase::event &&
                   record.outcome == ipc::Outcome::success &&
                   std::ranges::count(record.list, ipc::FieldKey::at, &ipc::AuditField::key) == 1;
          })) {
        return true;
      }
      ::usleep(50'000);
    }
    return false;
  }

  std::string disk_;
  std::unique_ptr<TestHost> host_;
};

TEST_F(FullDisk, AttackWhoeverKeepsTheDiskFullAndTheLogWithItIsDisabledAllTheSame) {
  const auto boss = host_->set_up();
  const auto eve = host_->join("eve");
  fill();
  host_->audit_gone();
  host_->wire_audit(Mode::refuses);
  (void)host_->ended();
  const auto done = host_->admin(AdminVerb::disable, R"({"username":"eve","disabled":true})");
  EXPECT_EQ(done.ok, 1) << done.body.value;
  EXPECT_EQ(host_->ended(), (std::vector<TestHost::Ended>{{2, true}}));
  EXPECT_FALSE(host_->lookup(eve));
  EXPECT_TRUE(host_->lookup(boss));
  EXPECT_EQ(host_->login("eve", kPassword).status, 503);  // which says nothing about her
  host_->crash();
  host_->start(Mode::refuses);
  EXPECT_FALSE(host_->lookup(eve));
  host_->audit_gone();
  host_->wire_audit();
  EXPECT_TRUE(is_recorded(ipc::Event::account_change));
  EXPECT_NE(host_->login("eve", kPassword).status, 200);
  make_room();
  host_->stop();
  EXPECT_EQ(host_->database_value("SELECT disabled FROM accounts WHERE username = 'eve'"), "1");
}

// A disk that was full before anything could be set aside: accounts.db takes nothing at all.
TEST_F(FullDisk, AttackAnAccountIsDisabledThoughItsDatabaseTakesNothing) {
  (void)host_->set_up();
  const auto eve = host_->join("eve");
  const auto ann = host_->join("ann");
  host_->stop();
  host_->edit_database("VACUUM");
  fill();
  host_->start();
  EXPECT_TRUE(host_->lookup(eve));
  ASSERT_EQ(host_->admin(AdminVerb::disable, R"({"username":"eve","disabled":true})").ok, 1);
  EXPECT_EQ(host_->call(AuthEndpoint::logout, "{}", ann).status, 204);
  EXPECT_EQ(host_->revoked().size(), 1U);
  (void)host_->ended();
  EXPECT_FALSE(host_->lookup(eve));
  EXPECT_FALSE(host_->lookup(ann));
  host_->crash();  // and what is only in memory with it
  host_->start();
  EXPECT_FALSE(host_->lookup(eve));
  EXPECT_FALSE(host_->lookup(ann));
  EXPECT_EQ(at(host_->admin(AdminVerb::list_accounts).body.value, "/accounts/1/disabled"), "true");
  EXPECT_EQ(at(host_->admin(AdminVerb::list_logins, R"({"username":"ann"})").body.value, "/logins"),
            "[]");
  EXPECT_NE(host_->login("eve", kPassword).status, 200);
  host_->check({}, {2});
  EXPECT_EQ(host_->ended(), (std::vector<TestHost::Ended>{{2, true}}));
  // What gives is refused as ever.
  EXPECT_EQ(host_->admin(AdminVerb::disable, R"({"username":"eve","disabled":false})").ok, 0);
  EXPECT_EQ(host_->admin(AdminVerb::create_invite, R"({"role":"user"})").ok, 0);
  make_room();
  EXPECT_TRUE(is_recorded(ipc::Event::account_change));
  EXPECT_TRUE(is_recorded(ipc::Event::logout));
  EXPECT_EQ(host_->admin(AdminVerb::disable, R"({"username":"eve","disabled":false})").ok, 1);
  EXPECT_EQ(host_->login("eve", kPassword).status, 200);
  host_->stop();
}

// Nor is what a crash leaves behind that kept an act and had no time to do it.
TEST_F(FullDisk, AttackLogoutsThatWaitKeepNoOperatorFromDisabling) {
  const auto boss = host_->set_up();
  const auto eve = host_->join("eve");
  const auto ann = host_->join("ann");
  host_->stop();
  {
    Owed owed = Owed::open(host_->state_dir());
    ASSERT_TRUE(owed.add({.kind = OwedAct::Kind::revoke, .account = 3, .login = 1'000}));
    for (std::uint64_t login = 2'000;
         owed.add({.kind = OwedAct::Kind::logout, .account = 2, .login = login}); ++login) {
    }
  }
  host_->start(Mode::refuses);
  EXPECT_FALSE(host_->lookup(ann));
  EXPECT_EQ(host_->call(AuthEndpoint::logout, "{}", boss).status,
            503);  // their half is full, and yet:
  EXPECT_EQ(host_->revoked().size(), 1U);
  ASSERT_EQ(host_->admin(AdminVerb::disable, R"({"username":"eve","disabled":true})").ok, 1);
  EXPECT_EQ(host_->ended(), (std::vector<TestHost::Ended>{{2, true}}));
  EXPECT_FALSE(host_->lookup(eve));
  host_->audit_gone();
  host_->wire_audit();
  EXPECT_TRUE(is_recorded(ipc::Event::account_change));
  host_->stop();
}

TEST_F(FullDisk, SignInsAndTheirEndsGoOnWhereTheLogDoes) {
  (void)host_->set_up();
  (void)host_->join("ann");
  fill();
  for (int i = 0; i < 20; ++i) {
    const auto signed_in = host_->login("ann", kPassword);
    ASSERT_EQ(signed_in.status, 200) << i << signed_in.body.value;
    ASSERT_EQ(host_->call(AuthEndpoint::logout, "{}", signed_in.token).status, 204) << i;
  }
  host_->stop();
  host_->start();  // the write-ahead log is still there
  EXPECT_EQ(host_->login("ann", kPassword).status, 200);
}

TEST(Owed, WhatIsWrittenIsRead) {
  std::deque<OwedAct> acts(3);
  acts[0] = {.kind = OwedAct::Kind::disable,
             .account = 7,
             .at_ms = 1'790'000'000'000,
             .operator_uid = 1000,
             .operator_name = "a b\n9 ",
             .username = "eve"};
  acts[1] = {.kind = OwedAct::Kind::logout,
             .account = 8,
             .login = 99,
             .is_stored = true,
             .remote = "[2001:db8::1]:4711",
             .username = "ann"};
  acts[2] = {.kind = OwedAct::Kind::revoke, .account = 9, .login = 5};
  const auto again = from_text(to_text(acts));
  ASSERT_EQ(again.size(), 3U);
  EXPECT_EQ(again[0].username, "eve");
  EXPECT_EQ(again[0].operator_name, "a?b?9?");
  EXPECT_EQ(again[0].at_ms, acts[0].at_ms);
  EXPECT_TRUE(again[1].is_stored);
  EXPECT_EQ(again[1].remote, acts[1].remote);
  EXPECT_EQ(again[2].kind, OwedAct::Kind::revoke);
  EXPECT_EQ(again[2].login, 5U);
  EXPECT_TRUE(from_text("9 9 x").empty());
}

TEST(Owed, AttackLogoutsLeaveHalfOfTheRoomToOperators) {
  Owed owed;
  std::uint64_t login = 0;
  while (owed.add({.kind = OwedAct::Kind::logout, .account = 5, .login = ++login})) {
  }
  EXPECT_EQ(owed.acts().size(), Owed::kMaxActs / 2);
  EXPECT_TRUE(owed.add({.kind = OwedAct::Kind::logout, .account = 5, .login = 1}))
      << "it waits already";
  EXPECT_EQ(owed.acts().size(), Owed::kMaxActs / 2);
  for (std::uint32_t i = 0; i < Owed::kMaxActs / 2; ++i)
    ASSERT_TRUE(owed.add({.kind = OwedAct::Kind::disable, .account = i})) << i;
  EXPECT_EQ(owed.acts().size(), Owed::kMaxActs);
}

TEST(Owed, EqualActsAreOne) {
  Owed owed;
  const auto revoke = [&](std::uint64_t until, std::uint32_t who) {
    return *owed.add(
        {.kind = OwedAct::Kind::revoke, .account = 7, .login = until, .operator_uid = who});
  };
  EXPECT_EQ(revoke(3, 0), 0U);
  owed.is_stored(0);
  EXPECT_EQ(revoke(9, 0), 0U);
  EXPECT_EQ(owed.acts().front().login, 9U);
  EXPECT_FALSE(owed.acts().front().is_stored) << "the later logins are not ended yet";
  EXPECT_EQ(revoke(9, 1000), 1U) << "who did it stays in the log";
  EXPECT_EQ(*owed.add({.kind = OwedAct::Kind::disable, .account = 7}), 2U);
  EXPECT_EQ(*owed.add({.kind = OwedAct::Kind::disable, .account = 7}), 2U);
  EXPECT_EQ(owed.acts().size(), 3U);
}

TEST(Owed, AWriteThatWasCutShortLeavesTheOneBefore) {
  const TempDir dir;
  {
    Owed owed = Owed::open(dir.path.string());
    ASSERT_TRUE(owed.add({.kind = OwedAct::Kind::disable, .account = 1}));
    ASSERT_TRUE(owed.add({.kind = OwedAct::Kind::disable, .account = 2}));
  }
  EXPECT_EQ(Owed::open(dir.path.string()).acts().size(), 2U);
  {
    std::fstream file(dir.path / "owed", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(60);  // the second write went into the first slot
    file << "torn";
  }
  EXPECT_EQ(Owed::open(dir.path.string()).acts().size(), 1U);
  Owed full = Owed::open(dir.path.string());
  for (std::size_t i = 1; i < Owed::kMaxActs; ++i)
    ASSERT_TRUE(
        full.add({.kind = OwedAct::Kind::disable, .account = static_cast<std::uint32_t>(i + 10)}));
  EXPECT_FALSE(full.add({.kind = OwedAct::Kind::disable, .account = 9}));
  EXPECT_EQ(Owed::open(dir.path.string()).acts().size(), Owed::kMaxActs);
}

}  // namespace
}  // namespace oqto::accounts
