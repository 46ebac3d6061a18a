#include "sandbox/refused_packets.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "sandbox/loopback.h"

namespace oqto::sandbox {
namespace {

constexpr int kIgnoreOutgoing = 23;  // PACKET_IGNORE_OUTGOING, Linux 4.20: `lo` shows each one twice
constexpr std::uint32_t kKeep = 600;  // bytes: a resolver's answer
constexpr std::uint32_t kRefusal = 0x14;  // RST and ACK, to a SYN: with sequence number 0
constexpr std::uint8_t kTcp = 6, kUdp = 17;

#define LOAD(size, offset) BPF_STMT(BPF_LD | (size) | BPF_ABS, (offset))
#define LOAD_X(size, offset) BPF_STMT(BPF_LD | (size) | BPF_IND, (offset))
#define HEADER_X() BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0)
#define MASK(value) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (value))
#define ANSWER(bytes) BPF_STMT(BPF_RET | BPF_K, (bytes))
// `at` is the step's own number; `yes` and `no` are those of the next ones.
#define IF(at, value, yes, no) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes) - (at)-1, (no) - (at)-1)
#define IF_BITS(at, value, yes, no) \
  BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (value), (yes) - (at)-1, (no) - (at)-1)

constexpr std::uint32_t kProtocol = static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL);
constexpr std::uint8_t kDrop = 50, kShow = 51;
// Offsets are from the IP header, X is its length.
constexpr sock_filter kFilter[] = {
    /* 0 */ LOAD(BPF_W, kProtocol),
    /* 1 */ IF(1, ETH_P_IP, 3, 2),
    /* 2 */ IF(2, ETH_P_IPV6, 26, kDrop),
    // IPv4, and not a later fragment.
    /* 3 */ LOAD(BPF_H, 6),
    /* 4 */ IF_BITS(4, 0x1fff, kDrop, 5),
    /* 5 */ HEADER_X(),
    /* 6 */ LOAD(BPF_B, 9),
    /* 7 */ IF(7, kTcp, 9, 8),
    /* 8 */ IF(8, kUdp, 16, kDrop),
    /* 9 */ LOAD_X(BPF_B, 13),
    /* 10 */ MASK(0x3f),
    /* 11 */ IF(11, kRefusal, 12, kDrop),
    /* 12 */ LOAD_X(BPF_W, 4),
    /* 13 */ IF(13, 0, 14, kDrop),
    /* 14 */ LOAD(BPF_B, 12),  // who refuses
    /* 15 */ IF(15, 127, kDrop, kShow),
    /* 16 */ LOAD(BPF_W, 12),
    /* 17 */ IF(17, kResolver, 18, 20),
    /* 18 */ LOAD_X(BPF_H, 0),
    /* 19 */ IF(19, 53, kShow, 20),
    /* 20 */ LOAD(BPF_B, 16),  // who is wanted
    /* 21 */ IF(21, 127, kDrop, 22),
    /* 22 */ LOAD(BPF_W, 16),
    /* 23 */ IF(23, kResolver, 24, kShow),
    /* 24 */ LOAD_X(BPF_H, 2),
    /* 25 */ IF(25, 53, kDrop, kShow),
    // IPv6. What has other headers in between is shown wherever it goes.
    /* 26 */ LOAD(BPF_B, 6),
    /* 27 */ IF(27, 58, kDrop, 28),
    /* 28 */ IF(28, kTcp, 29, 42),
    /* 29 */ LOAD(BPF_B, 53),
    /* 30 */ MASK(0x3f),
    /* 31 */ IF(31, kRefusal, 32, kDrop),
    /* 32 */ LOAD(BPF_W, 44),
    /* 33 */ IF(33, 0, 34, kDrop),
    /* 34 */ LOAD(BPF_W, 8),  // who refuses: ::1?
    /* 35 */ IF(35, 0, 36, kShow),
    /* 36 */ LOAD(BPF_W, 12),
    /* 37 */ IF(37, 0, 38, kShow),
    /* 38 */ LOAD(BPF_W, 16),
    /* 39 */ IF(39, 0, 40, kShow),
    /* 40 */ LOAD(BPF_W, 20),
    /* 41 */ IF(41, 1, kDrop, kShow),
    /* 42 */ LOAD(BPF_W, 24),  // who is wanted: ::1?
    /* 43 */ IF(43, 0, 44, kShow),
    /* 44 */ LOAD(BPF_W, 28),
    /* 45 */ IF(45, 0, 46, kShow),
    /* 46 */ LOAD(BPF_W, 32),
    /* 47 */ IF(47, 0, 48, kShow),
    /* 48 */ LOAD(BPF_W, 36),
    /* 49 */ IF(49, 1, kDrop, kShow),
    /* 50 */ ANSWER(0),
    /* 51 */ ANSWER(kKeep),
};
static_assert(std::size(kFilter) == kShow + 1);

