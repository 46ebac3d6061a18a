// Blobs and sealed fields with the real oqto-auditd, oqto-audit-signer and oqto-audit.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "audit/format/time_text.h"
#include "audit/read/open_entry.h"
#include "audit/tests/test_host.h"
#include "audit/tests/test_log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

using ipc::Event;
using ipc::FieldKey;
using ipc::Phase;

class Blobs : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(host_.start()); }

  std::uint64_t append_with_blob(ipc::AuditClient& client, std::string_view content) {
    const auto name = client.store(content);
    EXPECT_TRUE(name);
    const auto index = client.append(record(Event::command, Phase::intent)
                                         .add(FieldKey::command, "prompt")
                                         .add(FieldKey::args_blob, name.value_or("")));
    EXPECT_TRUE(index);
    return index.value_or(0);
  }
  Output audit(const std::string& arguments) const {
    return run(oqto_audit(arguments) + " --log " + host_.log_dir());
  }
  std::vector<std::string> blob_files() const {
    std::vector<std::string> found;
    for (const std::string& file : files_beneath(host_.log_dir())) {
      if (file.starts_with("blob/")) found.push_back(file);
    }
    return found;
  }
  std::string today() const { return utc_day(sys::now_ms()); }

  TestHost host_;
};

std::string answer_to(ipc::Channel& channel) {
  const auto message = channel.wait(10'000);
  if (!message) return "gone";
  if (message->as<ipc::AuditBlobStored>()) return "stored";
  const auto refused = message->as<ipc::AuditRefused>();
  return refused ? refused->why.str() : "?";
}

TEST_F(Blobs, ALongPayloadIsStoredNamedVerifiedAndShown) {
  auto client = host_.client();
  const std::string content = R"({"text":")" + std::string(100'000, 'x') + "\"}";
  const std::uint64_t index = append_with_blob(client, content);
  host_.stop();
  const std::string entry = entries_of(host_)[index];
  const auto blobs = blobs_of(entry);
  ASSERT_EQ(blobs.size(), 1U) << entry;
  EXPECT_EQ(blobs[0].bytes, content.size());
  EXPECT_EQ(blobs[0].tenant, 7U);
  EXPECT_FALSE(contains(entry, "truncated"));
  const Output verified = host_.verify();
  EXPECT_EQ(verified.status, 0) << verified.out;
  EXPECT_TRUE(contains(verified.out, "1 blobs are as their entries name them")) << verified.out;
  EXPECT_EQ(audit("show " + std::to_string(index) + " --blob").out, content);
}

TEST_F(Blobs, OfTheLargestAllowedSizeArriveAndLargerOnesAreRefused) {
  auto client = host_.client();
  EXPECT_TRUE(client.store(std::string(ipc::kMaxBlobBytes, 'x')));
  EXPECT_EQ(client.store(std::string(ipc::kMaxBlobBytes + 1, 'x')).error().code, Errc::limit);
  auto raw = host_.source();
  const Fd huge = *sys::sealed_memfd("x", std::string(ipc::kMaxBlobBytes + 1, 'x'));
  ASSERT_TRUE(raw.send(ipc::AuditBlob{1, 0}, huge));
  EXPECT_EQ(answer_to(raw), "a blob has at most 64 MiB");
}

