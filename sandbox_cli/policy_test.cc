// Which policy holds, and what becomes of one that is wrong: nothing is started then.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "sandbox_cli/test_tool.h"

namespace oqto::sandbox_cli {
namespace {

namespace fs = std::filesystem;

class PolicyFiles : public ::testing::Test {
 protected:
  std::string own(std::string_view text, mode_t mode = 0600) const {
    return tool.write(tool.home() + "/.config/oqto/sandbox.toml", text, mode);
  }
  std::string of_workspace(std::string_view text, mode_t mode = 0644) const {
    return tool.write(tool.workspace() + "/.oqto/sandbox.toml", text, mode);
  }
  // Nothing is started, and `words` are in the error.
  void expect_refused(const Words& options, std::initializer_list<std::string> words) const {
    Words arguments = {"run"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    for (const char* word : {"--", "touch", "started"}) arguments.emplace_back(word);
    const Finished ran = tool.run(arguments);
    EXPECT_EQ(ran.status, 2);
    for (const std::string& word : words) {
      EXPECT_NE(ran.err.find(word), std::string::npos) << '`' << word << "` in: " << ran.err;
    }
    EXPECT_FALSE(fs::exists(tool.workspace() + "/started"));
  }
  Tool tool;
};

TEST_F(PolicyFiles, OfTheUserIsFoundInItsPlace) {
  own("[env]\nset = { FROM = \"own\" }\n");
  EXPECT_NE(tool.sandboxed({"env"}).out.find("FROM=own"), std::string::npos);
}

constexpr const char* kCommonFile =
    "enabled = true\n"
    "profile = \"development\"\n"
    "deny_read = [\"~/.ssh\", \"~/.aws\", \"~/.gnupg\"]\n"
    "allow_write = [\"~/.cargo\", \"~/.npm\", \"/tmp\"]\n"
    "isolate_network = false\n"
    "isolate_pid = true\n";

TEST_F(PolicyFiles, TheCommonOneOfTheUserWorksAndSaysWhatIsMissing) {
  own(kCommonFile);
  tool.make_directory(tool.home() + "/.npm");
  tool.write(tool.home() + "/.ssh/id", "secret");
  const Finished ran = tool.shell(
      "echo x > ~/.npm/kept; echo x > /tmp/own; cat ~/.ssh/id; mkdir -p ~/.cargo; echo x > ~/.cargo/gone; readlink /proc/self/ns/net");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.err.find("allow_write: `~/.cargo` does not exist and is left out"), std::string::npos) << ran.err;
  EXPECT_EQ(ran.err.find("~/.npm"), std::string::npos) << ran.err;
  EXPECT_TRUE(fs::exists(tool.home() + "/.npm/kept"));
  EXPECT_FALSE(fs::exists(tool.home() + "/.cargo"));
  EXPECT_EQ(ran.out.find("secret"), std::string::npos);
  EXPECT_EQ(ran.out, fs::read_symlink("/proc/self/ns/net").string() + '\n');  // the network is shared
}

TEST_F(PolicyFiles, TheCommonOneOfAWorkspaceWorksAndOpensNothing) {
  of_workspace(kCommonFile);
  const Finished ran = tool.shell("echo x > /tmp/own; readlink /proc/self/ns/net");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out, fs::read_symlink("/proc/self/ns/net").string() + '\n');
}

TEST_F(PolicyFiles, TheCommonOneIsCheckedWithNotesOnWhatAddsNothing) {
  const std::string path = own(kCommonFile);
  const Finished checked = tool.run({"check", path});
  EXPECT_EQ(checked.status, 0) << checked.err;
  EXPECT_NE(checked.out.find("note: " + path + ":4: every session has a /tmp of its own"), std::string::npos) << checked.out;
}

TEST_F(PolicyFiles, NamedOnTheCommandLineTakesItsPlace) {
  own("nonsense = 1\n");
  const std::string other = tool.write(tool.home() + "/other.toml", "", 0600);
  EXPECT_EQ(tool.run({"run", "--policy", other, "--", "true"}).status, 0);
}

TEST_F(PolicyFiles, WithAnErrorRefuseWithFileAndLine) {
  const std::string path = own("# a comment\nno_such_key = true\n");
  expect_refused({}, {path + ":2", "no_such_key"});
}

TEST_F(PolicyFiles, WithAValueOfAnyKindInAWrongPlaceRefuseWithFileAndLine) {
  for (const char* value :
       {"1.5", "1e3", "1.0e400", "inf", "2020-01-01", "07:32:00", "true", "[]", "{}", "''"}) {
    own(std::string("[limits]\nmax_processes = ") + value + '\n');
    expect_refused({}, {"sandbox.toml:2", value});
  }
}

TEST_F(PolicyFiles, OfTheWorkspaceWithAnErrorRefuseToo) {
  const std::string path = of_workspace("deny_read = [\"./x\"\n");
  expect_refused({}, {path + ":"});
}

TEST_F(PolicyFiles, OfAnUnknownProfileRefuse) {
  expect_refused({"--profile", "none"}, {"none"});
}

TEST_F(PolicyFiles, ThatDoNotExistRefuse) {
  expect_refused({"--policy", tool.home() + "/absent"}, {"absent"});
}

TEST_F(PolicyFiles, ThatAreSymbolicLinksRefuse) {
  const std::string real = tool.write(tool.home() + "/real.toml", "", 0600);
  fs::create_symlink(real, tool.home() + "/link.toml");
  expect_refused({"--policy", tool.home() + "/link.toml"}, {"symbolic link"});
}

TEST_F(PolicyFiles, ThatOthersCanWriteRefuse) {
  expect_refused({"--policy", tool.write(tool.home() + "/a.toml", "", 0620)}, {"chmod go-w"});
  expect_refused({"--policy", tool.write(tool.home() + "/b.toml", "", 0602)}, {"chmod go-w"});
  of_workspace("", 0666);
  expect_refused({}, {"chmod go-w"});
}

TEST_F(PolicyFiles, InDirectoriesThatOthersCanWriteRefuse) {
  tool.make_directory(tool.home() + "/open");
  const std::string path = tool.write(tool.home() + "/open/policy.toml", "", 0600);
  ASSERT_EQ(::chmod((tool.home() + "/open").c_str(), 0777), 0);
  expect_refused({"--policy", path}, {"chmod go-w"});
}

TEST_F(PolicyFiles, OfAnotherUserRefuse) {
  const std::string path = tool.write(tool.home() + "/other.toml", "", 0644);
  ASSERT_EQ(::chown(path.c_str(), kTestUid + 1, kTestUid + 1), 0);
  expect_refused({"--policy", path}, {"belongs to user"});
}

TEST_F(PolicyFiles, ThatAreNoFilesRefuseWithoutWaiting) {
  ASSERT_EQ(::mkfifo((tool.home() + "/fifo").c_str(), 0600), 0);
  (void)!::chown((tool.home() + "/fifo").c_str(), kTestUid, kTestUid);
  expect_refused({"--policy", tool.home() + "/fifo"}, {"not a regular file"});
}

TEST_F(PolicyFiles, OfTheWorkspaceOnlyTighten) {
  tool.write(tool.workspace() + "/secret", "x");
  of_workspace("deny_read = [\"./secret\"]\n");
  const Finished ran = tool.sandboxed({"cat", "secret"});
  EXPECT_NE(ran.status, 0);
  EXPECT_EQ(ran.out, "");
}

TEST_F(PolicyFiles, OfTheWorkspaceCannotGrant) {
  tool.write(tool.home() + "/mine", "of the user");
  of_workspace("allow_read = [\"~/mine\"]\n");
  EXPECT_NE(tool.shell("cat ~/mine").status, 0);
}

TEST_F(PolicyFiles, OfTheUserGrantPathsOfTheRealHome) {
  tool.write(tool.home() + "/mine", "of the user");
  own("allow_read = [\"~/mine\"]\n");
  EXPECT_EQ(tool.shell("cat ~/mine; echo more >> ~/mine").out, "of the user");
  EXPECT_EQ(Tool::read(tool.home() + "/mine"), "of the user");
}

TEST_F(PolicyFiles, OfTheWorkspaceKeepTheNetworkTheyDemand) {
  of_workspace("[network]\nmode = \"isolated\"\n");
  const Finished ran = tool.run({"run", "--net", "open", "--json", "--", "true"});
  EXPECT_NE(ran.err.find("\"network\":\"isolated\""), std::string::npos) << ran.err;
}

TEST_F(PolicyFiles, ThatRequireWhatTheHostHasNotRefuse) {
  own("[limits]\ncgroups = \"required\"\n");
  const Finished ran = tool.run({"run", "--", "touch", "started"});
  // Some hosts give ordinary users cgroups; then it runs, and otherwise nothing does.
  EXPECT_EQ(fs::exists(tool.workspace() + "/started"), ran.status == 0) << ran.err;
  if (ran.status == 0) return;
  EXPECT_EQ(ran.status, 2);
  EXPECT_NE(ran.err.find("sandbox.toml:2"), std::string::npos) << ran.err;
}

TEST_F(PolicyFiles, AreProtectedFromTheProgram) {
  const std::string path = of_workspace("");
  EXPECT_NE(tool.shell("echo x > .oqto/sandbox.toml").status, 0);
  EXPECT_NE(tool.shell("rm -r .oqto || mv .oqto elsewhere").status, 0);
  EXPECT_EQ(Tool::read(path), "");
}

TEST_F(PolicyFiles, CannotBeMadeByTheProgramWhereThereIsNone) {
  EXPECT_NE(tool.shell("mkdir -p .oqto && echo x > .oqto/sandbox.toml").status, 0);
  EXPECT_FALSE(fs::exists(tool.workspace() + "/.oqto/sandbox.toml"));
}

// --- where a sandbox may be
// ------------------------------------------------------------------------

TEST_F(PolicyFiles, AWorkspaceIsNeitherTheHomeNorAboveIt) {
  expect_refused({"--workspace", tool.home()}, {"project directory"});
  expect_refused({"--workspace", "/"}, {"project directory"});
  expect_refused({"--workspace", tool.home() + "/project/.."}, {"project directory"});
  fs::create_symlink(tool.home(), tool.workspace() + "/link");
  expect_refused({"--workspace", tool.workspace() + "/link"}, {"project directory"});
}

TEST_F(PolicyFiles, AWorkspaceIsNotWhereTheSandboxKeepsItsOwn) {
  tool.make_directory(tool.home() + "/.config/oqto");
  expect_refused({"--workspace", tool.home() + "/.config"}, {"overlap"});
  expect_refused({"--workspace", tool.home() + "/.config/oqto"}, {"overlap"});
}

TEST_F(PolicyFiles, AWorkspaceIsADirectoryOfTheUser) {
  expect_refused({"--workspace", "/usr/share"}, {"not yours"});
  expect_refused({"--workspace", tool.write(tool.home() + "/file", "")}, {"directory"});
  expect_refused({"--workspace", tool.home() + "/absent"}, {"absent"});
}

TEST_F(PolicyFiles, RootIsRefused) {
  tool.uid = 0;
  expect_refused({}, {"not as root"});
}

TEST_F(PolicyFiles, RootCanBecomeAUserFirst) {
  tool.uid = 0;
  const std::string user = std::to_string(kTestUid);
  EXPECT_EQ(tool.run({"run", "--user", user, "--", "id", "-u"}).out, user + '\n');
  EXPECT_EQ(tool.run({"run", "--user", "0", "--", "id"}).status, 2);
  // Somebody else's home is not that user's.
  const Finished other = tool.run({"run", "--user", std::to_string(kTestUid + 1), "--", "true"});
  EXPECT_EQ(other.status, 2);
  EXPECT_NE(other.err.find("HOME"), std::string::npos) << other.err;
}

}  // namespace
}  // namespace oqto::sandbox_cli
