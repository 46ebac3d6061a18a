// A log that was pruned: what is left, and what was archived, with our verifier, the independent one
// and the real daemon that goes on writing.
#include "audit/read/pruning.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "audit/format/format.h"
#include "audit/tests/test_host.h"
#include "audit/tests/test_log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

using ipc::Event;
using ipc::FieldKey;

class Pruning : public testing::Test {
 protected:
  void SetUp() override {
    host_.auditd_arguments = {"--segment-bytes", "60000"};
    ASSERT_TRUE(host_.start());
    append(900);
  }
  void append(int count) {
    auto client = host_.client();
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(client.append(record(Event::exec).add(FieldKey::argv, std::string(100, 'x'))));
    }
  }
  ipc::AuditManaged permit(std::uint64_t index) {
    ipc::AuditManage wanted;
    wanted.verb = ipc::AuditVerb::prune;
    wanted.index = index;
    EXPECT_TRUE(host_.auditd.guard.send(wanted));
    return *host_.auditd.guard.wait(10'000)->as<ipc::AuditManaged>();
  }
  Output prune(const std::string& more = {}) const {
    return run(oqto_audit("prune --archive " + archive_ + " --log " + host_.log_dir() + " " + more));
  }
  Output python() const {
    return run(std::string("python3 ") + OQTO_INDEPENDENT + ".py " + host_.log_dir() + " " +
               host_.key_dir() + "/log.vkey");
  }
  Output go() const {
    const std::string dir = OQTO_GO_DIR;
    fs::create_directories(dir);
    const Output built = run("flock " + dir + " env GO111MODULE=off GOFLAGS= GOPATH=/usr/share/gocode GOCACHE=" + dir +
                             "/cache go build -o " + dir + "/verify " + OQTO_INDEPENDENT ".go");
    EXPECT_EQ(built.status, 0) << built.out;
    return run(dir + "/verify " + host_.log_dir() + " " + host_.key_dir() + "/log.vkey");
  }
  std::size_t count(const std::string& dir, std::string_view prefix) const {
    const auto files = files_beneath(dir);
    return static_cast<std::size_t>(std::ranges::count_if(
        files, [&](const std::string& file) { return file.starts_with(prefix); }));
  }

  TestHost host_;
  TempDir aside_;
  std::string archive_ = aside_.path() + "/archive";
};

TEST_F(Pruning, LeavesALogThatVerifiesGoesOnAndProves) {
  const auto permitted = permit(700);
  ASSERT_EQ(permitted.ok, 1) << permitted.why.view();
  EXPECT_GT(permitted.index, 512U);
  EXPECT_LE(permitted.index, 700U);
  host_.stop();
  const Output whole = host_.verify();
  ASSERT_EQ(whole.status, 0) << whole.out;
  const Output pruned = prune();
  ASSERT_EQ(pruned.status, 0) << pruned.out;
  EXPECT_FALSE(fs::exists(host_.log_dir() + "/segment/" + segment_name(0)));
  EXPECT_FALSE(fs::exists(host_.log_dir() + "/tile/entries/000"));
  EXPECT_TRUE(fs::exists(host_.log_dir() + "/tile/0/000"));
  Output verified = host_.verify();
  EXPECT_EQ(verified.status, 0) << verified.out;
  EXPECT_TRUE(contains(verified.out, "are pruned, as entry")) << verified.out;
  const std::string vkey = " --vkey " + host_.key_dir() + "/log.vkey";
  EXPECT_EQ(run(oqto_audit("prove 800 --log " + host_.log_dir() + vkey)).status, 0);
  EXPECT_EQ(prune().status, 0);  // again: nothing to do

  ASSERT_TRUE(host_.start());
  append(100);
  host_.stop();
  verified = host_.verify();
  EXPECT_EQ(verified.status, 0) << verified.out;
  EXPECT_FALSE(fs::exists(host_.log_dir() + "/tile/entries/000"));
}

