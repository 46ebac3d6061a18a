// Recordings: made by Recorder, stored by the real auditd, played by the real oqto-audit.
#include "audit/recording/recording.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "audit/read/open_entry.h"
#include "audit/tests/test_host.h"
#include "audit/tests/test_log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

using ipc::Event;
using ipc::FieldKey;

struct Kept {
  std::vector<std::string> chunks;
  Recorder::Sink sink() {
    return [this](std::uint64_t number, std::string_view chunk) -> Status {
      EXPECT_EQ(number, chunks.size());
      chunks.emplace_back(chunk);
      return {};
    };
  }
  std::string all() const {
    std::string text;
    for (const std::string& chunk : chunks) text += chunk;
    return text;
  }
};

std::string output_of(const Recording& recording) {
  std::string text;
  for (const RecordedEvent& event : recording.events) {
    if (event.kind == 'o') text += event.text;
  }
  return text;
}

TEST(Recorder, WritesAsciicastThatItsReaderUnderstands) {
  Kept kept;
  Recorder recorder(80, 24, 1'700'000'000, 1000, kept.sink());
  ASSERT_TRUE(recorder.output("\x1b[31mhello\r\n", 1250));
  ASSERT_TRUE(recorder.resize(100, 30, 2000));
  ASSERT_TRUE(recorder.finish(2500));
  ASSERT_EQ(kept.chunks.size(), 1U);
  EXPECT_EQ(kept.all(),
            "{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":1700000000}\n"
            "[0.250,\"o\",\"\\u001b[31mhello\\u000d\\u000a\"]\n[1.000,\"r\",\"100x30\"]\n");
  const auto read = parse_recording(kept.all());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->columns, 80);
  EXPECT_EQ(read->events[1].kind, 'r');
  EXPECT_EQ(output_of(*read), "\x1b[31mhello\r\n");
}

TEST(Recorder, CutsIntoChunksOfWholeLinesByBytesAndByTime) {
  Kept kept;
  Recorder recorder(80, 24, 0, 0, kept.sink());
  std::string said;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const std::string piece(5000, static_cast<char>(i % 32));  // escaped: six times as long
    said += piece;
    ASSERT_TRUE(recorder.output(piece, i));
  }
  ASSERT_TRUE(recorder.finish(200));
  EXPECT_GT(kept.chunks.size(), 10U);
  for (const std::string& chunk : kept.chunks) {
    EXPECT_LE(chunk.size(), kChunkBytes);
    EXPECT_TRUE(chunk.ends_with("]\n"));
  }
  EXPECT_EQ(output_of(*parse_recording(kept.all())), said);

  Kept slow;
  Recorder quiet(80, 24, 0, 0, slow.sink());
  ASSERT_TRUE(quiet.output("a", 10));
  EXPECT_EQ(quiet.due(), kChunkMs);
  ASSERT_TRUE(quiet.tick(kChunkMs - 1));
  EXPECT_EQ(slow.chunks.size(), 0U);
  ASSERT_TRUE(quiet.tick(kChunkMs));
  EXPECT_EQ(slow.chunks.size(), 1U);
  EXPECT_FALSE(quiet.due());
}

TEST(Recorder, KeepsCharactersThatAreCutAndReplacesWhatIsNone) {
  Kept kept;
  Recorder recorder(80, 24, 0, 0, kept.sink());
  for (const char c : std::string("\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80")) {
    ASSERT_TRUE(recorder.output(std::string_view(&c, 1), 0));
  }
  ASSERT_TRUE(recorder.output("\xff|\xe2\x82", 0));
  ASSERT_TRUE(recorder.output("x\xc3", 0));
  ASSERT_TRUE(recorder.finish(0));
  EXPECT_EQ(output_of(*parse_recording(kept.all())),
            "ü€😀\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd");
}

TEST(Recorder, EndsWhenAChunkCannotBeStored) {
  int calls = 0;
  Recorder recorder(80, 24, 0, 0, [&](std::uint64_t, std::string_view) -> Status {
    ++calls;
    return fail(Errc::unavailable, "no");
  });
  EXPECT_TRUE(recorder.output("a", 0));
  EXPECT_FALSE(recorder.tick(kChunkMs));
  EXPECT_FALSE(recorder.output("b", kChunkMs + 1));
  EXPECT_FALSE(recorder.finish(kChunkMs + 2));
  EXPECT_EQ(calls, 1);
}

