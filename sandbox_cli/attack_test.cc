// Attacks on the tool itself: through what surrounds it, and through the terminal that it relays.
// Each works on the control, which is the same attack without the sandbox, where there is one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/sys.h"
#include "sandbox_cli/test_tool.h"

namespace oqto::sandbox_cli {
namespace {

namespace fs = std::filesystem;

TEST(Attack, PlantedProgramsInPathAreNeverUsed) {
  Tool tool;
  const std::string planted = tool.home() + "/planted";
  for (const char* name : {"bwrap", "oqto-init", "oqto-egress", "oqto-sandbox", "true"}) {
    tool.write(planted + '/' + name, "#!/bin/sh\necho used > " + tool.home() + "/marker\n", 0755);
  }
  tool.environment = {"PATH=" + planted + ":/usr/bin:/bin"};
  // The control: a shell finds them.
  (void)tool.outside({"/bin/sh", "-c", "PATH=" + planted + " bwrap"});
  ASSERT_TRUE(fs::remove(tool.home() + "/marker"));
  EXPECT_EQ(tool.run({"run", "--", "true"}).status, 0);
  EXPECT_EQ(tool.run({"run", "--net", "filtered", "--", "true"}).status, 0);
  EXPECT_EQ(tool.run({"doctor"}).status, 0);
  EXPECT_FALSE(fs::exists(tool.home() + "/marker"));
}

TEST(Attack, SecretsInTheCallersEnvironmentStayThere) {
  Tool tool;
  tool.environment = {"AWS_SECRET_ACCESS_KEY=canary-in-the-environment"};
  EXPECT_NE(tool.outside({"/usr/bin/env"}).out.find("canary"), std::string::npos);
  const Finished ran = tool.shell("env; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'");
  EXPECT_EQ(ran.out.find("canary"), std::string::npos);
}

TEST(Attack, ALinkInThePlaceOfThePrivateHomeIsNotFollowed) {
  const Tool tool;
  EXPECT_EQ(tool.sandboxed({"true"}).status, 0);
  const std::string homes = tool.home() + "/.local/share/oqto/homes";
  fs::rename(homes, homes + "-real");
  fs::create_directory_symlink(tool.home(), homes);
  const Finished ran = tool.sandboxed({"touch", "started"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_FALSE(fs::exists(tool.workspace() + "/started"));
}

TEST(Attack, ALinkInThePlaceOfTheWorkspacesPolicyIsNotFollowed) {
  const Tool tool;
  tool.write(tool.home() + "/elsewhere", "");
  tool.make_directory(tool.workspace() + "/.oqto");
  fs::create_symlink(tool.home() + "/elsewhere", tool.workspace() + "/.oqto/sandbox.toml");
  const Finished ran = tool.sandboxed({"touch", "started"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_NE(ran.err.find("symbolic link"), std::string::npos) << ran.err;
}

TEST(Attack, ADirectoryLinkAboveTheWorkspacesPolicyIsNotFollowed) {
  const Tool tool;
  tool.write(tool.home() + "/elsewhere/sandbox.toml", "");
  fs::create_directory_symlink(tool.home() + "/elsewhere", tool.workspace() + "/.oqto");
  EXPECT_EQ(tool.sandboxed({"true"}).status, 2);
}

TEST(Attack, NoWorkspaceReachesAnothersHome) {
  const Tool tool;
  tool.make_directory(tool.workspace() + "/%home");
  EXPECT_EQ(tool.shell("echo secret > ~/secret").status, 0);
  // A workspace whose name is that of a private home.
  const Finished ran = tool.run(
      {"run", "--workspace", tool.workspace() + "/%home", "--", "sh", "-c", "cat ~/secret"});
  EXPECT_EQ(ran.out, "");
  EXPECT_NE(tool.run({"run", "--workspace", tool.home() + "/.local/share/oqto/homes", "--", "true"})
                .status,
            0);
}

TEST(Attack, TheHomesOfOtherWorkspacesAreNotInAHomeThatIsGranted) {
  const Tool tool;
  tool.make_directory(tool.home() + "/other");
  EXPECT_EQ(tool.run({"run", "--workspace", tool.home() + "/other", "--", "sh", "-c",
                      "echo secret > ~/secret"})
                .status,
            0);
  const std::string policy =
      tool.write(tool.home() + "/policy.toml",
                 "allow_read = [\"~/.local\"]\nallow_write = [\"~/.config\"]\n", 0600);
  tool.write(tool.home() + "/.config/oqto/sandbox.toml", "", 0600);
  const Finished ran = tool.run({"run", "--policy", policy, "--", "sh", "-c",
                                 "grep -r secret ~/.local; echo x > ~/.config/oqto/sandbox.toml"});
  EXPECT_EQ(ran.out, "") << ran.err;
  EXPECT_EQ(Tool::read(tool.home() + "/.config/oqto/sandbox.toml"), "");
}

TEST(Attack, AProgramDoesNotRewriteThePolicyThatItRunsUnder) {
  const Tool tool;
  const std::string policy = tool.write(tool.workspace() + "/policy.toml", "", 0600);
  // The control: other files there are the program's to change.
  const Finished ran = tool.run({"run", "--policy", policy, "--", "sh", "-c",
                                 "echo x > other; echo x > policy.toml; rm -f policy.toml; "
                                 "mv other policy.toml; mkdir d && mv policy.toml d"});
  EXPECT_EQ(Tool::read(policy), "") << ran.err;
  EXPECT_EQ(Tool::read(tool.workspace() + "/other"), "x\n");
}

// A program types into the terminal that it is shown on. What it typed would be read by the shell.
constexpr const char* kInject =
    "perl -e 'for (split //, \"INJECTED\\n\") { $c = $_; ioctl(STDIN, 0x5412, $c) or print "
    "\"refused\\n\" }'";

TEST(Attack, NoKeystrokesAreInjectedIntoTheUsersTerminal) {
  const Tool tool;
  const auto read_back = [&](const std::string& command) {
    const std::string script = tool.write(tool.workspace() + "/script",
                                          command + "\nread -t 2 line\necho \"read<$line>\"\n");
    return tool.outside_on_terminal({"/bin/bash", script}).out;
  };
  const auto setting = sys::open_file("/proc/sys/dev/tty/legacy_tiocsti", O_RDONLY);
  const bool possible = !setting || sys::read_all(*setting, 16).value_or("").starts_with('1');
  const bool control = read_back(kInject).find("read<INJECTED>") != std::string::npos;
  EXPECT_EQ(control, possible);
  const std::string inside = read_back('\'' + tool.tool() + "' run -- " + kInject);
  EXPECT_NE(inside.find("refused"), std::string::npos) << inside;
  EXPECT_NE(inside.find("read<>"), std::string::npos) << inside;
}

TEST(Attack, TheUsersTerminalIsNotAmongTheProgramsDescriptors) {
  const Tool tool;
  const Finished ran = tool.outside_on_terminal(
      {"/bin/bash", "-c",
       "tty; '" + tool.tool() + "' run -- sh -c 'readlink /proc/self/fd/0; ls /dev/pts'"});
  // The first line is the user's; inside there are only numbers of its own.
  EXPECT_NE(ran.out.find("/dev/pts/0\r\n0  ptmx"), std::string::npos) << ran.out;
}

TEST(Attack, ControlCharactersInNamesDoNotReachTheTerminal) {
  const Tool tool;
  const Finished ran = tool.sandboxed({"no\x1b]0;title\x07such"});
  EXPECT_EQ(ran.status, 127);
  EXPECT_EQ(ran.err, "oqto-sandbox: not found: no?]0;title?such\n");
}

TEST(Attack, LettersThatMakeANameLookLikeAnotherDoNotReachTheTerminal) {
  const Tool tool;
  const Finished ran =
      tool.sandboxed({"a\u202egpj.\u200bb\u2066c\U000e0041\u2028d\xc2\x85"
                      "e"});
  EXPECT_EQ(ran.status, 127);
  EXPECT_EQ(ran.err, "oqto-sandbox: not found: a?gpj.?b?c??d?e\n");
  EXPECT_EQ(tool.sandboxed({"gr\u00fc\u00df-\u65e5\u672c"}).err,
            "oqto-sandbox: not found: gr\u00fc\u00df-\u65e5\u672c\n");
}

TEST(Attack, APolicyThatIsHugeOrDeepIsRefusedInTime) {
  const Tool tool;
  const std::string deep = "allow_read = " + std::string(30'000, '[');
  for (const std::string& text : {deep, std::string(200'000, '#'), std::string("\0\0\0", 3)}) {
    const Finished ran =
        tool.run({"run", "--policy", tool.write(tool.home() + "/p.toml", text, 0600), "--", "touch",
                  "started"});
    EXPECT_EQ(ran.status, 2);
    EXPECT_FALSE(ran.err.empty());
    EXPECT_FALSE(fs::exists(tool.workspace() + "/started"));
  }
}

TEST(Attack, AFloodOfOutputIsNotKeptInMemory) {
  const Tool tool;
  // The reader of a terminal that does not read: the program waits, the tool does not grow.
  Running running = tool.start_on_terminal({"run", "--", "sh", "-c", "yes | head -c 300000000"});
  ::usleep(1'500'000);
  const std::string status = Tool::read("/proc/" + std::to_string(running.pid()) + "/status");
  const std::size_t at = status.find("VmRSS:");
  ASSERT_NE(at, std::string::npos);
  EXPECT_LT(std::stol(status.substr(at + 6)), 32 * 1024);
}

}  // namespace
}  // namespace oqto::sandbox_cli
