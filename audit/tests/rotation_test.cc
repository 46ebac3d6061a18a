// Proofs, witnesses and every verifier over a log whose key was rotated, and one that was pruned as
// well.
#include <gtest/gtest.h>

#include <filesystem>

#include "audit/format/format.h"
#include "audit/read/seals.h"
#include "audit/tests/test_log.h"
#include "audit/witness/test_witness.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

using ipc::Event;
using ipc::FieldKey;

// One segment per batch, so that it can be pruned anywhere. The log's key is rotated between the
// second run and the third.
class RotatedLog : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = std::make_unique<TempDir>();
    host_ = std::make_unique<TestHost>();
    host_->auditd_arguments = {"--segment-bytes", "1"};
    write(140);
    write(140);
    write_file(old_vkey(), read_file(host_->key_dir() + "/log.vkey"));
    copy_directory(host_->log_dir(), path("older"));
    ASSERT_EQ(run(oqto_audit("rotate --key-dir " + host_->key_dir())).status, 0);
    write(300);
    write(140);
    write_file(new_vkey(), read_file(host_->key_dir() + "/log.vkey"));
    ASSERT_NE(read_file(old_vkey()), read_file(new_vkey()));
    build_go();
  }
  static void TearDownTestSuite() {
    host_.reset();
    dir_.reset();
  }

  static void write(int count) {
    ASSERT_TRUE(host_->start());
    auto client = host_->client();
    for (int i = 0; i < count; ++i) ASSERT_TRUE(client.append(record(Event::exec)));
    host_->stop();
  }
  static void build_go() {
    const std::string dir = OQTO_GO_DIR;
    fs::create_directories(dir);
    const Output built =
        run("flock " + dir +
            " env GO111MODULE=off GOFLAGS= GOPATH=/usr/share/gocode "
            "GOCACHE=" +
            dir + "/cache go build -o " + dir + "/verify " + OQTO_INDEPENDENT ".go");
    ASSERT_EQ(built.status, 0) << built.out;
  }

  static std::string path(const std::string& name) { return dir_->path() + "/" + name; }
  static std::string old_vkey() { return path("old.vkey"); }
  static std::string new_vkey() { return path("new.vkey"); }
  static std::string one_line(const std::string& vkey) {
    return std::string(first_line(read_file(vkey)));
  }
  static Output on_log(const std::string& command, const std::string& vkey) {
    return run(oqto_audit(command + " --log " + host_->log_dir() + " --vkey " + vkey));
  }
  static Output check(const std::string& arguments, const std::string& vkey) {
    return run(oqto_audit("check-proof " + arguments + " --vkey " + vkey));
  }
  static std::vector<std::uint64_t> seals_of(const TestHost& host) {
    std::vector<std::uint64_t> places;
    const auto entries = entries_of(host);
    for (std::uint64_t i = 0; i < entries.size(); ++i) {
      if (is_seal_entry(entries[i])) places.push_back(i);
    }
    return places;
  }

  static inline std::unique_ptr<TempDir> dir_;
  static inline std::unique_ptr<TestHost> host_;
};

TEST_F(RotatedLog, EveryVerifierTakesEitherKey) {
  for (const std::string& vkey : {old_vkey(), new_vkey()}) {
    const Output ours = on_log("verify", vkey);
    EXPECT_EQ(ours.status, 0) << ours.out;
    for (const char* since : {"", "/older/checkpoint"}) {
      const std::string more = *since == 0 ? "" : dir_->path() + since;
      const std::string operands = host_->log_dir() + " " + vkey;
      const Output python = run("python3 " OQTO_INDEPENDENT ".py " + operands + " " + more);
      EXPECT_EQ(python.status, 0) << python.out;
      const Output go = run(std::string(OQTO_GO_DIR) + "/verify " +
                            (more.empty() ? "" : "-since " + more) + " " + operands);
      EXPECT_EQ(go.status, 0) << go.out;
    }
  }
}

