// oqto-guard: the one privileged process.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/log.h"
#include "base/range_lock.h"
#include "base/sys.h"
#include "guard/config.h"
#include "guard/guard.h"
#include "guard/host_policy.h"
#include "guard/layout.h"
#include "guard/operator_files.h"
#include "guard/seal.h"
#include "ipc/loop.h"

namespace oqto::guard {
namespace {

Result<Fd> open_or_say(const std::string& path, int flags) {
  auto fd = sys::open_file(path.c_str(), flags);
  if (!fd) log::error("a needed file cannot be opened", {{"path", path}});
  return fd;
}

Result<Programs> open_programs(const std::string& bin) {
  const auto open = [&](const char* name) { return open_or_say(bin + "/" + name, O_PATH); };
  Programs programs;
  programs.relay = TRY(open("oqto-relay"));
  programs.accounts = TRY(open("oqto-accounts"));
  programs.auditd = TRY(open("oqto-auditd"));
  programs.signer = TRY(open("oqto-audit-signer"));
  programs.gateway = TRY(open("oqto-gateway"));
  programs.runner = TRY(open("oqto-runner"));
  programs.hstry = TRY(open("hstry"));
  programs.launch = TRY(open("oqto-launch"));
  programs.policy = TRY(open("oqto-policy"));
  programs.auditor = TRY(open("oqto-auditor"));
  return programs;
}

// The relay gets this socket; the guard itself will have no network to listen on.
Result<Fd> listen_on(const std::string& address, std::uint16_t port) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_in);
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
  } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    size = sizeof(sockaddr_in6);
  } else {
    return fail(Errc::invalid, "--bind needs an IPv4 or IPv6 address");
  }
  Fd fd = Fd::adopt(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  const int on = 1;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0) {
    return fail_errno("bind: is another instance serving this port? (--port)");
  }
  if (::listen(fd.get(), 512) != 0) return fail_errno("listen");
  return fd;
}

// oqtoctl's socket, below STATE: named relative to the directory, so that a long path fits.
Result<Fd> listen_for_operators(const Fd& state) {
  Fd fd = Fd::adopt(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "control.sock");
  if (::fchdir(state.get()) != 0) return fail_errno("fchdir");
  (void)::unlink(address.sun_path);  // left by a host that was killed
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  ::umask(before);
  if (bound != 0) return fail_errno("bind of control.sock");
  if (::listen(fd.get(), 8) != 0) return fail_errno("listen");
  if (::chdir("/") != 0) return fail_errno("chdir");
  return fd;
}

// One instance per state directory: the lock is held as long as the process lives.
Result<Fd> lock_state(const Fd& state) {
  Fd lock = Fd::adopt(::openat(state.get(), "lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!lock) return fail_errno("open of the lock file");
  struct flock whole{};
  whole.l_type = F_WRLCK;
  if (::fcntl(lock.get(), F_SETLK, &whole) != 0) {
    return fail(Errc::denied, "another host is running in this state directory");
  }
  return lock;
}

// As at a reload: what is refused here is refused there.
Result<Fd> taken(Result<Fd> copy, const std::string& path) {
  if (!copy) log::error("a needed file is refused", {{"why", about_file(path, copy.error())}});
  return copy;
}

void raise_file_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &files);  // the soft limit is merely less comfortable
}

Status run(int argc, char** argv) {
  // --- root, nothing read yet ---
  TRY(sys::close_from(3));
  if (::geteuid() != 0) return fail(Errc::denied, "oqto-guard needs root: it gives every part its own uid");
  ::umask(077);
  const Config config = TRY(load_config(argc, argv));
  raise_file_limit();
  Guard::Resources resources{.config = config, .uids = {config.uid_base}};
  const RangeLock uids = TRY(RangeLock::take_uids(config.uid_base, config.uid_count, config.state));

  // --- root: acquire all that is ever needed ---
  resources.signals = TRY(ipc::signal_fd({SIGTERM, SIGINT, SIGHUP}));
  resources.state = TRY(ensure_state(config, resources.uids));
  const Fd lock = TRY(lock_state(resources.state));
  resources.programs = TRY(open_programs(config.bin));
  resources.assets = TRY(open_or_say(config.web, O_RDONLY));
  resources.tls_certificate = TRY(taken(copy_tls_file(config.tls_certificate), config.tls_certificate));
  resources.tls_key = TRY(taken(copy_tls_file(config.tls_key), config.tls_key));
  resources.gateway_config = TRY(taken(copy_gateway_config(config.gateway_config()), config.gateway_config()));
  resources.listener = TRY(listen_on(config.bind, config.port));
  resources.operator_socket = TRY(listen_for_operators(resources.state));

  // --- one cgroup per session, where this host has them ---
  resources.cgroups = sandbox::CgroupTree::create("oqto-" + std::to_string(config.uid_base));
  if (!resources.cgroups && resources.cgroups.error().code == Errc::unavailable) {
    return std::unexpected(resources.cgroups.error());  // a host that runs has it
  }
  if (const std::string why = sandbox::cgroup_advice(resources.cgroups); !why.empty()) {
    log::warn("sessions have no cgroup limits, so profiles that require them are refused", {{"why", why}});
  }

  // --- namespaces of our own: mounts that nobody else sees, and no network ---
  TRY(enter_private_mounts(config));
  resources.storage = TRY(prepare_storage(config, resources.uids));
  resources.state = TRY(sys::open_dir(config.state.c_str()));  // as these mounts have it
  resources.host_netns = TRY(open_own_netns());
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno("unshare(CLONE_NEWNET)");
  resources.own_netns = TRY(open_own_netns());

  // --- few capabilities, no new privileges, fewer system calls ---
  TRY(seal_guard());
  resources.host_policies = TRY(read_host_policy(config, resources.programs.policy,
                                                 resources.uids.policy_parser()));
  Guard guard(std::move(resources), TRY(ipc::Loop::create()));
  TRY(guard.start());
  const Status status = guard.run();
  (void)::unlink((config.state + "/control.sock").c_str());
  guard.remove_cgroup_tree();
  return status;
}

}  // namespace
}  // namespace oqto::guard

int main(int argc, char** argv) {
  oqto::log::set_process_name("guard");
  return oqto::log::exit_status(oqto::guard::run(argc, argv));
}
