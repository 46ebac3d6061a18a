// What the real runner tells about models, and what it makes of a message's kind.
#include <algorithm>

#include "runner/runner_fixture.h"

namespace oqto::runner::test {
namespace {

TEST_F(Runner, TellsModelsAndCountsOnceASessionHasRun) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const char* expected =
      R"([{"id":"mock-1","name":"Mock One","provider":"mock","reasoning":true,"images":false,"demo":false},)"
      R"({"id":"mock-2","name":"Mock Two","provider":"mock","reasoning":false,"images":true,"demo":false}])";
  Json models;
  eventually([&] {
    models = *browser->ask(id, R"("cmd":"get_models")").find("data");
    return models.dump() == expected;
  });
  EXPECT_EQ(models.dump(), expected);
  EXPECT_EQ(browser->ask("_system", R"("cmd":"get_models")").find("data")->dump(), expected);
  EXPECT_EQ(browser->ask(id, R"("cmd":"get_stats")").find("data")->find("tokens")->integer_at("total", -1), 0);
  // The model is known to take no pictures, so none is lost on the way to it.
  const Json refused = browser->ask(id, R"("cmd":"prompt","message":"look","images":[{"data":"aGk=","media_type":"image/png"}])");
  EXPECT_EQ(refused.text_at("code"), "refused") << refused.dump();
  EXPECT_TRUE(messages(*browser, id).empty());
}

TEST_F(Runner, TellsTheModelAndThinkingLevelThatPiChose) {
  const auto browser = host_.connect();
  session(*browser);
  const auto told = [&](std::string_view event, std::string_view field) {
    const auto found = std::find_if(browser->seen.begin(), browser->seen.end(), [&](const Json& frame) {
      return frame.text_at("event") == event;
    });
    return found == browser->seen.end() ? std::string() : std::string(found->text_at(field));
  };
  EXPECT_EQ(told("config.model_changed", "model_id"), "mock-1");
  EXPECT_EQ(told("config.thinking_level_changed", "level"), "medium");
}

TEST_F(Runner, MakesASteeringMessageOfAnIdleSessionAPrompt) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  for (const char* command : {R"("cmd":"steer","message":"go left")", R"("cmd":"follow_up","message":"go on")"}) {
    ASSERT_TRUE(browser->ask(id, command).boolean_at("success"));
    browser->event("agent.idle");
  }
  const auto all = messages(*browser, id);
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(text_of(all[1]), "echo: go left");
  EXPECT_EQ(text_of(all[3]), "echo: go on");
}

TEST_F(Runner, TellsTheEffectivePolicyOfALiveSession) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const Json live = browser->ask(id, R"("cmd":"get_state")");
  const Json* policy = live.find("data")->find("policy");
  ASSERT_NE(policy, nullptr) << live.dump();
  EXPECT_EQ(policy->text_at("network"), "filtered");
  ASSERT_EQ(policy->find("domains")->array()->size(), 1U);
  EXPECT_EQ(policy->find("memory_bytes"), nullptr) << "nothing is said of what does not hold";
  EXPECT_TRUE(browser->ask(id, R"("cmd":"session.close")").boolean_at("success"));
  EXPECT_EQ(browser->ask(id, R"("cmd":"get_state")").find("data")->find("policy"), nullptr);
}

}  // namespace
}  // namespace oqto::runner::test
