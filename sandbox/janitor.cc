#include "sandbox/janitor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/sys.h"
#include "sandbox/descriptors.h"
#include "sandbox/explain.h"
#include "sandbox/stubs.h"
#include "sandbox/warden.h"

namespace oqto::sandbox {
namespace {

constexpr int kOwnFd = 3;
constexpr int kStubsFd = 4;
constexpr int kComplaintMs = 500;
constexpr std::size_t kMaxAnswer = 1024;

// Only SIGKILL ends it early: what it would leave behind then, the next start adopts.
void become_independent() {
  (void)::setsid();
  (void)::prctl(PR_SET_NAME, "oqto-janitor", 0, 0, 0);
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  sigset_t all;
  sigfillset(&all);
  (void)::sigprocmask(SIG_SETMASK, &all, nullptr);
}

void keep_only(int channel, int stubs) {
  // By way of high numbers: one may stand where the other belongs.
  const int high[] = {::fcntl(channel, F_DUPFD_CLOEXEC, 100), ::fcntl(stubs, F_DUPFD_CLOEXEC, 100)};
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int number = 0; number <= 2; ++number) (void)::dup2(null, number);
  (void)::dup2(high[0], kOwnFd);
  (void)::dup2(high[1], kStubsFd);
  if (!sys::close_from(kStubsFd + 1)) ::_exit(1);
}

struct Watched {
  Fd pidfd;
  Fd errors;
  pid_t process = -1;
};

// Errc::unavailable: there is nothing to watch over, and never was.
Result<Watched> receive_watched(const Fd& channel) {
  for (;;) {
    pollfd entry{channel.get(), POLLIN, 0};
    if (::poll(&entry, 1, -1) <= 0) continue;
    pid_t process = -1;
    if (::recv(channel.get(), &process, sizeof process, 0) != sizeof process) break;
    (void)::poll(&entry, 1, -1);
    auto received = TRY(receive_descriptors(channel));
    if (received.size() != 2) break;
    return Watched{std::move(received[0]), std::move(received[1]), process};
  }
  return fail(Errc::unavailable, "the sandbox was not started");
}

void say(const Fd& channel, std::string text) {
  text.resize(std::min(text.size(), kMaxAnswer));
  (void)sys::write_all(channel, text);
}

// A child in the sandbox's namespaces. It ends, and so the sandbox does, if it cannot deny any more
// what it must.
[[noreturn]] void be_warden(const Layout& layout, const Watched& watched, const Fd& janitor,
                            pid_t parent) {
  (void)::prctl(PR_SET_NAME, "oqto-warden", 0, 0, 0);
  if (!sys::die_with_parent(parent)) ::_exit(1);
  const auto give_up = [&](const std::string& why) {
    pollfd end{watched.pidfd.get(), POLLIN, 0};
    if (::poll(&end, 1, 0) > 0) ::_exit(0);  // that is why
    (void)sys::write_all(watched.errors, "the sandbox ends: " + why + '\n');
    ::_exit(1);
  };
  auto warden = Warden::enter(watched.process, layout);
  if (!warden) give_up("its mounts cannot be watched over: " + explain(warden.error()));
  if (!sys::die_with_parent(parent)) ::_exit(1);  // again: setns has cleared it
  for (;;) {                                      // also at once: what happened until now
    if (const auto restored = warden->restore(janitor); !restored) give_up(restored.error().why);
    warden->wait();
  }
}

// Until nothing inside is left, or something cannot be denied any more, which ends it.
void watch_over(const Watched& watched, const Fd& to_warden, PlacedStubs& stubs) {
  for (;;) {
    pollfd ends[] = {{watched.pidfd.get(), POLLIN, 0}, {to_warden.get(), POLLIN, 0}};
    if (::poll(ends, std::size(ends), -1) <= 0) continue;
    if (ends[0].revents != 0) return;
    if (serve_warden(to_warden, stubs)) continue;
    (void)sys::pidfd_kill(watched.pidfd, SIGKILL);
    (void)::poll(ends, 1, -1);
    return;
  }
}

void work(const Layout& layout, const Fd& channel, Fd placed, PlacedStubs& stubs) {
  for (const Stub& stub : layout.stubs) {
    if (const Status made = stubs.place(stub); !made) {
      say(channel,
          "`" + stub.outside + "` cannot be kept from being created: " + explain(made.error()));
      return;
    }
  }
  (void)sys::write_all(placed, "s");
  placed.reset();
  const auto watched = receive_watched(channel);
  auto pair = sys::seqpacket_pair();
  if (!watched || !pair) return;
  const pid_t self = ::getpid();
  const pid_t warden = ::fork();
  if (warden == 0) {
    pair->first.reset();
    be_warden(layout, *watched, pair->second, self);
  }
  pair->second.reset();
  watch_over(*watched, pair->first, stubs);
  if (warden > 0) {
    (void)::kill(warden, SIGKILL);
    (void)::waitpid(warden, nullptr, 0);
  }
}

[[noreturn]] void run(const Layout& layout, int channel_number, int stubs_number) {
  become_independent();
  keep_only(channel_number, stubs_number);
  const Fd channel = Fd::adopt(kOwnFd);
  PlacedStubs stubs;
  work(layout, channel, Fd::adopt(kStubsFd), stubs);
  stubs.remove();
  ::_exit(0);
}

}  // namespace

std::expected<Janitor, StartFailure> Janitor::start(const Layout& layout, Fd stubs) {
  if (layout.stubs.empty() && layout.covers.empty()) {
    if (const Status told = sys::write_all(stubs, "s"); !told) return refuse(explain(told.error()));
    return Janitor();
  }
  auto pair = sys::seqpacket_pair();
  if (!pair) return refuse(explain(pair.error()));
  Janitor janitor;
  janitor.channel_ = std::move(pair->first);
  janitor.pid_ = ::fork();
  if (janitor.pid_ < 0) return refuse(std::string("fork: ") + ::strerrordesc_np(errno));
  if (janitor.pid_ == 0) run(layout, pair->second.get(), stubs.get());
  auto pidfd = sys::pidfd_open(janitor.pid_);
  if (!pidfd) return refuse(explain(pidfd.error()));
  janitor.pidfd_ = std::move(*pidfd);
  return janitor;
}

std::string Janitor::complaint() const {
  if (!channel_) return "";
  pollfd entry{channel_.get(), POLLIN, 0};
  (void)::poll(&entry, 1, kComplaintMs);
  char text[kMaxAnswer];
  const ssize_t n = ::recv(channel_.get(), text, sizeof text, MSG_DONTWAIT);
  return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : "";
}

Status Janitor::watch(const Fd& pidfd, pid_t process, const Fd& errors) {
  if (!channel_) return {};
  std::vector<Fd> both;
  for (const Fd* fd : {&pidfd, &errors}) {
    both.push_back(Fd::adopt(::fcntl(fd->get(), F_DUPFD_CLOEXEC, 3)));
    if (!both.back()) return fail_errno("fcntl(F_DUPFD)");
  }
  TRY(sys::write_all(channel_,
                     std::string_view(reinterpret_cast<const char*>(&process), sizeof process)));
  TRY(send_descriptors(channel_, both));
  channel_.reset();
  return {};
}

}  // namespace oqto::sandbox