TEST(TerminalFilter, LetsTextColoursAndMovementThrough) {
  const std::string good = "a\x1b[1;31mred\x1b[0m\x1b[2;3H\x1b[2K\x1b[?25l\r\nü";
  EXPECT_EQ(TerminalFilter().filter(good), good);
  EXPECT_EQ(TerminalFilter(true).filter(good), "ared\nü");
}

TEST(TerminalFilter, AttackNothingThatTypesNamesOrStoresReachesTheTerminal) {
  const std::vector<std::string> attacks = {
      "\x1b]0;title\x07", "\x1b]52;c;ZXZpbA==\x1b\\", "\x1bP1$r0m\x1b\\", "\x1b[6n", "\x1b[c",
      "\x1b[>c", "\x1b" "c", "\x1b[?1000h", "\x1b[?2004h", "\x1b_G\x1b\\", "\x1b^x\x1b\\",
      "\x1b[21t", "\x1b[18t", "\xc2\x9b" "6n", "\xc2\x9d" "0;t\x07", "\x07", "\x05", "\x0e", "\x7f",
      "\x1b[4h", "\x1b(0", "\x1b#8", "\x1b[!p", "\x1b[0 q", "\x1b[\x1b]0;x\x07", "\xe2\x80\xae"};
  for (const std::string& attack : attacks) {
    const std::string shown = TerminalFilter().filter("<" + attack + ">");
    EXPECT_FALSE(shown.contains('\x1b')) << testing::PrintToString(attack) << shown;
    EXPECT_FALSE(has_raw_control_byte(shown)) << testing::PrintToString(attack);
    TerminalFilter cut;
    std::string pieces;
    for (const char c : "<" + attack + ">") pieces += cut.filter(std::string_view(&c, 1));
    EXPECT_EQ(pieces, shown);
  }
}

class Replaying : public testing::Test {
 protected:
  static constexpr const char* kSession = "0f000000-0000-4000-8000-000000000009";

