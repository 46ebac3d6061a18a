// The real runner, sealed, with the real hstry beside it.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "runner/runner_fixture.h"

namespace oqto::runner::test {
namespace {

TEST_F(Runner, GreetsAndListsNothingAtFirst) {
  const auto browser = host_.connect();
  const Json hello = browser->next();
  EXPECT_EQ(hello.text_at("type"), "connected");
  EXPECT_EQ(hello.find("user")->text_at("username"), "anna");
  EXPECT_EQ(browser->ask("_system", R"("cmd":"list_sessions")").find("data")->dump(), R"({"sessions":[],"total":0})");
  EXPECT_EQ(browser->ask("_system", R"("cmd":"list_workspaces")").find("data")->dump(), R"({"workspaces":[]})");
}

TEST_F(Runner, StreamsATurnAndStoresItUnderTheSameIds) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const Json accepted = browser->ask(id, R"("cmd":"prompt","message":"say hello\nto me","client_id":"c1")");
  ASSERT_TRUE(accepted.boolean_at("success")) << accepted.dump();
  browser->event("agent.idle");
  std::string streamed;
  std::string stream_id;
  std::int64_t last_seq = 0;
  for (const Json& frame : browser->seen) {
    if (frame.text_at("session_id") != id || frame.find("seq") == nullptr) continue;
    EXPECT_EQ(frame.integer_at("seq"), last_seq + 1) << frame.dump();
    last_seq = frame.integer_at("seq");
    if (frame.text_at("event") == "stream.text_delta") {
      streamed += frame.text_at("delta");
      stream_id = frame.text_at("message_id");
    }
  }
  EXPECT_EQ(streamed, "echo: say hello\nto me");
  const auto stored = messages(*browser, id);
  ASSERT_EQ(stored.size(), 2U);
  EXPECT_EQ(stored[0].text_at("client_id"), "c1");
  EXPECT_EQ(stored[0].integer_at("idx", -1), 0);
  EXPECT_EQ(stored[1].text_at("id"), stream_id);
  EXPECT_EQ(stored[1].integer_at("idx", -1), 1);
  EXPECT_EQ(text_of(stored[1]), streamed);
  EXPECT_EQ(stored[1].text_at("stop_reason"), "stop");
  const Json list = browser->ask("_system", R"("cmd":"list_sessions")");
  const Json& row = list.find("data")->find("sessions")->array()->front();
  EXPECT_EQ(row.text_at("title"), "say hello");
  EXPECT_EQ(row.text_at("state"), "idle");
  EXPECT_EQ(row.integer_at("message_count"), 2);
}

TEST_F(Runner, StartsPiHardenedAndWithTheSessionsOwnId) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const auto argv = host_.last_argv();
  const auto has = [&](const std::string& word) { return std::count(argv.begin(), argv.end(), word) == 1; };
  EXPECT_TRUE(has("--no-approve") && has("-ne") && has(id.substr(5)));
  EXPECT_FALSE(has("-nc"));
}

TEST_F(Runner, RefusesAPromptWhileOneRunsAndAbortsIt) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  ASSERT_TRUE(prompt(*browser, id, "hang on").boolean_at("success"));
  browser->event("stream.text_delta");
  const Json busy = prompt(*browser, id, "another");
  EXPECT_FALSE(busy.boolean_at("success"));
  EXPECT_EQ(busy.text_at("code"), "busy");
  EXPECT_TRUE(browser->ask(id, R"("cmd":"steer","message":"this way")").boolean_at("success"));
  const Json state = browser->ask(id, R"("cmd":"get_state")");
  EXPECT_EQ(state.find("data")->text_at("state"), "working");
  EXPECT_EQ(state.find("data")->text_at("phase"), "generating");
  EXPECT_EQ(state.find("data")->find("queue")->array()->size(), 1U);
  // What has come so far is there for a browser that looks now.
  const auto live = messages(*browser, id);
  ASSERT_EQ(live.size(), 2U);
  EXPECT_EQ(text_of(live[1]), "partial ");
  const Json aborted = browser->ask(id, R"("cmd":"abort")");
  EXPECT_TRUE(aborted.boolean_at("success")) << aborted.dump();
  EXPECT_EQ(browser->ask(id, R"("cmd":"get_state")").find("data")->text_at("state"), "idle");
  EXPECT_EQ(messages(*browser, id)[1].text_at("stop_reason"), "aborted");
  EXPECT_TRUE(browser->ask(id, R"("cmd":"abort")").boolean_at("success"));  // idle: nothing to do
}

