// The real oqto-audit-signer, with this test as its guard and as a compromised auditd.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/format/epoch.h"
#include "audit/format/tree.h"
#include "audit/signer/signer_state.h"
#include "audit/tests/test_host.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

class Signer : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 20; ++i) leaves_.push_back(leaf_hash(std::to_string(i)));
    restart();
  }
  void restart() {
    if (host_.signer.pid > 0) host_.kill_signer();
    host_.start_signer();
    auto [left, right] = *sys::seqpacket_pair();
    ASSERT_TRUE(host_.signer.guard.send(ipc::Wire{ipc::WireRole::peer}, right));
    channel_ = ipc::Channel(std::move(left));
  }

  // nullopt: refused.
  std::optional<std::string> ask(const ipc::SignRequest& request) {
    EXPECT_TRUE(channel_.send(request));
    const auto answer = channel_.wait(5000);
    if (!answer || answer->tag != ipc::Tag::signed_checkpoint) return std::nullopt;
    return answer->as<ipc::SignedCheckpoint>()->note.value;
  }
  static ipc::SignRequest request(std::span<const Hash> leaves, std::size_t from, std::size_t to) {
    Tree tree;
    for (std::size_t i = 0; i < from; ++i) tree.append(leaves[i]);
    ipc::SignRequest request;
    request.old_size = from;
    request.size = to;
    request.root = root_of(leaves.first(to));
    for (const Hash& hash : tree.prove_prefix(leaves.subspan(from, to - from))) {
      request.proof.value += as_text(hash);
    }
    return request;
  }
  std::optional<std::string> grow(std::size_t from, std::size_t to) {
    return ask(request(leaves_, from, to));
  }

  TestHost host_;
  ipc::Channel channel_;
  std::vector<Hash> leaves_;
};

TEST_F(Signer, SignsATreeThatGrows) {
  ASSERT_TRUE(grow(0, 3));
  ASSERT_TRUE(grow(3, 10));
  const auto note = grow(10, 20);
  ASSERT_TRUE(note);
  const std::string vkey = read_file(host_.key_dir() + "/log.vkey");
  const auto key = VerifierKey::parse(vkey.substr(0, vkey.find('\n')));
  ASSERT_TRUE(key);
  const auto checkpoint = verify_checkpoint(*note, *key);
  ASSERT_TRUE(checkpoint);
  EXPECT_EQ(checkpoint->size, 20U);
  EXPECT_EQ(checkpoint->root, root_of(leaves_));
}

TEST_F(Signer, AttackARewrittenTreeIsNotSigned) {
  ASSERT_TRUE(grow(0, 10));
  auto forged = leaves_;
  forged[3] = leaf_hash("forged");
  EXPECT_FALSE(ask(request(forged, 10, 20)));
  EXPECT_FALSE(ask(request(forged, 0, 20)));
  EXPECT_FALSE(ask(request(forged, 0, 10)));
  EXPECT_TRUE(grow(10, 20));
}

TEST_F(Signer, AttackASmallerTreeIsNotSigned) {
  ASSERT_TRUE(grow(0, 10));
  EXPECT_FALSE(grow(0, 5));
  EXPECT_FALSE(ask({}));
}

TEST_F(Signer, AttackAMissingCutOrPaddedProofIsNotEnough) {
  ASSERT_TRUE(grow(0, 7));
  auto cut = request(leaves_, 7, 20);
  cut.proof.value.resize(cut.proof.value.size() - 32);
  EXPECT_FALSE(ask(cut));
  cut.proof.value.resize(cut.proof.value.size() - 5);
  EXPECT_FALSE(ask(cut));
  auto padded = request(leaves_, 7, 20);
  padded.proof.value += std::string(32, 'x');
  EXPECT_FALSE(ask(padded));
  auto empty = request(leaves_, 7, 20);
  empty.proof.value.clear();
  EXPECT_FALSE(ask(empty));
}

