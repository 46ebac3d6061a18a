// The index beside a log that the real auditd writes.
#include "auditor/follower.h"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "audit/tests/test_host.h"
#include "auditor/search.h"
#include "base/sys.h"

namespace oqto::auditor {
namespace {

using audit::TempDir;
using audit::TestHost;

struct Reading {
  explicit Reading(const std::string& log_dir, const std::string& dir)
      : follower(log_dir, dir, [](std::uint64_t) {}),
        view(*LogView::open(log_dir)),
        search(view, follower, dir) {}

  bool reaches(std::uint64_t next) const {
    const std::uint64_t end = sys::monotonic_ms() + 20'000;
    while (follower.state().next < next) {
      if (sys::monotonic_ms() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }
  std::vector<std::uint64_t> find(const protocol::AuditFilter& filter) {
    const auto page =
        search.run(filter, {.from = 0, .to = ~std::uint64_t{0}, .ascending = true, .limit = 1000});
    EXPECT_TRUE(page) << (page ? "" : page.error().what);
    std::vector<std::uint64_t> found;
    if (page) {
      for (const Row& row : page->rows) found.push_back(row.index);
    }
    return found;
  }

  Follower follower;
  LogView view;
  Search search;
};

std::uint64_t append(TestHost& host, std::string_view text, ipc::Event event = ipc::Event::admin) {
  auto client = host.client();
  const auto index = client.append(audit::record(event).add(ipc::FieldKey::reason, text));
  EXPECT_TRUE(index);
  return index.value_or(0);
}

using Indices = std::vector<std::uint64_t>;

TEST(Follower, FindsWhatWasCommittedByItsWordsAndItsFacts) {
  TestHost host;
  ASSERT_TRUE(host.start());
  TempDir dir;
  Reading reading(host.log_dir(), dir.path());
  const auto blue = append(host, "the blue version");
  const auto green = append(host, "the green version", ipc::Event::workspace_create);
  ASSERT_TRUE(reading.reaches(green + 1));
  EXPECT_EQ(reading.find({.text = "blue"}), Indices{blue});
  EXPECT_EQ(reading.find({.text = "VERS gre"}), Indices{green});
  EXPECT_EQ(reading.find({.text = "ersion"}), Indices{});
  EXPECT_EQ(reading.find({.text = "version", .without = {"admin"}}), Indices{green});
  EXPECT_EQ(reading.find({.text = "version", .actors = {"Ann"}}), (Indices{blue, green}));
  EXPECT_EQ(reading.find({.tenants = {"7"}, .events = {"workspace.*"}}), Indices{green});
  EXPECT_EQ(reading.find({.text = "version", .actors = {"bob"}}), Indices{});
  EXPECT_EQ(reading.find({.text = "version", .from_ms = sys::now_ms() + 60'000}), Indices{});
  EXPECT_EQ(reading.find({.text = "version", .to_ms = sys::now_ms() + 60'000}),
            (Indices{blue, green}));
  EXPECT_FALSE(reading.search.run({.text = "//"}, {}));
}

// A host at its first start. The index is opened anew with each look, which is what is counted here.
TEST(Follower, WaitsQuietlyForALogThatHasNoEntriesYet) {
  for (const bool has_directory : {false, true}) {
    TestHost host;
    const std::string segment = host.log_dir() + "/segment";
    ASSERT_TRUE(!has_directory || ::mkdir(segment.c_str(), 0755) == 0);
    TempDir dir;
    ::testing::internal::CaptureStderr();
    Reading reading(host.log_dir(), dir.path());
    const std::uint64_t end = sys::monotonic_ms() + 20'000;
    while (reading.follower.state().generation < 3 && sys::monotonic_ms() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_GE(reading.follower.state().generation, 3U) << "it looks again";
    EXPECT_EQ(reading.follower.state().trouble, "");
    EXPECT_TRUE(reading.find({}).empty()) << "an empty log is served as one";
    EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
    EXPECT_EQ(reading.view.published().error().code, Errc::unavailable);
    ASSERT_TRUE(!has_directory || ::rmdir(segment.c_str()) == 0);
    ASSERT_TRUE(host.start());
    EXPECT_TRUE(reading.reaches(append(host, "the first words") + 1)) << "and then followed";
  }
}

TEST(Follower, AttackALogThatIsGoneIsNoEmptyLog) {
  TestHost host;
  ASSERT_TRUE(host.start());
  TempDir dir;
  {
    Reading reading(host.log_dir(), dir.path());
    ASSERT_TRUE(reading.reaches(append(host, "words") + 1));
  }
  host.stop();
  std::filesystem::remove_all(host.log_dir() + "/segment");
  Reading reading(host.log_dir(), dir.path());
  const std::uint64_t end = sys::monotonic_ms() + 20'000;
  while (reading.follower.state().trouble.empty() && sys::monotonic_ms() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_NE(reading.follower.state().trouble, "");
}

TEST(Follower, FindsByNameWhatCarriesOnlyTheAccountAndOutcomesByTheirIntents) {
  TestHost host;
  ASSERT_TRUE(host.start());
  TempDir dir;
  ipc::AuditClient gateway(host.source(ipc::Process::gateway, 0, "", 18, 20003));
  auto ann = host.client();
  const auto own = ann.append(audit::record(ipc::Event::command).add(ipc::FieldKey::command, "get_state"));
  const auto call = gateway.append(audit::record(ipc::Event::model_call, ipc::Phase::intent)
                                       .add(ipc::FieldKey::account, "7").add(ipc::FieldKey::model, "opus"));
  ASSERT_TRUE(own && call);
  auto outcome = audit::record(ipc::Event::model_call, ipc::Phase::outcome);
  outcome.intent = *call;
  outcome.outcome = ipc::Outcome::failure;
  const auto came = gateway.append(outcome);
  ASSERT_TRUE(came);
  {
    Reading reading(host.log_dir(), dir.path());
    ASSERT_TRUE(reading.reaches(*came + 1));
    for (const std::string who : {"ann", "ANN", "7"}) {
      EXPECT_EQ(reading.find({.tenants = {who}, .events = {"model.call"}}), (Indices{*call, *came})) << who;
    }
    EXPECT_EQ(reading.find({.text = "opus", .outcomes = {"failure"}}), Indices{*came});
    const auto unknown = reading.search.run({.tenants = {"amn"}}, {.from = 0, .to = 1000, .ascending = true, .limit = 10});
    ASSERT_TRUE(unknown && unknown->unknown.size() == 1);
    EXPECT_TRUE(unknown->unknown[0].contains("did you mean ann?")) << unknown->unknown[0];
  }
  // Names are kept with the index: what comes after a restart is found by them as well.
  const auto later = gateway.append(audit::record(ipc::Event::model_call).add(ipc::FieldKey::account, "7"));
  ASSERT_TRUE(later);
  Reading again(host.log_dir(), dir.path());
  ASSERT_TRUE(again.reaches(*later + 1));
  EXPECT_EQ(again.find({.tenants = {"ann"}, .events = {"model.call"}}), (Indices{*call, *came, *later}));
}

TEST(Follower, GoesOnWhereItStopped) {
  TestHost host;
  ASSERT_TRUE(host.start());
  TempDir dir;
  const auto first = append(host, "before");
  {
    Reading reading(host.log_dir(), dir.path());
    ASSERT_TRUE(reading.reaches(first + 1));
  }
  const auto second = append(host, "after");
  Reading reading(host.log_dir(), dir.path());
  ASSERT_TRUE(reading.reaches(second + 1));
  EXPECT_EQ(reading.find({.text = "before"}), Indices{first});
  EXPECT_EQ(reading.find({.text = "after"}), Indices{second});
  EXPECT_EQ(reading.follower.state().generation, 1U);
}

TEST(Follower, AttackADamagedIndexIsMadeAgain) {
  TestHost host;
  ASSERT_TRUE(host.start());
  TempDir dir;
  const auto last = append(host, "something");
  const std::string file = dir.path() + "/index.db";
  {
    Reading reading(host.log_dir(), dir.path());
    ASSERT_TRUE(reading.reaches(last + 1));
  }
  const std::string good = audit::read_file(file);
  ASSERT_GT(good.size(), 8192U);
  for (const std::string& bad : {std::string("no database"), std::string(), good.substr(0, 5000),
                                 good.substr(0, 100) + std::string(good.size() - 100, 'x')}) {
    audit::write_file(file, bad);
    Reading reading(host.log_dir(), dir.path());
    EXPECT_TRUE(reading.reaches(last + 1)) << bad.size();
    EXPECT_EQ(reading.find({.text = "something"}), Indices{last}) << bad.size();
  }
}

TEST(Follower, AttackTheIndexOfAnotherLogIsMadeAgain) {
  TestHost one;
  TestHost other;
  ASSERT_TRUE(one.start());
  ASSERT_TRUE(other.start());
  TempDir dir;
  const auto mine = append(one, "mine");
  {
    Reading reading(one.log_dir(), dir.path());
    ASSERT_TRUE(reading.reaches(mine + 1));
  }
  append(other, "theirs");
  const auto theirs = append(other, "theirs as well");
  Reading reading(other.log_dir(), dir.path());
  const std::uint64_t end = sys::monotonic_ms() + 20'000;
  while (reading.follower.state().generation < 2 && sys::monotonic_ms() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(reading.reaches(theirs + 1));
  EXPECT_EQ(reading.find({.text = "mine"}), Indices{});
  EXPECT_EQ(reading.find({.text = "theirs"}).size(), 2U);
}

}  // namespace
}  // namespace oqto::auditor