TEST_F(Runner, TakesAPromptWhilePiIsStillStarting) {
  const auto browser = host_.connect();
  workspace_ = workspace(*browser);
  const std::string id = "oqto-0f8fad5b-d9cb-469f-a165-70867728950e";
  browser->command(id, R"("cmd":"session.create","config":{"harness":"pi","workspace_id":")" + workspace_ + "\"}");
  EXPECT_TRUE(prompt(*browser, id, "early bird").boolean_at("success"));
  browser->event("agent.idle");
  EXPECT_EQ(messages(*browser, id).size(), 2U);
}

TEST_F(Runner, SendsARepeatedClientIdOnlyOnce) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const char* once = R"("cmd":"prompt","message":"once","client_id":"same")";
  EXPECT_TRUE(browser->ask(id, once).boolean_at("success"));
  browser->event("agent.idle");
  EXPECT_TRUE(browser->ask(id, once).boolean_at("success"));
  EXPECT_EQ(messages(*browser, id).size(), 2U);
}

TEST_F(Runner, TellsACrashWithWhatPiSaidLast) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  prompt(*browser, id, "crash now");
  const Json error = browser->event("agent.error");
  EXPECT_NE(error.text_at("error").find("exited with status 1"), std::string_view::npos) << error.dump();
  EXPECT_NE(error.text_at("error").find("TypeError: boom"), std::string_view::npos);
  EXPECT_EQ(error.text_at("error").find("Warning"), std::string_view::npos);  // of its start
  EXPECT_FALSE(error.boolean_at("recoverable", true));
  EXPECT_EQ(browser->ask(id, R"("cmd":"get_state")").find("data")->text_at("state"), "failed");
  const auto told = messages(*browser, id);
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].text_at("stop_reason"), "error");
  EXPECT_NE(told[1].text_at("error").find("TypeError: boom"), std::string_view::npos);
  // The next message starts it again, and it knows what was said.
  EXPECT_TRUE(prompt(*browser, id, "hello").boolean_at("success"));
  browser->event("agent.idle");
  EXPECT_EQ(messages(*browser, id).size(), 4U);
}

TEST_F(Runner, AnswersHostileFramesAndGoesOn) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  for (const char* text : {"null", "[]", "{", "\"x\"", R"({"channel":"nope"})"}) {
    browser->send(text);
    EXPECT_EQ(browser->next().text_at("type"), "error") << text;
  }
  browser->send(R"({"channel":"terminal","id":"t","type":"open"})");
  EXPECT_EQ(browser->next().text_at("channel"), "terminal");
  EXPECT_EQ(browser->ask(id, R"("cmd":"session.switch")").text_at("code"), "not_available_yet");
  EXPECT_EQ(browser->ask(id, R"("cmd":"whatever")").text_at("code"), "bad_request");
  EXPECT_EQ(browser->ask("oqto-0f8fad5b-d9cb-469f-a165-70867728950e", R"("cmd":"abort")").text_at("code"), "not_found");
  EXPECT_EQ(browser->ask(id, R"("cmd":"set_model","provider":"x","model_id":"y")").text_at("error"),
            "this host does not offer the model x/y; it offers mock/mock-1, mock/mock-2");
  EXPECT_TRUE(prompt(*browser, id, "still there").boolean_at("success"));
}

TEST_F(Runner, RefusesAPromptOfTenMegabytesAndTakesOneOfAMegabyte) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const Json refused = prompt(*browser, id, std::string(10'000'000, 'x'));
  EXPECT_EQ(refused.text_at("code"), "limit");
  EXPECT_TRUE(prompt(*browser, id, std::string(1'000'000, 'y')).boolean_at("success"));
  browser->event("agent.idle");
  EXPECT_EQ(messages(*browser, id).size(), 2U);
  // What it was stands in a blob, whole: the record names it instead of cutting it.
  const auto records = host_.audited();
  EXPECT_TRUE(std::ranges::any_of(records, [](const AuditedRecord& record) {
    return record.command == "prompt" && record.text.find("args_blob=") != std::string::npos &&
           record.text.find("truncated") == std::string::npos && record.args.empty();
  }));
}

TEST_F(Runner, EndsAConnectionWhoseMessageIsTooLong) {
  const auto greedy = host_.connect();
  const auto other = host_.connect();
  greedy->send(std::string(13 * 1024 * 1024, 'x'));
  EXPECT_TRUE(greedy->ended());
  EXPECT_TRUE(other->ask("_system", R"("cmd":"list_sessions")").boolean_at("success"));
}