TEST_F(Signer, SaysWhatItSignedLastEvenAfterItWasKilled) {
  ASSERT_TRUE(grow(0, 10));
  ASSERT_TRUE(grow(10, 12));
  restart();
  ASSERT_TRUE(channel_.send(ipc::SignRequest{}));
  const auto answer = channel_.wait(5000);
  ASSERT_TRUE(answer);
  const auto refused = answer->as<ipc::SignRefused>();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->size, 12U);
  EXPECT_EQ(refused->root, root_of(std::span(leaves_).first(12)));
  EXPECT_FALSE(grow(10, 14));
  EXPECT_TRUE(grow(12, 14));
}

TEST_F(Signer, SigningTheSameTreeAgainGivesTheSameNote) {
  const auto first = grow(0, 10);
  ASSERT_TRUE(first);
  restart();
  EXPECT_EQ(grow(0, 10), first);
}

TEST_F(Signer, AttackADeletedOrDamagedMemoryIsNotAFreshStart) {
  ASSERT_TRUE(grow(0, 10));
  host_.kill_signer();
  const std::string state = read_file(host_.key_dir() + "/state");
  const std::string command = "3<>/dev/null 4<>/dev/null 5<>/dev/null " +
                              program("oqto-audit-signer") +
                              " --origin audit.example/test --key-dir " + host_.key_dir();
  std::string damaged = state;
  damaged[3] = static_cast<char>(damaged[3] ^ 1);
  write_file(host_.key_dir() + "/state", damaged);
  EXPECT_EQ(run(command).status, 1);
  ASSERT_EQ(::unlink((host_.key_dir() + "/state").c_str()), 0);
  EXPECT_EQ(run(command).status, 1);
  EXPECT_EQ(run(command + "x").status, 1);  // and its key is nobody else's
}

// --- the log's name ---

// Starts a signer that ends at once, its channels being none; the first line of its log.vkey.
std::string vkey_made_in(const std::string& key_dir, const std::string& arguments = "") {
  const Output output = run("3<>/dev/null 4<>/dev/null 5<>/dev/null " + program("oqto-audit-signer") +
                            " --key-dir " + key_dir + " " + arguments);
  EXPECT_EQ(output.status, 1) << output.out;
  return std::string(first_line(read_file(key_dir + "/log.vkey")));
}

TEST(Origin, OfTwoNewLogsIsNeverTheSame) {
  TempDir dir;
  const auto one = VerifierKey::parse(vkey_made_in(dir.path() + "/one"));
  const auto two = VerifierKey::parse(vkey_made_in(dir.path() + "/two"));
  ASSERT_TRUE(one && two);
  EXPECT_NE(one->name, two->name);
  const Output host = run("uname -n | tr -c 'a-zA-Z0-9.\\n-' -");
  EXPECT_TRUE(one->name.starts_with(host.out.substr(0, host.out.size() - 1) + "/audit/")) << one->name;
}

TEST(Origin, OfALogThatExistsStaysWhatItWas) {
  TempDir dir;
  const std::string first = vkey_made_in(dir.path() + "/key", "--origin oqto.local/audit");
  EXPECT_TRUE(first.starts_with("oqto.local/audit+")) << first;
  EXPECT_EQ(vkey_made_in(dir.path() + "/key"), first);
  const std::string fresh = vkey_made_in(dir.path() + "/other");
  EXPECT_EQ(vkey_made_in(dir.path() + "/other"), fresh);
}

TEST(Origin, IsOneWhateverTheHostIsCalled) {
  for (const std::string& host : {std::string(), std::string("a b+c\n\xc3\xbc/"), std::string(300, 'x')}) {
    EXPECT_TRUE(is_valid_origin(new_origin(host))) << new_origin(host);
  }
}

