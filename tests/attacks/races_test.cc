// Attacks that change something between a check and its use, in real loops.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/sys.h"
#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

namespace fs = std::filesystem;
constexpr int kStarts = 12;  // each meets some thousand exchanges

TEST_P(Attack, OnTheExecRecordByRacingArguments) {
  constexpr int kRounds = 100;
  ASSERT_EQ(inside({"race", std::to_string(kRounds), "/workspace/truth"}), "open\n");
  std::map<std::string, std::string> truth, recorded;
  std::ifstream file(session->workspace() + "/truth");
  std::string round, value;
  while (file >> round >> value) truth[round] = value;
  ASSERT_EQ(truth.size(), static_cast<std::size_t>(kRounds));
  ASSERT_EQ(session->run({"/bin/true", "the-end"}).exit_status, 0);
  ASSERT_TRUE(session->audit().wait_for("the-end"));
  int corrected = 0;
  for (const auto& record : session->audit().records()) {
    const Words before = values(record, ipc::FieldKey::argv);
    const Words after = values(record, ipc::FieldKey::argv_after);
    const Words& argv = after.empty() ? before : after;
    if (argv.size() == 5 && argv[1] == "note") recorded[argv[3]] = argv[4];
    corrected += !after.empty();
  }
  EXPECT_EQ(recorded, truth);
  RecordProperty("corrected", corrected);
}

TEST_P(Attack, OnTheMonitorByThreadsThatExecuteAtOnce) {
  EXPECT_EQ(inside({"exec-threads", "200"}), "open\n");
  EXPECT_EQ(session->run({"/bin/true"}).exit_status, 0);
}

TEST_P(Attack, ByExecutingWithArgumentsThatCannotBeRead) {
  EXPECT_EQ(inside({"exec-unreadable"}), "closed: EACCES\n");
  EXPECT_EQ(outside(agent(), {"exec-unreadable"}), "closed: EFAULT\n");
}

TEST_P(Attack, OnTheMonitorEndsTheSession) {
  Fd io;
  session->launch({"/bin/bash", "-c", "while :; do /bin/true; done"}, &io);
  ASSERT_TRUE(session->audit().wait_for("/bin/true"));
  ASSERT_EQ(::kill(session->launcher(), SIGKILL), 0);
  EXPECT_TRUE(session->wait_gone());
  for (;;) {  // what was said before, and then the end
    const auto received = session->control().wait(5000);
    if (received) continue;
    EXPECT_EQ(received.error().code, Errc::unavailable);
    break;
  }
}

// --- while a session starts ----------------------------------------------------------------------

// Two names that change places without end, as their owner could do it from another session.
struct Victim {
  explicit Victim(const TestSession& session) : dir(session.dir() + "/victim") {
    fs::create_directories(dir + "/hooks");
    std::ofstream(dir + "/mark") << "secret";
    std::ofstream(dir + "/config") << "untouched";
    for (const char* name : {"", "/hooks", "/mark", "/config"}) {
      CHECK(::chown((dir + name).c_str(), session.uid(), session.uid()) == 0);
    }
  }
  // Everything below, with its size: nothing may come or change.
  [[nodiscard]] std::string state() const {
    std::string all;
    for (const auto& entry : fs::recursive_directory_iterator(dir)) {
      all += entry.path().string() + (entry.is_regular_file() ? std::to_string(entry.file_size()) : "") +
             "\n";
    }
    return all;
  }
  std::string dir;
};

void own(const std::string& path, uid_t uid) { CHECK(::lchown(path.c_str(), uid, uid) == 0); }

// Like TestSession::run(), for a session that may end at any moment.
std::string try_run(TestSession& session, const Words& attack) {
  constexpr std::uint32_t kProgram = 800;
  auto pair = sys::stream_pair();
  CHECK(pair.has_value());
  auto& [ours, theirs] = *pair;
  if (!session.control().send(ipc::GiveStdio{kProgram, ipc::StdioKind::in_out}, theirs)) return "";
  theirs.reset();
  const ipc::StartProgram start{kProgram, {probe_words(attack)}, {}, kInsideWorkspace, 0, 0};
  if (!session.control().send(start)) return "";
  std::string said;
  for (std::string more = first_byte(ours); more.size() == 1; more = first_byte(ours)) said += more;
  return said;
}

