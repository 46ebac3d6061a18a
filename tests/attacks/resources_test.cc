// Attacks that use something up: inside it ends, and nobody else notices.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

constexpr long kMiB = 1 << 20;

TEST_P(Attack, ForkBomb) {
  Policy small = policy();
  small.limits.max_processes = 64;
  begin({.policy = small});
  expect_closed({"fork-bomb", "200"}, "EAGAIN", agent());
  EXPECT_EQ(session->run({"/bin/true"}).exit_status, 0);
}

TEST_P(Attack, ForkBombThatGoesOnEndsWithTheSession) {
  Policy small = policy();
  small.limits.max_processes = 64;
  begin({.policy = small});
  TestSession neighbour({.policy = policy()});
  ASSERT_EQ(neighbour.start(), "");
  Fd io;
  session->launch({"/bin/bash", "-c", "f() { f | f & }; f 2>/dev/null; echo begun; sleep 1000"}, &io);
  ASSERT_EQ(first_byte(io), "b");
  EXPECT_EQ(neighbour.run({"/bin/true"}).exit_status, 0);
  session->control() = ipc::Channel();
  EXPECT_TRUE(session->wait_gone(20'000));
}

TEST_P(Attack, FillingMemoryThroughTmp) {
  Policy small = policy();
  small.limits.tmp_bytes = 8 * kMiB;
  small.limits.tmp_inodes = 300;
  small.limits.file_bytes = 32 * kMiB;
  begin({.policy = small});
  const auto fill = [&](const char* path, long bytes) {
    return inside({"fill", path, std::to_string(bytes)});
  };
  EXPECT_EQ(fill("/tmp/big", 4 * kMiB), "open\n");
  EXPECT_EQ(fill("/tmp/big", 16 * kMiB), "closed: ENOSPC\n");
  EXPECT_EQ(fill("/dev/shm/big", 16 * kMiB), "closed: ENOSPC\n");
  EXPECT_EQ(fill("/var/tmp/big", 16 * kMiB), "closed: ENOSPC\n");
  EXPECT_EQ(fill("/workspace/big", 16 * kMiB), "open\n");
  EXPECT_EQ(inside_ran({"fill", "/workspace/big", std::to_string(64 * kMiB)}).signal, SIGXFSZ);
  EXPECT_EQ(inside({"files", "/workspace", "2000"}), "open\n");
  EXPECT_EQ(inside({"files", "/tmp", "2000"}), "closed: ENOSPC\n");
  EXPECT_EQ(inside({"files", "/dev/shm", "2000"}), "closed: ENOSPC\n");
  EXPECT_EQ(in_plain_bubblewrap(kRoot, {"fill", "/dev/shm/big", std::to_string(16 * kMiB)}), "open\n");
}

TEST_P(Attack, FillingMemoryThroughTheSandboxsOwnFileSystem) {
  // The root, /run, /var and /opt are made of memory too: read-only, so that nothing fits in.
  for (const char* path : {"/big", "/run/big", "/var/big", "/opt/big", "/dev/big", "/etc/big"}) {
    EXPECT_TRUE(is_closed(inside({"fill", path, std::to_string(kMiB)}))) << path;
  }
}

TEST_P(Attack, HugeAndSparseFiles) {
  const std::string tera = std::to_string(1L << 40);
  expect_closed({"sparse", session->dir() + "/sparse", tera}, "ENOENT", kRoot);
  EXPECT_EQ(inside({"sparse", "/workspace/sparse", tera}), "closed: EFBIG\n");
  EXPECT_EQ(inside({"allocate", "/workspace/sparse", tera}), "closed: EFBIG\n");
  EXPECT_EQ(inside({"sparse", "/tmp/sparse", tera}), "closed: EFBIG\n");
}

TEST_P(Attack, UsingUpDescriptors) {
  Policy small = policy();
  small.limits.open_files = 100;
  begin({.policy = small});
  EXPECT_EQ(outside(kRoot, {"many-descriptors", "200"}), "open\n");
  EXPECT_EQ(inside({"many-descriptors", "200"}), "closed: EMFILE\n");
  EXPECT_EQ(session->run({"/bin/true"}).exit_status, 0);
}

TEST_P(Attack, RaisingALimit) {
  for (const int resource : {RLIMIT_NPROC, RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CORE}) {
    EXPECT_EQ(inside({"raise-limit", std::to_string(resource)}), "closed: EPERM\n") << resource;
  }
}

TEST_P(Attack, FillingPipeBuffers) {
  // Without privilege the kernel bounds a user's pipes (64 MiB by default); root outside has none.
  const std::string much = std::to_string(512L * kMiB);
  EXPECT_TRUE(is_closed(inside({"fill-pipes", much})));
  EXPECT_EQ(session->run({"/bin/bash", "-c", "echo works | cat"}).output, "works\n");
}

TEST_P(Attack, UsingUpWatchersHarmsNobodyElse) {
  {
    const Held control(agent(), {"exhaust-watchers"});
    EXPECT_EQ(outside(agent(), {"watchers", "1"}), "closed: EMFILE\n");  // it is all that uid has
  }
  TestSession other({.policy = policy()});
  ASSERT_EQ(other.start(), "");
  {
    const Held taking(*session, {"exhaust-watchers"});
    EXPECT_EQ(outside(agent(), {"watchers", "1"}), "open\n");
    EXPECT_EQ(other.run(probe_words({"watchers", "1"})).output, "open\n");
    EXPECT_EQ(outside(kRoot, {"watchers", "1"}), "open\n");
  }
  EXPECT_TRUE(is_closed(inside({"watchers", "100000"})));
}

// The kernel has kernel.pty.max for the whole host, some thousands.
TEST_P(Attack, UsingUpTheHostsTerminals) {
  EXPECT_EQ(outside(agent(), {"terminals", "100"}), "open\n");
  EXPECT_EQ(inside({"terminals", "100"}), "closed: ENOSPC\n");
  EXPECT_EQ(inside({"terminals", "40"}), "open\n");
}

TEST_P(Attack, UsingUpUserNamespaces) {
  expect_closed({"many-namespaces", "20"}, "EPERM", agent());
}

// What a program says and nobody reads stays with the program.
TEST_P(Attack, FloodingAReaderThatDoesNotRead) {
  Fd io;
  session->launch(probe_words({"flood"}), &io);
  std::string said;
  for (int i = 0; i < 500 && said.empty(); ++i) {
    ::usleep(20'000);
    std::ifstream(session->workspace() + "/flooded") >> said;
  }
  ASSERT_FALSE(said.empty());
  EXPECT_LT(std::stol(said), 4 * kMiB);
  std::ifstream status("/proc/" + std::to_string(session->launcher()) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("VmRSS:")) continue;
    EXPECT_LT(std::stol(line.substr(6)), 64 * 1024) << line;
  }
  EXPECT_EQ(session->run({"/bin/true"}).exit_status, 0);
}

}  // namespace
}  // namespace oqto::sandbox
