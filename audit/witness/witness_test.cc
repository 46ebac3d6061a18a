// A witness's rules.
#include "audit/witness/witness.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "audit/witness/test_witness.h"
#include "audit/witness/witness_client.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

class WitnessRules : public testing::Test {
 protected:
  Witness witness() {
    return *Witness::open(dir_.path(), *SigningKey::parse(key_text_, KeyType::witness),
                          {{log_.vkey(), {}}});
  }
  static unsigned status(Witness& witness, const std::string& body) {
    const auto answer = witness.add_checkpoint(body);
    return answer ? answer->status : 0;
  }
  static std::string answer(Witness& witness, const std::string& body) {
    return witness.add_checkpoint(body)->body;
  }

  TempDir dir_;
  SmallLog log_{"log.example/a"};
  std::string key_text_ = SigningKey::generate("witness.example/w", KeyType::witness).text();
};

TEST_F(WitnessRules, CosignsWhatContinuesWhatItSaw) {
  auto witness = this->witness();
  const auto key = witness.key();
  std::uint64_t seen = 0;
  for (const std::uint64_t size : {3U, 3U, 4U, 11U, 64U, 64U, 100U}) {
    const auto answer = witness.add_checkpoint(log_.request(seen, size));
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->status, 200U) << answer->body;
    EXPECT_TRUE(verify_cosignature(log_.note(size) + answer->body, key));
    seen = size;
  }
}

TEST_F(WitnessRules, AnswersEachMistakeWithItsOwnStatus) {
  auto witness = this->witness();
  const SmallLog other("log.example/b");
  const SmallLog forger("log.example/a");
  ASSERT_EQ(status(witness, log_.request(0, 5)), 200U);
  const std::string good = log_.request(5, 9);
  const auto with = [](std::string text, std::string_view what, std::string_view replacement) {
    return text.replace(text.find(what), what.size(), replacement);
  };
  EXPECT_EQ(status(witness, other.request(0, 5)), 404U) << "an unknown log";
  EXPECT_EQ(status(witness, forger.request(5, 9)), 403U) << "another key of that name";
  EXPECT_EQ(status(witness, with(good, "old 5", "old 10")), 400U) << "old above new";
  EXPECT_EQ(status(witness, with(good, "old 5", "old 4")), 409U);
  EXPECT_EQ(answer(witness, log_.request(0, 9)), "5\n") << "the conflict says what it has seen";
  EXPECT_EQ(witness.add_checkpoint(log_.request(0, 9))->content_type, "text/x.tlog.size");
  EXPECT_EQ(answer(witness, log_.request(3, 4)), "5\n") << "an older tree";
  std::string wrong = good;
  const std::size_t hash = wrong.find('\n') + 1;
  wrong[hash] = wrong[hash] == 'A' ? 'B' : 'A';
  EXPECT_EQ(status(witness, wrong), 422U) << "a proof of something else";
  EXPECT_EQ(status(witness, with(good, good.substr(hash, 45), "")), 422U) << "a hash too few";
  EXPECT_EQ(status(witness, with(good, "old 5\n", "old 5\n" + good.substr(hash, 45))), 422U);
  for (const std::string& bad :
       {std::string(), std::string("old 5"), std::string("old 5\n\n"), with(good, "old 5", "old 05"),
        with(good, "old 5", "old -5"), with(good, "old", "Old"), with(good, "\n\n", "\n"),
        with(good, "\n9\n", "\n09\n"), good + "x", with(good, "\n", "\r\n")}) {
    EXPECT_EQ(status(witness, bad), 400U) << bad;
  }
  EXPECT_EQ(status(witness, good), 200U) << "and nothing of it has changed what it knows";
}

TEST_F(WitnessRules, AFirstTreeNeedsNoProofAndTakesNone) {
  auto witness = this->witness();
  std::string text = log_.request(0, 7);
  text.insert(text.find('\n') + 1, log_.request(3, 7).substr(6, 45));
  EXPECT_EQ(status(witness, text), 422U);
  EXPECT_EQ(status(witness, log_.request(0, 0)), 200U) << "the empty tree is one";
  EXPECT_EQ(status(witness, log_.request(0, 7)), 200U);
}

TEST_F(WitnessRules, RemembersAcrossARestartAndRefusesToStartWithADamagedMemory) {
  {
    auto witness = this->witness();
    EXPECT_EQ(witness.unknown().size(), 1U);
    ASSERT_EQ(status(witness, log_.request(0, 20)), 200U);
    EXPECT_FALSE(Witness::open(dir_.path(), *SigningKey::parse(key_text_, KeyType::witness),
                               {{log_.vkey(), {}}}))
        << "two witnesses in one state directory";
  }
  {
    auto witness = this->witness();
    EXPECT_TRUE(witness.unknown().empty());
    EXPECT_EQ(answer(witness, log_.request(0, 19)), "20\n");
    EXPECT_EQ(status(witness, log_.request(20, 21)), 200U);
  }
  const auto open = [&](const std::string& key) {
    return Witness::open(dir_.path(), *SigningKey::parse(key, KeyType::witness), {{log_.vkey(), {}}})
        .has_value();
  };
  EXPECT_FALSE(open(SigningKey::generate("witness.example/w", KeyType::witness).text()));
  const std::string file = dir_.path() + "/" + files_beneath(dir_.path()).front();
  const std::string text = read_file(file);
  for (std::size_t i = 0; i < text.size(); i += 11) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    write_file(file, damaged);
    EXPECT_FALSE(open(key_text_)) << "byte " << i;
  }
  write_file(file, "");
  EXPECT_FALSE(open(key_text_));
  write_file(file, text);
  EXPECT_TRUE(open(key_text_));
}

