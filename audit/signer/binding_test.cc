// A copied or restored state directory does not go on signing before an operator has said that it belongs there.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "audit/signer/signer_binding.h"
#include "audit/tests/test_host.h"
#include "base/sys.h"
#include "tests/possible.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;
using ipc::Event;

Output start_signer_in(const std::string& key_dir) {
  return run("exec " + program("oqto-audit-signer") + " --origin audit.example/test --key-dir " + key_dir +
             " 3</dev/null 4</dev/null 5</dev/null");
}
Output adopt(const std::string& key_dir) {
  return run(program("oqto-audit-signer") + " --adopt --operator-name ann --key-dir " + key_dir);
}
void copy_host(const TestHost& from, const TestHost& to) {
  ASSERT_EQ(run("rm -rf " + to.key_dir() + " " + to.log_dir() + " && cp -a " + from.key_dir() + " " + to.key_dir() +
                " && cp -a " + from.log_dir() + " " + to.log_dir()).status, 0);
}
std::size_t find_event(const std::vector<std::string>& entries, std::string_view event) {
  const auto found = std::ranges::find_if(entries, [&](const std::string& entry) {
    return contains(entry, "\"event\":\"" + std::string(event) + "\"");
  });
  return static_cast<std::size_t>(found - entries.begin());
}
void write_some(TestHost& host) {
  ASSERT_TRUE(host.start());
  ASSERT_TRUE(host.client().append(record(Event::exec)));
  host.stop();
}

TEST(SignerBinding, ADirectoryWithoutOneIsBoundAtItsNextStartAndGoesOn) {
  TestHost host;
  write_some(host);
  ASSERT_TRUE(fs::remove(host.key_dir() + "/binding")) << "of an installation before there was one";
  write_some(host);
  EXPECT_TRUE(fs::exists(host.key_dir() + "/binding"));
  write_some(host);
  EXPECT_EQ(count_events(entries_of(host), "adopt"), 0U);
}

TEST(SignerBinding, AnotherNameOfTheSameDirectoryIsNoCopy) {
  TestHost host;
  write_some(host);
  const std::string moved = host.key_dir() + "-renamed";
  fs::rename(host.key_dir(), moved);
  fs::create_directory_symlink(moved, host.key_dir());
  write_some(host);
  fs::remove(host.key_dir());
  fs::rename(moved, host.key_dir());
  write_some(host);
}

TEST(SignerBinding, AttackACopyDoesNotGoOnSigningAndTheOriginalDoes) {
  TestHost one, two;
  write_some(one);
  copy_host(one, two);
  const std::string before = read_file(two.key_dir() + "/state");
  const Output refused = start_signer_in(two.key_dir());
  EXPECT_EQ(refused.status, kMovedExit) << refused.out;
  EXPECT_TRUE(contains(refused.out, "is a copy")) << refused.out;
  EXPECT_TRUE(contains(refused.out, "oqtoctl adopt --state DIR")) << refused.out;
  EXPECT_EQ(read_file(two.key_dir() + "/state"), before) << "and nothing in it was changed";
  const Output rotated = run(program("oqto-audit") + " rotate --key-dir " + two.key_dir());
  EXPECT_NE(rotated.status, 0) << "nor with another key";
  EXPECT_TRUE(contains(rotated.out, "is a copy")) << rotated.out;
  write_some(one);
}

