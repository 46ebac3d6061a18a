// What the auditor's program finds, on logs that the real auditd wrote.
#include "audit/verify/verify.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "audit/format/format.h"
#include "audit/tests/test_log.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;
using ipc::Event;
using ipc::FieldKey;

// One log for all tests: three segments, two full tiles and partial ones. Each test has its copy.
class Verify : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    host_ = std::make_unique<TestHost>();
    host_->auditd_arguments = {"--segment-bytes", "150000"};
    ASSERT_TRUE(host_->start());
    auto client = host_->client();
    for (int i = 0; i < 560; ++i) {
      auto append = record(Event::exec).add(FieldKey::argv, "program").add(FieldKey::cwd, "/work");
      if (i % 3 == 0) {
        ASSERT_TRUE(client.append(append));
      } else {
        ASSERT_TRUE(client.post(append));
      }
      if (i == 300) copy_in_order(host_->log_dir(), older_.path() + "/log");
    }
    ASSERT_TRUE(client.append(record(Event::logout)));
    host_->stop();
  }
  static void TearDownTestSuite() { host_.reset(); }

  void SetUp() override {
    log_ = dir_.path() + "/log";
    restore();
  }

  void restore() { copy_directory(host_->log_dir(), log_); }

  static void copy_in_order(const std::string& from, const std::string& to) { TestLog::copy_in_order(from, to); }

  static VerifierKey key() {
    const std::string text = read_file(host_->key_dir() + "/log.vkey");
    return *VerifierKey::parse(text.substr(0, text.find('\n')));
  }

  std::vector<Finding> findings() {
    auto report = verify_log(log_, key());
    EXPECT_TRUE(report);
    return std::move(report->findings);
  }

  static std::string text_of(const std::vector<Finding>& findings) {
    std::string text;
    for (const Finding& finding : findings) text += finding.where + ": " + finding.what + "\n";
    return text;
  }

  // Tenants' keys are not of the log: without them it verifies just as well.
  std::vector<std::string> hashed_files() {
    auto files = files_beneath(log_);
    std::erase_if(files, [](const std::string& file) { return file.starts_with("keys/") || file.starts_with("tmp/"); });
    return files;
  }

  std::string segment(std::size_t number) {
    return log_ + "/segment/" + files_beneath(log_ + "/segment").at(number);
  }

  // Which segment holds an entry depends on how the records came together into batches.
  std::string segment_with(std::string_view what) {
    for (std::size_t i = 0;; ++i) {
      if (contains(read_file(segment(i)), what)) return segment(i);
    }
  }

  // Rewrites an entry in its segment and makes the frame's digest fit again.
  void forge_entry(std::string_view what, std::string_view with);

  static std::unique_ptr<TestHost> host_;
  static TempDir older_;
  TempDir dir_;
  std::string log_;
};

std::unique_ptr<TestHost> Verify::host_;
TempDir Verify::older_;

TEST_F(Verify, AcceptsACopy) {
  EXPECT_EQ(text_of(findings()), "");
  const Output output = run(host_->verify_command(log_));
  EXPECT_EQ(output.status, 0) << output.out;
  EXPECT_TRUE(contains(output.out, "565 entries")) << output.out;
}

TEST_F(Verify, AnyFlippedByteOfAnyFileIsFound) {
  std::mt19937 random(2);  // NOLINT: the same bytes every time
  for (const std::string& file : hashed_files()) {
    const std::string content = read_file(log_ + "/" + file);
    std::vector<std::size_t> places = {0, 1, 4, 8, 16, 20, content.size() - 1, content.size() - 33};
    for (int i = 0; i < 12; ++i) places.push_back(random() % content.size());
    for (const std::size_t place : places) {
      if (place >= content.size()) continue;
      std::string flipped = content;
      flipped[place] = static_cast<char>(flipped[place] ^ (1 << random() % 8));
      write_file(log_ + "/" + file, flipped);
      EXPECT_FALSE(findings().empty()) << file << " byte " << place;
    }
    write_file(log_ + "/" + file, content);
  }
  EXPECT_EQ(text_of(findings()), "");
}

