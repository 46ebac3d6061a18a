// A hostile program in a session (the attacker A of SECURITY.md). Each attack is the same program
// run twice: outside any sandbox, where it works, and inside, where it must not.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/sys.h"
#include "sandbox/test_session.h"

namespace oqto::sandbox {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;
constexpr uid_t kRoot = 0;
constexpr const char* kInside = "/workspace/probe";

std::string probe() {
  return built("tests/probe");
}

Words words(const std::string& program, std::initializer_list<std::string> rest) {
  Words all{program};
  all.insert(all.end(), rest);
  return all;
}

class Attack : public ::testing::Test {
 protected:
  void SetUp() override { begin({}); }
  void begin(TestSession::Options options) {
    session.reset();
    session = std::make_unique<TestSession>(std::move(options));
    fs::copy_file(probe(), session->workspace() + "/probe");
    ASSERT_EQ(session->start(), "");
  }
  std::string inside(std::initializer_list<std::string> attack) {
    return session->run(words(kInside, attack)).output;
  }
  // The agent's own uid cannot read the build directory's or the workspace's parents: a copy can.
  std::string outside(uid_t uid, std::initializer_list<std::string> attack) {
    return run_outside(uid, words(probe(), attack)).output;
  }
  void expect_closed(std::initializer_list<std::string> attack, const std::string& why,
                     uid_t control_uid) {
    EXPECT_EQ(outside(control_uid, attack), "open\n") << "the control of " << *attack.begin();
    EXPECT_EQ(inside(attack), "closed: " + why + "\n") << *attack.begin();
  }
  uid_t agent() const { return session->uid(); }

  std::unique_ptr<TestSession> session;
};

// A process of the agent's uid that lives outside, as an attack's victim.
class Victim {
 public:
  explicit Victim(uid_t uid, const char* name = "victim") {
    int ends[2];
    CHECK(::pipe2(ends, 0) == 0);
    const std::string program = probe();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], 1);
      ::close(ends[0]);
      ::close(ends[1]);
      CHECK(::setresgid(uid, uid, uid) == 0 && ::setresuid(uid, uid, uid) == 0);
      ::execl(program.c_str(), "probe", "hold", name, nullptr);
      ::_exit(1);
    }
    ::close(ends[1]);
    char said = 0;
    CHECK(::read(ends[0], &said, 1) == 1);
    ::close(ends[0]);
  }
  ~Victim() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] std::string pid() const { return std::to_string(pid_); }

 private:
  pid_t pid_;
};

TEST_F(Attack, OnInitsMemoryDescriptorsAndLimits) {
  const Victim victim(agent());
  const std::map<std::string, std::string> attacks = {
      {"write-memory", "EACCES"}, {"ptrace", "EPERM"},   {"read-memory", "EPERM"},
      {"pidfd-getfd", "EPERM"},   {"proc-fd", "EACCES"}, {"prlimit", "EPERM"},
      {"setpriority", "EPERM"}};
  for (const auto& [attack, why] : attacks) {
    EXPECT_EQ(outside(agent(), {attack, victim.pid()}), "open\n") << attack;
    EXPECT_EQ(inside({attack, "1"}), "closed: " + why + "\n") << attack;
  }
  EXPECT_EQ(session->run({"/bin/true"}).exit_status, 0);
}

TEST_F(Attack, OnProcessesOfTheHost) {
  const Victim victim(agent(), "host-victim");
  expect_closed({"see", "host-victim"}, "ENOENT", agent());
  expect_closed({"signal", victim.pid()}, "ESRCH", agent());
}

TEST_F(Attack, OnAnotherSessionOfTheSameTenant) {
  TestSession other({.share_home_of = session->home(), .uid = agent()});
  fs::copy_file(probe(), other.workspace() + "/probe");
  ASSERT_EQ(other.start(), "");
  Fd io;
  other.launch({kInside, "hold", "other-session"}, &io);
  char said = 0;
  while (::read(io.get(), &said, 1) != 1) ::usleep(1000);
  EXPECT_EQ(other.run({kInside, "see", "other-session"}).output, "open\n");
  EXPECT_EQ(inside({"see", "other-session"}), "closed: ENOENT\n");
}

TEST_F(Attack, OnFilesOfTheHost) {
  expect_closed({"read", "/etc/shadow"}, "ENOENT", kRoot);
  std::ofstream(session->dir() + "/beside") << "secret";
  EXPECT_EQ(outside(kRoot, {"read", session->dir() + "/beside"}), "open\n");
  EXPECT_EQ(inside({"read", session->dir() + "/beside"}), "closed: ENOENT\n");
  EXPECT_EQ(inside({"read", "/proc/1/root/etc/shadow"}), "closed: EACCES\n");
}

