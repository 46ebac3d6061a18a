// The witness as a server and its client, as real programs, with logs that the real auditd wrote.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "audit/tests/test_log.h"
#include "audit/witness/test_witness.h"
#include "audit/witness/witness_client.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

class WitnessServer : public testing::Test {
 protected:
  TempDir dir_;
  SmallLog log_{"log.example/a"};
  std::string vkey_ = log_.vkey().text();
};

TEST_F(WitnessServer, SpeaksHttp) {
  const Served served(dir_.path(), {vkey_});
  EXPECT_EQ(served.post(log_.request(0, 3)).status, 200U);
  EXPECT_TRUE(talk(served, "GET /add-checkpoint HTTP/1.1\r\nHost: x\r\n\r\n")
                  .starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(talk(served, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                  .starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(talk(served, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(talk(served, "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: "
                               "70000\r\n\r\n")
                  .starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(talk(served, "POST /add-checkpoint HTTP/1.1\r\nX: " + std::string(9000, 'x') +
                                   "\r\n\r\n")
                  .starts_with("HTTP/1.1 413 "));
  // Two requests in one packet get two answers, in order.
  const std::string two = "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
                          "GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  const std::string answers = talk(served, two);
  EXPECT_LT(answers.find("400 "), answers.find("404 ")) << answers;
  EXPECT_TRUE(contains(talk(served, "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nExpect: "
                                        "100-continue\r\nContent-Length: 9\r\n\r\n"),
                       "100 Continue"));
}

TEST_F(WitnessServer, OneOfTwoConcurrentRequestsLosesAndNothingRollsBack) {
  const Served served(dir_.path(), {vkey_});
  ASSERT_EQ(served.post(log_.request(0, 1)).status, 200U);
  std::uint64_t size = 1;
  for (int round = 0; round < 25; ++round) {
    unsigned one = 0;
    unsigned two = 0;
    std::thread other([&] { one = served.post(log_.request(size, size + 2)).status; });
    two = served.post(log_.request(size, size + 5)).status;
    other.join();
    ASSERT_EQ(one + two, 200U + 409U) << one << " " << two;
    size += one == 200U ? 2 : 5;
    EXPECT_EQ(served.post(log_.request(0, size + 1)).body, std::to_string(size) + "\n");
  }
}

TEST_F(WitnessServer, WhatItAnsweredSurvivesItsDeath) {
  Served served(dir_.path(), {vkey_});
  std::uint64_t seen = 0;
  for (int round = 0; round < 15; ++round) {
    const std::uint64_t size = seen + 1 + static_cast<std::uint64_t>(round);
    std::thread killer([&] {
      ::usleep(static_cast<useconds_t>(round * 300));
      served.kill();
    });
    const auto answer = post_to_witness(*parse_witness_url(served.url()), log_.request(seen, size));
    killer.join();
    served.start();
    // Size 0 is below all that it may have seen, and the empty tree changes nothing.
    const HttpResponse now = served.post(log_.request(0, 0));
    const std::uint64_t remembered = now.status == 200 ? 0 : std::stoull(now.body);
    const bool is_answered = answer && answer->status == 200;
    EXPECT_TRUE(remembered == size || (!is_answered && remembered == seen)) << remembered;
    seen = remembered;
  }
}

TEST_F(WitnessServer, SilentClientsDoNotKeepOthersOut) {
  const Served served(dir_.path(), {vkey_});
  std::vector<Fd> silent;
  for (int i = 0; i < 200; ++i) {
    silent.push_back(served.connect());
    (void)::send(silent.back().get(), "POST /add", 9, MSG_NOSIGNAL);
  }
  EXPECT_EQ(served.post(log_.request(0, 3)).status, 200U);
}

TEST_F(WitnessServer, EndsCleanlyOnTerminate) {
  Served served(dir_.path(), {vkey_});
  EXPECT_EQ(served.post(log_.request(0, 3)).status, 200U);
  EXPECT_EQ(served.terminate(), 0);
}

// A real, small file system: nothing is signed that would not be remembered.
TEST_F(WitnessServer, SignsNothingWhileItsDiskIsFull) {
  const std::string state = dir_.path() + "/full";
  fs::create_directory(state);
  ASSERT_EQ(::mount("tmpfs", state.c_str(), "tmpfs", 0, "size=64k,nr_inodes=20"), 0);
  {
    const Served served(dir_.path(), {vkey_}, state);
    EXPECT_EQ(served.post(log_.request(0, 3)).status, 200U);
    (void)run("head -c 200k /dev/zero > " + state + "/fill");
    EXPECT_EQ(served.post(log_.request(3, 9)).status, 503U);
    fs::remove(state + "/fill");
    EXPECT_EQ(served.post(log_.request(0, 9)).body, "3\n");
    EXPECT_EQ(served.post(log_.request(3, 9)).status, 200U);
  }
  EXPECT_EQ(::umount2(state.c_str(), MNT_DETACH), 0);
}

TEST_F(WitnessServer, RefusesToStartWithoutWhatItNeeds) {
  const Served served(dir_.path(), {vkey_});
  const std::string good = "witness serve --state " + dir_.path() + " --key " + dir_.path() +
                           "/witness.key --listen 127.0.0.1:0 --log " + vkey_;
  const auto without = [&good](std::string_view what, std::string_view with) {
    std::string copy = good;
    return oqto_audit(copy.replace(copy.find(what), what.size(), with));
  };
  for (const std::string& command :
       {without("--log " + vkey_, ""), without("127.0.0.1:0", "localhost:0"),
        without("127.0.0.1:0", "127.0.0.1"), without("witness.key", "witness.vkey"),
        without("--state " + dir_.path(), "--state /nonexistent"),
        without("--state " + dir_.path(), "--state " + served.state())}) {
    const Output output = run("timeout 20 " + command);
    EXPECT_EQ(output.status, 2) << command << "\n" << output.out;
  }
  fs::permissions(dir_.path() + "/witness.key", fs::perms(0640));
  EXPECT_EQ(run("timeout 20 " + oqto_audit(good)).status, 2) << "a key that others can read";
}

// --- the client, with real logs ---

class WitnessClient : public testing::Test {
 protected:
  static void SetUpTestSuite() { log_ = TestLog::write("60000", 60); }
  static void TearDownTestSuite() { log_.reset(); }
  static std::unique_ptr<TestLog> log_;
  TempDir dir_;
};
std::unique_ptr<TestLog> WitnessClient::log_;

TEST_F(WitnessClient, GetsACosignatureThatVerifyDemands) {
  const Served served(dir_.path(), {log_->vkey_file()});
  const std::string out = dir_.path() + "/checkpoint.cosigned";
  const std::string verify = oqto_audit("verify --log " + log_->dir() + " --vkey " +
                                        log_->vkey_file() + " --witness " + served.vkey_file() +
                                        " --cosigned " + out);
  EXPECT_EQ(run(verify).status, 2) << "there is no cosignature yet";
  const Output first = run(served.submit(log_->older_dir(), log_->vkey_file(), out));
  ASSERT_EQ(first.status, 0) << first.out;
  const Output partly = run(verify);
  EXPECT_EQ(partly.status, 0) << partly.out;
  EXPECT_TRUE(contains(partly.out, "are not witnessed")) << partly.out;
  const Output second = run(served.submit(log_->dir(), log_->vkey_file(), out));
  ASSERT_EQ(second.status, 0) << second.out;
  const Output wholly = run(verify);
  EXPECT_EQ(wholly.status, 0);
  EXPECT_FALSE(contains(wholly.out, "are not witnessed")) << wholly.out;
  EXPECT_TRUE(contains(wholly.out, "witness witness.example/w saw the first " +
                                       std::to_string(log_->size()) + " entries"));
  // Again, without the file: the witness says what it has seen.
  fs::remove(out);
  EXPECT_EQ(run(served.submit(log_->dir(), log_->vkey_file(), out)).status, 0);
  EXPECT_TRUE(read_file(out).starts_with(read_file(log_->dir() + "/checkpoint")));
}

TEST_F(WitnessClient, VerifyFindsAMissingWitnessAndAForeignOne) {
  const Served served(dir_.path(), {log_->vkey_file()});
  const std::string out = dir_.path() + "/cosigned";
  ASSERT_EQ(run(served.submit(log_->dir(), log_->vkey_file(), out)).status, 0);
  const auto other = SigningKey::generate("witness.example/w", KeyType::witness).verifier().text();
  const std::string verify = oqto_audit("verify --log " + log_->dir() + " --vkey " +
                                        log_->vkey_file() + " --cosigned " + out + " --witness ");
  EXPECT_EQ(run(verify + served.vkey_file()).status, 0);
  const Output missing = run(verify + served.vkey_file() + " --witness " + other);
  EXPECT_EQ(missing.status, 1) << missing.out;
  EXPECT_TRUE(contains(missing.out, "the cosigned checkpoint: witness witness.example/w: no "));
  std::string note = read_file(out);
  note[note.size() - 10] = note[note.size() - 10] == 'A' ? 'B' : 'A';
  write_file(out, note);
  EXPECT_EQ(run(verify + served.vkey_file()).status, 1);
}

TEST_F(WitnessClient, CollectsSeveralWitnessesOnOneCheckpoint) {
  const Served one(dir_.path(), {log_->vkey_file()});
  const TempDir elsewhere;
  const Served two(elsewhere.path(), {log_->vkey_file()});
  const std::string out = dir_.path() + "/cosigned";
  ASSERT_EQ(run(one.submit(log_->dir(), log_->vkey_file(), out) + " --url " + two.url() +
                " --witness " + two.vkey_file())
                .status,
            0);
  EXPECT_EQ(run(oqto_audit("verify --log " + log_->dir() + " --vkey " + log_->vkey_file() +
                           " --cosigned " + out + " --witness " + one.vkey_file() + " --witness " +
                           two.vkey_file()))
                .status,
            0);
  const Output proof = run(oqto_audit("prove 5 --log " + log_->dir() + " --vkey " +
                                      log_->vkey_file() + " --cosigned " + out + " --out " +
                                      dir_.path() + "/p"));
  ASSERT_EQ(proof.status, 0) << proof.out;
  const Output checked = run(oqto_audit("check-proof " + dir_.path() + "/p --vkey " +
                                        log_->vkey_file() + " --witness " + two.vkey_file()));
  EXPECT_EQ(checked.status, 0) << checked.out;
  EXPECT_TRUE(contains(checked.out, "saw it at"));
}

std::size_t notes_in(const std::string& text) {
  std::size_t notes = 0;
  for (std::size_t at = 0; (at = text.find("  | audit.example/test\n", at)) != text.npos; ++at) {
    ++notes;
  }
  return notes;
}

TEST_F(WitnessClient, AttackALogCutBackIsNoticedByWitnessAndClient) {
  const Served served(dir_.path(), {log_->vkey_file()});
  const std::string out = dir_.path() + "/cosigned";
  ASSERT_EQ(run(served.submit(log_->dir(), log_->vkey_file(), out)).status, 0);
  const Output by_client = run(served.submit(log_->older_dir(), log_->vkey_file(), out));
  EXPECT_EQ(by_client.status, 1) << by_client.out;
  EXPECT_EQ(notes_in(by_client.out), 2U) << by_client.out;
  fs::remove(out);
  const Output by_witness = run(served.submit(log_->older_dir(), log_->vkey_file(), out));
  EXPECT_EQ(by_witness.status, 1) << by_witness.out;
  EXPECT_TRUE(contains(by_witness.out, "it was cut back, or is an older copy")) << by_witness.out;
  EXPECT_FALSE(fs::exists(out));
}

// The same key signs two continuations of one log: what a thief of the whole host can do.
TEST_F(WitnessClient, AttackAForkOfTheWholeHostIsRefusedAndBothNotesArePrinted) {
  TestHost one;
  ASSERT_TRUE(one.start());
  ASSERT_TRUE(one.client().append(record(ipc::Event::exec)));
  one.stop();
  TestHost two;
  copy_directory(one.log_dir(), two.log_dir());
  copy_directory(one.key_dir(), two.key_dir());
  fs::permissions(two.key_dir(), fs::perms(0700));
  for (TestHost* host : {&one, &two}) {
    ASSERT_TRUE(host->start());
    ASSERT_TRUE(host->client().append(record(ipc::Event::exec).add(
        ipc::FieldKey::argv, host == &one ? "what happened" : "what is claimed")));
    host->stop();
  }
  const std::string vkey = one.key_dir() + "/log.vkey";
  for (const TestHost* host : {&one, &two}) EXPECT_EQ(run(host->verify_command()).status, 0);
  const Served served(dir_.path(), {vkey});
  const std::string out = dir_.path() + "/cosigned";
  ASSERT_EQ(run(served.submit(one.log_dir(), vkey, out)).status, 0);
  const Output by_client = run(served.submit(two.log_dir(), vkey, out));
  EXPECT_EQ(by_client.status, 1) << by_client.out;
  EXPECT_EQ(notes_in(by_client.out), 2U) << by_client.out;
  const Output by_witness = run(served.submit(two.log_dir(), vkey, dir_.path() + "/none"));
  EXPECT_EQ(by_witness.status, 1) << by_witness.out;
  EXPECT_TRUE(contains(by_witness.out, "no continuation of what it saw")) << by_witness.out;
  EXPECT_EQ(notes_in(by_witness.out), 2U) << by_witness.out;
  for (const TestHost* host : {&one, &two}) {
    const std::string root = to_base64(read_checkpoint(read_file(host->log_dir() + "/checkpoint"))->root);
    EXPECT_TRUE(contains(by_witness.out, root)) << "one note is no two pieces of evidence";
  }
  bool is_kept = false;
  for (const std::string& file : files_beneath(served.state())) {
    is_kept = is_kept || contains(file, ".conflict.");
  }
  EXPECT_TRUE(is_kept);
  // And the auditor who kept the cosigned note of one log convicts the other.
  const Output verified = run(two.verify_command() + " --cosigned " + out + " --witness " +
                              served.vkey_file());
  EXPECT_EQ(verified.status, 1);
  EXPECT_EQ(notes_in(verified.out), 2U) << verified.out;
}

// What adopting a copy cannot prevent: that the other one is started all the same.
TEST_F(WitnessClient, AttackTwoHostsThatGoOnWithOneLogAreFoundByAnyWitness) {
  TestHost one;
  ASSERT_TRUE(one.start());
  ASSERT_TRUE(one.client().append(record(ipc::Event::exec)));
  one.stop();
  TestHost two;
  ASSERT_EQ(run("rm -rf " + two.key_dir() + " " + two.log_dir() + " && cp -a " + one.key_dir() + " " + two.key_dir() +
                " && cp -a " + one.log_dir() + " " + two.log_dir()).status, 0);
  ASSERT_EQ(run(program("oqto-audit-signer") + " --adopt --key-dir " + two.key_dir()).status, 0);
  for (TestHost* host : {&one, &two}) {
    ASSERT_TRUE(host->start());
    ASSERT_TRUE(host->client().append(record(ipc::Event::exec)));
    host->stop();
    EXPECT_EQ(run(host->verify_command()).status, 0) << "each is sound in itself";
  }
  const std::string vkey = one.key_dir() + "/log.vkey";
  const Served served(dir_.path(), {vkey});
  ASSERT_EQ(run(served.submit(one.log_dir(), vkey, dir_.path() + "/first")).status, 0);
  const Output found = run(served.submit(two.log_dir(), vkey, dir_.path() + "/second"));
  EXPECT_EQ(found.status, 1) << found.out;
  EXPECT_FALSE(fs::exists(dir_.path() + "/second")) << "nothing of the second branch is cosigned";
}

TEST_F(WitnessClient, SaysWhatIsWrongWithItsArguments) {
  const std::string rest = " --log " + log_->dir() + " --vkey " + log_->vkey_file() + " --out " +
                           dir_.path() + "/x";
  const auto witness = SigningKey::generate("w", KeyType::witness).verifier().text();
  for (const std::string& arguments :
       {std::string(), std::string("--url http://127.0.0.1:1"), "--url https://x --witness " + witness,
        "--url http://127.0.0.1:1 --witness " + witness, "--url http:// --witness " + witness,
        "--url 'http://a b/' --witness " + witness, "--url http://u@h/ --witness " + witness}) {
    const Output output = run(oqto_audit("witness submit " + arguments + rest));
    EXPECT_EQ(output.status, 2) << arguments << output.out;
  }
}

}  // namespace
}  // namespace oqto::audit