TEST(SignerBinding, AnAdoptedCopyGoesOnInANewEpochAndItsLogSaysWhoAdoptedIt) {
  TestHost one, two;
  write_some(one);
  copy_host(one, two);
  const auto old_entries = entries_of(two).size();
  const auto old_seals = count_events(entries_of(two), "epoch.seal");
  const Output adopted = adopt(two.key_dir());
  ASSERT_EQ(adopted.status, 0) << adopted.out;
  ASSERT_TRUE(two.start());
  ASSERT_TRUE(two.client().append(record(Event::exec)));
  auto entries = entries_of(two);
  ASSERT_EQ(count_events(entries, "adopt"), 1U);
  EXPECT_GT(count_events(entries, "epoch.seal"), old_seals);
  EXPECT_TRUE(contains(entries.at(old_entries), R"("event":"epoch.seal")")) << "before anything else is signed";
  const std::string& entry = entries.at(find_event(entries, "adopt"));
  EXPECT_TRUE(contains(entry, R"x("operator":"ann (claimed)")x")) << entry;
  EXPECT_TRUE(contains(entry, R"("operator_uid":")" + std::to_string(sys::login_uid(::getpid()).value_or(::getuid())))) << entry;
  EXPECT_TRUE(contains(entry, R"("at":")")) << entry;
  two.stop();
  write_some(two);
  EXPECT_EQ(count_events(entries_of(two), "adopt"), 1U) << "it is said once";
  EXPECT_EQ(two.verify().status, 0) << two.verify().out;
}

// The signer may end before auditd has it durable, any number of times.
TEST(SignerBinding, AnAdoptionIsNotForgottenBeforeItStandsInTheLog) {
  TestHost one, two;
  write_some(one);
  copy_host(one, two);
  ASSERT_EQ(adopt(two.key_dir()).status, 0);
  for (int i = 0; i < 3; ++i) {
    two.start_signer();
    two.kill_signer();
  }
  write_some(two);
  EXPECT_EQ(count_events(entries_of(two), "adopt"), 1U);
}

TEST(SignerBinding, AdoptingIsRefusedWhileTheHostRunsAndChangesNothingWhereNothingWasMoved) {
  TestHost host;
  ASSERT_TRUE(host.start());
  const Output running = adopt(host.key_dir());
  EXPECT_EQ(running.status, 1);
  EXPECT_TRUE(contains(running.out, "stop it first")) << running.out;
  host.stop();
  const std::string before = read_file(host.key_dir() + "/binding");
  EXPECT_EQ(adopt(host.key_dir()).status, 0);
  EXPECT_EQ(read_file(host.key_dir() + "/binding"), before);
  const TempDir empty;
  EXPECT_EQ(adopt(empty.path()).status, 1);
}

TEST(SignerBinding, AttackADamagedBindingIsNotTakenForNone) {
  TestHost host;
  write_some(host);
  std::string binding = read_file(host.key_dir() + "/binding");
  binding[binding.size() / 2] = static_cast<char>(binding[binding.size() / 2] ^ 1);
  write_file(host.key_dir() + "/binding", binding);
  const Output refused = start_signer_in(host.key_dir());
  EXPECT_EQ(refused.status, kMovedExit) << refused.out;
  EXPECT_TRUE(contains(refused.out, "damaged")) << refused.out;
  EXPECT_EQ(adopt(host.key_dir()).status, 0);
  write_some(host);
}

class Machine : public testing::Test {
 protected:
  // A machine-id in memory is none: another one after each restart.
  void SetUp() override {
    write_file(dir_.path() + "/state", "x");
    for (const char* name : {"one", "other", "none"}) files_[name] = dir_.path() + "/machine-" + name;
    write_file(files_["one"], "0123456789abcdef0123456789abcdef\n");
    write_file(files_["other"], "00000000000000000000000000000001\n");
    key_dir_ = *sys::open_dir(dir_.path().c_str());
    const auto place = place_of(key_dir_, files_["one"].c_str());
    if (!place || place->machine.view().empty()) GTEST_SKIP() << "not possible here: the temporary directory is in memory";
  }
  bool opens(const std::string& machine) { return SignerBinding::open(key_dir_, files_[machine].c_str()).has_value(); }

  TempDir dir_;
  Fd key_dir_;
  std::map<std::string, std::string> files_;
};

TEST_F(Machine, AttackAnotherOneDoesNotGoOnWithTheSameFiles) {
  EXPECT_TRUE(opens("one"));
  EXPECT_TRUE(opens("one"));
  EXPECT_FALSE(opens("other")) << "a disk that was put into another machine";
  EXPECT_TRUE(*SignerBinding::adopt(key_dir_, {1, 0, "ann"}, files_["other"].c_str()));
  EXPECT_TRUE(opens("other"));
  EXPECT_FALSE(opens("one"));
}

TEST_F(Machine, WithoutAMachineIdTheFilesAloneDecideAndOneThatIsMadeLaterIsTaken) {
  EXPECT_TRUE(opens("none"));
  EXPECT_TRUE(opens("one"));
  EXPECT_TRUE(opens("none"));
  EXPECT_FALSE(opens("other"));
}

TEST(FileIdentity, IsTheFilesAndNotItsContentNorItsName) {
  const TempDir dir;
  write_file(dir.path() + "/a", "x");
  ASSERT_EQ(run("cp -a " + dir.path() + "/a " + dir.path() + "/copy").status, 0);
  const auto identity = [&](const char* name) {
    return identity_of(*sys::open_file((dir.path() + "/" + name).c_str(), O_RDONLY));
  };
  const FileIdentity a = identity("a");
  EXPECT_TRUE(is_same_file(a, identity("a")));
  EXPECT_FALSE(is_same_file(a, identity("copy")));
  FileIdentity old_kernel = a;
  old_kernel.handle = "";
  EXPECT_TRUE(is_same_file(old_kernel, identity("a"))) << "bound by a kernel that gave no handle";
  FileIdentity other_form = a;
  other_form.handle = "9999:00";
  EXPECT_TRUE(is_same_file(other_form, identity("a"))) << "or one of another type";
  FileIdentity copied = identity("copy");
  copied.handle = "";
  EXPECT_FALSE(is_same_file(old_kernel, copied));
}

// The root of a container: its directories have other inode numbers at each start.
TEST(FileIdentity, OnAnOverlayIsTheSameAfterItWasMountedAnewAndAttackACopyIsNot) {
  NEEDS(possible::as_root());
  const TempDir dir;
  const auto path = [&](const char* name) { return dir.path() + "/" + name; };
  for (const char* name : {"upper", "work", "root", "memory"}) fs::create_directory(path(name));
  const auto in_a_namespace = [&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 2;
    if (::mount("tmpfs", path("memory").c_str(), "tmpfs", 0, nullptr) != 0) return 2;
    fs::create_directory(path("memory/lower"));
    const std::string layers = "lowerdir=" + path("memory/lower") + ",upperdir=" + path("upper") + ",workdir=" + path("work") + ",xino=off";
    const auto mount_root = [&] { return ::mount("overlay", path("root").c_str(), "overlay", 0, layers.c_str()) == 0; };
    const auto identity = [&](const char* name) {
      FileIdentity it = identity_of(*sys::open_dir(path(name).c_str()));
      it.handle = "";  // what the guard starts may not ask for one
      return it;
    };
    if (!mount_root()) return 2;
    fs::create_directory(path("root/key"));
    const FileIdentity before = identity("root/key");
    if (before.birth.view().size() < 3) return 2;  // there is no time of birth
    if (::umount2(path("root").c_str(), 0) != 0 || !mount_root()) return 2;
    fs::create_directory(path("root/first"));  // takes the number that the other one had
    (void)identity("root/first");
    if (!is_same_file(before, identity("root/key"))) return 1;
    if (std::system(("cp -a " + path("root/key") + " " + path("root/copy")).c_str()) != 0) return 2;
    return is_same_file(before, identity("root/copy")) ? 3 : 0;
  };
  const pid_t child = ::fork();
  if (child == 0) ::_exit(in_a_namespace());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "not possible here: no overlay can be mounted";
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: another file after a mount, 3: a copy is the same";
}

TEST(FileIdentity, ABindingWithANumberThatDidNotLastIsKnownByItsBirth) {
  FileIdentity with_number, without;
  with_number.birth = "17:1795956568.841201590";
  without.birth = ":1795956568.841201590";
  EXPECT_TRUE(is_same_file(with_number, without));
  FileIdentity other = without;
  other.birth = ":1795956568.841201591";
  EXPECT_FALSE(is_same_file(with_number, other));
  FileIdentity nameless;
  EXPECT_FALSE(is_same_file(nameless, without));
}

}  // namespace
}  // namespace oqto::audit
