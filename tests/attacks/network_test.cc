// Attacks by sockets.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/sys.h"
#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

TEST_P(Attack, BySocketsThatANetworkNamespaceDoesNotHold) {
  // AF_VSOCK leads to the hypervisor. Its control opens the socket and goes nowhere.
  expect_closed_in_every_spelling({"socket", "40", "1", "0"}, 1, "EAFNOSUPPORT", agent());
  expect_closed_in_every_spelling({"socket", "17", "3", "0"}, 1, "EAFNOSUPPORT", kRoot);  // PACKET
  EXPECT_EQ(inside({"socket", "38", "5", "0"}), "closed: EAFNOSUPPORT\n");                // ALG
  EXPECT_EQ(in_plain_bubblewrap(agent(), {"vsock"}), "open\n");
}

TEST_P(Attack, ByRawSocketsAndNetlinkProtocols) {
  expect_closed_in_every_spelling({"socket", "2", "3", "1"}, 2, "EPERM", kRoot);  // raw ICMP
  expect_closed_in_every_spelling({"socket", "10", "3", "58"}, 2, "EPERM", kRoot);
  expect_closed_in_every_spelling({"socket", "16", "3", "12"}, 3, "EPROTONOSUPPORT", agent());
  EXPECT_EQ(in_plain_bubblewrap(agent(), {"socket", "16", "3", "12"}), "open\n");
  EXPECT_TRUE(is_closed(inside({"socket", "2", "1", "132"})));  // SCTP
  EXPECT_TRUE(is_closed(inside({"socket", "2", "1", "262"})));  // MPTCP
  EXPECT_TRUE(is_closed(inside({"socket", "2", "1", "0x100000084"})));
  for (const char* family : {"16", "10", "2"}) {
    EXPECT_EQ(inside({"call", "socketpair", family, "1", "0", "@"}), "closed: EAFNOSUPPORT\n");
  }
}

TEST_P(Attack, ByAProgramThatTheKernelRunsOnASocket) {
  EXPECT_EQ(outside(agent(), {"filter-socket"}), "open\n");
  EXPECT_EQ(inside({"filter-socket"}), "closed: EPERM\n");
}

TEST_P(Attack, OnlyTheOrdinarySocketsOpen) {
  EXPECT_EQ(inside({"every-socket"}),
            "1/1 1/2 1/3 1/5 2/1 2/2 10/1 10/2 16/2 16/3 \n");
  EXPECT_NE(outside(agent(), {"every-socket"}).find("40/"), std::string::npos);
  EXPECT_NE(outside(agent(), {"every-socket"}).find("netlink/12"), std::string::npos);
}

class Listener {
 public:
  explicit Listener(int type = SOCK_STREAM) : fd_(Fd::adopt(::socket(AF_INET, type | SOCK_CLOEXEC, 0))) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    socklen_t size = sizeof address;
    CHECK(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    if (type == SOCK_STREAM) CHECK(::listen(fd_.get(), 16) == 0);
    CHECK(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = std::to_string(ntohs(address.sin_port));
  }
  [[nodiscard]] const std::string& port() const { return port_; }

 private:
  Fd fd_;
  std::string port_;
};

// Its own address on each interface, as one program of the host offers it to another.
std::vector<std::string> host_addresses() {
  ifaddrs* list = nullptr;
  CHECK(::getifaddrs(&list) == 0);
  std::vector<std::string> found;
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != AF_INET) continue;
    char text[INET_ADDRSTRLEN] = {};
    sockaddr_in address;
    std::memcpy(&address, i->ifa_addr, sizeof address);
    ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
    found.emplace_back(text);
  }
  ::freeifaddrs(list);
  return found;
}

TEST_P(Attack, OnTheNetworkOfTheHost) {
  const Listener tcp;
  for (const std::string& address : host_addresses()) {
    EXPECT_EQ(outside(agent(), {"connect", address, tcp.port()}), "open\n") << address;
    EXPECT_TRUE(is_closed(inside({"connect", address, tcp.port()}))) << address;
  }
  EXPECT_EQ(inside({"connect", "127.0.0.1", tcp.port()}), "closed: ECONNREFUSED\n");
  EXPECT_EQ(inside({"connect", "192.0.2.1", "80"}), "closed: ECONNREFUSED\n");
  EXPECT_EQ(inside({"connect", "169.254.169.254", "80"}), "closed: ECONNREFUSED\n");
  EXPECT_EQ(inside({"connect6", "2001:db8::1", "80"}), "closed: ECONNREFUSED\n");
  EXPECT_EQ(inside({"connect6", "::ffff:192.0.2.1", "80"}), "closed: ECONNREFUSED\n");
  EXPECT_EQ(inside({"send-datagram", "192.0.2.1", "53"}), "closed: ECONNREFUSED\n");
  EXPECT_EQ(inside({"interfaces"}), " lo \n");
}

TEST_P(Attack, OnAbstractSocketsOfTheHost) {
  const std::string name = unique("oqto-host-socket");
  const Held listening(agent(), {"abstract-listen", name});
  expect_closed({"abstract-connect", name}, "ECONNREFUSED", agent());
  expect_closed({"abstract-send", name}, "ECONNREFUSED", agent());
}

TEST_P(Attack, OnSocketsThatLieInTheHostsDirectories) {
  const std::string path = session->dir() + "/service.sock";
  const Fd listener = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
  expect_closed({"path-connect", path}, "ENOENT", agent());
  // None anywhere, of whatever name: no runner's, no container engine's, no bus's.
  EXPECT_EQ(inside({"walk-kind", "sockets"}), "\n");
  EXPECT_EQ(inside({"walk-kind", "pipes"}), "\n");
}

}  // namespace
}  // namespace oqto::sandbox
