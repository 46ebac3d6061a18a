// What an auditor is answered, from a log that the real auditd writes.
#include <gtest/gtest.h>

#include "audit/format/hash.h"
#include "audit/read/open_entry.h"
#include "auditor/test_served.h"

namespace oqto::auditor {
namespace {

using audit::TestHost;

ipc::AuditAppend piece(ipc::AuditClient& client, const std::string& terminal, int chunk,
                       std::string_view content) {
  const auto blob = client.store(content);
  EXPECT_TRUE(blob);
  ipc::AuditAppend record = audit::record(ipc::Event::recording_chunk);
  record.add(ipc::FieldKey::terminal, terminal).add(ipc::FieldKey::chunk, std::to_string(chunk));
  return record.add(ipc::FieldKey::recording_blob, blob.value_or(""));
}

TEST(Answers, GiveTheEntryItsProofAndWhatWasSealedInIt) {
  TestHost host;
  ASSERT_TRUE(host.start());
  Served served(host);
  auto client = host.client();
  const auto index =
      client.append(audit::record(ipc::Event::command).add(ipc::FieldKey::args, R"({"a":1})"));
  ASSERT_TRUE(index && served.covers(*index));
  const auto data = served.ask("audit.entry", R"("old_size":1,"index":)" + std::to_string(*index));
  EXPECT_FALSE(data.text_at("note").empty());
  ASSERT_NE(data.find("proof")->array(), nullptr);
  ASSERT_NE(data.find("consistency")->array(), nullptr);
  const std::string opened(data.text_at("opened"));
  const auto entry = protocol::parse_json(data.text_at("entry"));
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->find("sealed")->text_at("h"), to_base64(audit::sha256(opened)));
  EXPECT_NE(opened.find(R"({\"a\":1})"), std::string::npos);
}

TEST(Answers, GiveTheCheckpointThatIsPublishedAndNothingOfTheirOwn) {
  TestHost host;
  ASSERT_TRUE(host.start());
  Served served(host);
  ASSERT_TRUE(served.covers(0));
  const auto data = served.ask("audit.checkpoint", R"("x":0)");
  EXPECT_EQ(data.text_at("note"), served.view.published()->note);
  const auto impossible = served.ask("audit.consistency", R"("old_size":1000000)");
  EXPECT_TRUE(impossible.find("consistency")->is_null());
}

TEST(Answers, AttackPiecesOfAnotherAccountAreNoPartOfARecording) {
  TestHost host;
  ASSERT_TRUE(host.start());
  Served served(host);
  const std::string terminal = Uuid::random().text();
  ipc::AuditClient ann(host.source(ipc::Process::runner, 7, "ann"));
  ipc::AuditClient bob(host.source(ipc::Process::runner, 8, "bob"));
  const auto first = ann.append(piece(ann, terminal, 0, "one\n"));
  ASSERT_TRUE(bob.append(piece(bob, terminal, 1, "forged\n")));
  const auto last = ann.append(piece(ann, terminal, 1, "two\n"));
  ASSERT_TRUE(first && last && served.covers(*last));
  const auto data = served.ask("audit.recording", R"("index":)" + std::to_string(*first));
  const auto* pieces = data.find("pieces") != nullptr ? data.find("pieces")->array() : nullptr;
  ASSERT_NE(pieces, nullptr);
  ASSERT_EQ(pieces->size(), 2U);
  std::string all;
  for (const protocol::Json& one : *pieces) {
    const auto bytes = from_base64(one.text_at("data"));
    ASSERT_TRUE(bytes && bytes->size() > audit::kSealSalt);
    const auto blobs = audit::blobs_of(one.text_at("entry"));
    ASSERT_EQ(blobs.size(), 1U);
    EXPECT_EQ(to_hex(audit::sha256(audit::as_text(*bytes))), blobs[0].commitment);
    EXPECT_NE(one.find("proof")->array(), nullptr);
    all += audit::as_text(*bytes).substr(audit::kSealSalt);
  }
  EXPECT_EQ(all, "one\ntwo\n");
  EXPECT_TRUE(data.find("next")->is_null());
}

TEST(Answers, TellAStoryAndWhoseThereAre) {
  TestHost host;
  ASSERT_TRUE(host.start());
  Served served(host);
  constexpr const char* kSession = "e0a6cb16-9495-4ee4-91ea-dcdcaaa467fd";
  ipc::AuditClient guard(host.source(ipc::Process::guard, 0, "", 11, 0));
  auto ann = host.client();
  ASSERT_TRUE(guard.append(audit::record(ipc::Event::session_start, ipc::Phase::intent)
                               .add(ipc::FieldKey::account, "7").add(ipc::FieldKey::session, kSession)));
  const auto prompt = ann.append(audit::record(ipc::Event::command, ipc::Phase::intent)
                                     .add(ipc::FieldKey::command, "prompt").add(ipc::FieldKey::session, kSession)
                                     .add(ipc::FieldKey::args, R"({"message":"deploy"})"));
  ASSERT_TRUE(prompt);
  auto outcome = audit::record(ipc::Event::command, ipc::Phase::outcome);
  outcome.intent = *prompt;
  outcome.outcome = ipc::Outcome::failure;
  const auto last = ann.append(outcome);
  ASSERT_TRUE(last && served.covers(*last));
  const auto subjects = served.ask("audit.subjects", R"("x":1)");
  ASSERT_NE(subjects.find("sessions"), nullptr);
  ASSERT_EQ(subjects.find("sessions")->array()->size(), 1U);
  EXPECT_EQ((*subjects.find("sessions")->array())[0].text_at("session"), kSession);
  EXPECT_EQ((*subjects.find("sessions")->array())[0].text_at("name"), "ann");
  for (const std::string whose : {R"("sessions":["oqto-e0a6cb16"])", R"("tenants":["ann"])"}) {
    const auto story = served.ask("audit.timeline", whose);
    ASSERT_NE(story.find("scenes"), nullptr) << whose;
    const auto* scenes = story.find("scenes")->array();
    ASSERT_EQ(scenes->size(), 2U);
    EXPECT_EQ((*scenes)[1].text_at("sentence"), "ann asked: “deploy”");
    EXPECT_EQ((*scenes)[1].text_at("mark"), "failed");
  }
}

}  // namespace
}  // namespace oqto::auditor