#undef LOAD
#undef LOAD_X
#undef HEADER_X
#undef MASK
#undef ANSWER
#undef IF
#undef IF_BITS

Status ask_kernel(const void* request, std::size_t size) {
  const Fd fd = Fd::adopt(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd || ::send(fd.get(), request, size, 0) < 0) return fail_errno("send to the kernel's routing");
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[512];
  } reply{};
  if (::recv(fd.get(), &reply, sizeof reply, 0) < 0) return fail_errno("recv from the kernel's routing");
  if (reply.header.nlmsg_type == NLMSG_ERROR && reply.error.error == 0) return {};
  errno = -reply.error.error;
  return fail_errno("the kernel's routing refuses a default route");
}

template <class Address>
Status route_default(std::uint8_t family, const Address& source) {
  struct {
    nlmsghdr header;
    rtmsg route;
    rtattr source_header;
    Address source;
    rtattr device_header;
    std::uint32_t device;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK;
  request.route.rtm_family = family;
  request.route.rtm_table = RT_TABLE_LOCAL;
  request.route.rtm_protocol = RTPROT_STATIC;
  request.route.rtm_scope = RT_SCOPE_HOST;
  request.route.rtm_type = RTN_LOCAL;
  request.source_header = {sizeof(rtattr) + sizeof(Address), RTA_PREFSRC};
  request.source = source;
  request.device_header = {sizeof(rtattr) + sizeof(std::uint32_t), RTA_OIF};
  request.device = 1;
  return ask_kernel(&request, sizeof request);
}

std::uint8_t byte_at(std::string_view packet, std::size_t at) {
  return static_cast<std::uint8_t>(packet[at]);
}
std::uint16_t word_at(std::string_view packet, std::size_t at) {
  return static_cast<std::uint16_t>(byte_at(packet, at) << 8 | byte_at(packet, at + 1));
}

std::string address_text(int family, std::string_view bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  return ::inet_ntop(family, bytes.data(), text, sizeof text) != nullptr ? text : "";
}

struct Ip {
  std::uint8_t protocol = 0;
  std::string_view from, to;  // addresses
  std::string_view rest;
};
std::optional<Ip> parse_ip(std::string_view packet) {
  if (packet.size() < 20) return std::nullopt;
  if (byte_at(packet, 0) >> 4 == 6) {
    if (packet.size() < 40) return std::nullopt;
    return Ip{byte_at(packet, 6), packet.substr(8, 16), packet.substr(24, 16), packet.substr(40)};
  }
  const std::size_t header = std::size_t{4} * (byte_at(packet, 0) & 0xf);
  if (header < 20 || packet.size() < header) return std::nullopt;
  return Ip{byte_at(packet, 9), packet.substr(12, 4), packet.substr(16, 4), packet.substr(header)};
}

bool is_resolver(std::string_view address) {
  const std::uint32_t resolver = htonl(kResolver);
  return address == std::string_view(reinterpret_cast<const char*>(&resolver), sizeof resolver);
}

// A name as DNS writes it, without the dot at its end; `at` ends behind it.
std::optional<std::string> parse_name(std::string_view text, std::size_t& at) {
  std::string name;
  while (at < text.size()) {
    const std::size_t length = byte_at(text, at++);
    if (length == 0) return name;
    if (length > 63 || at + length > text.size() || name.size() + length > 253) return std::nullopt;
    if (!name.empty()) name += '.';
    name += text.substr(at, length);
    at += length;
  }
  return std::nullopt;
}

}  // namespace

