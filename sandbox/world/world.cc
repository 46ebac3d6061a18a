#include "sandbox/world/world.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/encoding.h"
#include "base/sys.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/world/descriptors.h"
#include "sandbox/world/init_plan.h"
#include "sandbox/world/janitor.h"
#include "sandbox/world/landlock_abi.h"
#include "sandbox/world/layout.h"
#include "sandbox/world/paths.h"
#include "sandbox/world/stage.h"

namespace oqto::sandbox {
namespace {

using Outcome = std::expected<void, StartFailure>;

constexpr std::uint64_t kStartMs = 20'000;
constexpr int kLastWordsMs = 1000;  // for a sandbox that ends to say why
constexpr std::size_t kMaxErrorText = 2048;

std::unexpected<StartFailure> refuse(const Error& error) {
  return sandbox::refuse(explain(error));
}
using sandbox::refuse;

// What an agent left in its place is renamed, never followed, never deleted.
Outcome make_own_directory(const std::string& path) {
  for (int tries = 0; tries < 3; ++tries) {
    const Found found = look_at(path);
    if (found.directory) return {};
    if (found.link || found.present) {
      const std::string aside = path + ".replaced-" + Uuid::random().text();
      if (::rename(path.c_str(), aside.c_str()) != 0) break;
    }
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) break;
  }
  return refuse("`" + path +
                "`, where git keeps its files, cannot be made: " + ::strerrordesc_np(errno));
}

// The repository of a workspace that has none is the agent's: made beneath its home, or where the
// caller keeps it.
Outcome make_git_store(Layout& layout) {
  for (Mount& mount : layout.mounts) {
    if (mount.why != "git_store" || mount.source != Mount::Source::host || mount.read_only)
      continue;
    TRY(make_own_directory(std::string(parent_path(mount.outside))));
    TRY(make_own_directory(mount.outside));
    const Found found = look_at(mount.outside);
    mount.id = found.id;
  }
  return {};
}

Outcome check_host(const World& world) {
  if (world.network != World::Network::open) return {};
  if (landlock::create_ruleset(nullptr, 0, landlock::kCreateRulesetVersion) < 6) {
    return refuse(
        "network: `open` shares the host's network, and only Landlock ABI 6 (Linux 6.12) "
        "keeps its abstract sockets out of reach: use `filtered` or `isolated`");
  }
  return {};
}

// Everything between the fork and a sandbox that is ready, over a few descriptors.
class Start {
 public:
  Start(const World& world, StartWith with, Layout layout)
      : world_(world), with_(std::move(with)), layout_(std::move(layout)) {}

  ~Start() {
    if (done_) return;
    if (started_.stage > 0) {
      (void)::kill(started_.stage, SIGKILL);
      (void)::waitpid(started_.stage, nullptr, 0);
    }
    if (janitor_.pid() > 0) (void)::waitpid(janitor_.pid(), nullptr, 0);
  }

  std::expected<StartedSandbox, StartFailure> run() {
    const InitPlan plan = TRY(init_plan(world_, layout_));
    TRY(begin(plan));
    TRY(wait());
    started_.janitor = janitor_.pid();
    started_.janitor_fd = janitor_.take_channel();
    started_.asks = std::move(layout_.asks);
    done_ = true;
    return std::move(started_);
  }

 private:
  Outcome begin(const InitPlan& plan);
  Status start_stage(const Fd& janitor, const Fd& init);
  Outcome wait();
  Outcome on_init();
  Outcome on_report();
  void read_errors();
  std::unexpected<StartFailure> failed(std::string_view why);
  [[nodiscard]] bool complete() const {
    return ready_ && started_.init_fd && started_.listener &&
           (world_.network != World::Network::filtered || started_.dns_udp);
  }