TEST_F(Attack, OnReadOnlyFiles) {
  EXPECT_EQ(inside({"write", "/workspace/file"}), "open\n");
  EXPECT_EQ(inside({"write", "/home/agent/file"}), "open\n");
  for (const char* path :
       {"/home/agent/.pi/agent/models.json", "/home/agent/.pi/agent/settings.json",
        "/home/agent/.pi/agent/auth.json", "/etc/passwd", "/etc/resolv.conf", "/usr/bin/true",
        "/opt/oqto/oqto-init", "/opt/pi/x", "/x", "/dev/x", "/run/x",
        "/proc/sys/kernel/core_pattern"}) {
    EXPECT_EQ(inside({"write", path}).substr(0, 7), "closed:") << path;
  }
  EXPECT_EQ(inside({"replace", "/workspace/file"}), "open\n");
  EXPECT_EQ(inside({"replace", "/home/agent/.pi/agent/models.json"}), "closed: EBUSY\n");
}

TEST_F(Attack, TypingIntoATerminal) {
  expect_closed({"tiocsti", "0x5412"}, "EPERM", kRoot);
  expect_closed({"tiocsti", "0x100005412"}, "EPERM", kRoot);  // the kernel sees 32 bits
  expect_closed({"tiocsti", "0xffffffff00005412"}, "EPERM", kRoot);
  EXPECT_EQ(inside({"tiocsti", "0x541c"}), "closed: EPERM\n");  // TIOCLINUX
  EXPECT_NE(outside(kRoot, {"tiocsti", "0x541c"}), "closed: EPERM\n");
}

TEST_F(Attack, ByNewNamespacesAndMounts) {
  expect_closed({"unshare", "0x10000000"}, "EPERM", agent());  // CLONE_NEWUSER
  expect_closed({"clone", "0x10000000"}, "EPERM", agent());
  expect_closed({"clone", "0x50000000"}, "EPERM", agent());  // and NEWNET
  expect_closed({"clone3", "0x10000000"}, "ENOSYS", agent());
  expect_closed({"mount"}, "EPERM", kRoot);
}

TEST_F(Attack, ByKernelInterfacesThatAProgramDoesNotNeed) {
  expect_closed({"io-uring"}, "ENOSYS", kRoot);
  expect_closed({"keyctl"}, "EPERM", agent());
  expect_closed({"bpf"}, "EPERM", kRoot);
  expect_closed({"perf"}, "EPERM", kRoot);
  expect_closed({"userfaultfd"}, "EPERM", agent());
  expect_closed({"seccomp"}, "EPERM", agent());
}

TEST_F(Attack, BySocketsThatANetworkNamespaceDoesNotHold) {
  expect_closed({"socket", "40", "1", "0"}, "EAFNOSUPPORT", agent());  // AF_VSOCK
  expect_closed({"socket", "0x100000028", "1", "0"}, "EAFNOSUPPORT", agent());
  expect_closed({"socket", "17", "3", "0"}, "EAFNOSUPPORT", kRoot);         // AF_PACKET
  EXPECT_EQ(inside({"socket", "38", "5", "0"}), "closed: EAFNOSUPPORT\n");  // AF_ALG
  expect_closed({"socket", "16", "3", "12"}, "EAFNOSUPPORT", agent());      // NETLINK_NETFILTER
  expect_closed({"socket", "2", "3", "1"}, "EPERM", kRoot);                 // raw ICMP
  for (const char* family : {"1", "2", "10"}) {
    EXPECT_EQ(inside({"socket", family, "1", "0"}), "open\n");
  }
  EXPECT_EQ(inside({"socket", "16", "3", "0"}), "open\n");  // NETLINK_ROUTE
}

TEST_F(Attack, ByCallsOfAnotherAbi) {
  EXPECT_EQ(outside(agent(), {"int80"}), "open\n");
  EXPECT_EQ(session->run({kInside, "int80"}).signal, SIGSYS);
  EXPECT_EQ(outside(agent(), {"x32"}), "alive\n");
  EXPECT_EQ(session->run({kInside, "x32"}).signal, SIGSYS);
}