TEST_F(Runner, RefusesAStreamThatIsNoUpgrade) {
  const Fd stream = host_.open_stream();
  (void)sys::set_nonblocking(stream, false);
  ASSERT_TRUE(sys::write_all(stream, "GET /etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"));
  const auto answer = sys::read_all(stream, 4096);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->starts_with("HTTP/1.1 400")) << *answer;
}

TEST_F(Runner, DoesNothingWithoutTheAuditLogAndGoesOnWhenItIsBack) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  host_.cut_audit();
  Json refused = prompt(*browser, id, "unrecorded");
  EXPECT_EQ(refused.text_at("code"), "unavailable");
  EXPECT_EQ(refused.text_at("error"),
            "the audit log does not accept records now; nothing was done. Try again in a moment.");
  EXPECT_EQ(browser->ask("_system", R"("cmd":"list_sessions")").text_at("code"), "unavailable");
  host_.wire_audit();
  Json works;
  eventually([&] {
    works = prompt(*browser, id, "recorded");
    return works.boolean_at("success");
  });
  EXPECT_TRUE(works.boolean_at("success"));
  browser->event("agent.idle");
  EXPECT_EQ(messages(*browser, id).size(), 2U);
}

TEST_F(Runner, DoesNothingWhenTheAuditLogDoesNotAnswer) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  host_.audit_answers(false);
  EXPECT_EQ(prompt(*browser, id, "unanswered").text_at("code"), "unavailable");
  host_.audit_answers(true);
  EXPECT_TRUE(messages(*browser, id).empty());
}

TEST_F(Runner, AnOutcomeThatTheLogRefusesIsRecordedWhenItIsTaken) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  const auto outcomes = [&] {
    const auto records = host_.audited();
    return std::ranges::count(records, ipc::Phase::outcome, &AuditedRecord::phase);
  };
  eventually([&] { return outcomes() == 2; });  // of the workspace and of the session
  host_.refuse_outcomes(2);
  prompt(*browser, id, "note this");
  browser->event("agent.idle");
  eventually([&] { return outcomes() == 3; });
  EXPECT_EQ(outcomes(), 3);
}

TEST_F(Runner, RecordsEveryCommandBeforeItIsDoneAndWhatCameOfIt) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  prompt(*browser, id, "note this");
  browser->event("agent.idle");
  prompt(*browser, id, std::string(1'100'000, 'x'));  // refused while it was decoded: no command
  browser->ask("_system", R"("cmd":"list_sessions")");
  std::vector<std::string> kinds;
  std::size_t successes = 0;
  for (const AuditedRecord& record : host_.audited()) {
    if (record.phase == ipc::Phase::outcome) successes += record.outcome == ipc::Outcome::success;
    if (record.phase == ipc::Phase::intent) kinds.push_back(record.command);
    if (record.command == "prompt") { EXPECT_NE(record.args.find("note this"), std::string::npos); }
  }
  EXPECT_EQ(kinds, (std::vector<std::string>{"create_workspace", "session.create", "prompt"}));
  EXPECT_EQ(successes, 3U);
}

TEST_F(Runner, ShowsTheSameSessionToTwoConnectionsAndOutlivesBoth) {
  auto first = host_.connect();
  const std::string id = session(*first);
  auto second = host_.connect();
  const Json subscribed = second->ask(id, R"("cmd":"session.subscribe","since_seq":0)");
  ASSERT_TRUE(subscribed.boolean_at("success"));
  EXPECT_TRUE(subscribed.find("data")->boolean_at("complete"));
  prompt(*first, id, "hang here");
  const Json a = first->event("stream.text_delta");
  const Json b = second->event("stream.text_delta");
  EXPECT_EQ(a.dump(), b.dump());
  first.reset();
  EXPECT_TRUE(second->ask(id, R"("cmd":"abort")").boolean_at("success"));
  second.reset();
  // Later, with the number seen last: nothing is missing, nothing comes twice.
  auto third = host_.connect();
  const Json caught_up = third->ask(id, R"("cmd":"session.subscribe","since_seq":)" +
                                            std::to_string(b.integer_at("seq")) + R"(,"epoch":")" +
                                            std::string(b.text_at("epoch")) + '"');
  EXPECT_TRUE(caught_up.find("data")->boolean_at("complete"));
  const Json next = third->next();
  EXPECT_EQ(next.integer_at("seq"), b.integer_at("seq") + 1);
  third->event("agent.idle");
}

