// The auditor's program and verifiers that are not ours look at the same logs, good and corrupt.
// Whoever looks at a file must come to the same judgement about it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "audit/tests/corruptions.h"
#include "audit/tests/test_log.h"
#include "audit/witness/test_witness.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

struct Verifier {
  const char* name;
  std::vector<Where> looks_at;
  std::function<std::string(const Copy&)> command;
};

class Independent : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    log_ = TestLog::write("60000", 600);
    ASSERT_GT(log_->size(), 600U);
    fork();
    cosign();
    build_go();
  }
  static void TearDownTestSuite() {
    log_.reset();
    fork_.reset();
  }

  // The log as its thief continues it: with everything that the host had when half of it existed.
  static void fork() {
    fork_ = std::make_unique<TestHost>();
    log_->restore_older(*fork_);
    ASSERT_TRUE(fork_->start());
    auto client = fork_->client();
    while (true) {
      const auto index = client.append(record(ipc::Event::exec).add(ipc::FieldKey::argv, "other"));
      ASSERT_TRUE(index);
      if (*index > log_->size()) break;
    }
    fork_->stop();
  }

  static void cosign() {
    const Served served(base_->path(), {log_->vkey_file()});
    const Output output =
        run(served.submit(log_->dir(), log_->vkey_file(), base_->path() + "/cosigned"));
    ASSERT_EQ(output.status, 0) << output.out;
  }

  static void build_go() {
    const std::string dir = OQTO_GO_DIR;
    fs::create_directories(dir);
    const Output built = run("flock " + dir + " env GO111MODULE=off GOFLAGS= GOPATH=/usr/share/gocode "
                             "GOCACHE=" + dir + "/cache go build -o " + dir + "/verify " +
                             OQTO_INDEPENDENT ".go");
    ASSERT_EQ(built.status, 0) << built.out
                               << "needed: apt-get install golang-go golang-golang-x-mod-dev";
  }

  Copy fresh() {
    const std::string dir = dir_.path();
    copy_directory(log_->dir(), dir + "/log");
    copy_directory(log_->older_dir(), dir + "/older");
    write_file(dir + "/since", read_file(log_->older_dir() + "/checkpoint"));
    write_file(dir + "/cosigned", read_file(base_->path() + "/cosigned"));
    return {dir + "/log", dir + "/since", dir + "/cosigned", key_,
            epoch_key_, thief_, witness_, false, fork_->log_dir()};
  }

  static std::vector<Verifier> verifiers() {
    const std::string vkey = log_->vkey_file();
    const std::string witness = base_->path() + "/witness.vkey";
    return {
        {"oqto-audit",
         {Where::segment, Where::entries, Where::hashes, Where::checkpoint, Where::tree,
          Where::epochs, Where::cosigned},
         [=](const Copy& copy) {
           return oqto_audit("verify --log " + copy.log + " --vkey " + vkey +
                             (copy.is_alone ? "" : " --known " + copy.since + " --cosigned " +
                                                       copy.cosigned + " --witness " + witness));
         }},
        {"Go",
         {Where::segment, Where::entries, Where::hashes, Where::checkpoint, Where::tree,
          Where::epochs, Where::cosigned},
         [=](const Copy& copy) {
           return std::string(OQTO_GO_DIR) + "/verify " +
                  (copy.is_alone ? "" : "-since " + copy.since + " -cosigned " + copy.cosigned +
                                            " -witness " + witness + " ") +
                  copy.log + " " + vkey;
         }},
        {"Python",
         {Where::entries, Where::hashes, Where::checkpoint, Where::tree, Where::epochs},
         [=](const Copy& copy) {
           return std::string("python3 " OQTO_INDEPENDENT ".py ") + copy.log + " " + vkey +
                  (copy.is_alone ? "" : " " + copy.since);
         }},
        {"openssl, checkpoint",
         {Where::checkpoint},
         [=](const Copy& copy) {
           return std::string(OQTO_INDEPENDENT ".sh ") + copy.log + "/checkpoint " + vkey;
         }},
        {"openssl, cosigned checkpoint",
         {Where::cosigned},
         [=](const Copy& copy) {
           return std::string(OQTO_INDEPENDENT ".sh ") + copy.cosigned + " " + vkey + " " + witness;
         }},
    };
  }

  void all_notice(Where where) {
    auto corruptions = file_corruptions();
    for (auto& more : note_corruptions()) corruptions.push_back(std::move(more));
    for (auto& more : epoch_corruptions()) corruptions.push_back(std::move(more));
    std::size_t tried = 0;
    for (const Corruption& corruption : corruptions) {
      if (corruption.where != where) continue;
      ++tried;
      Copy copy = fresh();
      copy.is_alone = where == Where::epochs;
      corruption.apply(copy);
      for (const Verifier& verifier : verifiers()) {
        if (std::ranges::find(verifier.looks_at, where) == verifier.looks_at.end()) continue;
        const Output output = run(verifier.command(copy));
        EXPECT_EQ(output.status, 1) << verifier.name << " about: " << corruption.name << "\n"
                                    << output.out;
        if (std::string_view(verifier.name) != "oqto-audit") continue;
        EXPECT_TRUE(contains(output.out, corruption.expected))
            << corruption.name << ", expected: " << corruption.expected << "\n"
            << output.out;
      }
    }
    EXPECT_GT(tried, 5U);
  }

  static std::unique_ptr<TestLog> log_;
  static std::unique_ptr<TestHost> fork_;
  static std::unique_ptr<TempDir> base_;
  TempDir dir_;
  SigningKey key_ = log_->key();
  SigningKey epoch_key_ = log_->epoch_key();
  SigningKey thief_ = SigningKey::generate("thief");
  SigningKey witness_ =
      *SigningKey::parse(first_line(read_file(base_->path() + "/witness.key")), KeyType::witness);
};
std::unique_ptr<TestLog> Independent::log_;
std::unique_ptr<TestHost> Independent::fork_;
std::unique_ptr<TempDir> Independent::base_ = std::make_unique<TempDir>();