TEST_F(WitnessRules, AttackTwoTreesOfOneSizeAreRefusedAndBothNotesKept) {
  auto witness = this->witness();
  const SmallLog fork(log_, "fork ");
  ASSERT_EQ(status(witness, log_.request(0, 8)), 200U);
  EXPECT_EQ(status(witness, fork.request(8, 8)), 422U);
  EXPECT_EQ(answer(witness, fork.request(0, 8)), "8\n");
  // A larger tree of the fork has no proof either.
  EXPECT_EQ(status(witness, fork.request(8, 12)), 422U);
  std::vector<std::string> kept;
  for (const std::string& file : files_beneath(dir_.path())) {
    if (contains(file, ".conflict.")) kept.push_back(read_file(dir_.path() + "/" + file));
  }
  ASSERT_EQ(kept.size(), 1U) << "one pair, however often it is shown";
  EXPECT_TRUE(contains(kept[0], log_.note(8)));
  EXPECT_TRUE(contains(kept[0], fork.note(8)));
  EXPECT_EQ(status(witness, log_.request(8, 12)), 200U);
}

// The two notes of two honest hosts that bear one name are no evidence against either.
TEST_F(WitnessRules, AttackASecondKeyOfAnOriginIsRefusedUnlessASealLeadsToIt) {
  const SmallLog other("log.example/a");
  const auto open = [&](const std::vector<Pin>& logs) {
    return Witness::open(dir_.path(), *SigningKey::parse(key_text_, KeyType::witness), logs);
  };
  const auto both = open({{log_.vkey(), {}}, {other.vkey(), {}}});
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().code, Errc::denied);
  EXPECT_TRUE(open({{log_.vkey(), {}}, {log_.vkey(), {}}})) << "the same key twice is one log";
}

TEST_F(WitnessRules, ShowsMonitorsWhatItCosigned) {
  auto witness = this->witness();
  const std::string hash = to_hex(sha256("log.example/a"));
  EXPECT_EQ(witness.checkpoint(hash).status, 404U);
  ASSERT_EQ(status(witness, log_.request(0, 7)), 200U);
  const auto shown = witness.checkpoint(hash);
  EXPECT_EQ(shown.status, 200U);
  EXPECT_EQ(verify_checkpoint(shown.body, log_.vkey())->size, 7U);
  EXPECT_TRUE(verify_cosignature(shown.body, witness.key()));
  EXPECT_EQ(witness.checkpoint(to_hex(sha256("log.example/b"))).status, 404U);
}

TEST_F(WitnessRules, TakesNothingFromOtherPeoplesSignatureLines) {
  auto witness = this->witness();
  const auto other = SigningKey::generate("someone.example", KeyType::witness);
  std::string text = log_.request(0, 4);
  text += other.cosign(read_note(log_.note(4))->body, 1);
  ASSERT_EQ(status(witness, text), 200U);
  EXPECT_FALSE(contains(read_file(dir_.path() + "/" + files_beneath(dir_.path()).front()),
                        "someone.example"));
}

// A clock that was set back does not make the newer cosignature the older one.
TEST_F(WitnessRules, TimesNeverGoBack) {
  auto witness = this->witness();
  ASSERT_EQ(status(witness, log_.request(0, 4)), 200U);
  const std::string file = dir_.path() + "/" + files_beneath(dir_.path()).front();
  const auto key = SigningKey::parse(key_text_, KeyType::witness);
  const std::uint64_t ahead = 9'000'000'000;
  const std::string note = log_.note(4) + key->cosign(read_note(log_.note(4))->body, ahead);
  const std::string state = dir_.path() + "2";
  fs::create_directory(state);
  write_file(state + "/" + fs::path(file).filename().string(), note);
  auto later = *Witness::open(state, *SigningKey::parse(key_text_, KeyType::witness), {{log_.vkey(), {}}});
  const std::string line = answer(later, log_.request(4, 5));
  EXPECT_EQ(verify_cosignature(log_.note(5) + line, key->verifier()).value_or(0), ahead);
  fs::remove_all(state);
}

TEST(WitnessUrl, IsTakenApartOnce) {
  const auto url = parse_witness_url("http://[::1]:8090/some/prefix/");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, "8090");
  EXPECT_EQ(url->target, "/some/prefix/add-checkpoint");
  EXPECT_EQ(url->authority, "[::1]:8090");
  EXPECT_EQ(parse_witness_url("http://w.example")->port, "80");
  EXPECT_EQ(parse_witness_url("http://w.example/add-checkpoint")->target, "/add-checkpoint");
}

}  // namespace
}  // namespace oqto::audit
