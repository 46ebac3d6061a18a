// Questions of the host to the session's user.
#include "runner/approval.h"

#include <algorithm>

#include "runner/registry.h"
#include "runner/runner_fixture.h"

namespace oqto::runner::test {
namespace {

ipc::ApprovalAsk question(const std::string& session, std::uint64_t number, std::uint32_t timeout_s = 60) {
  ipc::ApprovalAsk ask;
  ask.session = session_uuid(session);
  ask.kind = ipc::ApprovalKind::host;
  ask.question = number;
  ask.timeout_s = timeout_s;
  ask.what = "evil.example";
  ask.pid = 17;
  ask.argv.values = {"curl", "https://evil.example/x y"};
  ask.cwd = "/workspace";
  return ask;
}

class Approval : public Runner {
 protected:
  std::string open_question(Browser& browser, const ipc::ApprovalAsk& ask) {
    host_.ask_user(ask);
    const Json event = browser.event("agent.input_needed");
    if (event.is_null()) return "";
    seen_ = *event.find("request");
    return std::string(seen_.text_at("request_id"));
  }
  Json respond(Browser& browser, const std::string& session, const std::string& id, const std::string& fields) {
    return browser.ask(session, R"("cmd":"input_response","request_id":")" + id + "\"," + fields);
  }
  std::vector<ipc::ApprovalAnswer> answered(std::size_t count) {
    eventually([&] { return host_.answers().size() >= count; });
    return host_.answers();
  }
  Json seen_;
};

TEST_F(Approval, ShowsWhatWhoAndWhereAndPassesTheAnswerOn) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const std::string first = open_question(*browser, question(id, 5));
  EXPECT_EQ(seen_.text_at("type"), "select");
  EXPECT_NE(seen_.text_at("title").find("evil.example"), std::string_view::npos) << seen_.dump();
  EXPECT_NE(seen_.text_at("message").find("'https://evil.example/x y'"), std::string_view::npos);
  const Json& facts = *seen_.find("approval");
  EXPECT_EQ(facts.text_at("kind"), "host");
  EXPECT_EQ(facts.text_at("cwd"), "/workspace");
  EXPECT_EQ(facts.find("argv")->array()->size(), 2U);
  EXPECT_TRUE(respond(*browser, id, first, R"("value":"For this session")").boolean_at("success"));
  const auto answers = answered(1);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].choice, ipc::ApprovalChoice::session);
  EXPECT_EQ(answers[0].question, 5U);
  EXPECT_EQ(answers[0].kind, ipc::ApprovalKind::host);
  EXPECT_EQ(respond(*browser, id, first, R"("value":"Deny")").text_at("code"), "not_found") << "twice";
}

TEST_F(Approval, IsRecordedAsAQuestionAndAsTheCommandThatAnswersIt) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const std::string asked = open_question(*browser, question(id, 1));
  EXPECT_TRUE(respond(*browser, id, asked, R"("value":"Once")").boolean_at("success"));
  const auto records = host_.audited();
  EXPECT_TRUE(std::ranges::any_of(records, [&](const AuditedRecord& r) {
    return r.event == ipc::Event::approval && r.text.find("request_id=" + asked) != std::string::npos &&
           r.text.find("host=evil.example") != std::string::npos && r.text.find("argv=curl") != std::string::npos;
  }));
  EXPECT_TRUE(std::ranges::any_of(records, [&](const AuditedRecord& r) {
    return r.command == "input_response" && r.phase == ipc::Phase::intent &&
           r.args.find(asked) != std::string::npos && r.args.find("Once") != std::string::npos;
  }));
}

TEST_F(Approval, NoAnswerADismissalAndAnEndAreANo) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  open_question(*browser, question(id, 1, 1));
  browser->event("agent.input_resolved");
  const std::string second = open_question(*browser, question(id, 2));
  EXPECT_TRUE(respond(*browser, id, second, R"("cancelled":true)").boolean_at("success"));
  open_question(*browser, question(id, 3));
  EXPECT_TRUE(browser->ask(id, R"("cmd":"session.close")").boolean_at("success"));
  const auto answers = answered(3);
  ASSERT_EQ(answers.size(), 3U);
  for (const auto& answer : answers) EXPECT_EQ(answer.choice, ipc::ApprovalChoice::deny) << answer.question;
}

TEST_F(Approval, AnAnswerThatIsNoneOfTheChoicesLeavesTheQuestionOpen) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const std::string asked = open_question(*browser, question(id, 1));
  EXPECT_EQ(respond(*browser, id, asked, R"("value":"Sure")").text_at("code"), "bad_request");
  EXPECT_TRUE(host_.answers().empty());
  EXPECT_TRUE(respond(*browser, id, asked, R"("value":"Deny")").boolean_at("success"));
}

TEST_F(Approval, OutlivesTheTurnAndAReloadOfThePage) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const std::string asked = open_question(*browser, question(id, 1));
  prompt(*browser, id, "hello");
  browser->event("agent.idle");
  const auto later = host_.connect();
  const Json state = later->ask(id, R"("cmd":"get_state")");
  EXPECT_EQ(state.find("data")->text_at("state"), "waiting");
  ASSERT_EQ(state.find("data")->find("pending_inputs")->array()->size(), 1U);
  EXPECT_TRUE(respond(*later, id, asked, R"("value":"Once")").boolean_at("success"));
  EXPECT_EQ(later->ask(id, R"("cmd":"get_state")").find("data")->text_at("state"), "idle");
}

TEST_F(Approval, AttackAnsweringThroughAnotherSessionOfTheSameUser) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const std::string other = session(*browser);
  const std::string asked = open_question(*browser, question(id, 1));
  EXPECT_EQ(respond(*browser, other, asked, R"("value":"Once")").text_at("code"), "not_found");
  EXPECT_TRUE(host_.answers().empty());
}

TEST_F(Approval, AttackAFloodOfQuestionsIsRefusedBeyondABound) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  for (std::uint64_t i = 0; i < 40; ++i) host_.ask_user(question(id, i));
  const auto answers = answered(24);
  EXPECT_EQ(answers.size(), 24U) << "16 may be open";
  for (const auto& answer : answers) EXPECT_EQ(answer.choice, ipc::ApprovalChoice::deny);
}

TEST_F(Approval, WithoutTheAuditLogNobodyIsAskedAndTheAnswerIsNo) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  host_.cut_audit();
  // The runner may not have seen the end of the log yet; then the question is open, and harmless.
  eventually([&] {
    host_.ask_user(question(id, 1));
    return !host_.answers().empty();
  });
  ASSERT_FALSE(host_.answers().empty());
  EXPECT_EQ(host_.answers()[0].choice, ipc::ApprovalChoice::deny);
  host_.wire_audit();
}

TEST(ApprovalText, AttackTextThatReordersOrHidesItselfIsShownAsEscapes) {
  EXPECT_EQ(visible_text("plain /a-b_c.txt"), "plain /a-b_c.txt");
  EXPECT_EQ(visible_text("grüße 字"), "grüße 字");
  EXPECT_EQ(visible_text("a\nb\x1b[2K"), "a\\u{a}b\\u{1b}[2K");
  EXPECT_EQ(visible_text("safe\u202egnp.exe"), "safe\\u{202e}gnp.exe");
  EXPECT_EQ(visible_text("a\u200bb\u00adc\ufeff"), "a\\u{200b}b\\u{ad}c\\u{feff}");
  EXPECT_EQ(visible_text("\xff\xc3"), "\\xff\\xc3");
}

}  // namespace
}  // namespace oqto::runner::test
