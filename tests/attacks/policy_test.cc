// Attacks on what a policy denies or asks about. What a policy file may say: sandbox/policy/attack_test.cc.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

namespace fs = std::filesystem;

void put(const std::string& path, uid_t uid, const char* content = "secret") {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << content;
  for (fs::path part = path; part.filename() != "workspace"; part = part.parent_path()) {
    CHECK(::chown(part.c_str(), uid, uid) == 0);
  }
}

Policy denying(Policy policy) {
  policy.deny_read.values = {"./dir", "./file", "./later"};
  policy.deny_write.values = {"./kept"};
  return policy;
}

TEST_P(Attack, OnAPathThatThePolicyDenies) {
  TestSession fresh({.policy = denying(policy())});
  for (const char* name : {"/dir/secret", "/file", "/kept/secret"}) {
    put(fresh.workspace() + name, fresh.uid());
  }
  EXPECT_EQ(outside(fresh.uid(), {"read", fresh.workspace() + "/file"}), "open\n");
  ASSERT_EQ(fresh.start(), "");
  const auto run = [&](const Words& attack) { return fresh.run(probe_words(attack)).output; };
  for (const char* path : {"/workspace/dir/secret", "/workspace/file", "/workspace/./file",
                           "/proc/self/cwd/file", "/proc/self/root/workspace/file"}) {
    EXPECT_TRUE(is_closed(run({"read", path}))) << path;
  }
  EXPECT_TRUE(is_closed(run({"link", "/workspace/file", "/workspace/f2"})));
  for (const char* path : {"/workspace/dir", "/workspace/file", "/workspace/kept"}) {
    EXPECT_TRUE(is_closed(run({"rename", path, "/workspace/aside"}))) << path;
    EXPECT_TRUE(is_closed(run({"umount", path}))) << path;
    EXPECT_TRUE(is_closed(run({"remount", path}))) << path;
    EXPECT_TRUE(is_closed(run({"chmod", path, "0777"}))) << path;
  }
  EXPECT_EQ(run({"read", "/workspace/kept/secret"}), "open\n");
  for (const Words& attack : std::vector<Words>{{"write", "/workspace/kept/secret"},
                                                {"write", "/workspace/kept/new"},
                                                {"reopen", "/workspace/kept/secret"},
                                                {"remove", "/workspace/kept/secret"}}) {
    EXPECT_TRUE(is_closed(run(attack))) << attack[0];
  }
}

// Denied before it exists: somebody makes it outside while the session runs, or the session tries.
TEST_P(Attack, OnADeniedPathThatComesLater) {
  TestSession fresh({.policy = denying(policy())});
  ASSERT_EQ(fresh.start(), "");
  const auto run = [&](const Words& attack) { return fresh.run(probe_words(attack)).output; };
  EXPECT_TRUE(is_closed(run({"mkdir", "/workspace/later/x"})));
  EXPECT_TRUE(is_closed(run({"rename", "/workspace/later", "/workspace/aside"})));
  const std::string later = fresh.workspace() + "/later";
  struct stat stub {};
  if (::stat(later.c_str(), &stub) == 0 && S_ISREG(stub.st_mode)) {
    put(later, fresh.uid());
    EXPECT_TRUE(is_closed(run({"read", "/workspace/later"})));
  } else {
    put(later + "/secret", fresh.uid());
    EXPECT_TRUE(is_closed(run({"read", "/workspace/later/secret"})));
  }
}

// The deny-list names a link, or passes through one: an error that says so, never a silent gap.
TEST_P(Attack, ByALinkInThePlaceOfADeniedPath) {
  TestSession fresh({.policy = denying(policy())});
  put(fresh.workspace() + "/real/secret", fresh.uid());
  fs::create_symlink("real", fresh.workspace() + "/dir");
  const std::string why = fresh.start();
  EXPECT_NE(why.find("symbolic link"), std::string::npos) << why;
}

TEST_P(Attack, NestedDenialsHoldInEveryOrder) {
  Policy nested = policy();
  nested.deny_read.values = {"./a/b"};
  nested.deny_write.values = {"./a", "./a/b/c"};
  nested.protect.values.emplace_back("./a/d");
  for (int i = 0; i < 3; ++i) {
    TestSession fresh({.policy = nested});
    put(fresh.workspace() + "/a/b/c/secret", fresh.uid());
    put(fresh.workspace() + "/a/d/file", fresh.uid());
    ASSERT_EQ(fresh.start(), "");
    const auto run = [&](const Words& attack) { return fresh.run(probe_words(attack)).output; };
    EXPECT_TRUE(is_closed(run({"read", "/workspace/a/b/c/secret"})));
    EXPECT_TRUE(is_closed(run({"write", "/workspace/a/new"})));
    EXPECT_TRUE(is_closed(run({"write", "/workspace/a/b/new"})));
    EXPECT_TRUE(is_closed(run({"write", "/workspace/a/d/file"})));
    EXPECT_TRUE(is_closed(run({"rename", "/workspace/a", "/workspace/z"})));
  }
}

// A second thread changes the name while it is being opened: what a check sees need not be what is
// opened. ./aaaa is let through by a rule of its own, ./bbbb is hidden.
TEST_P(Attack, OnAPathThatIsAskedForByRacingItsName) {
  Policy asking = policy();
  asking.ask.values = {"auto:./aaaa"};
  asking.deny_read.values = {"./bbbb"};
  TestSession fresh({.policy = asking});
  put(fresh.workspace() + "/aaaa", fresh.uid(), "public");
  put(fresh.workspace() + "/bbbb", fresh.uid());
  const std::string dir = fresh.workspace();
  EXPECT_EQ(outside(fresh.uid(), {"open-race", "100000", dir + "/aaaa", dir + "/bbbb"}), "open\n");
  ASSERT_EQ(fresh.start(), "");
  const auto run = [&](const Words& attack) { return fresh.run(probe_words(attack)).output; };
  EXPECT_EQ(run({"read", "/workspace/aaaa"}), "open\n");
  EXPECT_TRUE(is_closed(run({"read", "/workspace/bbbb"})));
  EXPECT_EQ(run({"open-race", "10000", "/workspace/aaaa", "/workspace/bbbb"}), "closed: EACCES\n");
  EXPECT_TRUE(is_closed(run({"write", "/workspace/aaaa"})));  // reading is all that was granted
}

// --- what is refused leaves a record -----------------------------------------------------------------

TEST_P(Attack, RefusedCallsAreRecordedByName) {
  for (const char* call : {"mount", "ptrace", "bpf", "swapon", "keyctl"}) {
    EXPECT_EQ(inside({"call", call, "0", "0", "0", "0", "0"}), "closed: EPERM\n") << call;
    EXPECT_TRUE(session->audit().wait_for(call)) << call;
  }
  EXPECT_EQ(inside({"socket", "40", "1", "0"}), "closed: EAFNOSUPPORT\n");
  EXPECT_TRUE(session->audit().wait_for("socket"));
}

}  // namespace
}  // namespace oqto::sandbox
