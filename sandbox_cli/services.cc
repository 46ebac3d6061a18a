#include "sandbox_cli/services.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "sandbox/monitor/explain.h"

namespace oqto::sandbox_cli {
namespace {

constexpr std::size_t kMaxNetworkLines = 4 * 1024 * 1024;

// "." is the workspace, "~" the user's home; both are shown at their own places.
std::string absolute(std::string_view path, const Setup& setup) {
  if (path.starts_with('.')) return setup.workspace.path + std::string(path.substr(1));
  if (path.starts_with('~')) return setup.user.home + std::string(path.substr(1));
  return std::string(path);
}

}  // namespace

Services::Services(const Options& options, const Setup& setup, ipc::Loop& loop, Prompter& prompter)
    : options_(options), setup_(setup), loop_(loop), prompter_(prompter), egress_(loop, prompter) {}

Outcome<> Services::open() {
  const bool learning = options_.command == "learn";
  record_.keep(learning);
  if (!options_.record.empty()) {
    std::vector<std::string> writable = {setup_.workspace.path, setup_.home.path};
    for (const std::string& path : setup_.policy.policy.allow_write.values) {
      writable.push_back(absolute(path, setup_));
    }
    TRY(record_.open(options_.record, writable));
  }
  if (setup_.world.network == sandbox::World::Network::filtered) {
    if (learning) {
      network_sink_ = Fd::adopt(::memfd_create("oqto-network", MFD_CLOEXEC));
      if (!network_sink_) return std::unexpected("no memory for what the network does");
    } else {
      network_sink_ = record_.copy_of_file();
    }
  }
  return {};
}

bool Services::must_be_first() const {
  const sandbox::World& world = setup_.world;
  return world.network == sandbox::World::Network::filtered || world.notify_exec ||
         !world.policy.ask.values.empty();
}

Outcome<> Services::start(sandbox::StartedSandbox& sandbox) {
  if (sandbox.listener) TRY(start_monitor(sandbox));
  if (setup_.world.network == sandbox::World::Network::filtered) {
    TRY(egress_.start(TRY(program_directory()) + "/oqto-egress", sandbox, setup_.policy.policy,
                      network_sink_));
  }
  return {};
}

Outcome<std::vector<sandbox::AskPath>> Services::ask_paths(
    const sandbox::StartedSandbox& sandbox) const {
  std::vector<sandbox::AskPath> all;
  for (const sandbox::AskPlace& ask : sandbox.asks) {
    auto opened = ask.denied ? Result<sandbox::AskPath>(sandbox::denied_path(ask.inside))
                             : sandbox::open_ask_path(ask.inside, ask.outside, ask.automatic);
    // Its directory is not there: nothing to give, nor by what is around it.
    if (!opened && opened.error().sys == ENOENT) opened = sandbox::denied_path(ask.inside);
    if (!opened) {
      return std::unexpected("[guard] " + ask.outside + ": " + sandbox::explain(opened.error()));
    }
    all.push_back(std::move(*opened));
  }
  return all;
}

Outcome<> Services::start_monitor(sandbox::StartedSandbox& sandbox) {
  auto tracees = sandbox::Tracees::open();
  if (!tracees) return std::unexpected("/proc cannot be read");
  const sandbox::Policy& policy = setup_.policy.policy;
  if (options_.command == "learn") {
    learner_ = std::make_unique<LearnWatch>(std::move(sandbox.listener), std::move(*tracees),
                                            policy.run_own_programs != 0);
    if (!learner_->attach(loop_)) return std::unexpected("the sandbox cannot be watched");
    return {};
  }
  monitor_ = std::make_unique<sandbox::Monitor>(
      record_,
      sandbox::MonitorParts{.listener = std::move(sandbox.listener),
                            .tracees = std::move(*tracees),
                            .run_own_programs = policy.run_own_programs != 0,
                            .hash_programs = policy.hash_programs != 0,
                            .ask = TRY(ask_paths(sandbox)),
                            .approver = this,
                            .ask_timeout_s = static_cast<std::uint32_t>(policy.ask_timeout_s)});
  if (!monitor_->attach(loop_)) return std::unexpected("the sandbox cannot be monitored");
  return {};
}

Status Services::ask(const ipc::ApprovalAsk& question) {
  prompter_.ask(question, [this, number = question.question](ipc::ApprovalChoice choice) {
    answers_.emplace_back(number, choice);
  });
  return {};
}

void Services::on_child(pid_t pid, int status) {
  if (egress_.on_child(pid)) return;
  if (monitor_) monitor_->on_child(pid, status);
}

void Services::after_children() {
  if (monitor_) monitor_->after_children();
}

void Services::tick() {
  if (!monitor_) return;
  for (const auto& [question, choice] : std::exchange(answers_, {})) {
    monitor_->on_answer(question, choice);
  }
  monitor_->tick();
}

int Services::timeout_ms() const {
  if (!monitor_) return -1;
  return answers_.empty() ? monitor_->timeout_ms() : 0;
}

void Services::close() {
  egress_.close();
  if (monitor_) monitor_->flush();
  monitor_.reset();
  if (learner_) learned_ = learner_->learned();
  learner_.reset();
}

std::string Services::network_lines() const {
  if (!network_sink_ || ::lseek(network_sink_.get(), 0, SEEK_SET) != 0) return {};
  return sys::read_all(network_sink_, kMaxNetworkLines).value_or("");
}

}  // namespace oqto::sandbox_cli
