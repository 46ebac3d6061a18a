// A browser's usual first steps with the runner under test.
#pragma once
#include <gtest/gtest.h>

#include "base/sys.h"
#include "runner/test_host.h"

namespace oqto::runner::test {

using protocol::Json;

class Runner : public testing::Test {
 protected:
  std::string workspace(Browser& browser) {
    const Json made = browser.ask("_system", R"("cmd":"create_workspace","name":"Notes")");
    EXPECT_TRUE(made.boolean_at("success")) << made.dump();
    return std::string(made.find("data")->find("workspace")->text_at("id"));
  }
  std::string session(Browser& browser) {
    if (workspace_.empty()) workspace_ = workspace(browser);
    const Json made = browser.ask("", R"("cmd":"session.create","config":{"harness":"pi","workspace_id":")" +
                                          workspace_ + "\"}");
    EXPECT_TRUE(made.boolean_at("success")) << made.dump();
    if (!made.boolean_at("success")) return "";
    browser.event("agent.idle");
    return std::string(made.find("data")->text_at("session_id"));
  }
  Json reopen(Browser& browser, const std::string& id) {
    return browser.ask(id, R"("cmd":"session.create","config":{"harness":"pi"})");
  }
  Json prompt(Browser& browser, const std::string& id, const std::string& text) {
    return browser.ask(id, R"("cmd":"prompt","message":")" + text + "\"");
  }
  std::vector<Json> messages(Browser& browser, const std::string& id) {
    const Json answer = browser.ask(id, R"("cmd":"get_messages")");
    EXPECT_TRUE(answer.boolean_at("success")) << answer.dump();
    if (!answer.boolean_at("success")) return {};
    return *answer.find("data")->find("messages")->array();
  }
  // Asks again until it is so; what follows then checks it.
  static void eventually(const std::function<bool()>& so) {
    const std::uint64_t deadline = sys::monotonic_ms() + 20'000;
    while (!so() && sys::monotonic_ms() < deadline) ::usleep(5'000);
  }
  static std::string text_of(const Json& message) {
    std::string text;
    for (const Json& part : *message.find("parts")->array()) text += part.text_at("text");
    return text;
  }

  Host host_;
  std::string workspace_;
};

}  // namespace oqto::runner::test