  void SetUp() override {
    ASSERT_TRUE(host_.start());
    auto client = host_.client();
    Recorder recorder(80, 24, 1'700'000'000, 0, [&](std::uint64_t number, std::string_view chunk) -> Status {
      const std::string name = TRY(client.store(chunk));
      auto append = record(Event::recording_chunk);
      append.add(FieldKey::session, kSession).add(FieldKey::terminal, "t1");
      entries_.push_back(TRY(client.append(append.add(FieldKey::chunk, std::to_string(number))
                                               .add(FieldKey::recording_blob, name))));
      return {};
    });
    for (std::uint64_t i = 0; i < 7; ++i) {
      ASSERT_TRUE(recorder.output("line " + std::to_string(i) + "\r\n\x1b]52;c;ZXZpbA==\x07", i * 3000));
    }
    ASSERT_TRUE(recorder.finish(21'000));
    host_.stop();
    ASSERT_EQ(entries_.size(), 3U);
  }
  Output replay(const std::string& arguments) const {
    return run(oqto_audit("replay " + arguments) + " --log " + host_.log_dir());
  }
  std::string blob_of(std::size_t chunk) const {
    const auto blobs = blobs_of(entries_of(host_)[entries_[chunk]]);
    return host_.log_dir() + "/blob/" + blobs[0].sha256.substr(0, 2) + "/" + blobs[0].sha256;
  }

  TestHost host_;
  std::vector<std::uint64_t> entries_;
};

TEST_F(Replaying, PlaysBySessionAndByEntryAndExports) {
  const std::string text = "line 0\nline 1\nline 2\nline 3\nline 4\nline 5\nline 6\n";
  EXPECT_EQ(replay(std::string(kSession) + " --text").out, text);
  EXPECT_EQ(replay(std::to_string(entries_[1]) + " --text").out, text);
  const Output played = replay(std::string(kSession) + " --speed 100000");
  EXPECT_EQ(played.status, 0);
  EXPECT_TRUE(contains(played.out, "line 4\r\n"));
  EXPECT_FALSE(contains(played.out, "\x1b]"));
  EXPECT_TRUE(contains(replay(std::string(kSession) + " --idle 0 --raw").out, "\x1b]52"));
  const std::string file = host_.key_dir() + "/out.cast";
  ASSERT_EQ(replay(std::to_string(entries_[0]) + " --export " + file).status, 0);
  EXPECT_TRUE(parse_recording(read_file(file)));
  EXPECT_EQ(replay("12345 --text").status, 1);
  EXPECT_EQ(replay("0f000000-ffff --text").status, 1);
  EXPECT_EQ(replay(std::string(kSession) + " --speed 0").status, 2);
  EXPECT_EQ(host_.verify().status, 0) << host_.verify().out;
}

TEST_F(Replaying, EveryDamagedChunkIsNamedAndNothingIsPlayed) {
  const std::string good = read_file(blob_of(1));
  std::string bad = good;
  bad[50] = static_cast<char>(bad[50] ^ 1);
  write_file(blob_of(1), bad);
  Output played = replay(std::string(kSession) + " --text");
  EXPECT_EQ(played.status, 1);
  EXPECT_TRUE(contains(played.out, "chunk 1 (entry " + std::to_string(entries_[1]) + ")")) << played.out;
  EXPECT_TRUE(contains(played.out, "is not what its name says")) << played.out;
  EXPECT_FALSE(contains(played.out, "line"));
  fs::remove(blob_of(1));
  played = replay(std::string(kSession) + " --text");
  EXPECT_EQ(played.status, 1);
  EXPECT_TRUE(contains(played.out, "is missing")) << played.out;
  EXPECT_EQ(host_.verify().status, 1);
}

TEST_F(Replaying, AMissingChunkIsNamed) {
  ASSERT_TRUE(host_.start());
  auto client = host_.client();
  const auto name = client.store("[1,\"o\",\"x\"]\n");
  ASSERT_TRUE(name);
  auto late = record(Event::recording_chunk);
  late.add(FieldKey::session, kSession).add(FieldKey::terminal, "t1").add(FieldKey::chunk, "7");
  ASSERT_TRUE(client.append(late.add(FieldKey::recording_blob, *name)));
  host_.stop();
  const Output played = replay(std::string(kSession) + " --text");
  EXPECT_EQ(played.status, 1);
  EXPECT_TRUE(contains(played.out, "chunk 3 and all up to 6 are missing")) << played.out;
}

TEST_F(Replaying, AttackAnotherTenantCannotAddToARecording) {
  ASSERT_TRUE(host_.start());
  auto bob = ipc::AuditClient(host_.source(ipc::Process::runner, 8, "bob", 1, 2));
  const auto name = bob.store("[99,\"o\",\"forged\"]\n");
  ASSERT_TRUE(name);
  auto forged = record(Event::recording_chunk);
  forged.add(FieldKey::session, kSession).add(FieldKey::terminal, "t1").add(FieldKey::chunk, "3");
  ASSERT_TRUE(bob.append(forged.add(FieldKey::recording_blob, *name)));
  host_.stop();
  EXPECT_FALSE(contains(replay(std::to_string(entries_[0]) + " --text").out, "forged"));
  EXPECT_TRUE(contains(replay(std::string(kSession) + " --text").out, "several recordings"));
}

TEST(RecordingReader, RefusesWhatIsNoRecording) {
  const std::string header = "{\"version\":2,\"width\":80,\"height\":24}\n";
  EXPECT_TRUE(parse_recording(header));
  EXPECT_TRUE(parse_recording(header + "[1,\"x\",\"unknown kinds are kept\"]\n"));
  for (const std::string& bad :
       {std::string(), std::string("x"), std::string("{\"version\":1,\"width\":80,\"height\":24}\n"),
        std::string("{\"version\":2,\"width\":0,\"height\":24}\n"),
        std::string("{\"version\":2,\"width\":\"80\",\"height\":24}\n"),
        std::string("{\"version\":2,\"width\":100000,\"height\":24}\n"), header + "[1,\"o\"]\n",
        header + "[-1,\"o\",\"x\"]\n", header + "[1e300,\"o\",\"x\"]\n", header + "[null,\"o\",\"x\"]\n",
        header + "{}\n", header + "[1,\"o\",\"\xff\"]\n"}) {
    EXPECT_FALSE(parse_recording(bad)) << bad;
  }
}

}  // namespace
}  // namespace oqto::audit