TEST_F(Independent, AllAcceptWhatTheProgramsWrote) {
  const Copy copy = fresh();
  const std::string root = to_hex(read_checkpoint(read_file(copy.log + "/checkpoint"))->root);
  for (const Verifier& verifier : verifiers()) {
    const Output output = run(verifier.command(copy));
    EXPECT_EQ(output.status, 0) << verifier.name << "\n" << output.out;
    EXPECT_TRUE(contains(output.out, root) || contains(verifier.name, "cosigned")) << output.out;
  }
}

// What the formats allow, and what a crash leaves, is no defect for anybody.
TEST_F(Independent, AllAcceptWhatIsNoDefect) {
  const std::pair<const char*, std::function<void(const Copy&)>> variations[] = {
      {"a line of another key below the checkpoint",
       [&](const Copy& copy) {
         const std::string path = copy.log + "/checkpoint";
         const std::string note = read_file(path);
         write_file(path, note + witness_.cosign(read_note(note)->body, 1'790'000'000));
       }},
      {"a checkpoint that is older than the segments",
       [&](const Copy& copy) {
         const auto names = files_beneath(copy.log + "/segment");
         const auto batches = read_batches(read_file(copy.log + "/segment/" + names.back()));
         // Its own partial tiles may be gone: the wider ones of a later checkpoint begin alike.
         ASSERT_EQ(batches[0].note_size / kTileWidth, log_->size() / kTileWidth);
         write_file(copy.log + "/checkpoint", batches[0].note);
       }},
      {"every file written again", rewrite_unchanged},
      {"zeros of an unfinished batch at the end",
       [](const Copy& copy) {
         const auto names = files_beneath(copy.log + "/segment");
         edit_file(copy.log + "/segment/" + names.back(),
                   [](const std::string& text) { return text + std::string(300, '\0'); });
       }},
      {"the beginning of a batch at the end",
       [](const Copy& copy) {
         const auto names = files_beneath(copy.log + "/segment");
         edit_file(copy.log + "/segment/" + names.back(), [](const std::string& text) {
           std::string body;
           append_entry(body, std::string(1000, 'x'));
           return text + encode_batch(99999, 1, body).substr(0, 700);
         });
       }},
  };
  for (const auto& [name, apply] : variations) {
    const Copy copy = fresh();
    apply(copy);
    for (const Verifier& verifier : verifiers()) {
      const Output output = run(verifier.command(copy));
      EXPECT_EQ(output.status, 0) << verifier.name << " about: " << name << "\n" << output.out;
    }
  }
}

TEST_F(Independent, AllNoticeWhatWasDoneToSegments) {
  all_notice(Where::segment);
}
TEST_F(Independent, AllNoticeWhatWasDoneToEntryBundles) {
  all_notice(Where::entries);
}
TEST_F(Independent, AllNoticeWhatWasDoneToHashTiles) {
  all_notice(Where::hashes);
}
TEST_F(Independent, AllNoticeWhatWasDoneToTheCheckpoint) {
  all_notice(Where::checkpoint);
}
TEST_F(Independent, AllNoticeAGoodCheckpointOfAnotherTree) {
  all_notice(Where::tree);
}
TEST_F(Independent, AttackAllNoticeAPastThatWasRewrittenWithTodaysKeys) {
  all_notice(Where::epochs);
}
TEST_F(Independent, AllNoticeWhatWasDoneToCosignatures) {
  all_notice(Where::cosigned);
}

}  // namespace
}  // namespace oqto::audit