TEST_F(Signer, TheKeyIsItsUsersAlone) {
  struct stat facts {};
  ASSERT_EQ(::stat((host_.key_dir() + "/log.key").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat((host_.key_dir() + "/log.vkey").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0644U);
  host_.kill_signer();
  ASSERT_EQ(::chmod(host_.key_dir().c_str(), 0755), 0);
  const Output output =
      run("3<>/dev/null 4<>/dev/null 5<>/dev/null " + program("oqto-audit-signer") +
          " --origin audit.example/test --key-dir " + host_.key_dir());
  EXPECT_EQ(output.status, 1);
  EXPECT_NE(output.out.find("0700"), output.out.npos) << output.out;
}

// auditd is to ask for the seal. If it does not, the epoch ends all the same.
TEST_F(Signer, AttackAnEpochThatNobodySealsEndsAllTheSame) {
  host_.signer_arguments = {"--epoch-seconds", "0.001"};
  restart();
  ASSERT_TRUE(grow(0, 3));
  ASSERT_TRUE(grow(3, 4));
  ::usleep(2'500'000);  // the signer's grace
  EXPECT_FALSE(grow(4, 10));
  ASSERT_TRUE(channel_.send(ipc::SignerQuery{ipc::SignerAsk::status}));
  const auto answer = channel_.wait(5000);
  ASSERT_TRUE(answer);
  const auto status = answer->as<ipc::SignerStatus>();
  ASSERT_TRUE(status);
  const auto seal = read_seal(status->seal.value);
  ASSERT_TRUE(seal);
  EXPECT_EQ(seal->epoch, 1U);
  EXPECT_EQ(seal->size, 4U);
  EXPECT_EQ(seal->root, root_of(std::span(leaves_).first(4)));
  auto next = request(leaves_, 4, 10);
  next.epoch = 1;
  EXPECT_TRUE(ask(next));
}

TEST_F(Signer, AttackAskingForNothingDoesNotProlongAnEpoch) {
  host_.signer_arguments = {"--epoch-seconds", "0.001"};
  restart();
  ASSERT_TRUE(grow(0, 3));
  ASSERT_TRUE(grow(3, 4));
  ASSERT_TRUE(channel_.send(ipc::SignerQuery{ipc::SignerAsk::settle}));
  ASSERT_TRUE(channel_.wait(5000));
  std::uint64_t epoch = 0;
  for (int i = 0; i < 80 && epoch == 0; ++i) {
    ::usleep(100'000);
    ASSERT_TRUE(channel_.send(ipc::SignerQuery{ipc::SignerAsk::status}));
    epoch = read_seal(channel_.wait(5000)->as<ipc::SignerStatus>()->seal.value)->epoch;
  }
  EXPECT_EQ(epoch, 1U);
}

TEST_F(Signer, AttackASealIsNotRepeatedBeforeTheLogHoldsIt) {
  ASSERT_TRUE(grow(0, 3));
  const auto seal_now = [&] {
    EXPECT_TRUE(channel_.send(ipc::SignerQuery{ipc::SignerAsk::seal_now}));
    return channel_.wait(5000)->as<ipc::SignerStatus>()->seal.value;
  };
  const std::string first = seal_now();
  EXPECT_EQ(read_seal(first)->epoch, 1U);
  EXPECT_EQ(seal_now(), first);
  restart();
  EXPECT_EQ(seal_now(), first);
}

TEST_F(Signer, ACheckpointIsSignedByTheKeyOfItsEpoch) {
  const auto note = grow(0, 3);
  ASSERT_TRUE(note);
  ASSERT_TRUE(channel_.send(ipc::SignerQuery{ipc::SignerAsk::status}));
  const auto seal = read_seal(channel_.wait(5000)->as<ipc::SignerStatus>()->seal.value);
  ASSERT_TRUE(seal);
  EXPECT_TRUE(verify_in_epoch(*note, {0, 0, seal->log_key, seal->epoch_key}));
  EXPECT_EQ(seal->epoch_key.name, "audit.example/test/epoch/0");
}

TEST_F(Signer, AttackAMalformedRequestEndsTheChannelNotTheSigner) {
  ASSERT_TRUE(channel_.send(ipc::Ready{}));
  EXPECT_EQ(channel_.wait(5000).error().code, Errc::unavailable);
  auto [left, right] = *sys::seqpacket_pair();
  ASSERT_TRUE(host_.signer.guard.send(ipc::Wire{ipc::WireRole::peer}, right));
  channel_ = ipc::Channel(std::move(left));
  EXPECT_TRUE(grow(0, 3));
}

}  // namespace
}  // namespace oqto::audit
