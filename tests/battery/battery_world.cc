// Files of the host, and sockets.
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "tests/battery/battery.h"

namespace battery {
namespace {

bool readable(const std::string& path) {
  char byte = 0;
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  if (fd < 0) return false;
  errno = ENODATA;
  return ::read(fd, &byte, 1) == 1;
}
bool writable(const char* path) { return ::open(path, O_WRONLY | O_NONBLOCK) >= 0; }
bool makes(const char* path) {
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd >= 0) ::unlink(path);
  return fd >= 0;
}

bool reads_shadow(const Host&) { return readable("/etc/shadow"); }
bool reads_machine_id(const Host&) { return readable("/etc/machine-id"); }
bool reads_beside(const Host& host) { return readable(host.beside); }
bool lists_root_home(const Host&) { return ::opendir("/root") != nullptr; }
bool lists_var(const Host&) { return ::opendir("/var/lib") != nullptr; }
bool lists_sys(const Host&) { return ::opendir("/sys/kernel") != nullptr; }
bool writes_usr(const Host&) { return makes("/usr/battery"); }
bool writes_etc(const Host&) { return makes("/etc/battery"); }
bool writes_root(const Host&) { return makes("/battery"); }
bool writes_tmp(const Host&) { return makes("/tmp/battery"); }
bool writes_shm(const Host&) { return makes("/dev/shm/battery"); }
bool writes_cwd(const Host&) { return makes("battery"); }
bool plants_dotfile(const Host&) { return makes(".bashrc-battery"); }
bool plants_hook(const Host&) {
  (void)::mkdir(".git", 0700);
  (void)::mkdir(".git/hooks", 0700);
  return makes(".git/hooks/battery");
}
bool plants_policy(const Host&) {
  (void)::mkdir(".oqto", 0700);
  return makes(".oqto/battery");
}
bool sets_core_pattern(const Host&) { return writable("/proc/sys/kernel/core_pattern"); }
bool sets_any_sysctl(const Host&) {
  for (const char* path : {"/proc/sys/vm/drop_caches", "/proc/sys/kernel/hostname",
                           "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ping_group_range",
                           "/proc/sys/fs/mqueue/msg_max", "/proc/sys/kernel/shmmax",
                           "/proc/sys/user/max_user_namespaces"}) {
    if (writable(path)) return true;
  }
  return false;
}
bool triggers_sysrq(const Host&) { return writable("/proc/sysrq-trigger"); }
bool reads_core_memory(const Host&) { return readable("/proc/kcore"); }
bool reads_addresses(const Host&) {
  char line[32] = {};
  const int fd = ::open("/proc/kallsyms", O_RDONLY);
  if (fd < 0 || ::read(fd, line, 16) != 16) return false;
  errno = EPERM;
  return std::strtoul(line, nullptr, 16) != 0;
}
bool reads_keys(const Host&) { return readable("/proc/keys"); }
bool reads_host_details(const Host&) {
  for (const char* path : {"/proc/cmdline", "/proc/interrupts", "/proc/diskstats", "/proc/partitions",
                           "/proc/locks", "/proc/fs/nfsd/exports", "/proc/bus/pci/devices"}) {
    if (readable(path)) return true;
  }
  return false;
}
bool reads_kernel_messages(const Host&) { return readable("/dev/kmsg"); }
bool opens_memory(const Host&) { return readable("/dev/mem"); }
bool opens_fuse(const Host&) { return writable("/dev/fuse"); }
bool opens_tun(const Host&) { return writable("/dev/net/tun"); }
bool opens_kvm(const Host&) { return writable("/dev/kvm"); }
bool writes_cgroup(const Host&) {
  return writable("/sys/fs/cgroup/cgroup.procs") || writable("/sys/fs/cgroup/release_agent");
}
bool makes_device(const Host&) {
  const bool made = ::mknod("battery-null", S_IFCHR | 0600, makedev(1, 3)) == 0;
  ::unlink("battery-null");
  return made;
}
bool sets_setuid(const Host&) {
  const int fd = ::open("battery-setuid", O_WRONLY | O_CREAT, 0700);
  const bool set = fd >= 0 && ::fchmod(fd, 04700) == 0;
  const int error = errno;
  ::unlink("battery-setuid");
  errno = error;
  return set;
}
bool honours_setuid(const Host&) {
  struct statvfs mount {};
  if (::statvfs(".", &mount) != 0) return false;
  errno = EPERM;
  return (mount.f_flag & ST_NOSUID) == 0;
}

// --- sockets -------------------------------------------------------------------------------------

template <int Family, int Type, int Protocol>
bool opens(const Host&) {
  return ::socket(Family, Type, Protocol) >= 0;
}
bool makes_pair(const Host&) {
  int pair[2];
  return ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
}
// One that does not end in the caller's own network: then its own address would be the loopback's.
bool has_route(const char* address, std::uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  ::inet_pton(AF_INET, address, &to.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);  // finds the route and sends nothing
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return false;
  sockaddr_in own{};
  socklen_t size = sizeof own;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0) return false;
  errno = ENETUNREACH;
  return ::ntohl(own.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
}
bool reaches_loopback(const Host& host) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(host.port.c_str())));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  return ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
}
bool routes_out(const Host&) { return has_route("192.0.2.1", 80); }
bool reaches_metadata(const Host&) { return has_route("169.254.169.254", 80); }
bool reaches_abstract(const Host& host) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  host.abstract.copy(to.sun_path + 1, sizeof to.sun_path - 2);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const auto size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + host.abstract.size());
  return ::connect(fd, reinterpret_cast<sockaddr*>(&to), size) == 0;
}
bool binds_low(const Host&) {
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_port = htons(80);
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  return ::bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof here) == 0;
}

