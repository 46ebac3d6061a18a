// The network of a sandbox: none, the names that the policy lists, or the host's.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <thread>

#include "sandbox_cli/test_tool.h"

namespace oqto::sandbox_cli {
namespace {

// Greets whoever connects to 127.0.0.1, and to an abstract socket.
class Host {
 public:
  Host() {
    tcp_ = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(tcp_.get(), generic, size), 0);
    EXPECT_EQ(::getsockname(tcp_.get(), generic, &size), 0);
    EXPECT_EQ(::listen(tcp_.get(), 16), 0);
    port_ = std::to_string(ntohs(address.sin_port));
    local_ = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un named{};
    named.sun_family = AF_UNIX;
    ::memcpy(named.sun_path + 1, name().data(), name().size());
    EXPECT_EQ(::bind(local_.get(), reinterpret_cast<sockaddr*>(&named),
                     static_cast<socklen_t>(sizeof(sa_family_t) + 1 + name().size())),
              0);
    EXPECT_EQ(::listen(local_.get(), 16), 0);
    for (const Fd* fd : {&tcp_, &local_}) {
      threads_.emplace_back([this, listener = fd->get()] {
        for (;;) {
          const Fd peer = Fd::adopt(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
          if (!peer) return;
          ++accepted_;
          (void)!::write(peer.get(), "hello\n", 6);
        }
      });
    }
  }
  ~Host() {
    for (const Fd* fd : {&tcp_, &local_}) (void)::shutdown(fd->get(), SHUT_RDWR);
    for (std::thread& thread : threads_) thread.join();
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  [[nodiscard]] const std::string& port() const { return port_; }
  [[nodiscard]] std::string name() const { return "oqto-sandbox-net-test-" + port_; }
  [[nodiscard]] int accepted() const { return accepted_; }

  // Shell words that print what the host says.
  [[nodiscard]] std::string connect(const std::string& name) const {
    return "exec 3<>/dev/tcp/" + name + '/' + port_ + " && head -1 <&3";
  }
  [[nodiscard]] std::string connect_abstract() const {
    return "perl -e 'use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, "
           "pack_sockaddr_un(chr(0) . q(" +
           name() + "))) or die; print scalar <$s>'";
  }

 private:
  Fd tcp_, local_;
  std::string port_;
  std::atomic<int> accepted_ = 0;
  std::vector<std::thread> threads_;
};

class Net : public ::testing::Test {
 protected:
  // With addresses that only a test may reach: oqto-egress is found beside oqto-sandbox.
  void let_egress_reach_the_host() const {
    std::filesystem::rename(tool.bin() + "/oqto-egress", tool.bin() + "/real-egress");
    tool.write(tool.bin() + "/oqto-egress",
               "#!/bin/sh\nexec " + tool.bin() +
                   "/real-egress \"$@\" --allow-private 127.0.0.1/32 "
                   "--resolve allowed.test=127.0.0.1 --resolve other.test=127.0.0.1\n",
               0755);
  }
  Finished with(const std::string& policy, const std::string& script) const {
    const std::string path = tool.write(tool.home() + "/policy.toml", policy, 0600);
    return tool.run({"run", "--policy", path, "--", "bash", "-c", script});
  }
  [[nodiscard]] std::string filtered() const {
    return "[network]\nmode = \"filtered\"\nallow_domains = [\"allowed.test:" + host.port() +
           "\"]\n";
  }
  Host host;
  Tool tool;
};

TEST_F(Net, IsolatedReachesNoServiceOfTheHost) {
  // The controls.
  EXPECT_EQ(tool.outside({"/bin/bash", "-c", host.connect("127.0.0.1")}).out, "hello\n");
  EXPECT_EQ(tool.outside({"/bin/bash", "-c", host.connect_abstract()}).out, "hello\n");
  EXPECT_NE(tool.run({"run", "--", "bash", "-c", host.connect("127.0.0.1")}).out, "hello\n");
  EXPECT_NE(tool.run({"run", "--", "bash", "-c", host.connect_abstract()}).out, "hello\n");
  EXPECT_EQ(host.accepted(), 2);
}

TEST_F(Net, FilteredReachesTheNamesOfThePolicyAndNoOthers) {
  let_egress_reach_the_host();
  EXPECT_EQ(with(filtered(), host.connect("allowed.test")).out, "hello\n");
  EXPECT_EQ(host.accepted(), 1);
  EXPECT_NE(with(filtered(), host.connect("other.test")).out, "hello\n");
  EXPECT_NE(with(filtered(), host.connect("127.0.0.1")).out, "hello\n");
  EXPECT_NE(with(filtered(), host.connect_abstract()).out, "hello\n");
  EXPECT_EQ(host.accepted(), 1);
}

TEST_F(Net, FilteredDoesNotReachAPrivateAddressUnderAnAllowedName) {
  std::filesystem::rename(tool.bin() + "/oqto-egress", tool.bin() + "/real-egress");
  tool.write(
      tool.bin() + "/oqto-egress",
      "#!/bin/sh\nexec " + tool.bin() + "/real-egress \"$@\" --resolve allowed.test=127.0.0.1\n",
      0755);
  EXPECT_NE(with(filtered(), host.connect("allowed.test")).out, "hello\n");
  EXPECT_EQ(host.accepted(), 0);
}

TEST_F(Net, FilteredDoesNotStartWithoutItsGateway) {
  std::filesystem::remove(tool.bin() + "/oqto-egress");
  const Finished ran = with(filtered(), "touch started");
  EXPECT_EQ(ran.status, 2);
  EXPECT_NE(ran.err.find("oqto-egress"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(tool.workspace() + "/started"));
}

TEST_F(Net, OpenIsTheHostsAndSaysSo) {
  const Finished ran =
      tool.run({"run", "--net", "open", "--", "bash", "-c", host.connect("127.0.0.1")});
  EXPECT_EQ(ran.out, "hello\n") << ran.err;
  EXPECT_NE(ran.err.find("the network is open"), std::string::npos);
  EXPECT_NE(tool.run({"run", "--net", "open", "--", "bash", "-c", host.connect_abstract()}).out,
            "hello\n");
}

TEST_F(Net, TheCommandLineTakesThePlaceOfThePolicysMode) {
  EXPECT_NE(tool.run({"run", "--net", "isolated", "--policy",
                      tool.write(tool.home() + "/p.toml", "[network]\nmode = \"open\"\n", 0600),
                      "--", "bash", "-c", host.connect("127.0.0.1")})
                .out,
            "hello\n");
  EXPECT_EQ(host.accepted(), 0);
}

TEST_F(Net, UnknownNamesAreAskedForOnTheTerminal) {
  let_egress_reach_the_host();
  const std::string path = tool.write(
      tool.home() + "/policy.toml",
      "[network]\nmode = \"filtered\"\nunknown = \"prompt\"\nallow_domains = [\"listed.test\"]\n",
      0600);
  Running running = tool.start_on_terminal(
      {"run", "--policy", path, "--", "bash", "-c",
       "getent hosts other.test || echo no; getent hosts allowed.test && echo yes"});
  const std::string question = running.read_until("(denied in");
  EXPECT_NE(question.find("reach the host other.test"), std::string::npos) << question;
  EXPECT_NE(question.find(" getent hosts other.test (in "), std::string::npos) << question;
  running.read_until(") ");
  running.type("d\n");
  running.read_until("no");
  running.read_until("reach the host allowed.test");
  running.read_until("(denied in");
  running.read_until(") ");
  running.type("s\n");
  running.read_until("yes");
  EXPECT_EQ(running.finish().status, 0);
}

TEST_F(Net, UnknownNamesAreDeniedWhereNobodyCanBeAsked) {
  const Finished ran = with("[network]\nmode = \"filtered\"\nunknown = \"prompt\"\n",
                            "getent hosts other.test || echo no");
  EXPECT_EQ(ran.out, "no\n");
  EXPECT_NE(ran.err.find("no terminal to ask on"), std::string::npos) << ran.err;
}

}  // namespace
}  // namespace oqto::sandbox_cli
