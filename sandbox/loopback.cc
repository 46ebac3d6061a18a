#include "sandbox/loopback.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

namespace oqto::sandbox {
namespace {

constexpr int kBacklog = 64;

Result<Fd> make_socket(int family, int type, int protocol = 0) {
  Fd fd = Fd::adopt(::socket(family, type | SOCK_CLOEXEC, protocol));
  if (!fd) return fail_errno("socket");
  return fd;
}

Status ask_kernel(const void* request, std::size_t size) {
  const Fd fd = TRY(make_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  if (::send(fd.get(), request, size, 0) < 0) return fail_errno("send to the kernel's routing");
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[512];
  } reply{};
  if (::recv(fd.get(), &reply, sizeof reply, 0) < 0)
    return fail_errno("recv from the kernel's routing");
  if (reply.header.nlmsg_type != NLMSG_ERROR || reply.error.error != 0) {
    errno = -reply.error.error;
    return fail_errno("the kernel's routing refuses an address or a route");
  }
  return {};
}

// `ip route add local 198.18.0.0/15 dev lo src 127.0.0.1`. Without the source address a retried
// connect to a closed port can connect to itself.
Status route_pool() {
  struct Attribute {
    rtattr header;
    std::uint32_t value;
  };
  struct {
    nlmsghdr header;
    rtmsg route;
    Attribute destination, source, device;
  } request{};
  const auto attribute = [](unsigned short type, std::uint32_t value) {
    return Attribute{{sizeof(Attribute), type}, value};
  };
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK;
  request.route.rtm_family = AF_INET;
  request.route.rtm_dst_len = 15;
  request.route.rtm_table = RT_TABLE_LOCAL;
  request.route.rtm_protocol = RTPROT_STATIC;
  request.route.rtm_scope = RT_SCOPE_HOST;
  request.route.rtm_type = RTN_LOCAL;
  request.destination = attribute(RTA_DST, htonl(kPool));
  request.source = attribute(RTA_PREFSRC, htonl(INADDR_LOOPBACK));
  request.device = attribute(RTA_OIF, 1);  // lo is always the first
  return ask_kernel(&request, sizeof request);
}

// Resolvers leave IPv4 out where the only address is a loopback one (AI_ADDRCONFIG).
Status add_resolver_address() {
  struct {
    nlmsghdr header;
    ifaddrmsg message;
    rtattr attribute;
    std::uint32_t address;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWADDR;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK;
  request.message.ifa_family = AF_INET;
  request.message.ifa_prefixlen = 32;
  request.message.ifa_scope = RT_SCOPE_HOST;
  request.message.ifa_index = 1;
  request.attribute = {sizeof(rtattr) + sizeof(std::uint32_t), IFA_LOCAL};
  request.address = htonl(kResolver);
  return ask_kernel(&request, sizeof request);
}

}  // namespace

Status raise_lo() {
  const Fd fd = TRY(make_socket(AF_INET, SOCK_DGRAM));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno("ioctl(SIOCSIFFLAGS)");
  return {};
}

Status add_pool() {
  TRY(route_pool());
  return add_resolver_address();
}

Status raise_loopback() {
  TRY(raise_lo());
  return add_pool();
}

Result<Fd> bound_socket(int type, std::uint32_t address, std::uint16_t port) {
  Fd fd = TRY(make_socket(AF_INET, type | SOCK_NONBLOCK));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(address);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) return fail_errno("bind");
  if (type == SOCK_STREAM && ::listen(fd.get(), kBacklog) != 0) return fail_errno("listen");
  return fd;
}

Result<Fd> unbound_socket() {
  return make_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
}

}  // namespace oqto::sandbox
