// Two sessions: of two tenants, and of one tenant that share its home. Each attacks the other.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

struct Pair {
  TestSession& attacker;
  TestSession& victim;
};

std::string run_in(TestSession& session, const Words& attack) {
  return session.run(probe_words(attack)).output;
}

void expect_processes_apart(const Pair& pair) {
  const Held held(pair.victim, {"hold", "other-session"});
  EXPECT_EQ(run_in(pair.victim, {"see", "other-session"}), "open\n");
  EXPECT_EQ(run_in(pair.attacker, {"see", "other-session"}), "closed: ENOENT\n");
  for (const Words& attack :
       std::vector<Words>{{"ptrace"}, {"read-memory"}, {"overwrite-memory"}, {"pidfd-getfd"},
                          {"pidfd-signal"}, {"kcmp"}, {"write-memory"}, {"proc-root"}, {"proc-cwd"},
                          {"proc-fd"}, {"proc-read", "", "environ"}, {"proc-read", "", "maps"},
                          {"signal"}, {"signal", "", "9"}, {"prlimit"}, {"setpriority"}}) {
    Words words = attack;
    if (words.size() < 2) words.resize(2);
    words[1] = held.pid();
    EXPECT_TRUE(is_closed(run_in(pair.attacker, words))) << words[0];
  }
  EXPECT_EQ(outside(pair.victim.uid(), {"signal", held.pid()}), "open\n");  // it is alive
}

void expect_names_apart(const Pair& pair, bool with_segments) {
  {
    const Held held(pair.victim, {"abstract-listen", "oqto-other-session"});
    EXPECT_EQ(run_in(pair.victim, {"abstract-connect", "oqto-other-session"}), "open\n");
    EXPECT_EQ(run_in(pair.attacker, {"abstract-connect", "oqto-other-session"}),
              "closed: ECONNREFUSED\n");
    EXPECT_EQ(run_in(pair.attacker, {"abstract-send", "oqto-other-session"}),
              "closed: ECONNREFUSED\n");
  }
  if (with_segments) {
    const Held held(pair.victim, {"shm-make", "0x6f71746f"});
    EXPECT_EQ(run_in(pair.victim, {"shm-find", "0x6f71746f"}), "open\n");
    EXPECT_EQ(run_in(pair.attacker, {"shm-find", "0x6f71746f"}), "closed: ENOENT\n");
    EXPECT_EQ(run_in(pair.victim, {"shm-remove", "0x6f71746f"}), "open\n");
  }
  for (const char* where : {"/tmp/secret", "/dev/shm/secret", "/workspace/secret"}) {
    const std::string path = where + std::to_string(pair.victim.launcher());
    const Held held(pair.victim, {"file-make", path});
    EXPECT_EQ(run_in(pair.victim, {"read", path}), "open\n");
    EXPECT_EQ(run_in(pair.attacker, {"read", path}), "closed: ENOENT\n") << path;
  }
}

void expect_loopback_apart(const Pair& pair) {
  Fd io;
  const std::uint32_t program = pair.victim.launch(
      {"/usr/bin/python3", "-c",
       "import socket,time; s=socket.create_server(('127.0.0.1', 4711)); print('holding', flush=True); "
       "time.sleep(1000)"},
      &io);
  ASSERT_EQ(first_byte(io), "h");
  EXPECT_EQ(run_in(pair.victim, {"connect", "127.0.0.1", "4711"}), "open\n");
  EXPECT_EQ(run_in(pair.attacker, {"connect", "127.0.0.1", "4711"}), "closed: ECONNREFUSED\n");
  pair.victim.signal(program, SIGKILL);
  (void)pair.victim.end(program, io);
}

// `strict` has no System V segments at all.
void expect_apart(TestSession& one, TestSession& two, bool with_segments) {
  for (const Pair& pair : {Pair{one, two}, Pair{two, one}}) {
    expect_processes_apart(pair);
    expect_names_apart(pair, with_segments);
    expect_loopback_apart(pair);
  }
}

// The control of both: two programs of one uid without sandboxes reach each other in every way.
TEST_P(Attack, ControlOfTwoProgramsWithoutSandboxes) {
  const uid_t uid = agent();
  const Held held(uid, {"hold", "neighbour"});
  for (const Words& attack : std::vector<Words>{
           {"see", "neighbour"}, {"read-memory", held.pid()}, {"overwrite-memory", held.pid()},
           {"pidfd-getfd", held.pid()}, {"pidfd-signal", held.pid()}, {"kcmp", held.pid()},
           {"proc-root", held.pid()}, {"proc-cwd", held.pid()}, {"proc-fd", held.pid()},
           {"proc-read", held.pid(), "maps"}, {"signal", held.pid()}, {"prlimit", held.pid()}}) {
    EXPECT_EQ(outside(uid, attack), "open\n") << attack[0];
  }
  const std::string name = unique("oqto-neighbour"), key = unique_key();
  const Held listening(uid, {"abstract-listen", name});
  EXPECT_EQ(outside(uid, {"abstract-connect", name}), "open\n");
  const Held sharing(uid, {"shm-make", key});
  EXPECT_EQ(outside(uid, {"shm-find", key}), "open\n");
  EXPECT_EQ(outside(uid, {"shm-remove", key}), "open\n");
}

TEST_P(Attack, OnAnotherSessionOfTheSameTenant) {
  TestSession other({.policy = policy(), .share_home_of = session->home(), .uid = agent()});
  ASSERT_EQ(other.start(), "");
  expect_apart(*session, other, runs_own_programs());
}

TEST_P(Attack, OnASessionOfAnotherTenant) {
  TestSession other({.policy = policy()});
  ASSERT_EQ(other.start(), "");
  ASSERT_NE(other.uid(), agent());
  expect_apart(*session, other, runs_own_programs());
  for (const auto& [from, to] : {std::pair{session.get(), &other}, std::pair{&other, session.get()}}) {
    std::ofstream(to->home() + "/secret") << "secret";
    EXPECT_EQ(run_in(*from, {"read", "/home/agent/secret"}), "closed: ENOENT\n");
    std::filesystem::remove(to->home() + "/secret");
    EXPECT_EQ(run_in(*from, {"read", to->workspace()}), "closed: ENOENT\n");
    EXPECT_EQ(run_in(*from, {"list", to->dir()}), "closed: ENOENT\n");
    // Were it shown, the other uid still could not enter.
    EXPECT_EQ(outside(from->uid(), {"list", to->workspace()}), "closed: EACCES\n");
    EXPECT_EQ(outside(from->uid(), {"list", to->home()}), "closed: EACCES\n");
  }
}

TEST_P(Attack, OnTheEnvironmentOfThePlatform) {
  ASSERT_EQ(::setenv("OQTO_TEST_SECRET", "hunter2", 1), 0);
  begin({.policy = policy()});
  ::unsetenv("OQTO_TEST_SECRET");
  EXPECT_EQ(session->run({"/bin/bash", "-c", "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'"})
                .output.find("hunter2"),
            std::string::npos);
  EXPECT_EQ(inside({"proc-read", "1", "environ"}), "closed: EACCES\n");
}

}  // namespace
}  // namespace oqto::sandbox
