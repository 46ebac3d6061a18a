// Hidden files that are asked for, with real programs: who gets what, and on whose word.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "sandbox/monitor/monitor.h"
#include "sandbox/monitor/test_monitored.h"

namespace oqto::sandbox {
namespace {

using ipc::Event;
using ipc::FieldKey;
using Choice = ipc::ApprovalChoice;

class Hidden : public testing::Test {
 protected:
  Hidden() {
    char path[] = "/tmp/oqto-hidden-XXXXXX";
    dir_ = ::mkdtemp(path);
    ::mkdir((dir_ + "/keys").c_str(), 0755);
    std::ofstream(secret()) << "the secret";
    std::ofstream(dir_ + "/open") << "nothing";
    std::ofstream(dir_ + "/mask");
  }
  ~Hidden() override { std::filesystem::remove_all(dir_); }
  std::string secret() const { return dir_ + "/keys/secret"; }
  std::string keys() const { return dir_ + "/keys"; }

  Monitored monitored(bool automatic, Approver* approver = nullptr) const {
    Monitored wanted{.kind = {.run_own_programs = true, .notify_exec = true, .notify_open = true}};
    wanted.ask.push_back(*open_ask_path(keys(), keys(), automatic));
    wanted.approver = approver;
    // As a session's mounts hide it.
    wanted.before_filter = [this] {
      CHECK(::unshare(CLONE_NEWNS) == 0);
      CHECK(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
      CHECK(::mount((dir_ + "/mask").c_str(), secret().c_str(), nullptr, MS_BIND, nullptr) == 0);
    };
    return wanted;
  }
  std::string dir_;
};

std::string read_whole(int fd) {
  char text[256];
  const ssize_t n = ::read(fd, text, sizeof text);
  return n < 0 ? "" : std::string(text, static_cast<std::size_t>(n));
}

// In a session: 0 if the file holds `expected`, else errno or -1.
int reads(const std::string& path, std::string_view expected, int flags = O_RDONLY) {
  const int fd = ::open(path.c_str(), flags);
  if (fd < 0) return errno;
  const std::string text = read_whole(fd);
  ::close(fd);
  return text == expected ? 0 : -1;
}

// Answers each question at the monitor's next turn.
struct User final : Approver {
  explicit User(Choice says) : choice(says) {}
  Status ask(const ipc::ApprovalAsk& question) override {
    questions.push_back(question);
    return {};
  }
  void answer(Monitor& monitor) {
    for (; answered < questions.size(); ++answered) {
      monitor.on_answer(questions[answered].question, choice);
    }
  }
  Choice choice;
  std::vector<ipc::ApprovalAsk> questions;
  std::size_t answered = 0;
};

TEST_F(Hidden, AutomaticPathsAreReadAndRecorded) {
  auto wanted = monitored(true);
  EXPECT_EQ(wanted.run([&] {
    if (reads(secret(), "the secret") != 0) return 1;
    if (::chdir(dir_.c_str()) != 0 || reads("./keys/../keys//secret", "the secret") != 0) return 2;
    const int dir = ::open("keys", O_RDONLY | O_DIRECTORY);
    const int fd = ::openat(dir, "secret", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ::fcntl(fd, F_GETFD) != FD_CLOEXEC) return 3;
    return ::execl("/bin/cat", "cat", secret().c_str(), nullptr);
  }),
            0);
  const auto records = wanted.recorder.of(Event::approval, secret());
  ASSERT_EQ(records.size(), 4U);
  EXPECT_EQ(value(records[0], FieldKey::rule), "auto");
  EXPECT_EQ(value(records[3], FieldKey::exe), "/usr/bin/cat");
  EXPECT_EQ(value(records[3], FieldKey::argv), "cat");
}

TEST_F(Hidden, AreMasksToEveryoneWhoIsNotGrantedThem) {
  User user(Choice::deny);
  auto wanted = monitored(false, &user);
  wanted.each_turn = [&](Monitor& monitor) { user.answer(monitor); };
  EXPECT_EQ(wanted.run([&] {
    if (reads(secret(), "") != EACCES) return 1;
    // By a link, a path of /proc, or a descriptor that only names it: the mask.
    const std::string link = dir_ + "/link";
    if (::symlink(secret().c_str(), link.c_str()) != 0 || reads(link, "") != 0) return 2;
    if (reads("/proc/self/root" + secret(), "") != 0) return 3;
    const int named = ::open(secret().c_str(), O_PATH);
    if (named < 0 || reads("/proc/self/fd/" + std::to_string(named), "") != 0) return 4;
    return 0;
  }),
            0);
  ASSERT_EQ(user.questions.size(), 1U);
  EXPECT_EQ(user.questions[0].what.view(), secret());
  const auto records = wanted.recorder.of(Event::approval, secret());
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(value(records[0], FieldKey::choice), "deny");
  EXPECT_EQ(records[0].outcome, ipc::Outcome::failure);
}

TEST_F(Hidden, TheUsersAnswerDecides) {
  for (const Choice choice : {Choice::once, Choice::session}) {
    User user(choice);
    auto wanted = monitored(false, &user);
    wanted.each_turn = [&](Monitor& monitor) { user.answer(monitor); };
    EXPECT_EQ(
        wanted.run([&] { return reads(secret(), "the secret") + reads(secret(), "the secret"); }),
        0);
    EXPECT_EQ(user.questions.size(), choice == Choice::once ? 2U : 1U);
    EXPECT_EQ(wanted.recorder.of(Event::approval, secret()).size(), 2U);
  }
}

TEST_F(Hidden, NoAnswerInTimeIsANo) {
  User user(Choice::session);
  auto wanted = monitored(false, &user);
  wanted.ask_timeout_s = 1;
  EXPECT_EQ(wanted.run([&] { return reads(secret(), "") == EACCES ? 0 : 1; }), 0);
  EXPECT_EQ(wanted.recorder.of(Event::approval, "timeout").size(), 1U);
}

TEST_F(Hidden, AWaitingCallEndsWithItsProcessAndHoldsUpNoOther) {
  User user(Choice::session);
  auto wanted = monitored(false, &user);
  EXPECT_EQ(wanted.run([&] {
    const pid_t waiting = ::fork();
    if (waiting == 0) ::_exit(reads(secret(), "the secret"));
    for (int i = 0; i < 50; ++i) {
      if (reads(dir_ + "/open", "nothing") != 0) return 1;
    }
    ::usleep(50'000);
    ::kill(waiting, SIGKILL);
    int status = 0;
    return ::waitpid(waiting, &status, 0) == waiting && WIFSIGNALED(status) ? 0 : 2;
  }),
            0);
}

TEST_F(Hidden, AttackWritingAndCreatingAreRefused) {
  auto wanted = monitored(true);
  EXPECT_EQ(wanted.run([&] {
    for (const int flags :
         {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_RDONLY | O_CREAT, O_WRONLY | O_APPEND}) {
      if (::open(secret().c_str(), flags, 0600) != -1 || errno != EACCES) return 1;
    }
    return ::creat(secret().c_str(), 0600) == -1 && errno == EACCES ? 0 : 2;
  }),
            0);
  std::ifstream file(secret());
  std::string text;
  std::getline(file, text);
  EXPECT_EQ(text, "the secret");
  EXPECT_TRUE(wanted.recorder.of(Event::approval).empty());
  EXPECT_FALSE(wanted.recorder.of(Event::denial, "ask-path").empty());
}

TEST_F(Hidden, AttackTheDescriptorReachesNothingButTheCopy) {
  auto wanted = monitored(true);
  EXPECT_EQ(wanted.run([&] {
    const int fd = ::open(secret().c_str(), O_RDONLY);
    const std::string again = "/proc/self/fd/" + std::to_string(fd);
    if (::write(fd, "x", 1) != -1) return 1;
    const int writable = ::open(again.c_str(), O_RDWR);
    if (writable >= 0 && ::write(writable, "x", 1) != -1) return 2;
    if (::openat(fd, "..", O_RDONLY) != -1) return 3;
    if (::ftruncate(writable, 0) != -1) return 4;
    if (::fchmod(fd, 0777) == 0 && ::execl(again.c_str(), "x", nullptr) != -1) return 5;
    return 0;
  }),
            0);
  struct stat info {};
  ASSERT_EQ(::stat(secret().c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 10);
  EXPECT_EQ(info.st_mode & 0777U, 0644U);
}

TEST_F(Hidden, TwoReadersDoNotShareAPosition) {
  auto wanted = monitored(true);
  EXPECT_EQ(wanted.run([&] {
    const int a = ::open(secret().c_str(), O_RDONLY);
    const int b = ::open(secret().c_str(), O_RDONLY);
    return read_whole(a) == "the secret" && read_whole(b) == "the secret" ? 0 : 1;
  }),
            0);
}

TEST_F(Hidden, WhatIsNotARegularFileIsLeftToItsMask) {
  ASSERT_EQ(::mkfifo((keys() + "/pipe").c_str(), 0600), 0);
  ASSERT_EQ(::symlink("/etc/shadow", (keys() + "/shadow").c_str()), 0);
  auto wanted = monitored(true);
  EXPECT_EQ(wanted.run([&] {
    if (::open((keys() + "/absent").c_str(), O_RDONLY) != -1 || errno != ENOENT) return 1;
    const int dir = ::open(keys().c_str(), O_RDONLY);
    struct stat info {};
    return ::fstat(dir, &info) == 0 && S_ISDIR(info.st_mode) ? 0 : 2;
  }),
            0);
  EXPECT_TRUE(wanted.recorder.of(Event::approval).empty());
}

// A second thread makes the path another one after the notification. `masked`: whether the mounts
// of a session hide the file. True if the secret was read.
bool flipping_reads_the_secret(Monitored wanted, const std::string& harmless,
                               const std::string& secret, int tries) {
  const int status = wanted.run([&] {
    static char path[256];
    std::strncpy(path, harmless.c_str(), sizeof path - 1);
    std::atomic<bool> done = false;
    std::thread flipper([&] {
      while (!done) {
        std::memcpy(path, secret.c_str(), secret.size() + 1);
        std::memcpy(path, harmless.c_str(), harmless.size() + 1);
      }
    });
    int result = 0;
    for (int i = 0; i < tries && result == 0; ++i) {
      const int fd = ::open(path, O_RDONLY);
      if (fd < 0) continue;
      if (read_whole(fd) == "the secret") result = 1;
      ::close(fd);
    }
    done = true;
    flipper.join();
    return result;
  });
  return status != 0;
}

TEST_F(Hidden, AttackAPathThatChangesAfterItWasLookedAtReadsTheMask) {
  User user(Choice::deny);
  auto naive = monitored(false, &user);
  naive.each_turn = [&](Monitor& monitor) { user.answer(monitor); };
  naive.before_filter = nullptr;  // hidden by the monitor's answers alone
  EXPECT_TRUE(flipping_reads_the_secret(std::move(naive), dir_ + "/open", secret(), 100'000));

  auto wanted = monitored(false, &user);
  wanted.each_turn = [&](Monitor& monitor) { user.answer(monitor); };
  EXPECT_FALSE(flipping_reads_the_secret(std::move(wanted), dir_ + "/open", secret(), 3000));
}

}  // namespace
}  // namespace oqto::sandbox
