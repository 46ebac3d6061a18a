#include "egress/test_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cstring>

#include "base/sys.h"
#include "ipc/channel.h"

namespace oqto::egress::test {
namespace {

Status raise_loopback() {
  const Fd fd = Fd::adopt(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno("SIOCSIFFLAGS");
  return {};
}

// One netlink request and its acknowledgement.
Status talk(const void* request, std::size_t size) {
  const Fd fd = Fd::adopt(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[512];
  } reply{};
  if (::send(fd.get(), request, size, 0) < 0 || ::recv(fd.get(), &reply, sizeof reply, 0) < 0) {
    return fail_errno("netlink");
  }
  if (reply.error.error == 0) return {};
  errno = -reply.error.error;
  return fail_errno("netlink");
}

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
  request.destination = attribute(RTA_DST, htonl(0xc6120000));
  request.source = attribute(RTA_PREFSRC, htonl(INADDR_LOOPBACK));
  request.device = attribute(RTA_OIF, 1);
  return talk(&request, sizeof request);
}

// `ip address add 198.18.0.1/32 dev lo`: with 127.0.0.1 alone, libc takes the host to have no IPv4
// and fails lookups with AI_ADDRCONFIG for that family.
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
  request.address = htonl(kResolverAddress);
  return talk(&request, sizeof request);
}

Status write_file(const char* path, const std::string& text) {
  const Fd file = TRY(sys::open_file(path, O_WRONLY));
  return sys::write_all(file, text);
}

sockaddr_in at(std::uint32_t address, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(address);
  return out;
}

struct Wanted {
  int family = 0, type = 0;  // family -1: run a program, whose arguments come next
};
constexpr std::size_t kMaxArguments = 32 * 1024;

// In this mount namespace, which is not shared with the one it came from.
Status show_resolver(const std::string& content) {
  constexpr const char* kFile = "/mnt/resolv.conf";
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("test", "/mnt", "tmpfs", 0, nullptr) != 0) {
    return fail_errno("mount");
  }
  TRY(sys::write_all(TRY(sys::open_file(kFile, O_WRONLY | O_CREAT, 0644)), content));
  if (::mount(kFile, "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0) {
    return fail_errno("mount(resolv.conf)");
  }
  return {};
}

void run_program(const Fd& requests) {
  std::string text(kMaxArguments, '\0');
  const ssize_t size = ::recv(requests.get(), text.data(), text.size(), 0);
  std::vector<char*> argv;
  for (std::size_t at = 0; at < static_cast<std::size_t>(std::max<ssize_t>(size, 0));) {
    argv.push_back(text.data() + at);
    at += std::strlen(text.data() + at) + 1;
  }
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  int status = -1;
  (void)::waitpid(pid, &status, 0);
  (void)::send(requests.get(), &status, sizeof status, 0);
}

void send_socket(int to, const Fd& socket) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  const int number = socket.get();
  std::memcpy(CMSG_DATA(rights), &number, sizeof number);
  (void)::sendmsg(to, &header, 0);
}

[[noreturn]] void live_inside(unsigned uid, const Fd& requests) {
  if (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0) ::_exit(1);
  (void)::prctl(PR_SET_DUMPABLE, 1);  // its own id map is its own to write
  const std::string map = "1000 " + std::to_string(uid) + " 1\n";
  const bool made = ::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) == 0 &&
                    write_file("/proc/self/setgroups", "deny") &&
                    write_file("/proc/self/uid_map", map) &&
                    write_file("/proc/self/gid_map", map) && furnish_network(true) &&
                    show_resolver("nameserver 198.18.0.1\n");
  if (!made) ::_exit(1);
  Wanted wanted;
  while (::recv(requests.get(), &wanted, sizeof wanted, 0) == sizeof wanted) {
    if (wanted.family < 0) {
      run_program(requests);
      continue;
    }
    const Fd made_now = Fd::adopt(::socket(wanted.family, wanted.type | SOCK_CLOEXEC, 0));
    send_socket(requests.get(), made_now);
  }
  ::_exit(0);
}

}  // namespace

Status furnish_network(bool with_pool) {
  TRY(raise_loopback());
  if (!with_pool) return {};
  TRY(route_pool());
  return add_resolver_address();
}

Status enter_own_world(const std::string& nameserver) {
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) return fail_errno("unshare: this needs root");
  TRY(furnish_network(false));
  return show_resolver("nameserver " + nameserver + "\nsearch search.test\n");
}

Inner::Inner(unsigned uid) : uid_(uid) {
  int ends[2];
  CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  requests_ = Fd::adopt(ends[0]);
  const Fd theirs = Fd::adopt(ends[1]);
  pid_ = ::fork();
  if (pid_ == 0) {
    requests_.reset();
    live_inside(uid, theirs);
  }
}

Inner::~Inner() {
  requests_.reset();
  (void)::kill(pid_, SIGKILL);
  (void)::waitpid(pid_, nullptr, 0);
}

Fd Inner::socket(int type, int family) const {
  const Wanted wanted{family, type};
  if (::send(requests_.get(), &wanted, sizeof wanted, MSG_NOSIGNAL) < 0) return {};
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  if (::recvmsg(requests_.get(), &header, MSG_CMSG_CLOEXEC) <= 0) return {};
  const cmsghdr* rights = CMSG_FIRSTHDR(&header);
  if (rights == nullptr) return {};
  int number = -1;
  std::memcpy(&number, CMSG_DATA(rights), sizeof number);
  return Fd::adopt(number);
}

int Inner::run(const std::vector<std::string>& argv) const {
  std::string text;
  for (const std::string& one : argv) text += one + '\0';
  const Wanted wanted{-1, 0};
  int status = -1;
  if (text.size() > kMaxArguments ||
      ::send(requests_.get(), &wanted, sizeof wanted, MSG_NOSIGNAL) < 0 ||
      ::send(requests_.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0 ||
      ::recv(requests_.get(), &status, sizeof status, 0) != sizeof status) {
    return -1;
  }
  return status;
}

Status bind_at(const Fd& socket, std::uint32_t address, std::uint16_t port) {
  const sockaddr_in to = at(address, port);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    return fail_errno("bind");
  }
  return {};
}

Status connect_to(const Fd& socket, std::uint32_t address, std::uint16_t port) {
  const sockaddr_in to = at(address, port);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    return fail_errno("connect");
  }
  return {};
}

}  // namespace oqto::egress::test
