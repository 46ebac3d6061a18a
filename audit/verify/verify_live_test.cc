// A log that is being written while it is checked or copied.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "audit/format/format.h"
#include "audit/tests/test_log.h"

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
