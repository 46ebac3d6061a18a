#include "audit/note.h"

#include <gtest/gtest.h>

namespace oqto::audit {
namespace {

Checkpoint example(std::uint64_t size = 42) {
  return {"audit.example/log", size, sha256("some tree")};
}

// From the C2SP signed-note specification.
TEST(Note, ReadsTheSpecificationsVerifierKey) {
  auto key =
      VerifierKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->name, "PeterNeumann");
  EXPECT_EQ(key->id(), 0xc74f20a3);
  EXPECT_EQ(key->text(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
}

TEST(Note, SignsWhatItsOwnPublicKeyVerifies) {
  const auto key = SigningKey::generate("audit.example/log");
  const auto back = VerifierKey::parse(key.verifier().text());
  ASSERT_TRUE(back);
  const auto checkpoint = verify_checkpoint(key.sign(example()), *back);
  ASSERT_TRUE(checkpoint);
  EXPECT_EQ(*checkpoint, example());
}

TEST(Note, SigningIsDeterministicAndSurvivesThePrivateKeysText) {
  const auto key = SigningKey::generate("audit.example/log");
  const auto again = SigningKey::parse(key.text());
  ASSERT_TRUE(again);
  EXPECT_EQ(key.sign(example()), again->sign(example()));
  EXPECT_FALSE(SigningKey::parse(key.text() + "A"));
  EXPECT_FALSE(SigningKey::parse(key.verifier().text()));
}

TEST(Note, EveryFlippedByteIsRefused) {
  const auto key = SigningKey::generate("audit.example/log");
  const std::string note = key.sign(example());
  for (std::size_t i = 0; i < note.size(); ++i) {
    for (const char mask : {'\x01', '\x20', '\x80'}) {
      std::string flipped = note;
      flipped[i] = static_cast<char>(flipped[i] ^ mask);
      EXPECT_FALSE(verify_checkpoint(flipped, key.verifier())) << "byte " << i;
    }
  }
  for (std::size_t size = 0; size < note.size(); ++size) {
    EXPECT_FALSE(verify_checkpoint(note.substr(0, size), key.verifier()));
  }
}

TEST(Note, AttackAnotherKeyWithTheSameNameIsRefused) {
  const auto key = SigningKey::generate("audit.example/log");
  const auto forger = SigningKey::generate("audit.example/log");
  EXPECT_FALSE(verify_checkpoint(forger.sign(example()), key.verifier()));
}

TEST(Note, AllowsAWitnessButNotInPlaceOfTheLog) {
  const auto key = SigningKey::generate("audit.example/log");
  const auto witness = SigningKey::generate("witness.example");
  const std::string note = key.sign(example());
  const std::string other = witness.sign(example());
  const std::string line = other.substr(other.find("\n\n") + 2);
  EXPECT_TRUE(verify_checkpoint(note + line, key.verifier()));
  EXPECT_FALSE(verify_checkpoint(note.substr(0, note.find("\n\n") + 2) + line, key.verifier()));
  EXPECT_FALSE(verify_checkpoint(note + note.substr(note.find("\n\n") + 2), key.verifier()));
}

TEST(Note, RefusesEverySecondSpelling) {
  const auto key = SigningKey::generate("audit.example/log");
  const std::string note = key.sign(example());
  const auto replaced = [&note](std::string_view what, std::string_view with) {
    std::string copy = note;
    return copy.replace(copy.find(what), what.size(), with);
  };
  for (const std::string& bad :
       {replaced("\n42\n", "\n042\n"), replaced("\n42\n", "\n+42\n"),
        replaced("\n42\n", "\r\n42\r\n"), replaced("\n42\n", "\n18446744073709551658\n"),
        replaced("=\n", "\n"), note + "\n", replaced("\n\n", "\nextension\n\n"), "\n" + note,
        replaced("\xe2\x80\x94", "-")}) {
    EXPECT_FALSE(verify_checkpoint(bad, key.verifier())) << bad;
  }
}

TEST(Note, OriginsAreOnePlainWord) {
  EXPECT_TRUE(is_valid_origin("audit.example/log"));
  for (const std::string& bad :
       {std::string(), std::string("a b"), std::string("a+b"), std::string("a\nb"),
        std::string("\xc3\xa4"), std::string(101, 'a')}) {
    EXPECT_FALSE(is_valid_origin(bad));
  }
}

}  // namespace
}  // namespace oqto::audit
