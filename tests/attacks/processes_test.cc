// Attacks on processes: init's, the monitor's, the host's.
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

TEST_P(Attack, OnInitsMemoryDescriptorsAndLimits) {
  const Held victim(agent(), {"hold", "victim"});
  const std::vector<std::pair<Words, std::string>> attacks = {
      {{"write-memory"}, "EACCES"},      {{"ptrace"}, "EPERM"},
      {{"read-memory"}, "EPERM"},        {{"overwrite-memory"}, "EPERM"},
      {{"pidfd-getfd"}, "EPERM"},        {{"kcmp"}, "EPERM"},
      {{"proc-fd"}, "EACCES"},           {{"proc-root"}, "EACCES"},
      {{"proc-cwd"}, "EACCES"},          {{"proc-read", "", "environ"}, "EACCES"},
      {{"proc-read", "", "maps"}, "EACCES"}, {{"prlimit"}, "EPERM"},
      {{"setpriority"}, "EPERM"}};
  for (auto [attack, why] : attacks) {
    if (attack.size() < 2) attack.resize(2);
    attack[1] = victim.pid();
    // A held program's environment is empty outside too, but for what the test has.
    EXPECT_EQ(outside(agent(), attack), "open\n") << attack[0];
    attack[1] = "1";
    EXPECT_EQ(inside(attack), "closed: " + why + "\n") << attack[0];
  }
  EXPECT_EQ(session->run({"/bin/true"}).exit_status, 0);
}

TEST_P(Attack, OnInitsProgramAndItsSettings) {
  // As root without a sandbox the program of a running process is busy, not forbidden: ETXTBSY says
  // that only its running kept it. Inside it must be the mount or the missing right.
  const Held victim(kRoot, {"hold", "victim"});
  EXPECT_EQ(outside(kRoot, {"proc-exe", victim.pid()}), "closed: ETXTBSY\n");
  EXPECT_EQ(inside({"proc-exe", "1"}), "closed: EACCES\n");
  EXPECT_TRUE(is_closed(inside({"write", "/opt/oqto/oqto-init"})));
  for (const char* name : {"oom_score_adj", "coredump_filter", "comm", "timerslack_ns", "clear_refs",
                           "autogroup", "sched"}) {
    EXPECT_TRUE(is_closed(inside({"proc-write", "1", name}))) << name;
  }
  EXPECT_EQ(outside(agent(), {"proc-write", "self", "oom_score_adj"}), "open\n");
  EXPECT_TRUE(is_closed(inside({"proc-write", "self", "oom_score_adj"})));
}

TEST_P(Attack, ByKillingEverythingLeavesInitAndTheSession) {
  Fd io;
  session->launch({"/bin/sleep", "1000"}, &io);
  ASSERT_TRUE(session->audit().wait_for("1000"));
  EXPECT_EQ(inside({"signal-all"}), "open\n");  // what is the session's own may die
  EXPECT_EQ(first_byte(io), "");
  for (const char* number : {"9", "19", "15", "2", "1", "11", "31"}) {
    (void)inside({"signal", "1", number});  // the kernel drops what init does not handle
    EXPECT_EQ(session->run({"/bin/true"}).exit_status, 0) << "after signal " << number;
  }
}

TEST_P(Attack, OnProcessesOfTheHost) {
  const Held victim(agent(), {"hold", "host-victim"});
  expect_closed({"see", "host-victim"}, "ENOENT", agent());
  expect_closed({"signal", victim.pid()}, "ESRCH", agent());
  expect_closed({"pidfd-signal", victim.pid()}, "ESRCH", agent());
  const std::string launcher = std::to_string(session->launcher());
  EXPECT_EQ(outside(agent(), {"signal", launcher}), "open\n");
  EXPECT_EQ(inside({"signal", launcher}), "closed: ESRCH\n");
  EXPECT_GT(std::stoi(outside(agent(), {"processes"})), 5);
  EXPECT_LE(std::stoi(inside({"processes"})), 2);  // init and the one that asks
}

TEST_P(Attack, ByTracingItsOwnChildren) {
  expect_closed({"ptrace-child"}, "EPERM", agent());
  EXPECT_EQ(in_plain_bubblewrap(agent(), {"ptrace-child"}), "open\n");
}

TEST_P(Attack, ByAProcessThatOutlivesItsProgram) {
  const Ran ran = session->run(
      {"/bin/bash", "-c", "for i in 1 2 3; do (setsid sleep 4711 >/dev/null 2>&1 </dev/null &) ; done"});
  EXPECT_EQ(ran.exit_status, 0);
  ASSERT_TRUE(session->audit().wait_for("4711"));
  session->control() = ipc::Channel();  // the runner is gone
  EXPECT_TRUE(session->wait_gone());
}

TEST_P(Attack, ByASetuidProgram) {
  const std::string mine = session->workspace() + "/gain";
  std::ifstream from(probe(), std::ios::binary);
  std::ofstream(mine, std::ios::binary) << from.rdbuf();
  ASSERT_EQ(::chmod(mine.c_str(), 04755), 0);
  ASSERT_EQ(::chmod(session->workspace().c_str(), 0755), 0);
  EXPECT_NE(run_outside(agent(), {mine, "who"}).output.find("euid 0 "), std::string::npos);
  const Ran ran = session->run({"/workspace/gain", "who"});
  if (runs_own_programs()) {
    EXPECT_EQ(ran.output, "uid 1000 euid 1000 caps 0000000000000000 nnp 1\n");
  } else {
    EXPECT_FALSE(ran.started);
  }
  EXPECT_EQ(inside({"who"}), "uid 1000 euid 1000 caps 0000000000000000 nnp 1\n");
  EXPECT_EQ(inside({"new-privileges"}), "closed: EINVAL\n");
}

}  // namespace
}  // namespace oqto::sandbox