TEST_F(Runner, DropsEventsOfASlowSubscriberAndTellsIt) {
  const auto fast = host_.connect();
  const std::string id = session(*fast);
  const auto slow = host_.connect();
  slow->command(id, R"("cmd":"session.subscribe","since_seq":0)");
  ASSERT_TRUE(prompt(*fast, id, "flood").boolean_at("success"));
  std::string state;
  eventually([&] {
    state = fast->ask(id, R"("cmd":"get_state")").find("data")->text_at("state");
    return state == "idle";
  });
  EXPECT_EQ(state, "idle");
  const Json resync = slow->event("stream.resync_required");
  EXPECT_GT(resync.integer_at("dropped_count"), 0);
  EXPECT_EQ(messages(*slow, id).size(), 2U);
}

TEST_F(Runner, PutsADialogToThePersonAndCancelsAnEditor) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  prompt(*browser, id, "dialog");
  const Json asked = browser->event("agent.input_needed");
  EXPECT_EQ(asked.find("request")->text_at("title"), "May it?");
  const Json state = browser->ask(id, R"("cmd":"get_state")");
  EXPECT_EQ(state.find("data")->text_at("state"), "waiting");
  EXPECT_EQ(state.find("data")->find("pending_inputs")->array()->size(), 1U);
  EXPECT_EQ(browser->ask(id, R"("cmd":"input_response","request_id":"zz","value":"x")").text_at("code"), "not_found");
  EXPECT_TRUE(browser->ask(id, R"("cmd":"input_response","request_id":"d1","value":"Allow")").boolean_at("success"));
  browser->event("agent.idle");
  EXPECT_EQ(text_of(messages(*browser, id)[1]), "chosen: Allow");
  prompt(*browser, id, "editor");
  browser->event("agent.idle");
  EXPECT_EQ(text_of(messages(*browser, id)[3]), "cancelled");
}

TEST_F(Runner, KeepsEverythingThroughARestart) {
  std::string id;
  {
    const auto browser = host_.connect();
    id = session(*browser);
    prompt(*browser, id, "remember me");
    browser->event("agent.idle");
    browser->ask(id, R"("cmd":"set_session_name","name":"Kept")");
  }
  EXPECT_EQ(host_.stop_runner(), 0);
  host_.stop_history();
  host_.start_history();
  host_.start_runner();
  const auto browser = host_.connect();
  EXPECT_EQ(browser->ask("_system", R"("cmd":"list_workspaces")").find("data")->find("workspaces")->array()->size(), 1U);
  const Json list = browser->ask("_system", R"("cmd":"list_sessions")");
  const Json& row = list.find("data")->find("sessions")->array()->front();
  EXPECT_EQ(row.text_at("session_id"), id);
  EXPECT_EQ(row.text_at("title"), "Kept");
  EXPECT_EQ(row.text_at("state"), "asleep");
  EXPECT_EQ(row.integer_at("message_count"), 2);
  EXPECT_EQ(row.text_at("model"), "mock-1");
  EXPECT_EQ(messages(*browser, id).size(), 2U);
  browser->ask(id, R"("cmd":"session.subscribe")");
  prompt(*browser, id, "go on");
  browser->event("agent.idle");
  EXPECT_EQ(messages(*browser, id).size(), 4U);
}

TEST_F(Runner, SendsIdleOnlyWhenTheHistoryHasTheTurn) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  ASSERT_TRUE(prompt(*browser, id, "hang").boolean_at("success"));
  browser->event("stream.text_delta");
  host_.stop_history();
  const std::string abort = browser->command(id, R"("cmd":"abort")");
  EXPECT_NE(browser->event("agent.error").text_at("error").find("wait to be stored"), std::string_view::npos);
  for (const Json& frame : browser->seen) EXPECT_NE(frame.text_at("id"), abort);
  host_.start_history();
  browser->until([&](const Json& frame) { return frame.text_at("id") == abort; });
  EXPECT_EQ(messages(*browser, id).size(), 2U);
  EXPECT_TRUE(prompt(*browser, id, "now?").boolean_at("success"));
}

TEST_F(Runner, ClosesAndDeletesASession) {
  const auto browser = host_.connect();
  const std::string id = session(*browser);
  prompt(*browser, id, "short life");
  browser->event("agent.idle");
  EXPECT_TRUE(browser->ask(id, R"("cmd":"session.close")").boolean_at("success"));
  EXPECT_EQ(browser->ask(id, R"("cmd":"get_state")").find("data")->text_at("state"), "stopped");
  EXPECT_TRUE(browser->ask(id, R"("cmd":"session.delete")").boolean_at("success"));
  EXPECT_EQ(browser->ask(id, R"("cmd":"get_messages")").text_at("code"), "not_found");
  EXPECT_EQ(browser->ask("_system", R"("cmd":"list_sessions")").find("data")->dump(), R"({"sessions":[],"total":0})");
}

}  // namespace
}  // namespace oqto::runner::test