TEST_F(Blobs, AttackAMemoryFileThatCanStillChangeIsRefused) {
  auto raw = host_.source();
  const auto with_seals = [](int seals) {
    Fd file = Fd::adopt(::memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(::ftruncate(file.get(), 4096), 0);
    EXPECT_EQ(::fcntl(file.get(), F_ADD_SEALS, seals), 0);
    return file;
  };
  constexpr std::string_view kWhy =
      "a blob is a memory file, sealed against writing, shrinking and growing";
  const int bad[] = {0, F_SEAL_WRITE, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_WRITE | F_SEAL_GROW,
                     F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW};
  for (const int seals : bad) {
    ASSERT_TRUE(raw.send(ipc::AuditBlob{1, 0}, with_seals(seals)));
    EXPECT_EQ(answer_to(raw), kWhy) << seals;
  }
  TempDir dir;
  write_file(dir.path() + "/plain", "content");
  for (const std::string& path : {dir.path() + "/plain", dir.path(), std::string("/dev/zero")}) {
    ASSERT_TRUE(raw.send(ipc::AuditBlob{1, 0}, *sys::open_file(path.c_str(), O_RDONLY)));
    EXPECT_EQ(answer_to(raw), kWhy) << path;
  }
  ASSERT_TRUE(raw.send(ipc::AuditBlob{1, 0}, with_seals(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)));
  EXPECT_EQ(answer_to(raw), "stored");
}

TEST_F(Blobs, AttackASourceCannotNameABlobThatAnotherStored) {
  auto bob = ipc::AuditClient(host_.source(ipc::Process::runner, 8, "bob", 1, 2));
  const auto name = bob.store("bob's");
  ASSERT_TRUE(name);
  for (const std::string& named : {*name, std::string(64, 'a'), std::string("../../checkpoint")}) {
    auto ann = host_.client();
    EXPECT_FALSE(ann.append(record(Event::command).add(FieldKey::args_blob, named))) << named;
  }
  EXPECT_TRUE(bob.append(record(Event::command).add(FieldKey::args_blob, *name)));
  host_.stop();
  EXPECT_EQ(std::ranges::count_if(entries_of(host_), [](const std::string& entry) {
              return contains(entry, "names a blob that it did not store");
            }), 3);
  EXPECT_EQ(host_.verify().status, 0) << host_.verify().out;
}

TEST_F(Blobs, AttackATenantCannotStoreForAnother) {
  auto raw = host_.source();
  ASSERT_TRUE(raw.send(ipc::AuditBlob{1, 8}, *sys::sealed_memfd("x", "x")));
  EXPECT_EQ(answer_to(raw), "gone");
  auto relay = host_.source(ipc::Process::relay, 0, "");
  ASSERT_TRUE(relay.send(ipc::AuditBlob{1, 8}, *sys::sealed_memfd("x", "x")));
  EXPECT_EQ(answer_to(relay), "gone");
  ipc::AuditClient other(host_.source(ipc::Process::relay, 0, ""));
  EXPECT_TRUE(other.append(record(Event::violation).add(FieldKey::account, "8").add(FieldKey::remote, "x")));
  EXPECT_FALSE(fs::exists(host_.log_dir() + "/keys/8"));
}

TEST_F(Blobs, AnyDamageOfABlobIsOneFinding) {
  auto client = host_.client();
  const std::uint64_t index = append_with_blob(client, std::string(20'000, 'x'));
  host_.stop();
  const std::string file = host_.log_dir() + "/" + blob_files().at(0);
  const std::string good = read_file(file);
  const auto finding = [&](std::string_view what) {
    const Output verified = host_.verify();
    EXPECT_EQ(verified.status, 1);
    EXPECT_TRUE(contains(verified.out, what)) << verified.out;
    EXPECT_TRUE(contains(verified.out, "1 defect;")) << verified.out;
    EXPECT_EQ(audit("show " + std::to_string(index) + " --blob").status, 1);
  };
  std::string bad = good;
  bad[100] = static_cast<char>(bad[100] ^ 1);
  write_file(file, bad);
  finding("is not what its name says; entry " + std::to_string(index));
  write_file(file, good.substr(1));
  finding("is not what its name says");
  fs::remove(file);
  finding("is missing; entry " + std::to_string(index));
  write_file(host_.key_dir() + "/aside", good);
  fs::create_symlink(host_.key_dir() + "/aside", file);
  finding("is not what its name says");
  fs::remove(file);
  write_file(file, good);
  EXPECT_EQ(host_.verify().status, 0);
  write_file(host_.log_dir() + "/blob/foreign", "x");
  EXPECT_TRUE(contains(host_.verify().out, "blob/foreign: does not belong to the log"));
}

TEST(BlobBounds, AttackATenantThatFillsTheDiskWithBlobsIsRefusedAlone) {
  TestHost host;
  host.auditd_arguments = {"--blob-bytes", "100000"};
  ASSERT_TRUE(host.start());
  auto ann = host.client();
  EXPECT_TRUE(ann.store(std::string(60'000, 'x')));
  auto raw = host.source();
  ASSERT_TRUE(raw.send(ipc::AuditBlob{1, 0}, *sys::sealed_memfd("x", std::string(60'000, 'x'))));
  EXPECT_EQ(answer_to(raw), "this tenant's audit blobs of today are as many bytes as it may store");
  EXPECT_TRUE(ann.store(std::string(40'000, 'x')));
  EXPECT_TRUE(ann.append(record(Event::login)));
  auto bob = ipc::AuditClient(host.source(ipc::Process::runner, 8, "bob", 1, 2));
  EXPECT_TRUE(bob.store(std::string(60'000, 'x')));
}

TEST(BlobBounds, AttackATenantWhoseBlobsWaitDelaysItselfAlone) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto one = host.source(), another = host.source();  // of the same tenant
  const Fd large = *sys::sealed_memfd("x", std::string(std::size_t{16} << 20, 'x'));
  for (std::uint64_t i = 0; i < 40; ++i) {
    ASSERT_TRUE((i % 2 == 0 ? one : another).send(ipc::AuditBlob{i, 0}, large));
  }
  // What the guard stores about sessions, this tenant's too, is not counted and goes before.
  auto guard = host.source(ipc::Process::guard, 0, "", 1, 2);
  const Fd policy = *sys::sealed_memfd("x", "profile=strict");
  for (std::uint64_t i = 0; i < 40; ++i) ASSERT_TRUE(guard.send(ipc::AuditBlob{i, 7}, policy));
  for (std::uint64_t i = 0; i < 40; ++i) EXPECT_EQ(answer_to(guard), "stored");
  std::map<std::string, int> answers;
  for (std::uint64_t i = 0; i < 40; ++i) ++answers[answer_to(i % 2 == 0 ? one : another)];
  EXPECT_GE(answers["stored"], 16);
  EXPECT_GE(answers["too many blobs of this tenant are waiting: try again"], 1);
  EXPECT_EQ(answers.size(), 2U);
  ASSERT_TRUE(one.send(ipc::AuditBlob{100, 0}, policy));
  EXPECT_EQ(answer_to(one), "stored");
}

TEST_F(Blobs, RecordsOfOthersDoNotWaitForABlob) {
  auto big = host_.source();
  const Fd file = *sys::sealed_memfd("x", std::string(ipc::kMaxBlobBytes, 'x'));
  auto client = host_.client();
  ASSERT_TRUE(client.append(record(Event::login)));
  ASSERT_TRUE(big.send(ipc::AuditBlob{1, 0}, file));
  // Acknowledged while the blob is still being written: its answer has not come.
  ASSERT_TRUE(client.append(record(Event::login)));
  EXPECT_EQ(big.receive().error().code, Errc::limit);
  EXPECT_EQ(answer_to(big), "stored");
}

TEST_F(Blobs, SurviveAKilledAuditd) {
  auto client = host_.client();
  append_with_blob(client, std::string(30'000, 'x'));
  host_.kill_auditd();
  ASSERT_TRUE(host_.start_auditd());
  ASSERT_TRUE(host_.client().append(record(Event::login)));
  host_.stop();
  EXPECT_EQ(host_.verify().status, 0) << host_.verify().out;
  EXPECT_EQ(blob_files().size(), 1U);
}

}  // namespace
}  // namespace oqto::audit
