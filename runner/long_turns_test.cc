// Turns that are hard to keep: unreadable, deep, long, and with a history that stalls.
#include <gtest/gtest.h>
#include <unistd.h>

#include "runner/runner_fixture.h"

namespace oqto::runner::test {
namespace {

TEST_F(Runner, AttackNoRecordOfPiIsEverSkipped) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  for (const char* attack : {"junk", "longline"}) {
    EXPECT_TRUE(prompt(*browser, id, attack).boolean_at("success"));
    const Json error = browser->event("agent.error");
    EXPECT_NE(error.text_at("error").find("wrote what cannot be read"), std::string_view::npos) << error.dump();
    EXPECT_NE(messages(*browser, id).back().text_at("error").find("cannot be read"), std::string_view::npos);
  }
  const auto records = host_.audited();
  EXPECT_EQ(std::ranges::count_if(records, [](const auto& r) { return r.event == ipc::Event::violation; }), 2);
}

TEST_F(Runner, AttackATooDeeplyNestedArgumentHidesNoToolCall) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  EXPECT_TRUE(prompt(*browser, id, "deep").boolean_at("success"));
  const Json start = browser->event("tool.start");
  ASSERT_NE(start.find("input"), nullptr);
  browser->event("agent.idle");
  const Json call = messages(*browser, id)[1];
  EXPECT_EQ(call.find("parts")->array()->front().text_at("name"), "bash");
  const auto records = host_.audited();
  const auto found = std::ranges::find_if(records, [](const auto& r) { return r.event == ipc::Event::tool_call; });
  ASSERT_NE(found, records.end());
  EXPECT_NE(found->args.find("touch x"), std::string::npos);
  EXPECT_NE(found->args.find("the bottom"), std::string::npos) << "nothing of it is left out";
}

TEST_F(Runner, TheLogHasTheHashOfAToolsOutputAndAllOfItWhereThePolicySaysSo) {
  const auto browser = host_.connect();
  const auto ended_call = [&] {
    const std::size_t before = host_.audited().size();
    const std::string id = session(*browser);
    EXPECT_TRUE(prompt(*browser, id, "deep").boolean_at("success"));
    browser->event("agent.idle");
    std::string text;
    // The record may wait for its blob.
    for (int tries = 0; tries < 1000 && text.find("output_sha256=") == std::string::npos; ++tries) {
      const auto records = host_.audited();
      for (std::size_t i = before; i < records.size(); ++i) {
        if (records[i].event == ipc::Event::tool_call) text = records[i].text;
      }
      ::usleep(10'000);
    }
    return text;
  };
  // printf %s "from the bottom" | sha256sum
  const std::string hash = "output_sha256=7a197f07116b562a43e12a1acb578793da7900347ce19885e56591fdb4cf399b\n";
  const std::string without = ended_call();
  EXPECT_NE(without.find(hash), std::string::npos) << without;
  EXPECT_EQ(without.find("output_blob="), std::string::npos) << without;
  host_.keep_contents(true);
  const std::string with = ended_call();
  EXPECT_NE(with.find(hash), std::string::npos) << with;
  EXPECT_NE(with.find("output_blob=" + std::string(64, '0')), std::string::npos) << with;
}

TEST_F(Runner, AStalledHistoryDelaysAPromptAndForgetsItself) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  host_.pause_history(true);
  const std::string waiting = browser->command(id, R"("cmd":"prompt","message":"patience")");
  ::sleep(7);  // longer than a prompt waited once
  host_.pause_history(false);
  EXPECT_TRUE(browser->until([&](const Json& frame) { return frame.text_at("id") == waiting; }).boolean_at("success"));
  browser->event("agent.idle");
  EXPECT_TRUE(prompt(*browser, id, "again").boolean_at("success"));
  browser->event("agent.idle");
  EXPECT_EQ(messages(*browser, id).size(), 4U);
}

TEST_F(Runner, ALongAnswerIsStoredCutAndCanBeHadWhole) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  ASSERT_TRUE(prompt(*browser, id, "huge").boolean_at("success"));
  browser->event("agent.idle");
  const Json part = messages(*browser, id)[1].find("parts")->array()->front();
  ASSERT_NE(part.find("cut"), nullptr);
  const auto total = static_cast<std::size_t>(part.find("cut")->integer_at("bytes"));
  EXPECT_EQ(total, 8'000'000U);
  const std::string message = std::string(messages(*browser, id)[1].text_at("id"));
  std::string whole;
  for (std::int64_t next = 0; next >= 0;) {
    const Json piece = browser->ask(id, R"("cmd":"get_part","message_id":")" + message + R"(","part_id":")" +
                                            std::string(part.text_at("id")) + R"(","length":524288,"offset":)" + std::to_string(next));
    ASSERT_TRUE(piece.boolean_at("success")) << piece.dump().substr(0, 300);
    whole += piece.find("data")->text_at("text");
    next = piece.find("data")->integer_at("next", -1);
  }
  EXPECT_EQ(whole.size(), total);
  EXPECT_TRUE(prompt(*browser, id, "and now?").boolean_at("success"));
  browser->event("agent.idle");
  const Json odd = browser->ask(id, R"("cmd":"get_part","message_id":")" + message + R"(","part_id":"nope")");
  EXPECT_EQ(odd.text_at("code"), "not_found");
}

}  // namespace
}  // namespace oqto::runner::test
