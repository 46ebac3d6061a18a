#include "sandbox/monitor/test_monitored.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "sandbox/init/filters.h"
#include "sandbox/monitor/digest.h"

namespace oqto::sandbox {
namespace {

[[noreturn]] void become_child(const Monitored& wanted, ipc::Channel parent,
                               const std::function<int()>& body) {
  sigset_t none;
  sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (wanted.before_filter) wanted.before_filter();
  {
    CHECK(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    auto listener = load_session_filter(wanted.kind);
    CHECK(listener.has_value());
    CHECK(parent.send(ipc::ExecListener{}, *listener).has_value());
  }
  CHECK(!parent.wait(-1).has_value());  // until the monitor is there, or is not to be
  const int status = body();
  ::_exit(status);
}

struct Nothing final : ipc::Watcher {
  explicit Nothing(const Fd& signals) : signals_(signals) {}
  void on_ready(std::uint32_t) override {
    char records[1024];
    while (::read(signals_.get(), records, sizeof records) > 0) {
    }
  }
  const Fd& signals_;
};

}  // namespace

std::string value(const ipc::AuditAppend& record, ipc::FieldKey key) {
  for (const ipc::AuditField& field : record.list) {
    if (field.key == key) return field.value;
  }
  return "";
}

std::vector<ipc::AuditAppend> KeptRecords::of(ipc::Event event, std::string_view wanted) const {
  std::vector<ipc::AuditAppend> found;
  for (const ipc::AuditAppend& record : records) {
    bool has = wanted.empty();
    for (const ipc::AuditField& field : record.list) has = has || field.value == wanted;
    if (record.event == event && has) found.push_back(record);
  }
  return found;
}

void KeptRecords::submit(Submission submission) {
  for (Submission::Blob& blob : submission.blobs) {
    if (!stores_blobs) continue;
    const std::string name = sha256_hex(blob.content);
    submission.record.add(blob.key, name);
    blobs[name] = std::move(blob.content);
  }
  if (submission.settle) submission.settle(submission.record, stores_blobs);
  if (submission.intent) submission.record.intent = *submission.intent;
  if (submission.index) *submission.index = records.size();
  add(std::move(submission.record));
}

int Monitored::run(const std::function<int()>& body) {
  auto pair = sys::seqpacket_pair();
  CHECK(pair.has_value());
  const Fd signals = *ipc::signal_fd({SIGCHLD});
  const pid_t child = ::fork();
  if (child == 0) {
    pair->first.reset();
    become_child(*this, ipc::Channel(std::move(pair->second)), body);
  }
  pair->second.reset();
  ipc::Channel channel(std::move(pair->first));
  auto received = channel.wait(-1);
  CHECK(received.has_value());
  int status = 0;
  if (monitor_dies) {
    received->fd.reset();
    channel = ipc::Channel();
    CHECK(::waitpid(child, &status, 0) == child);
    return status;
  }
  ipc::Loop loop = *ipc::Loop::create();
  Nothing nothing(signals);
  CHECK(loop.watch(signals, nothing).has_value());
  Monitor monitor(recorder, {.listener = std::move(received->fd),
                             .tracees = *Tracees::open(),
                             .run_own_programs = kind.run_own_programs,
                             .hash_programs = hash_programs,
                             .exec_patience_ms = exec_patience_ms,
                             .ask = std::move(ask),
                             .approver = approver,
                             .ask_timeout_s = ask_timeout_s});
  CHECK(monitor.attach(loop).has_value());
  channel = ipc::Channel();
  bool ended = false;
  while (!ended || !monitor.finished()) {
    const int timeout = each_turn ? 5 : monitor.timeout_ms();
    CHECK(loop.run_once(ended && timeout < 0 ? 50 : timeout).has_value());
    for (;;) {
      int each = 0;
      const pid_t pid = ::waitpid(-1, &each, __WALL | WNOHANG);
      if (pid <= 0) break;
      if (pid == child && !WIFSTOPPED(each)) {
        ended = true;
        status = each;
      } else {
        monitor.on_child(pid, each);
      }
    }
    monitor.after_children();
    monitor.tick();
    if (each_turn) each_turn(monitor);
  }
  monitor.flush();
  return status;
}

int run_free(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  return status;
}

}  // namespace oqto::sandbox
