#include "protocol/audit_command.h"

#include <gtest/gtest.h>

namespace oqto::protocol {
namespace {

AuditFrame frame(std::string_view cmd, std::string_view fields = "",
                 std::string_view session = "_system") {
  std::string text = R"({"channel":"agent","id":"r1","session_id":")" + std::string(session) +
                     R"(","cmd":")" + std::string(cmd) + '"';
  if (!fields.empty()) (text += ',') += fields;
  return decode_audit_frame(text + "}");
}

TEST(AuditCommand, ReadsASearchAndSaysItAgain) {
  const auto decoded = frame(
      "audit.search", R"("text":"a b","actors":["ann"],"without":["audit.read"],"classes":[3002],)"
                      R"("from_ms":5,"intent":9,"before":7,"limit":3,"unknown":1)");
  const auto* command = std::get_if<AuditCommand>(&decoded);
  ASSERT_NE(command, nullptr);
  const auto* search = std::get_if<AuditSearch>(&command->args);
  ASSERT_NE(search, nullptr);
  EXPECT_EQ(search->before, 7U);
  EXPECT_EQ(search->limit, 3U);
  EXPECT_EQ(
      filter_json(search->filter),
      R"({"text":"a b","from_ms":5,"actors":["ann"],"without":["audit.read"],"classes":[3002],"intent":9})");
}

TEST(AuditCommand, AStoryIsOfSomebody) {
  const auto decoded = frame("audit.timeline", R"("sessions":["oqto-e0a6"],"before":7,"all":true)");
  const auto* command = std::get_if<AuditCommand>(&decoded);
  ASSERT_NE(command, nullptr);
  const auto* story = std::get_if<AuditTimeline>(&command->args);
  ASSERT_NE(story, nullptr);
  EXPECT_EQ(story->before, 7U);
  EXPECT_TRUE(story->all);
}

TEST(AuditCommand, AttackWhateverIsWrongGetsOneClearError) {
  const std::pair<const char*, std::string> wrong[] = {
      {"audit.timeline", ""},
      {"audit.timeline", R"("text":"everything")"},
      {"audit.timeline", R"("tenants":["ann"],"limit":1001)"},
      {"audit.timeline", R"("tenants":["ann"],"all":"yes")"},
      {"audit.entry", ""},
      {"audit.entry", R"("index":-1)"},
      {"audit.entry", R"("index":1e300)"},
      {"audit.search", R"("limit":0)"},
      {"audit.search", R"("limit":101)"},
      {"audit.search", R"("actors":"ann")"},
      {"audit.search", R"("actors":[1])"},
      {"audit.search", R"("events":[""])"},
      {"audit.search", R"("classes":[-1])"},
      {"audit.search", R"("text":")" + std::string(257, 'x') + '"'},
      {"audit.search", R"("terminal":7,"sessions":{})"},
      {"audit.export", R"("from":0,"format":"xml")"},
      {"audit.consistency", ""},
      {"audit.recording", ""},
      {"audit.seals", ""},
      {"audit.seals", R"("from":-1)"},
      {"audit.seals", R"("from":0,"old_size":"1")"},
  };
  for (const auto& [cmd, fields] : wrong) {
    const auto decoded = frame(cmd, fields);
    const auto* bad = std::get_if<BadCommand>(&decoded);
    ASSERT_NE(bad, nullptr) << cmd << ' ' << fields;
    EXPECT_EQ(bad->head.id, "r1");
    EXPECT_FALSE(bad->failure.error.empty());
  }
}

TEST(AuditCommand, AttackCommandsOfTenantsAreRefusedWhateverTheyHold) {
  for (const char* cmd :
       {"prompt", "session.create", "list_workspaces", "get_messages", "audit.", "x"}) {
    const auto decoded =
        frame(cmd, R"("message":"hi")", "oqto-96da17f0-1154-4170-bf11-9e1482ad79a8");
    const auto* bad = std::get_if<BadCommand>(&decoded);
    ASSERT_NE(bad, nullptr) << cmd;
    EXPECT_EQ(bad->failure.code, Code::refused) << cmd;
  }
}

}  // namespace
}  // namespace oqto::protocol