TEST_F(RotatedLog, AttackAKeyThatItNeverHadIsRefusedByEveryVerifier) {
  const std::string epoch = read_file(new_vkey()).substr(one_line(new_vkey()).size());
  write_file(path("x.vkey"), SigningKey::generate("audit.example/test").verifier().text() + epoch);
  EXPECT_EQ(on_log("verify", path("x.vkey")).status, 1);
  EXPECT_NE(
      run("python3 " OQTO_INDEPENDENT ".py " + host_->log_dir() + " " + path("x.vkey")).status, 0);
  EXPECT_NE(
      run(std::string(OQTO_GO_DIR) + "/verify " + host_->log_dir() + " " + path("x.vkey")).status,
      0);
  const Output proof = on_log("prove 20", path("x.vkey"));
  EXPECT_EQ(proof.status, 1);
  EXPECT_TRUE(contains(proof.out, "the log never had this key")) << proof.out;
}

TEST_F(RotatedLog, ProofsAreMadeAndCheckedWithEitherKey) {
  for (const std::string& vkey : {old_vkey(), new_vkey()}) {
    for (const std::string index : {"0", "20", "290", "700"}) {
      const Output made =
          on_log("prove " + index + " --out " + path("p") + " --seals " + path("s"), vkey);
      ASSERT_EQ(made.status, 0) << made.out;
      const Output checked = check(path("p") + " --seals " + path("s"), vkey);
      EXPECT_EQ(checked.status, 0) << checked.out;
      EXPECT_FALSE(contains(checked.out, "note:")) << checked.out;
    }
  }
  const Output newest = check(path("p"), new_vkey());
  EXPECT_EQ(newest.status, 0);
  EXPECT_TRUE(contains(newest.out, "the past is protected by the log's key alone")) << newest.out;
  const Output old = check(path("p"), old_vkey());
  EXPECT_EQ(old.status, 1);
  EXPECT_TRUE(contains(old.out, "if the log's key was rotated, check with --seals")) << old.out;
  const Output alone = check(path("p") + " --seals " + path("s"), one_line(old_vkey()));
  EXPECT_EQ(alone.status, 0) << alone.out;
  EXPECT_TRUE(contains(alone.out, "the log's key alone")) << alone.out;
}

TEST_F(RotatedLog, AttackADamagedSecondLineDoesNotPassForNone) {
  const std::string good = read_file(new_vkey());
  for (const std::string& second :
       {std::string("x"), good.substr(0, good.find('\n')),
        SigningKey::generate("audit.example/test/epoch/1").verifier().text()}) {
    write_file(path("damaged.vkey"), one_line(new_vkey()) + "\n" + second + "\n");
    for (const std::string command : {"prove 20", "verify"}) {
      const Output output = on_log(command, path("damaged.vkey"));
      EXPECT_EQ(output.status, 2) << output.out;
      EXPECT_TRUE(contains(output.out, "is not that of its log's epoch 0")) << output.out;
    }
  }
}

TEST_F(RotatedLog, ContinuesACheckpointThatTheKeyBeforeSigned) {
  const std::string older = path("older/checkpoint");
  for (const std::string& vkey : {old_vkey(), new_vkey()}) {
    const Output made = on_log(
        "prove --consistency " + older + " --out " + path("c") + " --seals " + path("s"), vkey);
    ASSERT_EQ(made.status, 0) << made.out;
    const Output checked = check(path("c") + " --old " + older + " --seals " + path("s"), vkey);
    EXPECT_EQ(checked.status, 0) << checked.out;
  }
}

TEST_F(RotatedLog, AttackEveryChangedByteOfTheSealsIsRefused) {
  ASSERT_EQ(on_log("prove 20 --out " + path("p") + " --seals " + path("s"), new_vkey()).status, 0);
  const std::string seals = read_file(path("s"));
  ASSERT_TRUE(read_seals(seals));
  EXPECT_EQ(write_seals(*read_seals(seals)), seals);
  const Pin pin{*VerifierKey::parse(one_line(new_vkey())),
                *VerifierKey::parse(
                    first_line(read_file(new_vkey()).substr(one_line(new_vkey()).size() + 1)))};
  ASSERT_TRUE(follow_seals(*read_seals(seals), pin, false));
  for (std::size_t i = 0; i < seals.size(); i += 3) {
    std::string changed = seals;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    const auto read = read_seals(changed);
    EXPECT_FALSE(read && follow_seals(*read, pin, false)) << "byte " << i << " of " << seals.size();
  }
  for (const std::string& changed :
       {std::string(), seals.substr(0, seals.size() / 2), seals + "x"}) {
    write_file(path("s"), changed);
    EXPECT_EQ(check(path("p") + " --seals " + path("s"), new_vkey()).status, 1);
  }
}