TEST_F(Verify, AFlippedByteOfAnEntryIsOneFindingThatNamesIt) {
  const std::string path = segment_with("\"seq\":400,");
  const std::string content = read_file(path);
  const std::size_t place = content.find("\"seq\":400,") + 60;
  std::string flipped = content;
  flipped[place] = static_cast<char>(flipped[place] ^ 1);
  write_file(path, flipped);
  const auto found = findings();
  ASSERT_EQ(found.size(), 1U) << text_of(found);
  EXPECT_TRUE(contains(found[0].where, "segment/")) << found[0].where;
  EXPECT_TRUE(contains(found[0].what, "entry 400 was altered")) << found[0].what;
  restore();
  const std::string bundle = log_ + "/tile/entries/001";
  std::string entries = read_file(bundle);
  entries[entries.find("\"seq\":400,") + 60] ^= 1;
  write_file(bundle, entries);
  const auto in_bundle = findings();
  ASSERT_EQ(in_bundle.size(), 1U) << text_of(in_bundle);
  EXPECT_TRUE(contains(in_bundle[0].what, "entry 400 differs")) << in_bundle[0].what;
}

TEST_F(Verify, AnyMissingTruncatedOrExtendedFileIsFound) {
  for (const std::string& file : hashed_files()) {
    const std::string path = log_ + "/" + file;
    const std::string content = read_file(path);
    for (const std::string& changed :
         {content.substr(0, content.size() - 1), content.substr(0, content.size() / 2),
          std::string(), content + "x", content + std::string(600, '\0')}) {
      write_file(path, changed);
      // Zeros behind the last segment are what a crash leaves: noted, no defect.
      if (changed.ends_with(std::string(600, '\0')) &&
          path == segment(files_beneath(log_ + "/segment").size() - 1)) {
        EXPECT_EQ(text_of(findings()), "");
        continue;
      }
      EXPECT_FALSE(findings().empty()) << file << " with " << changed.size() << " bytes";
    }
    fs::remove(path);
    const bool is_older_partial = contains(file, ".p/") &&
                                  !contains(file, ".p/" + std::to_string(565 % 256)) &&
                                  !contains(file, ".p/2");
    if (!is_older_partial) {
      EXPECT_FALSE(findings().empty()) << file;
    }
    write_file(path, content);
  }
  EXPECT_EQ(text_of(findings()), "");
}

TEST_F(Verify, AForeignFileAnywhereIsFound) {
  for (const std::string file :
       {"note", "segment/00000000000000099999", "segment/00000000000000000005", "segment/x", "tile/x", "tile/0/100",
        "tile/entries/000.p/256", "tile/0/0", "tile/9/000", "tmp/other"}) {
    fs::create_directories(fs::path(log_ + "/" + file).parent_path());
    write_file(log_ + "/" + file, "x");
    EXPECT_TRUE(contains(text_of(findings()), file)) << file << "\n" << text_of(findings());
    fs::remove(log_ + "/" + file);
  }
  fs::create_symlink("/etc/passwd", log_ + "/tile/0/002");
  EXPECT_FALSE(findings().empty());
}

void Verify::forge_entry(std::string_view what, std::string_view with) {
  ASSERT_EQ(what.size(), with.size());
  const std::string path = segment_with(what);
  const std::string content = read_file(path);
  std::string forged;
  for (std::string_view rest = content; !rest.empty();) {
    const Batch batch = read_batch(rest);
    ASSERT_EQ(batch.state, BatchState::complete);
    std::string body;
    for (const std::string_view entry : batch.entries) {
      std::string copy(entry);
      if (const std::size_t at = copy.find(what); at != copy.npos)
        copy.replace(at, what.size(), with);
      append_entry(body, copy);
    }
    const std::string frame =
        encode_batch(batch.first, static_cast<std::uint32_t>(batch.entries.size()), body);
    forged += frame.substr(0, frame.size() - kNoteFrame);
    forged += rest.substr(batch.length - kNoteFrame, kNoteFrame);
    rest.remove_prefix(batch.length);
  }
  write_file(path, forged);
}

TEST_F(Verify, AttackAnEntryForgedWithAFittingDigestIsNamed) {
  forge_entry("\"seq\":401,", "\"seq\":104,");
  const auto found = findings();
  ASSERT_EQ(found.size(), 1U) << text_of(found);
  EXPECT_TRUE(contains(found[0].what, "entry 401 was altered")) << found[0].what;
}

TEST_F(Verify, AttackAForgerWhoRewritesTheTilesTooIsFound) {
  forge_entry("\"seq\":401,", "\"seq\":104,");
  fs::remove_all(log_ + "/tile");
  EXPECT_FALSE(findings().empty());
}

