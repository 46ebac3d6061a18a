// Erasing a tenant's day, and secrets that must not be found afterwards. A log that the real auditd
// wrote, the real oqto-audit, and the independent verifier's Python.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

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

const std::vector<std::string> kCanaries = {
    "canary-args-8f3a1c", "canary-argv-77b210", "canary-env-5d09ee", "canary-userinfo-c3b0aa",
    "canary-path-91ac77", "canary-blob-0be4f2", "canary-reason-4cc1d2"};

class Erasing : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(host_.start());
    auto ann = host_.client();
    const auto blob = ann.store(std::string(20'000, 'x') + kCanaries[5]);
    ASSERT_TRUE(blob);
    auto command = record(Event::command, Phase::intent);
    index_ = *ann.append(command.add(FieldKey::command, "prompt")
                             .add(FieldKey::args, R"({"text":")" + kCanaries[0] + "\"}")
                             .add(FieldKey::args_blob, *blob));
    auto exec = record(Event::exec);
    exec.add(FieldKey::argv, "env").add(FieldKey::argv, "TOKEN=" + kCanaries[2]);
    exec.add(FieldKey::argv, "git").add(FieldKey::argv, "https://ann:" + kCanaries[3] + "@host/r");
    exec.add(FieldKey::argv, "--password=" + kCanaries[1]).add(FieldKey::cwd, "/w/" + kCanaries[4]);
    ASSERT_TRUE(ann.append(exec.add(FieldKey::reason, kCanaries[6])));
    auto bob = ipc::AuditClient(host_.source(ipc::Process::runner, 8, "bob", 1, 2));
    ASSERT_TRUE(bob.append(record(Event::exec).add(FieldKey::argv, "bobs-program")));
    host_.stop();
  }
  Output audit(const std::string& arguments) const {
    return run(oqto_audit(arguments) + " --log " + host_.log_dir());
  }
  Output shred(const std::string& tenant, const std::string& day) const {
    return audit("shred --tenant " + quoted(tenant) + " --day " + quoted(day));
  }
  // In any file of the log, as it is or as base64 or hex would show it.
  bool is_found(const std::string& text) const {
    return std::ranges::any_of(files_beneath(host_.log_dir()), [&](const std::string& file) {
      return contains(read_file(host_.log_dir() + "/" + file), text);
    });
  }
  std::string day_ = utc_day(sys::now_ms());
  TestHost host_;
  std::uint64_t index_ = 0;
};

TEST_F(Erasing, ShowsWhatTheKeyOpensAndNothingOnceItIsErased) {
  const Output before = audit("search");
  for (const std::string& canary : kCanaries) {
    EXPECT_EQ(contains(before.out, canary), canary != kCanaries[5]) << before.out;
    EXPECT_FALSE(is_found(canary)) << canary;
  }
  EXPECT_EQ(audit("search --text " + kCanaries[3]).status, 0);
  ASSERT_EQ(shred("7", day_).status, 0);
  const Output after = audit("search");
  EXPECT_TRUE(contains(after.out, "(erased)")) << after.out;
  EXPECT_TRUE(contains(after.out, "bobs-program")) << after.out;
  for (const std::string& canary : kCanaries) EXPECT_FALSE(contains(after.out, canary));
  EXPECT_EQ(audit("search --text " + kCanaries[3]).status, 1);
  EXPECT_TRUE(contains(audit("show --blob " + std::to_string(index_)).out, "its key was destroyed"));
  for (const char* format : {"jsonl", "ocsf", "cef"}) {
    EXPECT_EQ(audit(std::string("export --format ") + format).status, 0);
  }
}

TEST_F(Erasing, LeavesEveryHashAndProofAsItWas) {
  const std::string proof = host_.key_dir() + "/entry.proof";
  const std::string make = "prove " + std::to_string(index_) + " --vkey " + host_.key_dir() + "/log.vkey";
  const Output made = run(oqto_audit(make) + " --log " + host_.log_dir() + " > " + proof);
  ASSERT_EQ(made.status, 0) << made.out;
  ASSERT_EQ(shred("7", day_).status, 0);
  // Nothing but that no entry tells of it, which `oqtoctl audit erase` would have written.
  const Output verified = host_.verify();
  EXPECT_TRUE(contains(verified.out, "was destroyed, with which entry ")) << verified.out;
  EXPECT_TRUE(contains(verified.out, "FAILED: 1 defect;")) << verified.out;
  const std::string after = host_.key_dir() + "/after.proof";
  EXPECT_EQ(run(oqto_audit(make) + " --log " + host_.log_dir() + " > " + after).status, 0);
  EXPECT_EQ(read_file(proof), read_file(after));
  EXPECT_EQ(run(std::string("python3 ") + OQTO_INDEPENDENT + ".py " + host_.log_dir() + " " +
                host_.key_dir() + "/log.vkey").status, 0);
}