TEST_F(RotatedLog, AttackAProofSignedWithTheLogsKeyAloneIsRefused) {
  ASSERT_EQ(on_log("prove 20 --out " + path("p") + " --seals " + path("s"), new_vkey()).status, 0);
  const std::string proof = read_file(path("p"));
  const std::string epoch_line = proof.substr(proof.rfind("\xe2\x80\x94 "));
  write_file(path("p"), proof.substr(0, proof.size() - epoch_line.size()));
  const Output checked = check(path("p") + " --seals " + path("s"), new_vkey());
  EXPECT_EQ(checked.status, 1);
  EXPECT_TRUE(contains(checked.out, "not signed with the key of its epoch")) << checked.out;
}

// The thief of today's keys shows the seals as they are, and a proof from a log that he wrote
// again.
TEST_F(RotatedLog, AttackSealsThatLeadToAnotherCheckpointAreRefused) {
  ASSERT_EQ(on_log("prove 20 --out " + path("p") + " --seals " + path("s"), new_vkey()).status, 0);
  ASSERT_EQ(run(oqto_audit("prove 20 --log " + path("older") + " --vkey " + old_vkey() + " --out " +
                           path("p")))
                .status,
            0);
  const Output checked = check(path("p") + " --seals " + path("s"), old_vkey());
  EXPECT_EQ(checked.status, 1);
  EXPECT_TRUE(contains(checked.out, "leads to another checkpoint")) << checked.out;
}

TEST_F(RotatedLog, AWitnessGoesOnWhenItIsGivenTheNewKeyToo) {
  const std::string out = path("cosigned");
  TempDir dir;
  {
    const Served served(dir.path(), {old_vkey()});
    const Output first = run(served.submit(path("older"), old_vkey(), out));
    ASSERT_EQ(first.status, 0) << first.out;
    const Output unknown = run(served.submit(host_->log_dir(), new_vkey(), out));
    EXPECT_NE(unknown.status, 0);
  }
  const std::string seals = path("witness.seals");
  ASSERT_EQ(on_log("prove 0 --out " + path("p") + " --seals " + seals, old_vkey()).status, 0);
  const Served served(dir.path(), {old_vkey(), new_vkey()}, {}, {seals});
  for (const std::string& vkey : {old_vkey(), new_vkey()}) {
    const Output again = run(served.submit(host_->log_dir(), vkey, out));
    EXPECT_EQ(again.status, 0) << again.out;
    const Output verified =
        on_log("verify --witness " + served.vkey_file() + " --cosigned " + out, vkey);
    EXPECT_EQ(verified.status, 0) << verified.out;
    const Output proved = on_log(
        "prove 20 --cosigned " + out + " --out " + path("p") + " --seals " + path("s"), vkey);
    EXPECT_EQ(proved.status, 0) << proved.out;
    const Output checked =
        check(path("p") + " --seals " + path("s") + " --witness " + served.vkey_file(), vkey);
    EXPECT_EQ(checked.status, 0) << checked.out;
  }
}

TEST_F(RotatedLog, AttackACheckpointWithoutItsEpochsSignatureIsNotGivenToAWitness) {
  TempDir dir;
  const std::string log = dir.path() + "/log";
  copy_directory(host_->log_dir(), log);
  const std::string note = read_file(log + "/checkpoint");
  write_file(log + "/checkpoint", note.substr(0, note.rfind("\xe2\x80\x94 ")));
  const Served served(dir.path(), {new_vkey()});
  const Output output = run(served.submit(log, new_vkey(), dir.path() + "/out"));
  EXPECT_EQ(output.status, 1);
  EXPECT_TRUE(contains(output.out, "not signed with the key of its epoch")) << output.out;
}

// --- pruned as well ---

