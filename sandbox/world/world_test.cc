// What a World shows of a host, and what not: real sandboxes of an ordinary user.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "sandbox/world/test_world.h"

namespace oqto::sandbox {
namespace {

using Items = std::vector<std::string>;

Items lines(const std::string& text) {
  Items all;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    all.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return all;
}

TEST(World, ShowsTheWorkspaceAtItsOwnPlaceAndNothingElseOfTheHome) {
  TestWorld at;
  at.write(at.home() + "/.ssh/id", "key");
  at.write(at.home() + "/other/file", "other");
  at.write(at.workspace() + "/file", "mine");
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("pwd; cat file; whoami; echo $HOME"),
            at.workspace() + "\nmineuser\n" + at.home());
  EXPECT_EQ(at.say("ls -A ~"), "project");
  EXPECT_EQ(at.say("ls -A /etc | sort | tr '\\n' ' '").find("shadow"), std::string::npos);
  EXPECT_EQ(at.say("echo kept > ~/note; echo new > made; ls /sys /root 2>/dev/null"), "2: ");
  at.stop();
  EXPECT_FALSE(at.exists(at.home() + "/note"));
  EXPECT_TRUE(at.exists(at.dir() + "/private/note"));
  EXPECT_TRUE(at.exists(at.workspace() + "/made"));
}

TEST(World, HasItsOwnNamespacesOfEveryKind) {
  TestWorld at;
  ASSERT_EQ(at.start(), "");
  for (const char* kind : {"user", "pid", "net", "ipc", "uts", "cgroup", "mnt", "time"}) {
    const std::string link = std::string("/proc/self/ns/") + kind;
    char ours[64];
    const ssize_t n = ::readlink(link.c_str(), ours, sizeof ours);
    ASSERT_GT(n, 0);
    const std::string theirs = at.say("readlink " + link);
    EXPECT_TRUE(theirs.starts_with(kind)) << theirs;
    EXPECT_NE(theirs, std::string(ours, static_cast<std::size_t>(n)));
  }
  EXPECT_EQ(at.say("cat /proc/sys/kernel/hostname"), "oqto");
}

TEST(World, NothingInsideHasOrGetsACapabilityOrANamespace) {
  TestWorld at;
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("grep -h -e ^Cap -e ^NoNew /proc/self/status /proc/1/status | sort -u | tr -s "
                   "'\\t\\n' ' '"),
            "CapAmb: 0000000000000000 CapBnd: 0000000000000000 CapEff: 0000000000000000 "
            "CapInh: 0000000000000000 CapPrm: 0000000000000000 NoNewPrivs: 1 ");
  EXPECT_NE(at.run("unshare -U true").exit_status, 0);
  EXPECT_EQ(at.say("cat /proc/self/uid_map | tr -s ' '"),
            " 1000 " + std::to_string(at.uid()) + " 1");
}

TEST(World, EveryMountIsNosuidAndNoneIsSharedWithTheHost) {
  TestWorld at;
  ASSERT_EQ(at.start(), "");
  for (const std::string& line : lines(at.say("cat /proc/self/mountinfo"))) {
    EXPECT_NE(line.find("nosuid"), std::string::npos) << line;
    EXPECT_EQ(line.find("shared:"), std::string::npos) << line;
    EXPECT_EQ(line.find("master:"), std::string::npos) << line;
  }
  at.write(at.workspace() + "/later/x");
  EXPECT_EQ(at.say("cat later/x && echo seen"), "seen");  // files appear, mounts do not
  EXPECT_EQ(at.say("touch /x /usr/x /etc/x /run/x /var/x /dev/x 2>/dev/null || echo no"), "no");
}

TEST(World, DescriptorsThatWereOpenBeforeDoNotReachTheInside) {
  TestWorld at;
  for (int number = 40; number <= 1000; ++number) at.leak.push_back(number);
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ");  // 3 is the listing itself
  // The stage, which stays outside, is asked as well: it holds what init would get next time.
  const Ran held = run_outside(
      0, {"/bin/sh", "-c",
          "for p in $(pgrep -x oqto-stage -U " + std::to_string(at.uid()) +
              "); do ls -l /proc/$p/fd; done | grep -c shadow; pgrep -x oqto-stage -U " +
              std::to_string(at.uid()) + " | wc -l"});
  EXPECT_EQ(held.output, "0\n1\n");
}