TEST_F(Attack, OnTheNetworkOfTheHost) {
  const Fd listener = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  expect_closed({"connect", "127.0.0.1", std::to_string(ntohs(address.sin_port))}, "ECONNREFUSED",
                agent());
  EXPECT_EQ(inside({"connect", "192.0.2.1", "80"}), "closed: ENETUNREACH\n");
  EXPECT_EQ(inside({"interfaces"}), " lo \n");
}

TEST_F(Attack, ByDescriptorsLeftOpen) {
  begin({.leak = 77});
  EXPECT_NE(run_outside(agent(), {probe(), "descriptors"}, 77).output.find(" 77 "),
            std::string::npos);
  EXPECT_EQ(inside({"descriptors"}), "0 1 2 \n");
}

TEST_F(Attack, ForkBomb) {
  Policy policy = profile_policy(ipc::Profile::development);
  policy.limits.max_processes = 64;
  begin({.policy = policy});
  expect_closed({"fork-bomb", "200"}, "EAGAIN", agent());
  EXPECT_EQ(session->run({"/bin/true"}).exit_status, 0);
}

TEST_F(Attack, FillingMemoryThroughTmp) {
  Policy policy = profile_policy(ipc::Profile::development);
  policy.limits.tmp_bytes = 8 * policies::kMiB;
  policy.limits.tmp_inodes = 300;
  policy.limits.file_bytes = 32 * policies::kMiB;
  begin({.policy = policy});
  EXPECT_EQ(inside({"fill", "/tmp/big", std::to_string(4 << 20)}), "open\n");
  EXPECT_EQ(inside({"fill", "/tmp/big", std::to_string(16 << 20)}), "closed: ENOSPC\n");
  EXPECT_EQ(inside({"fill", "/dev/shm/big", std::to_string(16 << 20)}), "closed: ENOSPC\n");
  EXPECT_EQ(inside({"fill", "/workspace/big", std::to_string(16 << 20)}), "open\n");
  EXPECT_EQ(session->run({kInside, "fill", "/workspace/big", std::to_string(64 << 20)}).signal,
            SIGXFSZ);
  EXPECT_EQ(inside({"files", "/workspace", "400"}), "open\n");
  EXPECT_EQ(inside({"files", "/tmp", "400"}), "closed: ENOSPC\n");
}

TEST_F(Attack, OnTheExecRecordByRacingArguments) {
  constexpr int kRounds = 100;
  ASSERT_EQ(inside({"race", std::to_string(kRounds), "/workspace/truth"}), "open\n");
  std::map<std::string, std::string> truth, recorded;
  std::ifstream file(session->workspace() + "/truth");
  std::string round, value;
  while (file >> round >> value) truth[round] = value;
  ASSERT_EQ(truth.size(), static_cast<std::size_t>(kRounds));
  ASSERT_EQ(session->run({"/bin/true", "the-end"}).exit_status, 0);
  ASSERT_TRUE(session->audit().wait_for("the-end"));
  int corrected = 0;
  for (const auto& record : session->audit().records()) {
    const Words before = values(record, ipc::FieldKey::argv);
    const Words after = values(record, ipc::FieldKey::argv_after);
    const Words& argv = after.empty() ? before : after;
    if (argv.size() == 5 && argv[1] == "note") recorded[argv[3]] = argv[4];
    corrected += !after.empty();
  }
  EXPECT_EQ(recorded, truth);
  RecordProperty("corrected", corrected);
}

TEST_F(Attack, OnTheMonitorByThreadsThatExecuteAtOnce) {
  EXPECT_EQ(inside({"exec-threads", "200"}), "open\n");
  EXPECT_EQ(session->run({"/bin/true"}).exit_status, 0);
}

TEST_F(Attack, ByExecutingWithArgumentsThatCannotBeRead) {
  EXPECT_EQ(inside({"exec-unreadable"}), "closed: EACCES\n");
  EXPECT_EQ(outside(agent(), {"exec-unreadable"}), "closed: EFAULT\n");
}

TEST_F(Attack, OnTheMonitorEndsTheSession) {
  Fd io;
  session->launch({"/bin/bash", "-c", "while :; do /bin/true; done"}, &io);
  ASSERT_TRUE(session->audit().wait_for("/bin/true"));
  ASSERT_EQ(::kill(session->launcher(), SIGKILL), 0);
  EXPECT_TRUE(session->wait_gone());
  for (;;) {  // what was said before, and then the end
    const auto received = session->control().wait(5000);
    if (received) continue;
    EXPECT_EQ(received.error().code, Errc::unavailable);
    break;
  }
}

}  // namespace
}  // namespace oqto::sandbox
