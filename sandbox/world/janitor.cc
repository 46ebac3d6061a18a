#include "sandbox/world/janitor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/sys.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/world/descriptors.h"
#include "sandbox/world/idle_memory.h"
#include "sandbox/world/stubs.h"
#include "sandbox/world/warden.h"

namespace oqto::sandbox {
namespace {

constexpr int kOwnFd = 3;
constexpr int kStageFd = 4;
constexpr int kComplaintMs = 500;
constexpr std::size_t kMaxAnswer = 1024;
constexpr char kInPlace = 's';

// Only SIGKILL ends it early: what it would leave behind then, the next start adopts.
void become_independent() {
  (void)::setsid();
  (void)::prctl(PR_SET_NAME, "oqto-janitor", 0, 0, 0);
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  sigset_t all;
  sigfillset(&all);
  (void)::sigprocmask(SIG_SETMASK, &all, nullptr);
}

void keep_only(int channel, int stage) {
  // By way of high numbers: one may stand where the other belongs.
  const int high[] = {::fcntl(channel, F_DUPFD_CLOEXEC, 100), ::fcntl(stage, F_DUPFD_CLOEXEC, 100)};
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int number = 0; number <= 2; ++number) (void)::dup2(null, number);
  (void)::dup2(high[0], kOwnFd);
  (void)::dup2(high[1], kStageFd);
  if (!sys::close_from(kStageFd + 1)) ::_exit(1);
}

void await(const Fd& fd) {
  pollfd entry{fd.get(), POLLIN, 0};
  while (::poll(&entry, 1, -1) <= 0) {
  }
}

void say(const Fd& channel, std::string text) {
  text.resize(std::min(text.size(), kMaxAnswer));
  (void)sys::write_all(channel, text);
}

bool place_all(const Layout& layout, const Fd& channel, PlacedStubs& stubs) {
  for (const Stub& stub : layout.stubs) {
    if (const Status made = stubs.place(stub); !made) {
      say(channel,
          "`" + stub.outside + "` cannot be kept from being created: " + explain(made.error()));
      return false;
    }
  }
  return true;
}

// Until nothing inside is left, or something cannot be denied any more, which ends it.
void watch_over(const Fd& first_process, const Fd& stage, PlacedStubs& stubs) {
  for (;;) {
    pollfd ends[] = {{first_process.get(), POLLIN, 0}, {stage.get(), POLLIN, 0}};
    if (::poll(ends, std::size(ends), -1) <= 0) continue;
    if (ends[0].revents != 0) return;
    if (serve_warden(stage, stubs)) continue;
    (void)sys::pidfd_kill(first_process, SIGKILL);
    await(first_process);
    return;
  }
}

void work(const Layout& layout, const Fd& channel, const Fd& stage, PlacedStubs& stubs) {
  if (!place_all(layout, channel, stubs)) return;
  if (!sys::write_all(stage, std::string_view(&kInPlace, 1))) return;
  await(stage);
  const auto entrusted = receive_descriptors(stage);
  if (!entrusted || entrusted->size() != 1) return;  // nothing was started, and will not be
  release_program_pages();
  watch_over(entrusted->front(), stage, stubs);
}

[[noreturn]] void run(const Layout& layout, int channel_number, int stage_number) {
  become_independent();
  keep_only(channel_number, stage_number);
  {
    const Fd channel = Fd::adopt(kOwnFd);
    PlacedStubs stubs;
    {
      const Fd stage = Fd::adopt(kStageFd);  // closes as soon as there is nobody to place more for
      work(layout, channel, stage, stubs);
    }
    stubs.remove();
  }
  ::_exit(0);
}

}  // namespace

std::expected<Janitor, StartFailure> Janitor::start(const Layout& layout, Fd stage) {
  auto pair = sys::seqpacket_pair();
  if (!pair) return refuse(explain(pair.error()));
  Janitor janitor;
  janitor.channel_ = std::move(pair->first);
  janitor.pid_ = ::fork();
  if (janitor.pid_ < 0) return refuse(std::string("fork: ") + ::strerrordesc_np(errno));
  if (janitor.pid_ == 0) run(layout, pair->second.get(), stage.get());
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

Status await_stubs(const Fd& janitor) {
  await(janitor);
  char byte = 0;
  if (::recv(janitor.get(), &byte, 1, 0) == 1 && byte == kInPlace) return {};
  return fail(Errc::unavailable, "");  // the janitor has said why, on its channel
}

Status entrust(const Fd& janitor, const Fd& pidfd) {
  std::vector<Fd> one;
  one.push_back(Fd::adopt(::fcntl(pidfd.get(), F_DUPFD_CLOEXEC, 3)));
  if (!one.back()) return fail_errno("fcntl(F_DUPFD)");
  Status sent = send_descriptors(janitor, one);
  if (!sent && sent.error().sys == EPIPE) return fail(Errc::unavailable, "");  // likewise
  return sent;
}

}  // namespace oqto::sandbox