class PrunedAndRotated : public RotatedLog {
 protected:
  // Up to this entry exactly; in a copy, which goes on.
  void prune_before(std::uint64_t index) {
    copy_directory(host_->log_dir(), copy_.log_dir());
    copy_directory(host_->key_dir(), copy_.key_dir());
    copy_.auditd_arguments = {"--segment-bytes", "1"};
    ASSERT_TRUE(copy_.start());
    ipc::AuditManage wanted;
    wanted.verb = ipc::AuditVerb::prune;
    wanted.index = index;
    ASSERT_TRUE(copy_.auditd.guard.send(wanted));
    ASSERT_EQ(copy_.auditd.guard.wait(10'000)->as<ipc::AuditManaged>()->index, index);
    copy_.stop();
    const Output pruned =
        run(oqto_audit("prune --archive " + archive_.path() + " --log " + copy_.log_dir()));
    ASSERT_EQ(pruned.status, 0) << pruned.out;
    ASSERT_TRUE(fs::exists(copy_.log_dir() + "/segment/" + segment_name(index)));
  }
  void expect_all(const std::string& vkey, bool good) {
    const std::string operands = copy_.log_dir() + " " + vkey;
    const Output ours = run(oqto_audit("verify --log " + copy_.log_dir() + " --vkey " + vkey));
    EXPECT_EQ(ours.status == 0, good) << ours.out;
    const Output python = run("python3 " OQTO_INDEPENDENT ".py " + operands);
    EXPECT_EQ(python.status == 0, good) << python.out;
    const Output go = run(std::string(OQTO_GO_DIR) + "/verify " + operands);
    EXPECT_EQ(go.status == 0, good) << go.out;
    const std::string proof = archive_.path() + "/p";
    const std::string seals = archive_.path() + "/s";
    const Output made = run(oqto_audit("prove 700 --log " + copy_.log_dir() + " --vkey " + vkey +
                                       " --out " + proof + " --seals " + seals));
    EXPECT_EQ(made.status == 0, good) << made.out;
    if (!good) return;
    EXPECT_TRUE(contains(made.out, "is protected by the log's key alone")) << made.out;
    const Output refused = check(proof + " --seals " + seals, vkey);
    EXPECT_EQ(refused.status, 1);
    EXPECT_TRUE(contains(refused.out, "those before it are not there")) << refused.out;
    const Output checked = check(proof + " --seals " + seals + " --pruned", vkey);
    EXPECT_EQ(checked.status, 0) << checked.out;
    EXPECT_TRUE(contains(checked.out, "is protected by the log's key alone")) << checked.out;
  }

  TestHost copy_;
  TempDir archive_;
};

TEST_F(PrunedAndRotated, BeforeTheRotationEitherKeyDoes) {
  const auto seals = seals_of(*host_);
  prune_before(seals[1] + 20);
  expect_all(old_vkey(), true);
  expect_all(new_vkey(), true);
}

TEST_F(PrunedAndRotated, UpToTheRotationTheSealHasBothKeys) {
  const auto seals = seals_of(*host_);
  prune_before(seals[2] + 1);
  ASSERT_EQ(seals_of(copy_).size(), seals_of(*host_).size() + 1 - 3) << "the first that is left";
  expect_all(old_vkey(), true);
  expect_all(new_vkey(), true);
}

TEST_F(PrunedAndRotated, BehindTheRotationNothingLeadsFromTheOldKeyToTheNewOne) {
  const auto seals = seals_of(*host_);
  prune_before(seals[3] + 240);  // also from the bundles, 256 wide
  expect_all(new_vkey(), true);
  expect_all(old_vkey(), false);
}

TEST_F(PrunedAndRotated, AttackASilentRemovalIsNoticedAllTheSame) {
  const auto seals = seals_of(*host_);
  prune_before(seals[1] + 20);
  fs::remove(copy_.log_dir() + "/segment/" + segment_name(seals[1] + 20));
  for (const std::string& vkey : {old_vkey(), new_vkey()}) {
    EXPECT_EQ(run(oqto_audit("verify --log " + copy_.log_dir() + " --vkey " + vkey)).status, 1);
    EXPECT_NE(run(std::string(OQTO_GO_DIR) + "/verify " + copy_.log_dir() + " " + vkey).status, 0);
  }
}

}  // namespace
}  // namespace oqto::audit