// NAME in the workspace or the home is now a directory and now a link to the victim. Whatever the
// start does: the victim stays as it was and is not shown.
void race_a_start(const Policy& policy, const std::string& name, bool in_home) {
  int started = 0;
  for (int i = 0; i < kStarts; ++i) {
    TestSession session({.policy = policy});
    const Victim victim(session);
    const std::string before = victim.state();
    const std::string root = in_home ? session.home() : session.workspace();
    const std::string path = root + "/" + name, other = root + "/exchanged";
    fs::create_directories(path);
    for (fs::path dir = path; dir != fs::path(root); dir = dir.parent_path()) own(dir, session.uid());
    fs::create_symlink(victim.dir, other);
    own(other, session.uid());
    {
      const Held exchanging(session.uid(), {"exchange-for-ever", path, other});
      const bool ready = session.start().empty();
      started += ready;
      const std::string shown = in_home ? "/home/agent/" + name : "/workspace/" + name;
      const Words attack = {"read-often", shown + "/mark", "20000"};
      EXPECT_NE(ready ? try_run(session, attack) : "", "open\n") << name;
    }
    EXPECT_EQ(victim.state(), before) << name;
  }
  ::testing::Test::RecordProperty(name, started);
}

TEST_P(Attack, ByExchangingTheGitDirectoryWhileASessionStarts) {
  race_a_start(policy(), ".git", false);
}
TEST_P(Attack, ByExchangingADirectoryBelowGitWhileASessionStarts) {
  race_a_start(policy(), ".git/hooks", false);
}
TEST_P(Attack, ByExchangingThePolicysDirectoryWhileASessionStarts) {
  race_a_start(policy(), ".oqto", false);
}
TEST_P(Attack, ByExchangingPisDirectoryWhileASessionStarts) {
  race_a_start(policy(), ".pi", true);
  race_a_start(policy(), ".pi/agent", true);
}

// The control: what opens by name, twice, meets the link some of the time.
TEST_P(Attack, ControlOfExchangingWhileSomethingIsOpenedByName) {
  const Victim victim(*session);
  const std::string path = session->workspace() + "/dir", other = session->workspace() + "/link";
  fs::create_directories(path);
  own(path, agent());
  fs::create_symlink(victim.dir, other);
  own(other, agent());
  const Held exchanging(agent(), {"exchange-for-ever", path, other});
  bool met = false;
  for (int i = 0; i < 100'000 && !met; ++i) met = fs::exists(path + "/mark");
  EXPECT_TRUE(met);
}

// Somebody who can rename the directories above the workspace: the session has the workspace that
// was opened, or does not start.
TEST_P(Attack, ByRenamingAnAncestorWhileASessionStarts) {
  int started = 0, refused = 0;
  for (int i = 0; i < kStarts; ++i) {
    TestSession fresh({.policy = policy()});
    std::ofstream(fresh.workspace() + "/which") << "right";
    const std::string other = fresh.dir() + "/other";
    fs::create_directories(other);
    own(other, fresh.uid());
    std::ofstream(other + "/which") << "wrong";
    std::string why;
    {
      const Held exchanging(kRoot, {"exchange-for-ever", fresh.workspace(), other});
      why = fresh.start();
    }
    why.empty() ? ++started : ++refused;
    if (!why.empty()) continue;
    // TestSession opens by name too, so which of both was opened is open; that it is one of both,
    // and that what was checked is what is shown, is not.
    const std::string which = fresh.run({"/bin/cat", "/workspace/which"}).output;
    EXPECT_TRUE(which == "right" || which == "wrong") << which;
  }
  EXPECT_EQ(started + refused, kStarts);
}

}  // namespace
}  // namespace oqto::sandbox