TEST_F(Verify, AttackADroppedSegmentIsFound) {
  fs::remove(segment(1));
  const auto found = findings();
  ASSERT_EQ(found.size(), 1U) << text_of(found);
  EXPECT_TRUE(contains(found[0].what, "before it are missing")) << found[0].what;
}

TEST_F(Verify, AttackSwappedAndRepeatedBatchesAreFound) {
  const std::string content = read_file(segment(0));
  const std::size_t first = read_batch(content).length;
  const std::size_t second = read_batch(std::string_view(content).substr(first)).length;
  const std::string one = content.substr(0, first);
  const std::string two = content.substr(first, second);
  const std::string rest = content.substr(first + second);
  for (const std::string& changed :
       {two + one + rest, one + one + two + rest, two + rest, one + rest}) {
    write_file(segment(0), changed);
    EXPECT_FALSE(findings().empty());
  }
}

TEST_F(Verify, AttackALogCutBackToAnOlderStateIsFoundWithAKeptCheckpoint) {
  // The older copy is a valid log of its own: only who remembers a later one can tell.
  const std::string older = older_.path() + "/log";
  EXPECT_EQ(run(host_->verify_command(older)).status, 0) << run(host_->verify_command(older)).out;
  const Output output = run(host_->verify_command(older) + " --known " + log_ + "/checkpoint");
  EXPECT_EQ(output.status, 1) << output.out;
  EXPECT_TRUE(contains(output.out, "the checkpoint you kept")) << output.out;
  EXPECT_EQ(run(host_->verify_command(log_) + " --known " + older + "/checkpoint").status, 0);
}

TEST_F(Verify, AttackACheckpointThatNoKeyOfTheLogSignedHidesNoOtherFinding) {
  const auto other = SigningKey::generate(key().name);
  const auto claimed = *read_checkpoint(read_file(log_ + "/checkpoint"));
  write_file(dir_.path() + "/kept", other.sign(claimed));
  const std::string path = segment(0);
  std::string content = read_file(path);
  content[content.size() / 2] ^= 1;
  write_file(path, content);
  const Output output = run(host_->verify_command(log_) + " --known " + dir_.path() + "/kept");
  EXPECT_EQ(output.status, 1) << output.out;
  EXPECT_TRUE(contains(output.out, "is not signed with any key that this log had")) << output.out;
  EXPECT_TRUE(contains(output.out, "segment/")) << output.out;
}

TEST_F(Verify, AttackWithSinceTheOtherKeptCheckpointsAreNotForgotten) {
  const std::string older = older_.path() + "/log";
  const Output output = run(host_->verify_command(older) + " --since " + older + "/checkpoint --known " + older + "/checkpoint --known " + log_ + "/checkpoint");
  EXPECT_EQ(output.status, 1) << output.out;
  EXPECT_TRUE(contains(output.out, "which the checkpoint you kept covers")) << output.out;
}

TEST_F(Verify, AttackAnotherKeysSignatureIsFound) {
  const auto other = SigningKey::generate("audit.example/test");
  const auto report = verify_log(log_, other.verifier());
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->findings.empty());
}

TEST_F(Verify, UsageAndUnreadableLogsAreStatusTwo) {
  const std::string oqto_audit = program("oqto-audit");
  for (const std::string& arguments :
       {std::string("verify --log /nonexistent --vkey ") + host_->key_dir() + "/log.vkey",
        std::string("verify --vkey /nonexistent"), std::string("verify --log"),
        std::string("verify --what"), std::string("verify extra"), std::string("what"),
        std::string(), std::string("show"), std::string("show x --log ") + log_,
        "show 99999 --log " + log_, std::string("tail -n x"),
        std::string("tail --log /nonexistent"),
        "verify --log " + log_ + " --vkey " + log_ + "/checkpoint"}) {
    const Output output = run(oqto_audit + " " + arguments);
    EXPECT_EQ(output.status, 2) << arguments << "\n" << output.out;
    EXPECT_FALSE(output.out.empty());
  }
  for (const char* command : {"--help", "verify --help", "tail --help", "show --help"}) {
    EXPECT_EQ(run(oqto_audit + " " + command).status, 0);
  }
}