bool filters_a_socket(const Host&) {
  sock_filter accept{BPF_RET | BPF_K, 0, 0, 0xffff};
  const sock_fprog program{1, &accept};
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
}
bool leases(const Host&) {
  const int fd = ::open(".battery-lease", O_RDONLY | O_CREAT, 0600);
  const bool taken = fd >= 0 && ::fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
  ::unlink(".battery-lease");
  return taken;
}

constexpr Probe kFiles[] = {
    {"etc-shadow", reads_shadow},
    {"etc-machine-id", reads_machine_id},
    {"file-beside-workspace", reads_beside},
    {"root-home", lists_root_home},
    {"var-lib", lists_var},
    {"sys", lists_sys},
    {"write-usr", writes_usr},
    {"write-etc", writes_etc},
    {"write-root", writes_root},
    {"write-tmp", writes_tmp},
    {"write-shm", writes_shm},
    {"write-workspace", writes_cwd},
    {"plant-dotfile", plants_dotfile},
    {"plant-git-hook", plants_hook},
    {"plant-policy", plants_policy},
    {"core-pattern", sets_core_pattern},
    {"sysctls", sets_any_sysctl},
    {"sysrq", triggers_sysrq},
    {"kcore", reads_core_memory},
    {"kernel-addresses", reads_addresses},
    {"file-lease", leases},
    {"proc-keys", reads_keys},
    {"proc-host-details", reads_host_details},
    {"dev-kmsg", reads_kernel_messages},
    {"dev-mem", opens_memory},
    {"dev-fuse", opens_fuse},
    {"dev-tun", opens_tun},
    {"dev-kvm", opens_kvm},
    {"cgroupfs", writes_cgroup},
    {"mknod-device", makes_device},
    {"setuid-bit", sets_setuid},
    {"setuid-honoured", honours_setuid},
};

constexpr Probe kNetwork[] = {
    {"socket-unix", opens<AF_UNIX, SOCK_STREAM, 0>},
    {"socketpair", makes_pair},
    {"socket-inet", opens<AF_INET, SOCK_STREAM, 0>},
    {"socket-inet6", opens<AF_INET6, SOCK_STREAM, 0>},
    {"socket-mptcp", opens<AF_INET, SOCK_STREAM, 262>},
    {"socket-sctp", opens<AF_INET, SOCK_STREAM, 132>},
    {"socket-ping", opens<AF_INET, SOCK_DGRAM, IPPROTO_ICMP>},
    {"socket-raw", opens<AF_INET, SOCK_RAW, IPPROTO_ICMP>},
    {"socket-packet", opens<AF_PACKET, SOCK_RAW, 0>},
    {"socket-vsock", opens<AF_VSOCK, SOCK_STREAM, 0>},
    {"socket-alg", opens<AF_ALG, SOCK_SEQPACKET, 0>},
    {"socket-tipc", opens<AF_TIPC, SOCK_SEQPACKET, 0>},
    {"socket-can", opens<AF_CAN, SOCK_RAW, 1>},
    {"socket-xdp", opens<AF_XDP, SOCK_RAW, 0>},
    {"socket-filter", filters_a_socket},
    {"netlink-route", opens<AF_NETLINK, SOCK_RAW, 0>},
    {"netlink-netfilter", opens<AF_NETLINK, SOCK_RAW, 12>},
    {"netlink-audit", opens<AF_NETLINK, SOCK_RAW, 9>},
    {"netlink-uevent", opens<AF_NETLINK, SOCK_RAW, 15>},
    {"netlink-xfrm", opens<AF_NETLINK, SOCK_RAW, 6>},
    {"netlink-generic", opens<AF_NETLINK, SOCK_RAW, 16>},
    {"host-loopback", reaches_loopback},
    {"host-abstract-socket", reaches_abstract},
    {"route-out", routes_out},
    {"metadata-service", reaches_metadata},
    {"bind-low-port", binds_low},
};

}  // namespace

std::span<const Probe> file_probes() { return kFiles; }
std::span<const Probe> network_probes() { return kNetwork; }

}  // namespace battery