TEST(World, GrantsShowPathsOfTheHostAtTheSamePlace) {
  TestWorld at;
  at.write(at.home() + "/.cargo/bin/tool", "x");
  at.write(at.dir() + "/data/in/file", "data");
  at.make_directory(at.dir() + "/data/out");
  at.world.policy.allow_read.values = {at.dir() + "/data", "~/.cargo"};
  at.world.policy.allow_write.values = {at.dir() + "/data/out"};
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("cat " + at.dir() + "/data/in/file ~/.cargo/bin/tool"), "datax");
  EXPECT_NE(at.run("touch " + at.dir() + "/data/x").exit_status, 0);
  EXPECT_NE(at.run("touch ~/.cargo/x").exit_status, 0);
  EXPECT_EQ(at.say("echo done > " + at.dir() + "/data/out/x"), "");
  EXPECT_TRUE(at.exists(at.dir() + "/data/out/x"));
}

TEST(World, GrantsOfWhatIsAbsentOrReachedByLinksAreRefusedWithTheFix) {
  TestWorld at;
  ASSERT_EQ(::symlink("/etc", (at.home() + "/link").c_str()), 0);
  const auto refused = [&](Items read, const std::string& says) {
    at.world.policy.allow_read.values = std::move(read);
    const std::string why = at.start();
    EXPECT_NE(why.find(says), std::string::npos) << why;
  };
  refused({at.dir() + "/none"}, "allow_read: `" + at.dir() + "/none`");
  refused({at.dir() + "/none"}, "does not exist");
  refused({"~/link"}, "reached through a symbolic link: write `/etc` instead");
  refused({"/"}, "cannot be shown as a whole");
  refused({"/proc/1"}, "kernel's files");
  refused({"/run"}, "cannot be shown as a whole");
}

TEST(World, AWorkspaceThatHoldsTheHomeIsRefused) {
  for (const char* above : {"", "/home"}) {
    TestWorld at;
    const std::string path = *above == '\0' ? at.home() : at.dir() + above;
    at.world.workspace = {path, {}, path};
    EXPECT_NE(at.start().find("choose a project directory"), std::string::npos);
  }
  TestWorld root;
  root.world.workspace = {"/usr", {}, "/usr"};
  EXPECT_NE(root.start().find("choose a project directory"), std::string::npos);
}

TEST(World, AHomeOfMemoryEndsWithTheSandbox) {
  TestWorld at;
  at.world.home.outside.clear();
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("echo x > ~/file; cat ~/file; pwd"), "x\n" + at.workspace());
  at.stop();
  EXPECT_FALSE(at.exists(at.home() + "/file"));
}

TEST(World, TmpIsLimitedInBytesAndInFiles) {
  TestWorld at;
  at.world.policy.limits.tmp_bytes = 8 << 20;
  at.world.policy.limits.tmp_inodes = 500;
  ASSERT_EQ(at.start(), "");
  EXPECT_NE(at.run("head -c 20000000 /dev/zero > /tmp/big").exit_status, 0);
  EXPECT_EQ(
      at.say("rm /tmp/big; for i in $(seq 3000); do echo > /tmp/$i || break; done 2>/dev/null;"
             "test $(ls /tmp | wc -l) -lt 2000 && echo bounded"),
      "bounded");
  EXPECT_NE(at.run("echo x > /dev/shm/x").exit_status, 0);  // the same limit
}

TEST(World, LimitsCountPerSandboxAndNotPerUser) {
  TestWorld at, other;
  at.world.policy.limits.max_processes = 40;
  at.world.policy.limits.open_files = 64;
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("ulimit -u -n -c | tr -s ' ' | cut -d')' -f2 | tr -s '\\n ' ' '"), " 40 64 0 ");
  EXPECT_NE(at.run("for i in $(seq 100); do sleep 5 & done 2>&1").output.find("Resource"),
            std::string::npos);
}

TEST(World, WithoutNetworkThereIsLoopbackAlone) {
  TestWorld at;
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("cut -d: -f1 -s /proc/net/dev | tr -d ' '"), "lo");
  EXPECT_EQ(at.say("(echo > /dev/tcp/127.0.0.1/1) 2>&1 | grep -q refused && echo 1"), "1");
  EXPECT_EQ(at.say("(echo > /dev/tcp/8.8.8.8/53) 2>&1 | grep -q unreachable && echo 1"), "1");
}

