// A log that is being written while it is checked or copied.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "audit/format/format.h"
#include "audit/format/time_text.h"
#include "audit/read/copying.h"
#include "audit/read/reader.h"
#include "audit/tests/test_log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

// Writes as fast as the log takes it, to many small segments, until it is destroyed.
class Writer {
 public:
  Writer() {
    host_.auditd_arguments = {"--segment-bytes", "200000"};
    host_.signer_arguments = {"--epoch-seconds", "0.5"};
    CHECK(host_.start());
    thread_ = std::thread([this] {
      auto client = host_.client();
      while (!is_over_) {
        for (int i = 0; i < 40; ++i) {
          CHECK(client.post(record(ipc::Event::exec).add(ipc::FieldKey::argv, std::string(200, 'x'))));
        }
        CHECK(client.append(record(ipc::Event::exec)));
        written_ += 41;
      }
    });
    while (!fs::exists(host_.log_dir() + "/checkpoint")) ::usleep(10'000);
  }
  ~Writer() {
    is_over_ = true;
    thread_.join();
    host_.stop();
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  TestHost& host() { return host_; }
  [[nodiscard]] int written() const { return written_; }

 private:
  TestHost host_;
  std::atomic<bool> is_over_ = false;
  std::atomic<int> written_ = 0;
  std::thread thread_;
};

TEST(VerifyLive, ALogInUseHasNoDefects) {
  Writer writer;
  for (int i = 0; i < 12; ++i) {
    const int before = writer.written();
    const Output output = writer.host().verify();
    EXPECT_EQ(output.status, 0) << output.out;
    while (writer.written() == before) ::usleep(1000);  // it is in use indeed
  }
}

TEST(VerifyLive, ACopyOfALogInUseVerifies) {
  Writer writer;
  for (int i = 0; i < 8; ++i) {
    TempDir dir;
    const std::string copy = dir.path() + "/copy";
    TestLog::copy_in_order(writer.host().log_dir(), copy);
    EXPECT_FALSE(fs::exists(copy + "/keys"));
    const Output output = run(writer.host().verify_command(copy));
    EXPECT_EQ(output.status, 0) << output.out;
    EXPECT_EQ(run(oqto_audit("copy " + copy + " --log " + writer.host().log_dir())).status, 2) << "not empty";
  }
  TempDir dir;
  const std::string with = dir.path() + "/with";
  const Output copied = run(oqto_audit("copy --keys --json " + with + " --log " + writer.host().log_dir()));
  EXPECT_TRUE(copied.out.starts_with("{\"files\":")) << copied.out;
  EXPECT_TRUE(fs::exists(with + "/keys/7"));
  const Output output = run(writer.host().verify_command(with));
  EXPECT_EQ(output.status, 0) << output.out;
}

std::vector<std::string> entries_in(const std::string& log) {
  std::vector<std::string> entries;
  auto reader = LogReader::open(log);
  CHECK(reader.has_value());
  CHECK(reader->read_new([&](std::uint64_t, std::string_view entry) {
    entries.emplace_back(entry);
    return Status();
  }));
  return entries;
}

// Keys are erased while the copy is made: none of them is in it, and its entries say why.
TEST(VerifyLive, AttackACopyHasNoKeyThatWasErasedMeanwhileAndVerifies) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  ASSERT_TRUE(client.append(record(ipc::Event::exec).add(ipc::FieldKey::argv, "x")));
  const std::uint64_t today = sys::now_ms() / 86'400'000;
  const std::string keys = "/keys/7/";
  const auto day = [&](std::uint64_t before) { return utc_day((today - before) * 86'400'000); };
  for (std::uint64_t i = 1; i <= 3; ++i) fs::copy_file(host.log_dir() + keys + day(0), host.log_dir() + keys + day(i));
  const auto erase = [&](std::uint64_t before) {
    ipc::AuditManage wanted;
    wanted.verb = ipc::AuditVerb::erase;
    wanted.account = 7;
    wanted.day = static_cast<std::uint32_t>(today - before);
    ASSERT_TRUE(host.auditd.guard.send(wanted));
    ASSERT_EQ(host.auditd.guard.wait(10'000)->as<ipc::AuditManaged>()->ok, 1);
  };
  erase(3);
  host.wait_for_checkpoint();
  TempDir dir;
  const std::string copy = dir.path() + "/copy";
  std::uint64_t round = 0;
  const auto copied = copy_log(host.log_dir(), copy, true, [&] {
    if (++round <= 2) erase(round);  // behind the entries of this round, before its keys
  });
  ASSERT_TRUE(copied) << copied.error().what;
  EXPECT_EQ(round, 3U);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    EXPECT_FALSE(fs::exists(copy + keys + day(i))) << i;
    EXPECT_TRUE(fs::exists(copy + keys + day(i) + ".erased")) << i;
    std::uint64_t told = 0;
    for (const std::string& entry : entries_in(copy)) {
      told += contains(entry, R"("event":"key.erase","phase":"intent")") && contains(entry, day(i)) ? 1U : 0U;
    }
    EXPECT_EQ(told, 1U) << i;
  }
  EXPECT_TRUE(fs::exists(copy + keys + day(0)));
  const Output output = run(host.verify_command(copy));
  EXPECT_EQ(output.status, 0) << output.out;
  EXPECT_EQ(copied->files, files_beneath(copy).size());
}

// What cannot be told from a batch that is being written stays damage when nobody writes.
TEST(VerifyLive, AttackHalfABatchInALogAtRestIsDamage) {
  TempDir dir;
  const auto log = TestLog::write("60000", 60);
  const std::string copy = dir.path() + "/copy";
  copy_directory(log->dir(), copy);
  const auto names = files_beneath(copy + "/segment");
  const std::string path = copy + "/segment/" + names.back();
  std::string text = batches_of(read_file(path));
  std::string body;
  append_entry(body, std::string(1000, 'x'));
  std::string batch = encode_batch(99999, 1, body);
  batch.replace(500, 400, 400, '\0');
  write_file(path, text + batch + std::string(5000, '\0'));
  EXPECT_EQ(run(log->host().verify_command(copy)).status, 1);
}

}  // namespace
}  // namespace oqto::audit