TEST_F(Pruning, TheArchiveAndTheRestAreTheWholeLogAgain) {
  ASSERT_EQ(permit(700).ok, 1);
  host_.stop();
  ASSERT_EQ(prune().status, 0);
  EXPECT_GT(count(archive_, "segment/"), 0U);
  for (const std::string& file : files_beneath(archive_)) {
    const std::string target = host_.log_dir() + "/" + file;
    if (!fs::exists(target)) {
      fs::create_directories(fs::path(target).parent_path());
      fs::copy_file(archive_ + "/" + file, target);
    }
  }
  const Output verified = host_.verify();
  EXPECT_EQ(verified.status, 0) << verified.out;
  EXPECT_EQ(python().status, 0) << python().out;
}

TEST_F(Pruning, TheIndependentVerifiersAcceptItAndRefuseSilentRemoval) {
  ASSERT_EQ(permit(700).ok, 1);
  host_.stop();
  EXPECT_EQ(python().status, 0) << python().out;
  ASSERT_EQ(prune().status, 0);
  EXPECT_EQ(python().status, 0) << python().out;
  EXPECT_EQ(go().status, 0) << go().out;
  fs::remove(host_.log_dir() + "/tile/entries/002");
  EXPECT_NE(python().status, 0);
  EXPECT_NE(go().status, 0);
  EXPECT_EQ(host_.verify().status, 1);
}

TEST_F(Pruning, AttackRemovalThatTheLogDoesNotPermitIsADefect) {
  host_.stop();
  EXPECT_TRUE(contains(prune().out, "permits nothing")) << prune().out;
  fs::remove(host_.log_dir() + "/segment/" + segment_name(0));
  const Output verified = host_.verify();
  EXPECT_EQ(verified.status, 1);
  EXPECT_TRUE(contains(verified.out, "before it are missing")) << verified.out;
  fs::remove(host_.log_dir() + "/tile/entries/000");
  EXPECT_TRUE(contains(go().out, "none permits to prune them")) << go().out;
  EXPECT_TRUE(contains(python().out, "no entry permits to prune them")) << python().out;
}

TEST_F(Pruning, AttackMoreThanWasPermittedIsADefect) {
  const auto permitted = permit(300);
  ASSERT_EQ(permitted.ok, 1);
  host_.stop();
  EXPECT_EQ(prune("--before 700").status, 2);
  ASSERT_EQ(prune().status, 0);
  ASSERT_EQ(host_.verify().status, 0) << host_.verify().out;
  const auto segments = files_beneath(host_.log_dir() + "/segment");
  fs::remove(host_.log_dir() + "/segment/" + segments[0]);
  const Output verified = host_.verify();
  EXPECT_EQ(verified.status, 1);
  EXPECT_TRUE(contains(verified.out, "permits to prune only those before entry " +
                                         std::to_string(permitted.index))) << verified.out;
}

TEST_F(Pruning, AttackATenantCannotPermitIt) {
  auto client = host_.client();
  EXPECT_FALSE(client.append(record(Event::log_prune).add(FieldKey::minimum_index, "700")));
  host_.stop();
  EXPECT_EQ(prune().status, 2);
  fs::remove(host_.log_dir() + "/segment/" + segment_name(0));
  EXPECT_EQ(host_.verify().status, 1);
}

TEST_F(Pruning, BlobsThatNoRemainingEntryNamesGoAlong) {
  auto client = host_.client();
  const auto kept = client.store("kept");
  const auto orphan = client.store("orphan");
  ASSERT_TRUE(kept && orphan);
  ASSERT_TRUE(client.append(record(Event::command).add(FieldKey::args_blob, *kept)));
  host_.stop();
  const std::string gc = oqto_audit("gc --log " + host_.log_dir());
  EXPECT_TRUE(contains(run(gc).out, "removed: 0 blobs"));  // both are young
  for (const auto& file : fs::recursive_directory_iterator(host_.log_dir() + "/blob")) {
    if (file.is_regular_file()) {
      fs::last_write_time(file.path(), fs::file_time_type::clock::now() - std::chrono::hours(2));
    }
  }
  EXPECT_TRUE(contains(run(gc).out, "removed: 1 blobs"));
  EXPECT_TRUE(fs::exists(host_.log_dir() + "/blob/" + kept->substr(0, 2) + "/" + *kept));
  EXPECT_EQ(host_.verify().status, 0) << host_.verify().out;
}

TEST_F(Pruning, PermissionNeedsAWholeSegment) {
  EXPECT_EQ(permit(1).why.view(), "no whole segment is before this entry");
}

}  // namespace
}  // namespace oqto::audit
