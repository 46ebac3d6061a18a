#include "sandbox/monitor/listener.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace oqto::sandbox {
namespace {

// Linux 6.6. The caller waits for us, and we for callers: the kernel need not look for an idle
// processor first. Older kernels refuse it, and are slower.
constexpr unsigned long kSetFlags = SECCOMP_IOW(4, __u64);
constexpr unsigned long kSyncWakeUp = 1;

}  // namespace

Listener::Listener(Fd fd) : fd_(std::move(fd)) {
  (void)::ioctl(fd_.get(), kSetFlags, kSyncWakeUp);
}

Listener::State Listener::state() const {
  pollfd end{fd_.get(), POLLIN, 0};
  if (::poll(&end, 1, 0) <= 0) return State::quiet;
  return (end.revents & POLLIN) != 0 ? State::ready : State::finished;
}

std::optional<seccomp_notif> Listener::receive() const {
  seccomp_notif notification{};
  // Fails if the caller was killed meanwhile.
  if (::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_RECV, &notification) != 0) return std::nullopt;
  return notification;
}

bool Listener::is_waiting(std::uint64_t id) const {
  return ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

bool Listener::answer(std::uint64_t id, int error, std::uint32_t flags) const {
  seccomp_notif_resp response{};
  response.id = id;
  response.error = -error;
  response.flags = flags;
  return ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response) == 0;
}

bool Listener::go_on(std::uint64_t id) const {
  return answer(id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

bool Listener::refuse(std::uint64_t id, int error) const {
  return answer(id, error, 0);
}

int Listener::give(std::uint64_t id, const Fd& file, bool close_on_exec) const {
  seccomp_notif_addfd given{};
  given.id = id;
  given.flags = SECCOMP_ADDFD_FLAG_SEND;
  given.srcfd = static_cast<std::uint32_t>(file.get());
  given.newfd_flags = close_on_exec ? O_CLOEXEC : 0;
  return ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &given) >= 0 ? 0 : errno;
}

}  // namespace oqto::sandbox