TEST_F(Erasing, ACopyWithoutKeysSaysSealed) {
  fs::remove_all(host_.log_dir() + "/keys");
  const Output searched = audit("search");
  EXPECT_TRUE(contains(searched.out, "(sealed)")) << searched.out;
  for (const std::string& canary : kCanaries) EXPECT_FALSE(contains(searched.out, canary));
  EXPECT_TRUE(contains(audit("show --blob " + std::to_string(index_)).out, "its key is not here"));
  EXPECT_EQ(host_.verify().status, 0) << host_.verify().out;
  EXPECT_EQ(shred("7", day_).status, 1);
}

TEST_F(Erasing, AttackAnotherTenantsKeyOpensNothing) {
  const std::string keys = host_.log_dir() + "/keys/";
  fs::copy_file(keys + "8/" + day_, keys + "7/" + day_, fs::copy_options::overwrite_existing);
  const Output searched = audit("search");
  EXPECT_TRUE(contains(searched.out, "(not what was committed)")) << searched.out;
  EXPECT_TRUE(contains(searched.out, "bobs-program"));
  EXPECT_TRUE(contains(audit("show --blob " + std::to_string(index_)).out, "opens to something else"));
}

TEST_F(Erasing, AttackPathTricksInTenantAndDayReachNothing) {
  const std::string victim = host_.log_dir() + "/checkpoint";
  const std::string before = read_file(victim);
  for (const char* tenant : {"../..", "7/../8", "-1", "0", "", "7 ", "4294967296", "07x"}) {
    EXPECT_EQ(shred(tenant, day_).status, 2) << tenant;
  }
  for (const char* day : {"../../checkpoint", "2026-02-30", "2026-13-01", "2026-1-1", "", ".", "2026-11-2a"}) {
    EXPECT_EQ(shred("7", day).status, 2) << day;
  }
  // A link in the place of a key: nothing behind it is overwritten.
  const std::string key = host_.log_dir() + "/keys/7/" + day_;
  fs::remove(key);
  fs::create_symlink(victim, key);
  EXPECT_EQ(shred("7", day_).status, 2);
  EXPECT_EQ(read_file(victim), before);
  EXPECT_TRUE(contains(audit("search").out, "(sealed)"));
}

TEST_F(Erasing, AttackASealedFieldMovedToAnotherEntryDoesNotOpen) {
  const auto entries = entries_of(host_);
  const Fd log = *sys::open_dir(host_.log_dir().c_str());
  KeyReader keys(log);
  std::string moved = entries[index_];
  const std::string own = R"({"seq":)" + std::to_string(index_);
  ASSERT_TRUE(moved.starts_with(own));
  EXPECT_TRUE(contains(open_entry(moved, keys), kCanaries[0]));
  moved.replace(0, own.size(), R"({"seq":99)");
  EXPECT_TRUE(contains(open_entry(moved, keys), kIsForged));
}

TEST_F(Erasing, IsRefusedOnALogInUse) {
  ASSERT_TRUE(host_.start());
  const Output refused = shred("7", day_);
  EXPECT_EQ(refused.status, 2);
  EXPECT_TRUE(contains(refused.out, "oqtoctl audit erase")) << refused.out;
}

TEST_F(Erasing, OfALiveLogIsRecordedBeforeAndAfter) {
  ASSERT_TRUE(host_.start());
  const auto ask = [&](std::uint32_t tenant, std::uint64_t day) {
    ipc::AuditManage wanted;
    wanted.verb = ipc::AuditVerb::erase;
    wanted.account = tenant;
    wanted.day = static_cast<std::uint32_t>(day);
    wanted.operator_uid = 4711;
    wanted.operator_name = std::string_view("ann");
    EXPECT_TRUE(host_.auditd.guard.send(wanted));
    return *host_.auditd.guard.wait(10'000)->as<ipc::AuditManaged>();
  };
  const std::uint64_t today = sys::now_ms() / 86'400'000;
  EXPECT_EQ(ask(7, today).why.view(), "a day's key can be erased when the day (UTC) is over");
  EXPECT_EQ(ask(7, today - 1).why.view(), "there is no key of this tenant and day");
  const std::string yesterday = utc_day((today - 1) * 86'400'000);
  const std::string keys = host_.log_dir() + "/keys/7/";
  fs::copy_file(keys + day_, keys + yesterday);
  const auto done = ask(7, today - 1);
  ASSERT_EQ(done.ok, 1) << done.why.view();
  EXPECT_FALSE(fs::exists(keys + yesterday));
  EXPECT_TRUE(fs::exists(keys + yesterday + ".erased"));
  ASSERT_TRUE(host_.client().append(record(Event::login)));
  host_.stop();
  const auto entries = entries_of(host_);
  EXPECT_TRUE(contains(entries[done.index], R"("event":"key.erase","phase":"intent")"));
  EXPECT_TRUE(contains(entries[done.index], yesterday));
  for (const std::uint64_t index : {done.index, done.index + 1}) {
    EXPECT_TRUE(contains(entries[index], R"j("operator_uid":"4711","operator":"ann (claimed)")j")) << entries[index];
  }
  EXPECT_TRUE(contains(entries[done.index + 1], "\"intent\":" + std::to_string(done.index)));
}

}  // namespace
}  // namespace oqto::audit