  const World& world_;
  StartWith with_;
  Layout layout_;
  Janitor janitor_;
  StartedSandbox started_;
  ipc::Channel init_;
  Fd report_;
  std::string said_;
  bool ready_ = false;
  bool done_ = false;
};

Status Start::start_stage(const Fd& janitor, const Fd& init) {
  int errors[2];
  if (::pipe2(errors, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("pipe2");
  started_.errors = Fd::adopt(errors[0]);
  const Fd their_errors = Fd::adopt(errors[1]);
  auto report = TRY(sys::seqpacket_pair());
  report_ = std::move(report.first);
  Fd control = std::move(with_.control);
  if (!control) {
    auto pair = TRY(sys::seqpacket_pair());
    started_.control = ipc::Channel(std::move(pair.first));
    control = std::move(pair.second);
  }
  if (world_.network != World::Network::isolated && world_.network != World::Network::filtered) {
    with_.namespaces = Namespaces();
  }
  started_.stage = TRY(sandbox::start_stage(world_, layout_,
                                            {.errors = their_errors.get(),
                                             .init_channel = init.get(),
                                             .control = control.get(),
                                             .report = report.second.get(),
                                             .janitor = janitor.get(),
                                             .namespaces = with_.namespaces.process().get(),
                                             .ready = with_.namespaces.ready().get()},
                                            with_.cgroup));
  return {};
}

// The stubs are placed while the stage is being set.
Outcome Start::begin(const InitPlan& plan) {
  auto init = sys::seqpacket_pair(), stage_janitor = sys::seqpacket_pair();
  if (!init) return refuse(init.error());
  if (!stage_janitor) return refuse(stage_janitor.error());
  if (!Janitor::is_needed(layout_)) stage_janitor->second.reset();
  if (const Status started = start_stage(stage_janitor->second, init->second); !started) {
    return refuse(started.error());
  }
  if (stage_janitor->second) {
    stage_janitor->second.reset();  // the janitor notices the end of the stage by it
    janitor_ = TRY(Janitor::start(layout_, std::move(stage_janitor->first)));
  }
  init_ = ipc::Channel(std::move(init->first));
  if (const Status sent = init_.send(plan); !sent) return refuse(sent.error());
  return {};
}

Outcome Start::wait() {
  const std::uint64_t deadline = sys::monotonic_ms() + kStartMs;
  constexpr std::size_t kOwn = 3;
  std::vector<pollfd> ends = {{init_.fd().get(), POLLIN, 0},
                              {started_.errors.get(), POLLIN, 0},
                              {report_.get(), POLLIN, 0}};
  for (const int fd : with_.call_off) ends.push_back({fd, POLLIN, 0});
  while (!complete()) {
    const std::uint64_t now = sys::monotonic_ms();
    if (now >= deadline) return failed("the sandbox did not become ready in time");
    if (::poll(ends.data(), ends.size(), static_cast<int>(deadline - now)) < 0) continue;
    read_errors();
    if (ends[1].revents == POLLHUP) ends[1].fd = -1;
    if ((ends[2].revents & POLLIN) != 0) {
      TRY(on_report());
      if (!report_) ends[2].fd = -1;
    } else if (ends[2].revents != 0) {
      ends[2].fd = -1;
    }
    if (ends[0].revents != 0) TRY(on_init());
    for (std::size_t i = kOwn; i < ends.size(); ++i) {
      if (ends[i].revents != 0 && !complete()) return failed("the start was called off");
    }
  }
  return {};
}

// `why`, unless the stage, PID 1 or the janitor said something better.
std::unexpected<StartFailure> Start::failed(std::string_view why) {
  read_errors();
  std::ranges::replace(said_, '\n', ' ');
  while (said_.ends_with(' ')) said_.pop_back();
  if (said_.empty()) said_ = janitor_.complaint();
  return refuse(said_.empty() ? std::string(why) : said_);
}

void Start::read_errors() {
  char piece[512];
  ssize_t n;
  while (said_.size() < kMaxErrorText &&
         (n = ::read(started_.errors.get(), piece, sizeof piece)) > 0) {
    said_.append(piece, static_cast<std::size_t>(n));
  }
}

Outcome Start::on_report() {
  auto received = receive_descriptors(report_);
  if (!received && received.error().code == Errc::limit) return {};
  if (!received && received.error().code == Errc::unavailable) {
    report_.reset();  // the stage has ended: who waits for it says why
    return {};
  }
  if (received && !started_.init_fd && received->size() == 1) {
    started_.init_fd = std::move(received->front());
    return {};
  }
  if (!received || started_.dns_udp || received->size() != world_.pool + 2) {
    return failed("the sandbox's network could not be made");
  }
  started_.dns_udp = std::move((*received)[0]);
  started_.dns_tcp = std::move((*received)[1]);
  for (std::size_t i = 2; i < received->size(); ++i) {
    started_.pool.push_back(std::move((*received)[i]));
  }
  return {};
}

Outcome Start::on_init() {
  for (;;) {
    auto received = init_.receive();
    if (!received && received.error().code == Errc::limit) return {};
    if (!received) {  // it ended; let it finish saying why
      pollfd last{started_.errors.get(), POLLIN, 0};
      (void)::poll(&last, 1, kLastWordsMs);
      return failed("the sandbox ended before it was ready");
    }
    if (const auto failure = received->as<ipc::InitFailed>()) return refuse(failure->why.str());
    if (received->as<ipc::ExecListener>() && !started_.listener) {
      started_.listener = std::move(received->fd);
    } else if (const auto ready = received->as<ipc::InitReady>(); ready && !ready_) {
      ready_ = true;
      started_.landlock_abi = static_cast<int>(ready->landlock_abi);
      return {};
    } else {
      return failed("oqto-init answered out of turn");
    }
  }
}

}  // namespace

std::vector<std::string> base_environment(const World& world) {
  return {"PATH=/usr/local/bin:/usr/bin:/bin",
          "HOME=" + world.home.inside,
          "USER=" + world.user,
          "LOGNAME=" + world.user,
          "SHELL=/bin/bash",
          "LANG=C.UTF-8",
          "TERM=xterm-256color",
          "TMPDIR=/tmp"};
}

std::expected<StartedSandbox, StartFailure> start_sandbox(const World& world, StartWith with) {
  TRY(check_host(world));
  Layout layout = TRY(lay_out(world));
  TRY(make_git_store(layout));
  return Start(world, std::move(with), std::move(layout)).run();
}

std::expected<std::vector<Shown>, StartFailure> describe(const World& world) {
  TRY(check_host(world));
  const Layout layout = TRY(lay_out(world));
  std::vector<Shown> all;
  for (const World::Generated& file : layout.files) {
    all.push_back({Shown::How::generated, file.inside, "", "system"});
  }
  for (const Mount& mount : layout.mounts) {
    const Shown::How how = mount.source == Mount::Source::content ? Shown::How::generated
                           : mount.read_only                      ? Shown::How::read_only
                                                                  : Shown::How::read_write;
    all.push_back({how, mount.inside, mount.outside, mount.why});
  }
  for (const Cover& cover : layout.covers) {
    if (cover.how == Cover::How::pin) continue;
    all.push_back({cover.how == Cover::How::empty ? Shown::How::empty : Shown::How::read_only,
                   cover.inside, "", cover.why});
  }
  std::ranges::stable_sort(all, OuterFirst{}, &Shown::inside);
  return all;
}

}  // namespace oqto::sandbox