TEST_F(Verify, JsonReportIsMachineReadable) {
  const std::string check =
      " | python3 -c 'import json,sys; r=json.load(sys.stdin); "
      "print(r[\"ok\"], r[\"entries\"], len(r[\"findings\"]))'";
  EXPECT_EQ(run(host_->verify_command(log_) + " --json" + check).out, "True 565 0\n");
  write_file(log_ + "/segment/x\x1b[31m", "x");
  EXPECT_EQ(run(host_->verify_command(log_) + " --json" + check).out, "False 565 1\n");
}

TEST_F(Verify, TailShowsTheNewestEntries) {
  const std::string tail = program("oqto-audit") + " tail --log " + log_;
  const Output three = run(tail + " -n 3");
  EXPECT_EQ(std::ranges::count(three.out, '\n'), 3);
  EXPECT_TRUE(contains(three.out, "#562  ann(7) runner  logout")) << three.out;
  EXPECT_TRUE(contains(three.out, "#563  auditd  process.stop success")) << three.out;
  EXPECT_TRUE(contains(three.out, "#564  auditd  epoch.seal success")) << three.out;
  EXPECT_EQ(std::ranges::count(run(tail).out, '\n'), 20);
  EXPECT_EQ(std::ranges::count(run(tail + " -n 999999").out, '\n'), 565);
  EXPECT_EQ(run(tail + " -n 999 --json | python3 -c 'import json,sys; "
                       "print(sum(json.loads(l)[\"seq\"] for l in sys.stdin))'")
                .out,
            "159330\n");
  EXPECT_EQ(run(tail + " -n 999 | head -1 | wc -l; echo ${PIPESTATUS}").out.substr(0, 2), "1\n");
}

TEST_F(Verify, TailFollowsALogThatGrows) {
  TestHost host;
  host.auditd_arguments = {"--segment-bytes", "3000"};
  ASSERT_TRUE(host.start());
  const std::string out = dir_.path() + "/out";
  const Output started = run("timeout 20 " + program("oqto-audit") + " tail -f -n 1000 --log " +
                             host.log_dir() + " > " + out + " & echo $!");
  auto client = host.client();
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(client.append(record(Event::exec).add(FieldKey::argv, "n" + std::to_string(i))));
  }
  for (int i = 0; i < 500 && !contains(read_file(out), "n29"); ++i) ::usleep(20'000);
  EXPECT_EQ(std::ranges::count(read_file(out), '\n'), 32);
  EXPECT_EQ(::kill(std::stoi(started.out), SIGTERM), 0);
}

TEST_F(Verify, AttackNoControlByteReachesTheAuditorsTerminal) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  for (const std::string attack : {"\x1b]0;x\x07\x1b[2J", "a\nb\r\x7f",
                                   "\xc2\x9b"
                                   "2J",
                                   "\xff\x1b", "\xe2\x80\xaegpj.exe"}) {
    ipc::AuditClient evil(host.source(ipc::Process::runner, 7, attack));
    const auto index =
        evil.append(record(Event::exec).add(FieldKey::argv, attack).add(FieldKey::cwd, attack));
    ASSERT_TRUE(index);
    for (const std::string& command :
         {std::string("tail"), std::string("tail --json"), "show " + std::to_string(*index),
          "show --json " + std::to_string(*index)}) {
      const Output output = run(program("oqto-audit") + " " + command + " --log " + host.log_dir());
      EXPECT_EQ(output.status, 0) << output.out;
      for (std::size_t i = 0; i < output.out.size(); ++i) {
        const auto byte = static_cast<unsigned char>(output.out[i]);
        EXPECT_TRUE(byte == '\n' || (byte >= 0x20 && byte != 0x7f && byte != 0xff)) << command;
      }
      EXPECT_FALSE(contains(output.out, "\xc2\x9b") || contains(output.out, "\xe2\x80\xae"));
    }
  }
}

TEST_F(Verify, ShowPrintsOneEntryWithItsLeafHash) {
  const std::string show = program("oqto-audit") + " show --log " + log_;
  const Output page = run(show + " 400");
  EXPECT_TRUE(contains(page.out, "actor.username          \"ann\"")) << page.out;
  EXPECT_TRUE(contains(page.out, "leaf hash"));
  EXPECT_TRUE(run(show + " 400 --json").out.starts_with("{\"seq\":400,"));
}

}  // namespace
}  // namespace oqto::audit