Status route_all_to_lo() {
  const in_addr loopback{htonl(INADDR_LOOPBACK)};
  TRY(route_default(AF_INET, loopback));
  const Status six = route_default(AF_INET6, in6addr_loopback);
  // Without IPv6 in the kernel nothing can be sent by it.
  const bool absent = !six && (six.error().sys == EOPNOTSUPP || six.error().sys == EAFNOSUPPORT ||
                               six.error().sys == EACCES || six.error().sys == ENODEV);
  return absent ? Status() : six;
}

Result<Fd> open_refused_packets() {
  Fd fd = Fd::adopt(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket(AF_PACKET)");
  constexpr int kOn = 1;
  const sock_fprog program{.len = std::size(kFilter), .filter = const_cast<sock_filter*>(kFilter)};
  sockaddr_ll all{};
  all.sll_family = AF_PACKET;
  all.sll_protocol = htons(ETH_P_ALL);
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_LOCK_FILTER, &kOn, sizeof kOn) != 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_RXQ_OVFL, &kOn, sizeof kOn) != 0 ||
      ::setsockopt(fd.get(), SOL_PACKET, kIgnoreOutgoing, &kOn, sizeof kOn) != 0 ||
      ::bind(fd.get(), reinterpret_cast<sockaddr*>(&all), sizeof all) != 0) {
    return fail_errno("the socket that shows refused connections");
  }
  return fd;
}

std::optional<RefusedPacket> parse_refused(std::string_view packet) {
  const auto ip = parse_ip(packet);
  if (!ip) return std::nullopt;
  const int family = ip->to.size() == 4 ? AF_INET : AF_INET6;
  RefusedPacket refused;
  const bool tcp = ip->protocol == kTcp;  // the kernel's answer: it comes from what was wanted
  const std::string_view wanted = tcp ? ip->from : ip->to;
  refused.udp = !tcp;
  refused.address = address_text(family, wanted);
  refused.in_pool = wanted.size() == 4 && byte_at(wanted, 0) == 198 && (byte_at(wanted, 1) & 0xfe) == 18;
  if ((tcp || ip->protocol == kUdp) && ip->rest.size() >= 4) {
    refused.port = word_at(ip->rest, tcp ? 0 : 2);
    refused.from = word_at(ip->rest, tcp ? 2 : 0);
  }
  if (refused.udp && refused.from == 53 && is_resolver(ip->from)) return std::nullopt;
  return refused;
}

std::optional<ResolverAnswer> parse_answer(std::string_view packet) {
  const auto ip = parse_ip(packet);
  if (!ip || ip->protocol != kUdp || !is_resolver(ip->from)) return std::nullopt;
  if (ip->rest.size() < 8 + 12 || word_at(ip->rest, 0) != 53) return std::nullopt;
  const std::string_view dns = ip->rest.substr(8);
  // One question and, first of its answers, an address: no more is ever said.
  if (word_at(dns, 4) != 1 || word_at(dns, 6) < 1) return std::nullopt;
  std::size_t at = 12;
  auto name = parse_name(dns, at);
  at += 4;  // type and class
  constexpr std::size_t kRecord = 2 + 2 + 2 + 4 + 2 + 4;  // pointer, type, class, ttl, length, data
  if (!name || at + kRecord > dns.size() || byte_at(dns, at) < 0xc0) return std::nullopt;
  if (word_at(dns, at + 2) != 1 || word_at(dns, at + 10) != 4) return std::nullopt;
  return ResolverAnswer{std::move(*name), address_text(AF_INET, dns.substr(at + 12, 4))};
}

}  // namespace oqto::sandbox
