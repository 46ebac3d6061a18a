// oqto-sandbox as its users run it: what passes through, and how it ends.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "sandbox_cli/test_tool.h"

namespace oqto::sandbox_cli {
namespace {

namespace fs = std::filesystem;

TEST(Run, PassesInputOutputErrorsAndStatus) {
  const Tool tool;
  const Finished ran = tool.run({"run", "--", "sh", "-c", "cat; echo err >&2; exit 7"}, "input\n");
  EXPECT_EQ(ran.out, "input\n");
  EXPECT_EQ(ran.err, "err\n");
  EXPECT_EQ(ran.status, 7);
}

TEST(Run, PassesRegularFilesAsStandardInputAndOutput) {
  const Tool tool;
  tool.write(tool.workspace() + "/in", "from a file\n");
  const Finished ran =
      tool.outside({"/bin/sh", "-c", "'" + tool.tool() + "' run -- cat < in > out; echo $?"});
  EXPECT_EQ(ran.out, "0\n");
  EXPECT_EQ(Tool::read(tool.workspace() + "/out"), "from a file\n");
}

TEST(Run, TakesOptionsOfTheProgramForItsOwn) {
  const Tool tool;
  EXPECT_EQ(tool.run({"run", "echo", "--net", "-x"}).out, "--net -x\n");
}

TEST(Run, PassesThousandsOfArguments) {
  const Tool tool;
  std::vector<std::string> command = {"run", "--", "sh", "-c", "echo $# ${4000}", "sh"};
  for (int i = 1; i <= 4000; ++i) command.push_back(std::to_string(i));
  EXPECT_EQ(tool.run(command).out, "4000 4000\n");
  command.insert(command.end(), 100, "x");
  const Finished refused = tool.run(command);
  EXPECT_EQ(refused.status, 2);
  EXPECT_NE(refused.err.find("at most 4096"), std::string::npos) << refused.err;
}

TEST(Run, SaysThatAProgramWasNotFound) {
  const Tool tool;
  const Finished ran = tool.sandboxed({"no-such-program"});
  EXPECT_EQ(ran.status, 127);
  EXPECT_EQ(ran.err, "oqto-sandbox: not found: no-such-program\n");
  EXPECT_EQ(tool.sandboxed({"/usr/bin/no-such-program"}).status, 127);
  EXPECT_EQ(tool.sandboxed({""}).status, 127);
  // One of the user's own is named, with what to do.
  const std::string own = tool.write(tool.home() + "/bin/own", "#!/bin/sh\n", 0755);
  EXPECT_NE(tool.sandboxed({own}).err.find("outside it is " + own), std::string::npos);
}

TEST(Run, SaysThatAProgramCannotBeExecuted) {
  const Tool tool;
  tool.write(tool.workspace() + "/script", "#!/bin/sh\n", 0644);
  const Finished ran = tool.sandboxed({"./script"});
  EXPECT_EQ(ran.status, 126);
  EXPECT_EQ(ran.err, "oqto-sandbox: cannot be executed: ./script: Permission denied\n");
}

TEST(Run, RunsProgramsOfTheWorkspace) {
  const Tool tool;
  tool.write(tool.workspace() + "/script", "#!/bin/sh\necho ran\n", 0755);
  EXPECT_EQ(tool.sandboxed({"./script"}).out, "ran\n");
}

TEST(Run, CountsSignalsAsAShellDoes) {
  const Tool tool;
  EXPECT_EQ(tool.shell("kill -KILL $$").status, 128 + SIGKILL);
  EXPECT_EQ(tool.shell("kill -USR1 $$").status, 128 + SIGUSR1);
}

TEST(Run, PassesSignalsOnToTheProgram) {
  const Tool tool;
  for (const char* name : {"INT", "HUP", "QUIT", "USR1", "USR2", "TERM", "ALRM"}) {
    Running running = tool.start({"run", "--", "bash", "-c",
                                  std::string("trap 'echo got ") + name + "; exit 3' " + name +
                                      "; echo ready; while :; do sleep 0.05; done"});
    running.read_until("ready\n");
    const int number = std::string(name) == "INT"    ? SIGINT
                       : std::string(name) == "HUP"  ? SIGHUP
                       : std::string(name) == "QUIT" ? SIGQUIT
                       : std::string(name) == "USR1" ? SIGUSR1
                       : std::string(name) == "USR2" ? SIGUSR2
                       : std::string(name) == "ALRM" ? SIGALRM
                                                     : SIGTERM;
    ASSERT_EQ(::kill(running.pid(), number), 0);
    const Finished ran = running.finish();
    EXPECT_EQ(ran.out, std::string("got ") + name + '\n');
    EXPECT_EQ(ran.status, 3);
  }
}

TEST(Run, IgnoresWhatItsCallerHasItIgnore) {
  const Tool tool;
  Running running = tool.start({"run", "--", "sh", "-c", "echo ready; sleep 0.3; echo done"});
  running.read_until("ready\n");
  ASSERT_EQ(::kill(running.pid(), SIGHUP), 0);
  EXPECT_EQ(running.finish().status, 128 + SIGHUP);  // the control
  const Finished ran =
      tool.outside({"/bin/sh", "-c",
                    "trap '' HUP INT; cd " + tool.workspace() + "; " + tool.tool() +
                        " run -- sh -c 'sleep 1; echo done' & sleep 0.5; kill -HUP $!; "
                        "kill -INT $!; wait $!; echo $?"});
  EXPECT_EQ(ran.out, "done\n0\n") << ran.err;
}

TEST(Run, PassesOnWhatItsWholeGroupIsTold) {
  const Tool tool;
  Running running = tool.start({"run", "--", "bash", "-c",
                                "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep "
                                "0.05; done"});
  running.read_until("ready\n");
  ASSERT_EQ(::kill(-running.pid(), SIGTERM), 0);  // as timeout(1) does
  const Finished ran = running.finish();
  EXPECT_EQ(ran.out, "got\n");
  EXPECT_EQ(ran.status, 3);
}

TEST(Run, EndsAProgramThatIgnoresTheRequestToStop) {
  const Tool tool;
  Running running = tool.start(
      {"run", "--", "bash", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"});
  running.read_until("ready\n");
  ASSERT_EQ(::kill(running.pid(), SIGTERM), 0);
  EXPECT_EQ(running.finish().status, 128 + SIGKILL);
}

TEST(Run, EndsEverythingInsideWhenItIsKilled) {
  const Tool tool;
  // It holds the pipe open for as long as it lives.
  Running running = tool.start({"run", "--", "sh", "-c", "setsid sleep 300 & echo ready; wait"});
  running.read_until("ready\n");
  ASSERT_EQ(::kill(running.pid(), SIGKILL), 0);
  EXPECT_EQ(running.finish().status, 128 + SIGKILL);
}

TEST(Run, EndsWhatTheProgramLeavesBehind) {
  const Tool tool;
  const Finished ran = tool.shell("setsid sleep 300 & echo done");
  EXPECT_EQ(ran.out, "done\n");
  EXPECT_EQ(ran.status, 0);
}

TEST(Run, EndsWhenItsTimeIsOverAndNamesTheRule) {
  const Tool tool;
  const std::string policy =
      tool.write(tool.home() + "/policy.toml", "[limits]\nwall_clock_s = 1\n", 0600);
  const Finished ran = tool.run({"run", "--policy", policy, "--", "sleep", "300"});
  EXPECT_EQ(ran.status, 128 + SIGTERM);
  EXPECT_EQ(ran.err, "oqto-sandbox: wall_clock_s of 1 s is over (" + policy + ":2)\n");
}

TEST(Run, NamesTheFilterWhenACallOfAForeignAbiIsKilled) {
  const Tool tool;
  tool.write(tool.workspace() + "/foreign.s",
             ".globl _start\n_start:\n mov $20, %eax\n int $0x80\n mov $60, %eax\n xor %edi, %edi\n"
             " syscall\n");
  const Finished ran =
      tool.shell("as foreign.s -o foreign.o && ld foreign.o -o foreign && exec ./foreign");
  EXPECT_EQ(ran.status, 128 + SIGSYS);
  EXPECT_EQ(ran.err, "oqto-sandbox: killed by the system call filter: a call of a foreign ABI\n");
}

TEST(Run, BeginsWithAnEnvironmentOfItsOwn) {
  Tool tool;
  tool.environment = {"API_KEY=secret", "LC_ALL=C.UTF-8", "LD_PRELOAD=/nowhere.so", "BASH_ENV=/x"};
  const Finished ran = tool.sandboxed({"env"});
  EXPECT_EQ(ran.out.find("secret"), std::string::npos);
  EXPECT_EQ(ran.out.find("LD_PRELOAD"), std::string::npos);
  EXPECT_EQ(ran.out.find("BASH_ENV"), std::string::npos);
  EXPECT_NE(ran.out.find("LC_ALL=C.UTF-8\n"), std::string::npos);
  EXPECT_NE(ran.out.find("HOME=" + tool.home() + '\n'), std::string::npos);
}

TEST(Run, PassesAndSetsTheVariablesThatThePolicyNames) {
  Tool tool;
  tool.environment = {"CI=yes", "OTHER=no"};
  const std::string policy = tool.write(
      tool.home() + "/policy.toml", "[env]\npass = [\"CI\"]\nset = { MODE = \"test\" }\n", 0600);
  const Finished ran = tool.run({"run", "--policy", policy, "--", "env"});
  EXPECT_NE(ran.out.find("CI=yes\n"), std::string::npos) << ran.err;
  EXPECT_NE(ran.out.find("MODE=test\n"), std::string::npos);
  EXPECT_EQ(ran.out.find("OTHER"), std::string::npos);
}

TEST(Run, ShowsTheWorkspaceAtItsOwnPath) {
  const Tool tool;
  EXPECT_EQ(tool.shell("pwd; echo made > here").out, tool.workspace() + '\n');
  EXPECT_EQ(Tool::read(tool.workspace() + "/here"), "made\n");
}

TEST(Run, KeepsAPrivateHomeForEachWorkspace) {
  const Tool tool;
  tool.write(tool.home() + "/mine", "of the user");
  tool.make_directory(tool.home() + "/other");
  EXPECT_EQ(tool.shell("cat ~/mine; echo kept > ~/file; ls ~").status, 0);
  EXPECT_EQ(tool.shell("cat ~/file").out, "kept\n");
  EXPECT_FALSE(fs::exists(tool.home() + "/file"));
  const Finished other =
      tool.run({"run", "--workspace", tool.home() + "/other", "--", "ls", tool.home()});
  EXPECT_EQ(other.out.find("file"), std::string::npos) << other.out;
}

TEST(Run, IsTheUserInside) {
  const Tool tool;
  const std::string id = std::to_string(kTestUid);
  EXPECT_EQ(tool.shell("id -u; id -g; test \"$(whoami)\" = \"$USER\" && echo same").out,
            id + '\n' + id + "\nsame\n");
}

TEST(Run, LetsGitWorkInAWorkspaceWithoutLeavingAnythingOutside) {
  const Tool tool;
  const Finished ran = tool.shell(
      "git init -q . && git config user.email a@b.example && git config user.name N && echo x > f "
      "&& "
      "git add f && git commit -qm one && git log --oneline | wc -l");
  EXPECT_EQ(ran.out, "1\n") << ran.err;
  EXPECT_EQ(tool.shell("git log --oneline | wc -l").out, "1\n");
}

TEST(Run, RecordsWhatIsExecuted) {
  const Tool tool;
  const std::string record = tool.home() + "/record.jsonl";
  EXPECT_EQ(tool.run({"run", "--record", record, "--", "sh", "-c", "/bin/true; exit 4"}).status, 4);
  const std::string lines = Tool::read(record);
  EXPECT_NE(lines.find("\"event\":\"exec\",\"outcome\":\"success\""), std::string::npos) << lines;
  EXPECT_NE(lines.find("\"argv\":[\"/bin/true\"]"), std::string::npos) << lines;
}

TEST(Run, RefusesARecordThatTheProgramCouldChange) {
  const Tool tool;
  const Finished ran =
      tool.run({"run", "--record", tool.workspace() + "/record", "--", "touch", "started"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_FALSE(fs::exists(tool.workspace() + "/started"));
}

TEST(Run, ReportsHowItEndedAsJson) {
  const Tool tool;
  const Finished ran =
      tool.outside({"/bin/sh", "-c",
                    "'" + tool.tool() + "' run --json --status-fd 5 -- sh -c 'exit 9' 5>status"});
  EXPECT_EQ(ran.status, 9);
  const std::string status = Tool::read(tool.workspace() + "/status");
  EXPECT_TRUE(
      status.starts_with("{\"exit_status\":9,\"started\":true,\"signal\":null,\"rule\":null,"))
      << status << ran.err;
  const Finished failed = tool.run({"run", "--json", "--", "no-such-program"});
  EXPECT_NE(failed.err.find("\"exit_status\":127,\"started\":false"), std::string::npos);
}

TEST(Run, GivesNoDescriptorBesidesTheThree) {
  const Tool tool;
  // The control: the shell passes it to a program that is not in a sandbox.
  const std::string before = "exec 9<>shared; ";
  const std::string list = "sh -c 'echo /proc/$$/fd/*'";
  EXPECT_NE(tool.outside({"/bin/bash", "-c", before + list}).out.find("/fd/9"), std::string::npos);
  const Finished ran =
      tool.outside({"/bin/bash", "-c", before + '\'' + tool.tool() + "' run -- " + list});
  EXPECT_EQ(ran.out.find("/fd/9"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("/fd/2"), std::string::npos);
}

TEST(Run, RefusesADirectoryAsStandardInput) {
  const Tool tool;
  const Finished ran =
      tool.outside({"/bin/sh", "-c", "'" + tool.tool() + "' run -- touch started < /; echo $?"});
  EXPECT_EQ(ran.out, "2\n");
  EXPECT_FALSE(fs::exists(tool.workspace() + "/started"));
}

}  // namespace
}  // namespace oqto::sandbox_cli
