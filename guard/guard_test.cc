// The guard's steps one by one, with the real kernel. What the whole guard withstands is shown by
// tests/e2e/hostile.test.mjs.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/quota.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/sys.h"
#include "guard/config.h"
#include "guard/layout.h"
#include "guard/netns.h"
#include "guard/operator_files.h"
#include "guard/seal.h"
#include "guard/spawn.h"
#include "sandbox/cgroup.h"
#include "tests/possible.h"

namespace oqto::guard {
namespace {

constexpr uid_t kUid = 1'650'000'000;

class GuardSteps : public ::testing::Test {
 protected:
  void SetUp() override {
    NEEDS(possible::as_root());
    char name[] = "/tmp/oqto-guard-XXXXXX";
    dir = ::mkdtemp(name);
    std::filesystem::permissions(dir, std::filesystem::perms(0755));
  }
  void TearDown() override { std::filesystem::remove_all(dir); }

  Result<Config> config(std::vector<std::string> args) {
    args.insert(args.begin(), {"oqto-guard", "--bin", "/b", "--web", "/w", "--pi", "/p", "--state", dir});
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    return load_config(static_cast<int>(argv.size()), argv.data());
  }
  void write_config(const std::string& text, mode_t mode = 0600) {
    std::filesystem::create_directories(dir + "/config");
    std::ofstream(dir + "/config/oqto.conf") << text;
    ::chmod((dir + "/config/oqto.conf").c_str(), mode);
  }

  // Runs a shell as a spawned child and returns what it printed to descriptor 3.
  std::string spawned_shell(const std::string& script, Spawn wanted) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const Fd out = Fd::adopt(ends[0]);
    Fd in = Fd::adopt(ends[1]);
    wanted.args = {"-c", script};
    wanted.fds.insert(wanted.fds.begin(), &in);
    const auto child = spawn(wanted);
    EXPECT_TRUE(child.has_value()) << child.error().what;
    in.reset();
    const std::string text = *sys::read_all(out, 100'000);
    if (child) (void)::waitpid(child->pid, nullptr, 0);
    return text;
  }