TEST(World, FilteredHandsSocketsOfItsNetworkOut) {
  TestWorld at;
  at.world.network = World::Network::filtered;
  at.world.pool = 3;
  ASSERT_EQ(at.start(), "");
  ASSERT_EQ(at.network().size(), 5U);
  // The resolver is ours: what is asked inside arrives here.
  EXPECT_EQ(at.say("echo question > /dev/udp/198.18.0.1/53; head -1 /etc/resolv.conf"),
            "nameserver 198.18.0.1");
  char text[64];
  EXPECT_EQ(::read(at.network()[0].get(), text, sizeof text), 9);
  EXPECT_EQ(at.say("exec 3<>/dev/tcp/198.18.0.1/53 && echo connected"), "connected");
  EXPECT_EQ(at.say("(exec 3<>/dev/tcp/198.18.1.1/443) 2>&1 | grep -q refused && echo 1"), "1");
}

TEST(World, OpenSharesTheHostsNetworkButNotItsAbstractSockets) {
  TestWorld at;
  at.world.network = World::Network::open;
  const Fd abstract = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string text = "oqto-open-" + std::to_string(::getpid());
  std::memcpy(name.sun_path + 1, text.data(), text.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  ASSERT_EQ(::bind(abstract.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
  ASSERT_EQ(::listen(abstract.get(), 1), 0);
  const Fd tcp = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof where;
  ASSERT_EQ(::bind(tcp.get(), reinterpret_cast<sockaddr*>(&where), length), 0);
  ASSERT_EQ(::listen(tcp.get(), 1), 0);
  ASSERT_EQ(::getsockname(tcp.get(), reinterpret_cast<sockaddr*>(&where), &length), 0);
  ASSERT_EQ(at.start(), "");
  const std::string connect =
      "python3 -c \"import socket; s=socket.socket(socket.AF_UNIX); s.connect('\\0" + text + "')\"";
  EXPECT_EQ(at.outside(connect).exit_status, 0);  // the control
  EXPECT_NE(at.run(connect + " 2>&1").output.find("Operation not permitted"), std::string::npos);
  EXPECT_EQ(at.say("exec 3<>/dev/tcp/127.0.0.1/" + std::to_string(ntohs(where.sin_port)) +
                   " && echo connected"),
            "connected");
}

TEST(World, CertificateAuthoritiesAreThereForOpenSsl) {
  TestWorld at;
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("python3 -c \"import ssl; c=ssl.create_default_context(); "
                   "print(ssl.get_default_verify_paths().capath is not None)\"; "
                   "test -s /etc/ssl/certs/ca-certificates.crt && echo bundle; ls /etc/ssl"),
            "True\nbundle\ncerts");
}

TEST(World, StrictCannotRunOrMapWhatItWrote) {
  TestWorld at;
  at.world.policy = profile_policy(ipc::Profile::strict);
  at.world.policy.cgroups = policies::Cgroups::optional;
  ASSERT_EQ(at.start(), "");
  for (const char* where : {".", "/tmp", "/dev/shm", "$HOME"}) {
    const std::string copy = std::string(where) + "/copy";
    EXPECT_NE(at.run("cp /usr/bin/true " + copy + " && " + copy).exit_status, 0) << where;
    EXPECT_NE(at.run("/lib64/ld-linux-x86-64.so.2 " + copy).exit_status, 0) << where;
  }
}

TEST(World, ThingsThatWouldHideTheSandboxItselfAreRefused) {
  for (const char* path : {".", "~", "/usr", "/tmp", "/"}) {
    TestWorld at;
    at.world.policy.deny_read.values = {path};
    EXPECT_NE(at.start().find("which every sandbox needs"), std::string::npos) << path;
  }
}

TEST(World, RootIsRefused) {
  World world = TestWorld().world;
  const auto started = start_sandbox(world, {});
  ASSERT_FALSE(started.has_value());
  EXPECT_NE(started.error().why.find("never root's"), std::string::npos);
}

TEST(World, DescribesWhatWouldBeShown) {
  TestWorld at;
  at.world.policy.deny_read.values = {"./secret"};
  at.write(at.workspace() + "/secret", "x");
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::setresuid(at.uid(), at.uid(), at.uid()) != 0) ::_exit(9);
    const auto all = describe(at.world);
    if (!all) ::_exit(2);
    bool workspace = false, secret = false;
    for (const Shown& each : *all) {
      workspace =
          workspace || (each.inside == at.workspace() && each.how == Shown::How::read_write);
      secret = secret || (each.inside == at.workspace() + "/secret" &&
                          each.how == Shown::How::empty && each.why == "deny_read: `./secret`");
    }
    ::_exit(workspace && secret ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace oqto::sandbox
