// What the records of real programs say: arguments, environment, ends and hashes.
#include "sandbox/monitor/exec_record.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "sandbox/monitor/digest.h"
#include "sandbox/monitor/test_monitored.h"
#include "tests/possible.h"

namespace oqto::sandbox {
namespace {

using ipc::Event;
using ipc::FieldKey;

std::vector<std::string> values(const ipc::AuditAppend& record, FieldKey key) {
  std::vector<std::string> found;
  for (const ipc::AuditField& field : record.list) {
    if (field.key == key) found.push_back(field.value);
  }
  return found;
}

[[noreturn]] void execute(const std::vector<std::string>& argv,
                          const std::vector<std::string>& environment = {"PATH=/usr/bin"}) {
  std::vector<char*> arguments, variables;
  for (const std::string& each : argv) arguments.push_back(const_cast<char*>(each.c_str()));
  for (const std::string& each : environment) variables.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);
  variables.push_back(nullptr);
  ::execve(argv[0].c_str(), arguments.data(), variables.data());
  ::_exit(errno == 0 ? 255 : errno);
}

std::string joined(const std::vector<std::string>& argv) {
  std::string all;
  for (const std::string& each : argv) all += each + '\0';
  return all;
}

// One that succeeded, by its program; fails the test if there is none.
ipc::AuditAppend exec_of(const Monitored& monitored, std::string_view exe) {
  for (const auto& record : monitored.recorder.of(Event::exec, exe)) {
    if (record.outcome == ipc::Outcome::success) return record;
  }
  ADD_FAILURE() << "no exec of " << exe;
  return {};
}

void expect_whole(const Monitored& monitored, const ipc::AuditAppend& record,
                  const std::vector<std::string>& argv) {
  const std::string all = joined(argv);
  EXPECT_EQ(value(record, FieldKey::argc), std::to_string(argv.size()));
  EXPECT_EQ(value(record, FieldKey::argv_bytes), std::to_string(all.size()));
  EXPECT_EQ(value(record, FieldKey::argv_sha256), sha256_hex(all));
  EXPECT_EQ(values(record, FieldKey::truncated), std::vector<std::string>{"true"});
  const auto blob = monitored.recorder.blobs.find(value(record, FieldKey::argv_blob));
  ASSERT_NE(blob, monitored.recorder.blobs.end());
  EXPECT_EQ(blob->second, all);
}

TEST(ExecRecord, AttackACommandBehindSeventyKilobytesOfCommentIsRecordedWhole) {
  const std::vector<std::string> argv = {"/usr/bin/bash", "-c",
                                         '#' + std::string(70'000, 'x') + "\nexit 7"};
  Monitored monitored;
  EXPECT_EQ(WEXITSTATUS(monitored.run([&]() -> int { execute(argv); })), 7);
  expect_whole(monitored, exec_of(monitored, "/usr/bin/bash"), argv);
}

TEST(ExecRecord, AttackTenThousandArgumentsAreRecordedAll) {
  std::vector<std::string> argv = {"/usr/bin/true"};
  for (int i = 0; i < 10'000; ++i) argv.push_back("argument-" + std::to_string(i));
  Monitored monitored;
  EXPECT_EQ(monitored.run([&]() -> int { execute(argv); }), 0);
  expect_whole(monitored, exec_of(monitored, "/usr/bin/true"), argv);
}

TEST(ExecRecord, AsManyArgumentsAsTheKernelTakesAreRecordedAll) {
  std::vector<std::string> argv = {"/usr/bin/true"};
  for (int i = 0; i < 40; ++i) argv.emplace_back(120'000, 'x');
  Monitored monitored;
  EXPECT_EQ(monitored.run([&]() -> int {
    const rlimit stack{RLIM_INFINITY, RLIM_INFINITY};  // its quarter bounds them
    if (::setrlimit(RLIMIT_STACK, &stack) != 0) return 99;
    execute(argv);
  }),
            0);
  expect_whole(monitored, exec_of(monitored, "/usr/bin/true"), argv);
}

TEST(ExecRecord, AttackOneArgumentTooManyOrOneByteTooLongStillHidesNothing) {
  for (const std::size_t count : {kMaxArguments - 2, kMaxArguments - 1, kMaxArguments}) {
    std::vector<std::string> argv = {"/usr/bin/true"};
    for (std::size_t i = 0; i < count; ++i) argv.push_back(std::to_string(i));
    Monitored monitored;
    EXPECT_EQ(monitored.run([&]() -> int { execute(argv); }), 0);
    const auto record = exec_of(monitored, "/usr/bin/true");
    if (value(record, FieldKey::argv_blob).empty()) {
      EXPECT_EQ(values(record, FieldKey::argv), argv);
    } else {
      expect_whole(monitored, record, argv);
    }
  }
  for (const std::size_t size : {ipc::kMaxFieldBytes, ipc::kMaxFieldBytes + 1}) {
    const std::vector<std::string> argv = {"/usr/bin/true", std::string(size, 'y')};
    Monitored monitored;
    EXPECT_EQ(monitored.run([&]() -> int { execute(argv); }), 0);
    const auto record = exec_of(monitored, "/usr/bin/true");
    if (value(record, FieldKey::argv_blob).empty()) {
      EXPECT_EQ(values(record, FieldKey::argv), argv);
    } else {
      expect_whole(monitored, record, argv);
    }
  }
}

// What JSON writes as six bytes would be cut where the entry is written.
TEST(ExecRecord, AttackControlCharactersThatGrowInTheLogAreRecordedWhole) {
  const std::vector<std::string> argv = {"/usr/bin/true", std::string(9000, '\x01'), "behind"};
  Monitored monitored;
  EXPECT_EQ(monitored.run([&]() -> int { execute(argv); }), 0);
  expect_whole(monitored, exec_of(monitored, "/usr/bin/true"), argv);
}

TEST(ExecRecord, WhatARecordHoldsNeedsNoBlob) {
  const std::vector<std::string> argv = {"/usr/bin/true", "", "a b", "\xff"};
  Monitored monitored;
  EXPECT_EQ(monitored.run([&]() -> int { execute(argv); }), 0);
  const auto record = exec_of(monitored, "/usr/bin/true");
  EXPECT_EQ(values(record, FieldKey::argv), argv);
  EXPECT_TRUE(values(record, FieldKey::truncated).empty());
  EXPECT_TRUE(monitored.recorder.blobs.empty());
}

TEST(ExecRecord, AttackArgumentsThatCannotBeStoredAreNotExecuted) {
  Monitored monitored;
  monitored.recorder.stores_blobs = false;
  EXPECT_EQ(monitored.run([] {
    int ends[2];
    if (::pipe(ends) != 0) return 90;
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1], 1);
      execute({"/usr/bin/bash", "-c", '#' + std::string(70'000, 'x') + "\necho ran"});
    }
    ::close(ends[1]);
    char byte = 0;
    if (::read(ends[0], &byte, 1) != 0) return 91;  // it ran
    int status = 0;
    return ::waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 92;
  }),
            0);
  const auto records = monitored.recorder.of(Event::exec, "/usr/bin/bash");
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].outcome, ipc::Outcome::failure);
  EXPECT_EQ(value(records[0], FieldKey::argv_sha256).size(), 64U);
  EXPECT_TRUE(value(records[0], FieldKey::reason).starts_with("killed: its arguments"));
}

// --- bounds ------------------------------------------------------------------------------------

TEST(ExecRecord, AttackManyLongArgumentsAtOnceAreNotReadBeforeThereIsRoom) {
  constexpr std::size_t kPrograms = 16;
  Monitored monitored;
  int turns_without_room = 0;
  std::size_t most = 0;
  monitored.recorder.room = [&] { return monitored.recorder.blobs.empty() || turns_without_room > 40; };
  monitored.each_turn = [&](Monitor&) {
    if (monitored.recorder.blobs.empty() || turns_without_room > 40) return;
    ++turns_without_room;
    most = std::max(most, monitored.recorder.blobs.size());
  };
  const int status = monitored.run([]() -> int {
    for (std::size_t i = 0; i < kPrograms; ++i) {
      if (::fork() == 0) execute({"/usr/bin/true", std::string(100'000, 'a' + static_cast<char>(i))});
    }
    int failed = 0, each = 0;
    while (::wait(&each) > 0) failed += each != 0 ? 1 : 0;
    return failed;
  });
  EXPECT_EQ(status, 0) << "all of them run in the end";
  EXPECT_GT(turns_without_room, 40);
  EXPECT_EQ(most, 1U) << "of those that had executed already none was read";
  EXPECT_EQ(monitored.recorder.blobs.size(), kPrograms);
}

TEST(ExecRecord, AttackAnExecThatTheKernelHoldsBackIsRefusedAndRecordedOnce) {
  char path[] = "/tmp/oqto-lease-XXXXXX";
  ASSERT_TRUE(static_cast<bool>(Fd::adopt(::mkstemp(path))));
  std::filesystem::copy_file("/usr/bin/true", path, std::filesystem::copy_options::overwrite_existing);
  ASSERT_EQ(::chmod(path, 0755), 0);
  const auto before = ::signal(SIGIO, SIG_IGN);  // whoever holds the lease is asked to give it back
  const Fd lease = Fd::adopt(::open(path, O_RDONLY | O_CLOEXEC));
  const bool held = ::fcntl(lease.get(), F_SETLEASE, F_WRLCK) == 0;
  Monitored monitored;
  monitored.exec_patience_ms = 200;
  monitored.each_turn = [](Monitor&) {};
  const int status = held ? monitored.run([&]() -> int { execute({path}); }) : 0;
  (void)::signal(SIGIO, before);
  std::filesystem::remove(path);
  NEEDS(held ? "" : "a file system with leases in /tmp");
  EXPECT_EQ(WEXITSTATUS(status), EAGAIN) << "without us it waits for 45 s";
  const auto records = monitored.recorder.of(Event::exec);
  ASSERT_EQ(records.size(), 2U) << "not one for each time that it is tried";
  EXPECT_EQ(value(records[0], FieldKey::reason), "interrupted");
  EXPECT_TRUE(value(records[1], FieldKey::reason).starts_with("the kernel held it back")) << value(records[1], FieldKey::reason);
}

TEST(ExecRecord, AttackAnExecThatDoesNotEndIsKilledAndRecorded) {
  // With no patience at all any exec is overdue that has not ended when we look next.
  for (int i = 0; i < 100; ++i) {
    Monitored monitored;
    monitored.exec_patience_ms = 0;
    const int status = monitored.run([&]() -> int { execute({"/usr/bin/true"}); });
    const auto records = monitored.recorder.of(Event::exec);
    ASSERT_EQ(records.size(), 1U);
    if (!WIFSIGNALED(status)) continue;
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    EXPECT_EQ(records[0].outcome, ipc::Outcome::failure);
    EXPECT_TRUE(value(records[0], FieldKey::reason).starts_with("killed: the exec did not end")) << value(records[0], FieldKey::reason);
    return;
  }
  FAIL() << "each of them had ended at once";
}

// --- environment -------------------------------------------------------------------------------

TEST(ExecRecord, NamesEachVariableAndWhatDecidesWhatIsLoaded) {
  const std::vector<std::string> environment = {
      "HOME=/secret-place", "LD_PRELOAD=/tmp/evil.so", "BASH_ENV=/tmp/evil.sh", "PYTHONPATH=/tmp/p",
      "NODE_OPTIONS=--require /tmp/n.js", "PERL5LIB=/tmp/l", "GIT_SSH_COMMAND=/tmp/evil"};
  Monitored monitored;
  (void)monitored.run([&]() -> int { execute({"/usr/bin/true"}, environment); });
  const auto record = exec_of(monitored, "/usr/bin/true");
  auto expected = environment;
  expected[0] = "HOME";
  EXPECT_EQ(values(record, FieldKey::environment), expected);
  EXPECT_EQ(value(record, FieldKey::environment_sha256), sha256_hex(joined(environment)));
}

TEST(ExecRecord, AttackAVariableTooLongForARecordIsStoredWhole) {
  const std::vector<std::string> environment = {"LD_PRELOAD=" + std::string(50'000, ':') + "/tmp/evil.so",
                                                "TOKEN=of-somebody"};
  Monitored monitored;
  EXPECT_EQ(WEXITSTATUS(monitored.run([&]() -> int { execute({"/usr/bin/true"}, environment); })), 0);
  const auto record = exec_of(monitored, "/usr/bin/true");
  const auto blob = monitored.recorder.blobs.find(value(record, FieldKey::content_blob));
  ASSERT_NE(blob, monitored.recorder.blobs.end());
  EXPECT_EQ(blob->second, joined({environment[0], "TOKEN"})) << "and no value of another one";
  EXPECT_EQ(values(record, FieldKey::truncated), std::vector<std::string>{"true"});
}

TEST(ExecRecord, KnowsWhichVariablesDecide) {
  for (const char* name : {"LD_PRELOAD", "LD_AUDIT", "ENV", "PATH", "GIT_CONFIG_COUNT", "PYTHONSTARTUP"})
    EXPECT_TRUE(decides_what_is_loaded(name)) << name;
  for (const char* name : {"HOME", "TERM", "LDFLAGS", "GIT_AUTHOR_NAME", ""})
    EXPECT_FALSE(decides_what_is_loaded(name)) << name;
}

// --- parents and ends --------------------------------------------------------------------------

TEST(ExecRecord, NamesTheParentAndHowTheProgramEnded) {
  Monitored monitored;
  EXPECT_EQ(monitored.run([]() -> int {
    execute({"/usr/bin/bash", "-c", "/usr/bin/env -u X bash -c 'exit 3'; /usr/bin/dash -c 'kill -9 $$'; exit 5"});
  }) >> 8,
            5);
  const auto parent = value(exec_of(monitored, "/usr/bin/bash"), FieldKey::pid);
  const auto killer = exec_of(monitored, "/usr/bin/dash");
  EXPECT_EQ(value(killer, FieldKey::ppid), parent);
  const auto ended = [&](const std::string& pid) {
    for (const auto& record : monitored.recorder.of(Event::exec_exit, pid)) {
      if (value(record, FieldKey::pid) == pid) return record;
    }
    ADD_FAILURE() << "no end of " << pid;
    return ipc::AuditAppend{};
  };
  const auto killed = ended(value(killer, FieldKey::pid));
  EXPECT_EQ(value(killed, FieldKey::signal), "9");
  EXPECT_EQ(killed.outcome, ipc::Outcome::failure);
  EXPECT_FALSE(value(killed, FieldKey::duration_ms).empty());
  ASSERT_LT(killed.intent, monitored.recorder.records.size());
  EXPECT_EQ(value(monitored.recorder.records[killed.intent], FieldKey::exe), "/usr/bin/dash");
  const auto whole = ended(parent);
  EXPECT_EQ(value(whole, FieldKey::exit_status), "5");
  // `env` became `bash`: one process, one end, of what it executed last.
  const auto first = value(exec_of(monitored, "/usr/bin/env"), FieldKey::pid);
  const auto third = ended(first);
  EXPECT_EQ(value(third, FieldKey::exit_status), "3");
  EXPECT_EQ(value(monitored.recorder.records[third.intent], FieldKey::exe), "/usr/bin/bash");
  EXPECT_EQ(monitored.recorder.of(Event::exec_exit, first).size(), 1U);
}

TEST(ExecRecord, EveryOneOfManyShortProgramsHasItsEnd) {
  Monitored monitored;
  EXPECT_EQ(monitored.run([]() -> int {
    execute({"/usr/bin/bash", "-c", "for i in $(seq 1 100); do /usr/bin/true & done; wait"});
  }),
            0);
  std::size_t ended = 0;
  for (const auto& record : monitored.recorder.of(Event::exec_exit)) {
    if (record.intent == ipc::kNoIndex) continue;
    ended += value(monitored.recorder.records[record.intent], FieldKey::exe) == "/usr/bin/true";
  }
  EXPECT_EQ(ended, 100U);
}

// --- program files -----------------------------------------------------------------------------

TEST(ExecRecord, HashesTheProgramFileIfThePolicyWantsIt) {
  char path[] = "/tmp/oqto-program-XXXXXX";
  const int fd = ::mkstemp(path);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::close(fd), 0);
  std::filesystem::copy_file("/usr/bin/true", path, std::filesystem::copy_options::overwrite_existing);
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  for (const bool hashed : {false, true}) {
    Monitored monitored;
    monitored.hash_programs = hashed;
    EXPECT_EQ(monitored.run([&]() -> int {
      // The same size and, at a coarse clock, the same times: no hash of before may be taken for it.
      const std::string swap = std::string("printf 'END!' | dd of=") + path + " conv=notrunc bs=1 seek=" +
                               std::to_string(std::filesystem::file_size(path) - 4) + " 2>/dev/null";
      execute({"/usr/bin/bash", "-c", std::string(path) + "; " + swap + "; " + path});
    }),
              0);
    std::ifstream file(path, std::ios::binary);
    const std::string now((std::istreambuf_iterator<char>(file)), {});
    const auto records = monitored.recorder.of(Event::exec, path);
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(value(records[1], FieldKey::sha256), hashed ? sha256_hex(now) : "");
    EXPECT_EQ(value(records[0], FieldKey::sha256) != value(records[1], FieldKey::sha256), hashed);
    std::filesystem::copy_file("/usr/bin/true", path, std::filesystem::copy_options::overwrite_existing);
  }
  std::filesystem::remove(path);
}

TEST(Digest, IsSha256) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace oqto::sandbox