  std::string dir;
  Fd shell = *sys::open_file("/bin/sh", O_PATH);
};

TEST_F(GuardSteps, ConfigTakesFlagsBeforeTheFile) {
  write_config("# comment\nport = 444\nbind = 0.0.0.0\n");
  const auto both = config({"--port", "555"});
  ASSERT_TRUE(both.has_value());
  EXPECT_EQ(both->port, 555);
  EXPECT_EQ(both->bind, "0.0.0.0");
  EXPECT_EQ(both->origin, "https://localhost:555");
  EXPECT_EQ(both->sleep_minutes, 15U);
  EXPECT_EQ(config({"--sleep-minutes", "1440"})->sleep_minutes, 1440U);
}

TEST_F(GuardSteps, ConfigRefusesWhatItDoesNotKnow) {
  for (const char* bad : {"sandbox = off\n", "port = 70000\n", "port = 1\nport = 2\n", "nonsense\n",
                          "tls-key = relative/path\n", "origin = http://plain.example\n", "port = 8443x\n",
                          "sleep-minutes = 0\n", "sleep-minutes = 1441\n", "tenant-bytes = 10G\n", "tenant-bytes = 1000\n",
                          "tenant-files = 10\n"}) {
    write_config(bad);
    EXPECT_FALSE(config({}).has_value()) << bad;
  }
  std::filesystem::remove_all(dir + "/config");
  EXPECT_FALSE(config({"--no-sandbox", "1"}).has_value());
  EXPECT_FALSE(config({"--port"}).has_value());
}

TEST_F(GuardSteps, ConfigLimitsTenantsUnlessItIsToldNotTo) {
  EXPECT_EQ(config({})->tenant_bytes, std::uint64_t{10} << 30);
  EXPECT_EQ(config({})->tenant_files, 1'000'000U);
  EXPECT_EQ(config({})->tenants_image_bytes, 0U);
  write_config("tenant-bytes = 0\ntenant-files = 5000\ntenants-image-bytes = 1000000000\n");
  EXPECT_EQ(config({})->tenant_bytes, 0U);
  EXPECT_EQ(config({})->tenant_files, 5000U);
  EXPECT_EQ(config({})->tenants_image_bytes, 1'000'000'000U);
}

// The filter is inherited by all that the guard starts.
TEST_F(GuardSteps, AttackNothingBelowTheGuardSwitchesQuotaOffOrSetsOtherLimits) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (!seal_guard()) ::_exit(1);
    const auto answer = [](unsigned long command) {
      return ::syscall(SYS_quotactl_fd, -1, command, 0, nullptr) == 0 ? 0 : errno;
    };
    const auto of = [](auto command, auto type) {
      return static_cast<unsigned long>(QCMD(static_cast<unsigned>(command), static_cast<unsigned>(type))) & 0xffff'ffff;
    };
    if (answer(of(Q_GETQUOTA, PRJQUOTA)) != EBADF || answer(of(Q_SETQUOTA, PRJQUOTA)) != EBADF) ::_exit(2);
    for (const auto type : {USRQUOTA, GRPQUOTA, PRJQUOTA}) {
      for (const int command : {Q_QUOTAON, Q_QUOTAOFF, Q_SETINFO, Q_SYNC}) {
        if (answer(of(command, type)) != ENOSYS) ::_exit(3);
      }
    }
    if (answer(of(Q_SETQUOTA, USRQUOTA)) != ENOSYS || answer(of(Q_SETQUOTA, GRPQUOTA)) != ENOSYS) ::_exit(4);
    if (answer(of(Q_QUOTAOFF, PRJQUOTA) | 1UL << 40) != ENOSYS) ::_exit(5);
    ::_exit(::syscall(SYS_quotactl, of(Q_SETQUOTA, PRJQUOTA), "/dev/null", 0, nullptr) != 0 && errno == ENOSYS ? 0 : 6);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST_F(GuardSteps, ConfigHoldsASmallRangeAndRefusesOneThatHoldsNobody) {
  const auto small = config({"--uid-base", "10000", "--uid-count", "4096"});
  ASSERT_TRUE(small.has_value());
  EXPECT_EQ(last_account(*small), 1547U);
  const Uids uids{small->uid_base};
  EXPECT_LT(uids.agent(last_account(*small)), small->uid_base + small->uid_count);
  EXPECT_GE(uids.agent(last_account(*small) + 1), small->uid_base + small->uid_count);
  EXPECT_EQ(last_account(*config({})), kMaxAccount);
  for (const auto& bad : std::vector<std::vector<std::string>>{{"--uid-count", "4095"}, {"--uid-base", "9999"},
           {"--uid-base", "2147483647"}, {"--port", "0"}}) {
    EXPECT_FALSE(config(bad).has_value()) << bad[0];
  }
}

TEST_F(GuardSteps, ConfigRefusesAFileThatOthersCanWrite) {
  write_config("port = 444\n", 0666);
  EXPECT_FALSE(config({}).has_value());
}

TEST_F(GuardSteps, TheOperatorsFilesAreCopiedAsTheyAreAndTheCopiesCannotBeChanged) {
  const std::string path = dir + "/file";
  std::ofstream(path) << std::string(200'000, 'k');
  const auto copy = copy_tls_file(path);
  ASSERT_TRUE(copy.has_value()) << copy.error().what;
  std::ofstream(path) << "another";
  EXPECT_EQ(sys::read_all(*copy, 1 << 20).value_or(""), std::string(200'000, 'k'));
  EXPECT_LT(::pwrite(copy->get(), "x", 1, 0), 0);
  EXPECT_NE(::ftruncate(copy->get(), 0), 0);
  ::chmod(path.c_str(), 0600);
  EXPECT_TRUE(copy_gateway_config(path).has_value());
  const auto absent = copy_gateway_config(dir + "/absent");
  ASSERT_TRUE(absent.has_value());
  EXPECT_EQ(sys::read_all(*absent, 10).value_or("x"), "");
  std::filesystem::create_symlink(path, dir + "/link");
  EXPECT_TRUE(copy_tls_file(dir + "/link").has_value()) << "as certbot and lego lay them out";
}

TEST_F(GuardSteps, AConfigurationThatIsGoneIsNoneOnlyWhereNoneWasInForce) {
  const std::string path = dir + "/gateway.toml";
  EXPECT_TRUE(copy_gateway_config(path));
  const auto gone = copy_gateway_config(path, true);
  ASSERT_FALSE(gone);
  EXPECT_EQ(about_file(path, gone.error()), path + ": is gone; to do without it put an empty file there or restart the host");
  std::ofstream(path).flush();
  ::chmod(path.c_str(), 0600);
  EXPECT_TRUE(copy_gateway_config(path, true)) << "an empty one is there";
}

TEST_F(GuardSteps, AttackOperatorsFilesThatAreNoneAreRefusedAtOnce) {
  const std::string path = dir + "/file";
  ASSERT_EQ(::mkfifo((dir + "/fifo").c_str(), 0600), 0);
  EXPECT_FALSE(copy_tls_file(dir + "/fifo").has_value()) << "and not waited for";
  EXPECT_FALSE(copy_tls_file("/dev/zero").has_value());
  EXPECT_FALSE(copy_tls_file(dir).has_value());
  const auto absent = copy_tls_file(dir + "/absent");
  ASSERT_FALSE(absent.has_value());
  EXPECT_EQ(about_file(dir + "/absent", absent.error()), dir + "/absent: open: No such file or directory");
  std::ofstream(path) << std::string(256 * 1024 + 1, 'k');
  EXPECT_FALSE(copy_tls_file(path).has_value()) << "too long";
  std::ofstream(path) << "x";
  ::chmod(path.c_str(), 0640);
  EXPECT_FALSE(copy_gateway_config(path).has_value()) << "others can read the keys";
  ::chmod(path.c_str(), 0600);
  std::filesystem::create_symlink(path, dir + "/link");
  EXPECT_FALSE(copy_gateway_config(dir + "/link").has_value());
  Config config;
  config.host_policy = path;
  EXPECT_TRUE(open_host_policy(config).has_value());
  ::chmod(path.c_str(), 0622);
  EXPECT_FALSE(open_host_policy(config).has_value()) << "others can write it";
  config.host_policy = dir + "/absent";
  const auto none = open_host_policy(config);
  ASSERT_TRUE(none.has_value());
  EXPECT_FALSE(static_cast<bool>(*none));
}

TEST_F(GuardSteps, AttackPlantedDirectoriesAndLinksAreRefused) {
  const Fd root = *sys::open_dir(dir.c_str());
  ASSERT_TRUE(ensure_dir(root, "mine", 0700, kUid).has_value());
  EXPECT_TRUE(ensure_dir(root, "mine", 0700, kUid).has_value()) << "the same again";
  EXPECT_FALSE(ensure_dir(root, "mine", 0700, kUid + 1).has_value()) << "another owner";
  EXPECT_FALSE(ensure_dir(root, "mine", 0755, kUid).has_value()) << "another mode";
  std::filesystem::create_symlink("/etc", dir + "/link");
  EXPECT_FALSE(ensure_dir(root, "link", 0700, kUid).has_value()) << "a symlink";
  struct stat etc{};
  ASSERT_EQ(::stat("/etc", &etc), 0);
  EXPECT_EQ(etc.st_uid, 0U);
}

TEST_F(GuardSteps, StateBehindAClosedDirectoryIsRefused) {
  std::filesystem::create_directories(dir + "/closed/state");
  std::filesystem::permissions(dir + "/closed", std::filesystem::perms(0700));
  Config closed;
  closed.state = dir + "/closed/state";
  EXPECT_FALSE(ensure_state(closed, Uids{kUid}).has_value());
}

TEST_F(GuardSteps, TenantsShareNoUid) {
  const Uids uids{kUid};
  EXPECT_LT(uids.policy_parser(), uids.runner(0));
  for (std::uint32_t account = 1; account < 100; ++account) {
    EXPECT_NE(uids.runner(account), uids.agent(account));
    EXPECT_LT(uids.agent(account), uids.runner(account + 1));
  }
  EXPECT_LT(uids.agent(kMaxAccount), uids.base + Config{}.uid_count);
}

TEST_F(GuardSteps, SpawnedProgramsInheritNothingButTheirDescriptors) {
  const Fd leaked = Fd::adopt(::open("/etc/shadow", O_RDONLY));  // deliberately without O_CLOEXEC
  ASSERT_TRUE(static_cast<bool>(leaked));
  ::setenv("OQTO_SECRET", "leaked", 1);
  const std::string seen = spawned_shell(
      "{ id -u; id -G; env; for f in /proc/self/fd/*; do readlink $f; done; umask; ulimit -c; "
      "grep -E 'CapEff|CapPrm' /proc/self/status; } >&3",
      {.program = shell, .name = "sh", .uid = kUid, .fds = {nullptr}});
  ::unsetenv("OQTO_SECRET");
  EXPECT_NE(seen.find(std::to_string(kUid) + "\n" + std::to_string(kUid) + "\n"), seen.npos) << seen;
  EXPECT_EQ(seen.find("OQTO_SECRET"), seen.npos) << seen;
  EXPECT_EQ(seen.find("shadow"), seen.npos) << seen;
  EXPECT_NE(seen.find("0077"), seen.npos) << seen;
  EXPECT_NE(seen.find("CapEff:\t0000000000000000"), seen.npos) << seen;
}

TEST_F(GuardSteps, SpawnReportsWhyAProgramDidNotStart) {
  std::ofstream(dir + "/text") << "not a program";
  const Fd text = *sys::open_file((dir + "/text").c_str(), O_PATH);
  const auto child = spawn({.program = text, .name = "x", .uid = kUid});
  ASSERT_FALSE(child.has_value());
  EXPECT_STREQ(child.error().what, "execveat");
  EXPECT_EQ(child.error().sys, EACCES);
}

TEST_F(GuardSteps, AttackManyDescriptorsOfConnectionsDoNotKeepProgramsFromStarting) {
  rlimit files{};  // as the guard does for itself
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  ASSERT_GT(files.rlim_max, 1600U) << "ulimit -Hn is too low for this test";
  std::vector<Fd> connections;
  for (int i = 0; i < 1500; ++i) connections.push_back(*sys::open_file("/dev/null", O_RDONLY));
  EXPECT_EQ(spawned_shell("ulimit -n >&3", {.program = shell, .name = "sh", .uid = kUid}), "1024\n");
}

// Between giving up root and its exec a child can be signalled by whoever has its uid already.
TEST_F(GuardSteps, AttackAChildStoppedBeforeItsExecDoesNotStopTheGuard) {
  const uid_t shared = kUid + static_cast<uid_t>(::getpid());  // not that of tests that run beside us
  const pid_t attacker = ::fork();
  if (attacker == 0) {
    if (::setresuid(shared, shared, shared) != 0) ::_exit(1);
    for (;;) (void)::kill(-1, SIGSTOP);
  }
  const pid_t guard = ::fork();
  if (guard == 0) {
    (void)::alarm(60);  // fatal
    bool failed = false;
    const std::uint64_t end = sys::monotonic_ms() + 40'000;  // long enough for any attacker to hit
    while (!failed && sys::monotonic_ms() < end) {
      const auto child = spawn({.program = shell, .name = "sh", .args = {"-c", "true"}, .uid = shared});
      failed = !child;
      if (child) (void)sys::pidfd_kill(child->pidfd, SIGKILL);
      if (child) (void)::waitpid(child->pid, nullptr, 0);
    }
    ::_exit(failed ? 0 : 2);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(guard, &status, 0), guard);
  EXPECT_EQ(status, 0) << "14: it waited until its alarm; 512: the attacker never came in time";
  (void)::kill(attacker, SIGKILL);
  (void)::waitpid(attacker, nullptr, 0);
}

TEST_F(GuardSteps, TenantFilesAreOpenedWithTheTenantsRights) {
  const Fd root = *sys::open_dir(dir.c_str());
  std::ofstream(dir + "/secret") << "only root";
  ::chmod((dir + "/secret").c_str(), 0600);
  EXPECT_FALSE(spawn({.program = shell, .name = "sh", .args = {"-c", "true"}, .uid = kUid,
                      .open_beneath = &root, .open_path = "secret"}).has_value());
  std::filesystem::create_symlink("/etc/passwd", dir + "/link");
  EXPECT_FALSE(spawn({.program = shell, .name = "sh", .args = {"-c", "true"}, .uid = kUid,
                      .open_beneath = &root, .open_path = "link"}).has_value());
  ASSERT_EQ(::mkfifo((dir + "/fifo").c_str(), 0644), 0);
  EXPECT_FALSE(spawn({.program = shell, .name = "sh", .args = {"-c", "true"}, .uid = kUid,
                      .open_beneath = &root, .open_path = "fifo"}).has_value());
  EXPECT_EQ(spawned_shell("cat <&4 >&3; echo end >&3", {.program = shell, .name = "sh", .uid = kUid,
                                                         .open_beneath = &root, .open_path = "absent"}),
            "end\n");
}

TEST_F(GuardSteps, ASessionsNetworkHasOnlyLoopbackAndTheTwoSockets) {
  const Fd home = *open_own_netns();
  auto network = make_session_network(home, false);
  ASSERT_TRUE(network.has_value()) << network.error().what;
  const std::string seen = spawned_shell(
      "exec >&3 2>&3; tail -n +3 /proc/net/dev | cut -d: -f1; tail -n +2 /proc/net/tcp | cut -c7-20; "
      "tail -n +2 /proc/net/udp | cut -c8-21",
      {.program = shell, .name = "sh", .uid = kUid, .fds = {nullptr}, .netns = &network->netns});
  EXPECT_EQ(seen, "    lo\n020012C6:0050 \n010012C6:0035 \n") << seen;
}

TEST_F(GuardSteps, AfterMakingASessionsNetworkTheGuardIsBackInItsOwn) {
  struct stat before{}, after{};
  ASSERT_EQ(::stat("/proc/self/ns/net", &before), 0);
  const Fd home = *open_own_netns();
  ASSERT_TRUE(make_session_network(home, true).has_value());
  ASSERT_EQ(::stat("/proc/self/ns/net", &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(GuardSteps, AFilteredSessionsNetworkHasListenersForNamesAndOnlyThere) {
  const Fd home = *open_own_netns();
  auto network = make_session_network(home, true);
  ASSERT_TRUE(network.has_value()) << network.error().what;
  const auto listener = listen_in_network(home, network->netns, {0xc6120100, 443});
  ASSERT_TRUE(listener.has_value()) << listener.error().what;
  const auto twice = listen_in_network(home, network->netns, {0xc6120100, 443});
  ASSERT_FALSE(twice.has_value());
  EXPECT_EQ(twice.error().sys, EADDRINUSE);
  const std::string seen = spawned_shell(
      "exec >&3 2>&3; tail -n +2 /proc/net/tcp | cut -c7-20 | sort",
      {.program = shell, .name = "sh", .uid = kUid, .fds = {nullptr}, .netns = &network->netns});
  EXPECT_EQ(seen, "000112C6:01BB \n010012C6:0035 \n020012C6:0050 \n") << seen;
  // The guard is back in its own namespace, where no such address is.
  struct stat own{}, now{};
  ASSERT_EQ(::fstat(home.get(), &own), 0);
  ASSERT_EQ(::stat("/proc/self/ns/net", &now), 0);
  EXPECT_EQ(own.st_ino, now.st_ino);
}

TEST_F(GuardSteps, AddressesOfNamesLeaveOutTheResolverTheModelsAndEverybodyElse) {
  EXPECT_TRUE(is_name_address(0xc6120100));   // 198.18.1.0
  EXPECT_TRUE(is_name_address(0xc613fffe));   // 198.19.255.254
  EXPECT_FALSE(is_name_address(0xc6120001));  // 198.18.0.1
  EXPECT_FALSE(is_name_address(0xc61200ff));
  EXPECT_FALSE(is_name_address(0xc613ffff));
  EXPECT_FALSE(is_name_address(0x7f000001));
  EXPECT_FALSE(is_name_address(0));
}

TEST_F(GuardSteps, SpawnedProgramsAndTheirChildrenAreBornInTheirCgroup) {
  auto tree = sandbox::CgroupTree::create("oqto-guard-test-" + std::to_string(::getpid()));
  NEEDS(tree.has_value() ? "" : "no cgroup v2 tree that can be written: " + sandbox::cgroup_advice(tree));
  const auto leaf = tree->make("some-session", policies::profile_data(1).limits, 0);
  ASSERT_TRUE(leaf.has_value()) << leaf.error().what;
  const std::string seen = spawned_shell(
      "{ grep ^0: /proc/self/cgroup; sh -c 'grep ^0: /proc/self/cgroup'; } >&3",
      {.program = shell, .name = "sh", .uid = kUid, .fds = {nullptr}, .cgroup = &leaf->directory()});
  const std::size_t first = seen.find("/sessions/some-session\n");
  ASSERT_NE(first, seen.npos) << seen;
  EXPECT_NE(seen.find("/sessions/some-session\n", first + 1), seen.npos) << seen;
  tree->remove_tree();
}

}  // namespace
}  // namespace oqto::guard
