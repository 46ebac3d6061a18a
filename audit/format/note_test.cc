#include "audit/format/note.h"

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

TEST(Note, ExtensionLinesAreSignedWithTheRest) {
  const auto key = SigningKey::generate("audit.example/log");
  const auto signed_body = [&](const std::string& more) {
    const std::string body = checkpoint_body(example()) + more;
    return body + "\n" + key.sign_line(body);
  };
  const std::string note = signed_body("one line\n\xc3\xbc and another\n");
  EXPECT_EQ(verify_checkpoint(note, key.verifier()).value_or(Checkpoint{}), example());
  std::string changed = note;
  changed[note.find("another")] = 'A';
  EXPECT_FALSE(verify_checkpoint(changed, key.verifier()));
  for (const char* bad : {"\n", "a\x1b[31m\n", "a\rb\n", "\xff\n", "a\n\nb\n"}) {
    EXPECT_FALSE(verify_checkpoint(signed_body(bad), key.verifier())) << bad;
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

// --- cosignatures ---

// The body is the example of C2SP tlog-cosignature, the key the first of RFC 8032 §7.1; the line was
// made with Python's hashlib and `openssl pkeyutl`.
constexpr const char* kBody =
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
constexpr const char* kWitnessLine =
    "\xe2\x80\x94 witness.example.com/w1 fm9KqgAAAABkGFDL+TPmh4BYuAjsYRoqMJCWb/gWJaeRF/kmm5tlCr9sJ57DL"
    "Erur7K0yDXc2ArN+TIuotuB/HbuL3AJsp3bv/aNCQ==\n";
constexpr const char* kWitnessKey =
    "PRIVATE+KEY+witness.example.com/w1+7e6f4aaa+BJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
constexpr const char* kWitnessVkey =
    "witness.example.com/w1+7e6f4aaa+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
constexpr const char* kPlainVkey =  // the same key, published as a plain Ed25519 one
    "witness.example.com/w1+92898dc2+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

TEST(Cosignature, IsWhatOtherToolsMake) {
  const auto key = SigningKey::parse(kWitnessKey, KeyType::witness);
  ASSERT_TRUE(key);
  EXPECT_EQ(key->verifier().text(), kWitnessVkey);
  EXPECT_EQ(key->cosign(kBody, 1679315147), kWitnessLine);
  const std::string note = std::string(kBody) + "\n" + kWitnessLine;
  for (const char* text : {kWitnessVkey, kPlainVkey}) {
    const auto witness = VerifierKey::parse(text, KeyType::witness);
    ASSERT_TRUE(witness);
    const auto time = verify_cosignature(note, *witness);
    ASSERT_TRUE(time);
    EXPECT_EQ(*time, 1679315147U);
  }
  EXPECT_FALSE(VerifierKey::parse(kWitnessVkey)) << "a witness's key is no log's key";
  EXPECT_FALSE(SigningKey::parse(kWitnessKey));
}

TEST(Cosignature, EveryFlippedByteIsRefused) {
  const auto key = SigningKey::generate("witness.example", KeyType::witness);
  const std::string note = SigningKey::generate("audit.example/log").sign(example());
  const std::string whole = note + key.cosign(read_note(note)->body, 1'770'000'000);
  ASSERT_TRUE(verify_cosignature(whole, key.verifier()));
  const std::size_t log_line = note.find("\n\n") + 2;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    // The witness does not sign the log's signature.
    if (i >= log_line && i < note.size() - 1) continue;
    EXPECT_FALSE(verify_cosignature(flipped, key.verifier())) << "byte " << i;
  }
}

TEST(Cosignature, IsDemandedExactlyOnceAndFromItsOwnKey) {
  const auto key = SigningKey::generate("witness.example", KeyType::witness);
  const auto other = SigningKey::generate("witness.example", KeyType::witness);
  const std::string note = SigningKey::generate("audit.example/log").sign(example());
  const std::string line = key.cosign(read_note(note)->body, 7);
  EXPECT_TRUE(verify_cosignature(note + other.cosign(read_note(note)->body, 8) + line,
                                 key.verifier()));
  EXPECT_FALSE(verify_cosignature(note, key.verifier()));
  EXPECT_FALSE(verify_cosignature(note + line + line, key.verifier()));
  EXPECT_FALSE(verify_cosignature(note + line, other.verifier()));
  // A time beyond 2^63 - 1 is none.
  EXPECT_FALSE(verify_cosignature(note + key.cosign(read_note(note)->body, std::uint64_t{1} << 63),
                                  key.verifier()));
}

TEST(Note, TakesSixteenSignaturesAndNamesOfOtherKeysInAnyScript) {
  const auto key = SigningKey::generate("audit.example/log");
  const std::string note = key.sign(example());
  std::string lines;
  for (int i = 0; i < 15; ++i) lines += "\xe2\x80\x94 zeug\xc3\xa9/" + std::to_string(i) + " AAAAAAA=\n";
  EXPECT_TRUE(verify_checkpoint(note + lines, key.verifier()));
  EXPECT_FALSE(verify_checkpoint(note + lines + "\xe2\x80\x94 x AAAAAAA=\n", key.verifier()));
  for (const std::string name : {"a+b", "a\x7f", "a\xc2\xa0" "b", "a\xe2\x80\xa8", "\xff", "", "a\tb"}) {
    EXPECT_FALSE(verify_checkpoint(note + "\xe2\x80\x94 " + name + " AAAAAAA=\n", key.verifier()))
        << name;
  }
}

}  // namespace
}  // namespace oqto::audit
