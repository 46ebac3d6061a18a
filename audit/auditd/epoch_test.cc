// Epochs, and the wall clock, with the real programs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "audit/format/epoch.h"
#include "audit/tests/test_host.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

using ipc::Event;

// Until the log holds so many of them; false after half a minute.
bool wait_for(const TestHost& host, std::string_view event, std::size_t count) {
  for (int i = 0; i < 1500; ++i) {
    if (count_events(entries_of(host), event) >= count) return true;
    ::usleep(20'000);
  }
  return false;
}

TEST(Epoch, EndsByItselfWhileRecordsCome) {
  TestHost host;
  host.signer_arguments = {"--epoch-seconds", "0.02"};
  ASSERT_TRUE(host.start());
  auto client = host.client();
  while (count_events(entries_of(host), "epoch.seal") < 5) {
    ASSERT_TRUE(client.append(record(Event::exec)));
  }
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(Epoch, IsSealedOnceAlthoughNothingHappensInIt) {
  TestHost host;
  host.signer_arguments = {"--epoch-seconds", "0.05"};
  ASSERT_TRUE(host.start());
  ASSERT_TRUE(wait_for(host, "epoch.seal", 5));
  host.stop();
  const auto entries = entries_of(host);
  std::uint64_t next = 0;
  for (const std::string& entry : entries) {
    if (!is_seal_entry(entry)) continue;
    const auto seal = read_seal(*seal_in_entry(entry));
    ASSERT_TRUE(seal) << entry;
    EXPECT_EQ(seal->epoch, next++);
  }
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(Epoch, LeavesNothingOfItsKeyBehind) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ASSERT_TRUE(host.client().append(record(Event::login)));
  const std::string file = host.key_dir() + "/epoch";
  const std::string before = read_file(file);
  const std::size_t at = before.find("PRIVATE+KEY+");
  ASSERT_NE(at, before.npos);
  const std::string key = before.substr(at, 160);  // within it, whatever its name's length
  host.stop();
  for (const std::string& name : files_beneath(host.key_dir())) {
    const std::string content = read_file(host.key_dir() + "/" + name);
    EXPECT_FALSE(contains(content, key.substr(key.size() - 30))) << name;
  }
  EXPECT_TRUE(contains(read_file(file), "PRIVATE+KEY+"));
}

TEST(Epoch, IsNotProlongedByEndingTheSigner) {
  TestHost host;
  ASSERT_TRUE(host.start());
  for (std::size_t round = 2; round < 5; ++round) {
    ASSERT_TRUE(host.client().append(record(Event::login)));
    host.kill_auditd();
    host.kill_signer();
    ASSERT_TRUE(host.start());
    EXPECT_TRUE(wait_for(host, "epoch.seal", round));
  }
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(Epoch, AttackARestoredKeyOfAnEarlierEpochIsNotServed) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ASSERT_TRUE(host.client().append(record(Event::login)));
  const std::string earlier = read_file(host.key_dir() + "/epoch");
  host.stop();
  write_file(host.key_dir() + "/epoch", earlier);
  EXPECT_FALSE(host.start() && host.client().append(record(Event::login)) &&
               host.verify().status == 0);
}

TEST(Epoch, AttackADeletedOrDamagedEpochKeyIsNotAFreshStart) {
  TestHost host;
  ASSERT_TRUE(host.start());
  host.stop();
  const std::string command = "3<>/dev/null 4<>/dev/null 5<>/dev/null " +
                              program("oqto-audit-signer") +
                              " --origin audit.example/test --key-dir " + host.key_dir();
  const std::string file = host.key_dir() + "/epoch";
  std::string damaged = read_file(file);
  for (const std::size_t at : {20U, 8192U + 20U}) damaged[at] = static_cast<char>(damaged[at] ^ 1);
  write_file(file, damaged);
  EXPECT_TRUE(contains(run(command).out, "damaged"));
  ASSERT_EQ(::unlink(file.c_str()), 0);
  EXPECT_TRUE(contains(run(command).out, "restore it"));
}

// --- rotation ---

class Rotation : public testing::Test {
 protected:
  void SetUp() override {
    write_some();
    old_ = read_file(vkey());
    old_key_ = first_line_of(host_.key_dir() + "/log.key");
    write_file(dir_.path() + "/old.vkey", old_);
  }
  void write_some() {
    ASSERT_TRUE(host_.start());
    auto client = host_.client();
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(client.append(record(Event::exec)));
    host_.stop();
  }
  Output rotate() { return run(program("oqto-audit") + " rotate --key-dir " + host_.key_dir()); }
  std::string vkey() const { return host_.key_dir() + "/log.vkey"; }
  static std::string first_line_of(const std::string& path) {
    const std::string text = read_file(path);
    return text.substr(0, text.find('\n'));
  }
  int verify_with(const std::string& key) {
    return run(program("oqto-audit") + " verify --log " + host_.log_dir() + " --vkey " + key).status;
  }

  TempDir dir_;
  TestHost host_;
  std::string old_, old_key_;
};

TEST_F(Rotation, TheLogVerifiesWithTheOldKeyAndWithTheNewOne) {
  write_file(dir_.path() + "/kept", read_file(host_.log_dir() + "/checkpoint"));
  for (int round = 0; round < 3; ++round) {
    const Output rotated = rotate();
    ASSERT_EQ(rotated.status, 0) << rotated.out;
    ASSERT_EQ(rotated.out, first_line_of(vkey()) + "\n");
    write_some();
    EXPECT_EQ(verify_with(vkey()), 0) << host_.verify().out;
    EXPECT_EQ(verify_with(dir_.path() + "/old.vkey"), 0);
  }
  const std::string kept = " --known " + dir_.path() + "/kept";
  EXPECT_EQ(verify_with(vkey() + kept), 0);
  EXPECT_EQ(verify_with(dir_.path() + "/old.vkey --since " + dir_.path() + "/kept"), 0);
  EXPECT_EQ(run("python3 " OQTO_INDEPENDENT ".py " + host_.log_dir() + " " + vkey()).status, 0);
  EXPECT_EQ(run("python3 " OQTO_INDEPENDENT ".py " + host_.log_dir() + " " + dir_.path() +
                "/old.vkey").status, 0);
  EXPECT_NE(read_file(vkey()), old_);
  EXPECT_EQ(read_file(vkey()).substr(read_file(vkey()).find('\n')), old_.substr(old_.find('\n')));
}

TEST_F(Rotation, AttackAKeyThatTheLogNeverHadDoesNotVerifyIt) {
  ASSERT_EQ(run(program("oqto-audit") + " keygen --name audit.example/test --out " + dir_.path() +
                "/x.key").status, 0);
  ASSERT_EQ(rotate().status, 0);
  write_some();
  EXPECT_EQ(verify_with(dir_.path() + "/x.vkey"), 1);
}

TEST_F(Rotation, TheOldPrivateKeyIsGone) {
  ASSERT_EQ(rotate().status, 0);
  for (const std::string& name : files_beneath(host_.key_dir())) {
    EXPECT_FALSE(contains(read_file(host_.key_dir() + "/" + name), old_key_)) << name;
  }
}

TEST_F(Rotation, IsRefusedWhileTheSignerRuns) {
  ASSERT_TRUE(host_.start());
  const Output output = rotate();
  EXPECT_EQ(output.status, 2);
  EXPECT_TRUE(contains(output.out, "stop the host first")) << output.out;
}

TEST_F(Rotation, ACrashInTheMiddleOfItIsFinishedAtTheNextStart) {
  copy_directory(host_.key_dir(), dir_.path() + "/before");
  ASSERT_EQ(rotate().status, 0);
  // Before the seal was durable: as if nothing had been done.
  copy_directory(host_.key_dir(), dir_.path() + "/after");
  copy_directory(dir_.path() + "/before", host_.key_dir());
  write_file(host_.key_dir() + "/log.key.next", read_file(dir_.path() + "/after/log.key"));
  write_some();
  EXPECT_EQ(read_file(vkey()), old_);
  EXPECT_EQ(host_.verify().status, 0);
  // Behind it: the new key has to take its place, whether the old one is erased yet or not.
  ASSERT_EQ(rotate().status, 0);
  const std::string next = read_file(host_.key_dir() + "/log.key");
  write_file(host_.key_dir() + "/log.key.next", next);
  write_file(host_.key_dir() + "/log.key", std::string(512, '\0'));
  write_some();
  EXPECT_EQ(read_file(host_.key_dir() + "/log.key"), next);
  EXPECT_EQ(host_.verify().status, 0) << host_.verify().out;
}

class Clock : public testing::Test {
 protected:
  void SetUp() override {
    set_ms(0);
    host_.auditd_environment = {{"LD_PRELOAD", OQTO_CLOCK_MODULE}, {"OQTO_CLOCK", file()}};
    host_.signer_environment = host_.auditd_environment;
  }
  std::string file() const { return dir_.path() + "/clock"; }
  void set_ms(std::int64_t offset) {  // in place: it is mapped
    const Fd at = *sys::open_file(file().c_str(), O_RDWR | O_CREAT, 0600);
    ASSERT_EQ(::pwrite(at.get(), &offset, sizeof offset, 0), 8);
  }
  std::string entry_behind(std::string_view event) {
    const std::string mark = "\"event\":\"" + std::string(event) + "\"";
    for (const std::string& entry : entries_of(host_)) {
      if (contains(entry, mark)) return entry;
    }
    return {};
  }

  TempDir dir_;
  TestHost host_;
};

TEST_F(Clock, AttackSettingItBackIsRecordedAndChangesNoOrder) {
  host_.signer_arguments = {"--epoch-seconds", "0.05"};
  ASSERT_TRUE(host_.start());
  auto client = host_.client();
  ASSERT_TRUE(client.append(record(Event::login)));
  set_ms(-3'600'000);
  const auto index = client.append(record(Event::logout));
  ASSERT_TRUE(index);
  const std::string step = entry_behind("clock.step");
  EXPECT_TRUE(contains(step, "the wall clock went back")) << step;
  EXPECT_TRUE(contains(step, R"("duration_ms":"36000)") || contains(step, R"("duration_ms":"35999)"))
      << step;
  EXPECT_TRUE(contains(step, R"("boottime_ms":)")) << step;
  // The epochs go on as before: their end is not the wall clock's to say.
  const std::size_t seals = count_events(entries_of(host_), "epoch.seal");
  ASSERT_TRUE(wait_for(host_, "epoch.seal", seals + 3));
  host_.stop();
  EXPECT_EQ(host_.verify().status, 0) << host_.verify().out;
}

TEST_F(Clock, ALeapAheadIsRecordedAndASmallCorrectionIsNot) {
  ASSERT_TRUE(host_.start());
  auto client = host_.client();
  set_ms(1000);
  ASSERT_TRUE(client.append(record(Event::login)));
  EXPECT_EQ(count_events(entries_of(host_), "clock.step"), 0U);
  set_ms(5000);
  ASSERT_TRUE(client.append(record(Event::login)));
  EXPECT_TRUE(contains(entry_behind("clock.step"), "the wall clock leapt ahead"));
}

TEST_F(Clock, SettingItBackWhileNothingRunsIsRecordedToo) {
  ASSERT_TRUE(host_.start());
  host_.stop();
  set_ms(-60'000);
  ASSERT_TRUE(host_.start());
  ASSERT_TRUE(host_.client().append(record(Event::login)));
  EXPECT_TRUE(contains(entry_behind("clock.step"), "the wall clock is behind the last entry"));
}

}  // namespace
}  // namespace oqto::audit
