// The monitor with real programs: what it refuses and records.
#include "sandbox/monitor/monitor.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "sandbox/monitor/test_monitored.h"

namespace oqto::sandbox {
namespace {

using ipc::Event;
using ipc::FieldKey;

// --- refused calls -----------------------------------------------------------------------------

TEST(Monitor, RecordsARefusedCallByNameWithItsProgramAndReason) {
  Monitored monitored;
  EXPECT_EQ(monitored.run([] {
    for (int i = 0; i < 3; ++i) {
      if (::unshare(CLONE_NEWUSER) != -1 || errno != EPERM) return 1;
    }
    return ::socket(40 /* AF_VSOCK */, SOCK_STREAM, 0) == -1 && errno == EAFNOSUPPORT ? 0 : 2;
  }),
            0);
  const auto records = monitored.recorder.of(Event::denial, "unshare");
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(value(records[0], FieldKey::count), "3");
  EXPECT_EQ(value(records[0], FieldKey::rule), "namespaces");
  EXPECT_EQ(value(records[0], FieldKey::exe), std::filesystem::read_symlink("/proc/self/exe"));
  const auto sockets = monitored.recorder.of(Event::denial, "socket-family");
  ASSERT_EQ(sockets.size(), 1U);
  EXPECT_EQ(value(sockets[0], FieldKey::syscall), "socket");
  EXPECT_TRUE(value(sockets[0], FieldKey::args).starts_with("[\"0x28\",\"0x1\","));
}

TEST(Monitor, NamesTheProcessOfAThread) {
  Monitored monitored;
  pid_t child = -1;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_EQ(monitored.run([&] {
    std::thread([] { (void)::unshare(CLONE_NEWUSER); }).join();
    const pid_t self = ::getpid();
    return ::write(ends[1], &self, sizeof self) == sizeof self ? 0 : 1;
  }),
            0);
  ASSERT_EQ(::read(ends[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  const auto records = monitored.recorder.of(Event::denial, "unshare");
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(value(records[0], FieldKey::pid), std::to_string(child));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(Monitor, RecordsEachOfTheCallsThatNeverSucceedAnywhereInside) {
  Monitored monitored;
  EXPECT_EQ(monitored.run([] {
    for (const long call : {SYS_bpf, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_userfaultfd, SYS_perf_event_open,
                            SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_fanotify_init, SYS_kexec_load}) {
      if (::syscall(call, 0, 0, 0, 0, 0, 0) != -1 || errno != EPERM) return static_cast<int>(call % 200 + 1);
    }
    return 0;
  }),
            0);
  for (const char* name : {"bpf", "keyctl", "add_key", "request_key", "userfaultfd", "perf_event_open",
                           "open_by_handle_at", "name_to_handle_at", "fanotify_init", "kexec_load"}) {
    EXPECT_EQ(monitored.recorder.of(Event::denial, name).size(), 1U) << name;
  }
}

TEST(Monitor, DoesNotRecordWhatProgramsOnlyTry) {
  Monitored monitored;
  EXPECT_EQ(monitored.run([] {
    return ::syscall(SYS_clone3, nullptr, 0) == -1 && errno == ENOSYS &&
                   ::syscall(SYS_io_uring_setup, 1, nullptr) == -1 && errno == ENOSYS
               ? 0
               : 1;
  }),
            0);
  EXPECT_TRUE(monitored.recorder.of(Event::denial).empty());
}

TEST(Monitor, AttackAFloodOfRefusedCallsIsJoinedAndEveryOneIsAnswered) {
  constexpr int kProcesses = 4, kCalls = 2000;
  Monitored monitored;
  EXPECT_EQ(monitored.run([] {
    for (int i = 0; i < kProcesses; ++i) {
      if (::fork() != 0) continue;
      for (int k = 0; k < kCalls; ++k) {
        if (::mount("a", "b", "c", 0, nullptr) != -1 || errno != EPERM) ::_exit(1);
      }
      ::_exit(0);
    }
    int bad = 0, status = 0;
    while (::wait(&status) > 0) bad += status != 0;
    return bad;
  }),
            0);
  std::uint64_t counted = 0;
  const auto records = monitored.recorder.of(Event::denial, "mount");
  for (const auto& record : records) counted += std::stoull(value(record, FieldKey::count));
  EXPECT_EQ(counted, static_cast<std::uint64_t>(kProcesses * kCalls));
  EXPECT_LE(records.size(), 20U);
}

TEST(Monitor, WithoutItRefusedCallsAndExecsFailAtOnce) {
  Monitored monitored{.monitor_dies = true};
  EXPECT_EQ(monitored.run([] {
    if (::unshare(CLONE_NEWUSER) != -1 || errno != ENOSYS) return 1;
    ::execl("/bin/true", "true", nullptr);
    if (errno != ENOSYS) return 2;
    const pid_t child = ::vfork();
    if (child == 0) {
      ::execl("/bin/true", "true", nullptr);
      ::_exit(errno == ENOSYS ? 0 : 1);
    }
    int status = 0;
    return ::waitpid(child, &status, 0) == child && status == 0 ? 0 : 3;
  }),
            0);
}

// --- execs -------------------------------------------------------------------------------------

TEST(Monitor, RecordsAnExecBeforeAndAfter) {
  Monitored monitored;
  EXPECT_EQ(
      monitored.run([] { return ::execl("/bin/sh", "sh", "-c", "exec env -i true a b", nullptr); }),
      0);
  const auto records = monitored.recorder.of(Event::exec, "/usr/bin/true");
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].outcome, ipc::Outcome::success);
  EXPECT_EQ(value(records[0], FieldKey::argv), "true");
}

TEST(Monitor, RefusesExecsThatCannotBeRecorded) {
  Monitored monitored;
  monitored.recorder.is_available = false;
  EXPECT_EQ(monitored.run([] {
    ::execl("/bin/true", "true", nullptr);
    return errno == EPERM ? 0 : 1;
  }),
            0);
  EXPECT_TRUE(monitored.recorder.records.empty());
}

TEST(Monitor, WithoutExecNotificationNothingIsRecordedAndAllElseHolds) {
  Monitored monitored{.kind = {.run_own_programs = true, .notify_exec = false}};
  EXPECT_EQ(monitored.run([] {
    return ::execl("/bin/sh", "sh", "-c", "unshare -U true 2>/dev/null; test $? -ne 0", nullptr);
  }),
            0);
  EXPECT_TRUE(monitored.recorder.of(Event::exec).empty());
  EXPECT_EQ(monitored.recorder.of(Event::denial, "unshare").size(), 1U);
}

}  // namespace
}  // namespace oqto::sandbox
