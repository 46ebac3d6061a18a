// The story that the records of a session tell, and that nothing in them can tell another one.
#include "audit/read/story.h"

#include <gtest/gtest.h>

#include "audit/auditd/entry.h"
#include "audit/format/time_text.h"
#include "audit/read/relations.h"
#include "audit/read/story_words.h"
#include "audit/tests/test_host.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;
using ipc::Outcome;
using ipc::Phase;
using ipc::Process;

constexpr const char* kSession = "e0a6cb16-9495-4ee4-91ea-dcdcaaa467fd";

// Entries as auditd writes them, told as they come.
struct Teller {
  Story story;
  Relations relations{{}};
  std::uint64_t next = 0;
  std::uint64_t time = 1'795'939'232'000;

  std::uint64_t say(Process process, std::uint32_t account, ipc::AuditAppend record) {
    Actor actor;
    actor.process = process;
    actor.account = account;
    actor.username = account == 2 ? "alice" : account == 3 ? "mallory" : "";
    actor.pid = 5;
    const std::string entry = encode_entry(next, time += 10, actor, record);
    const auto related = relations.of(next, entry);
    story.add(next, entry, related ? std::string_view(related->entry) : "", related ? related->index : 0);
    return next++;
  }
  void outcome(Process process, std::uint32_t account, std::uint64_t intent, ipc::AuditAppend record, Outcome outcome) {
    record.phase = Phase::outcome;
    record.intent = intent;
    record.outcome = outcome;
    (void)say(process, account, std::move(record));
  }
  // One line per scene, indented, with its mark and result.
  std::string text() {
    std::string all;
    for (const std::size_t at : story.top()) add(all, at);
    return all;
  }
  void add(std::string& all, std::size_t at) {
    const Scene& scene = story.scenes()[at];
    all += std::string(scene.depth, ' ') + scene.sentence + " (" + std::string(mark_name(scene.mark)) + ")" +
           (scene.result.empty() ? "" : " " + scene.result) + "\n";
    for (const std::size_t child : scene.within) add(all, child);
  }
};

ipc::AuditAppend of(Event event, Phase phase = Phase::event) {
  return record(event, phase).add(FieldKey::session, kSession);
}
ipc::AuditAppend exec(std::string_view pid, std::string_view parent, std::initializer_list<std::string_view> argv) {
  auto run = of(Event::exec).add(FieldKey::pid, pid);
  if (!parent.empty()) run.add(FieldKey::ppid, parent);
  for (const std::string_view one : argv) run.add(FieldKey::argv, one);
  return run;
}

Teller whole_session() {
  Teller teller;
  const auto start = teller.say(Process::guard, 0, of(Event::session_start, Phase::intent).add(FieldKey::account, "2").add(FieldKey::policy, "profile=strict network=isolated"));
  teller.outcome(Process::guard, 0, start, of(Event::session_start), Outcome::success);
  teller.say(Process::guard, 0, of(Event::process_start).add(FieldKey::process, "session").add(FieldKey::pid, "99").add(FieldKey::account, "2"));
  const auto prompt = teller.say(Process::runner, 2, of(Event::command, Phase::intent).add(FieldKey::command, "prompt").add(FieldKey::args, R"({"cmd":"prompt","message":"deploy it"})"));
  teller.outcome(Process::runner, 2, prompt, record(Event::command), Outcome::success);
  for (int i = 0; i < 3; ++i) teller.say(Process::runner, 2, of(Event::command).add(FieldKey::command, "get_state"));
  const auto call = teller.say(Process::gateway, 0, of(Event::model_call, Phase::intent).add(FieldKey::provider, "mock").add(FieldKey::model, "m1"));
  teller.outcome(Process::gateway, 0, call, of(Event::model_call).add(FieldKey::tokens_in, "1345").add(FieldKey::tokens_out, "41").add(FieldKey::cost_nanos, "1500000"), Outcome::success);
  teller.say(Process::runner, 2, of(Event::tool_call).add(FieldKey::tool, "bash").add(FieldKey::call_id, "c1").add(FieldKey::args, R"({"command":"make && make install"})"));
  teller.say(Process::session, 2, exec("10", "9", {"/bin/bash", "-c", "make && make install"}));
  teller.say(Process::session, 2, exec("11", "10", {"make"}));
  teller.say(Process::session, 2, exec("12", "11", {"cc", "a b.c"}));
  teller.say(Process::session, 2, of(Event::exec_exit).add(FieldKey::pid, "12").add(FieldKey::exit_status, "1").add(FieldKey::duration_ms, "35"));
  teller.say(Process::session, 2, of(Event::file_create).add(FieldKey::path, "/workspace/a.o").add(FieldKey::call_id, "c1"));
  auto denied = of(Event::denial).add(FieldKey::host, "example.org").add(FieldKey::reason, "no rule allows this name");
  denied.outcome = Outcome::failure;
  teller.say(Process::gateway, 0, std::move(denied));
  auto failed = of(Event::tool_call).add(FieldKey::tool, "bash").add(FieldKey::call_id, "c1").add(FieldKey::duration_ms, "50");
  failed.outcome = Outcome::failure;
  teller.say(Process::runner, 2, std::move(failed));
  teller.say(Process::session, 2, exec("20", "9", {"sleep", "100"}));
  const auto close = teller.say(Process::runner, 2, of(Event::command, Phase::intent).add(FieldKey::command, "session.close"));
  teller.say(Process::session, 2, of(Event::exec_exit).add(FieldKey::pid, "20").add(FieldKey::signal, "9"));
  teller.say(Process::guard, 0, of(Event::session_stop).add(FieldKey::account, "2").add(FieldKey::reason, "closed by its user"));
  auto killed = record(Event::process_stop).add(FieldKey::process, "session").add(FieldKey::pid, "99").add(FieldKey::signal, "9");
  killed.outcome = Outcome::failure;
  teller.say(Process::guard, 0, std::move(killed));
  teller.outcome(Process::runner, 2, close, record(Event::command), Outcome::success);
  return teller;
}

TEST(Story, TellsWhatWasAskedAndBeneathItWhatTheMachineDid) {
  Teller teller = whole_session();
  teller.story.finish(false);
  EXPECT_EQ(teller.text(),
            "The session started under the profile strict (done)\n"
            "1 thing that pages and the host do by themselves: The host started session (none)\n"
            "alice asked: “deploy it” (done)\n"
            " The agent called the model mock/m1 (done) 1,345 tokens in, 41 out, cost 0.001500\n"
            " The agent used bash: make && make install (failed)\n"
            "  ran /bin/bash -c 'make && make install' (none)\n"
            "   ran make (none)\n"
            "    ran cc 'a b.c' (failed) ended with status 1\n"
            "  made /workspace/a.o (none)\n"
            "  was refused example.org: no rule allows this name (refused)\n"
            " ran sleep 100 (done) ended with the session\n"
            "3 things that pages and the host do by themselves: alice commanded get_state (3 times) (none)\n"
            "alice closed the session (done)\n"
            "The session ended: closed by its user (none)\n");
}

TEST(Story, WhatTheHarnessStartsBelongsToTheCallThatRunsAndItsOwnChildrenToTheirs) {
  Teller teller;
  const auto prompt = of(Event::command, Phase::intent).add(FieldKey::command, "prompt").add(FieldKey::args, R"({"cmd":"prompt","message":"go"})");
  teller.say(Process::session, 2, exec("7", "1", {"pi"}));
  teller.say(Process::runner, 2, prompt);
  teller.say(Process::runner, 2, of(Event::tool_call).add(FieldKey::tool, "bash").add(FieldKey::call_id, "c1").add(FieldKey::args, R"({"command":"serve &"})"));
  teller.say(Process::session, 2, exec("10", "7", {"serve"}));
  auto ended = of(Event::tool_call).add(FieldKey::tool, "bash").add(FieldKey::call_id, "c1");
  ended.outcome = Outcome::success;
  teller.say(Process::runner, 2, std::move(ended));
  teller.say(Process::runner, 2, of(Event::tool_call).add(FieldKey::tool, "bash").add(FieldKey::call_id, "c2").add(FieldKey::args, R"({"command":"ls"})"));
  teller.say(Process::session, 2, exec("11", "7", {"ls"}));
  teller.say(Process::session, 2, exec("12", "10", {"cgi"}));
  teller.story.finish(false);
  EXPECT_EQ(teller.text(),
            "ran pi (none)\n"
            "alice asked: “go” (open)\n"
            " The agent used bash: serve & (done)\n"
            "  ran serve (none)\n"
            "   ran cgi (none)\n"
            " The agent used bash: ls (open)\n"
            "  ran ls (none)\n");
}

TEST(Story, CountsWhatItTells) {
  Teller teller = whole_session();
  teller.story.finish(false);
  EXPECT_EQ(totals_text(teller.story.totals()),
            "1 prompt, 1 tool call, 4 programs, 1 file record, 1 model call (1,345 tokens in, 41 out), 1 refusal, 2 failures");
  EXPECT_TRUE(story_json(teller.story).starts_with(R"("totals":{"entries":)"));
}

TEST(Story, AnOrdinaryCloseIsNoFailureAndACrashIsOne) {
  Teller teller;
  teller.say(Process::guard, 0, of(Event::process_start).add(FieldKey::process, "session").add(FieldKey::pid, "99").add(FieldKey::account, "2"));
  auto killed = record(Event::process_stop).add(FieldKey::process, "session").add(FieldKey::pid, "99").add(FieldKey::signal, "9");
  killed.outcome = Outcome::failure;
  teller.say(Process::guard, 0, std::move(killed));
  teller.story.finish(false);
  EXPECT_EQ(teller.text(), "The host started session (failed) killed by signal 9\n");
}

TEST(Story, WithoutParentsAndExitsProgramsStandBeneathTheCallTheyRanIn) {
  Teller teller;
  teller.say(Process::runner, 2, of(Event::tool_call).add(FieldKey::tool, "bash").add(FieldKey::call_id, "c1"));
  teller.say(Process::session, 2, exec("10", "", {"ls"}));
  teller.say(Process::session, 2, exec("11", "", {"id"}));
  teller.story.finish(false);
  EXPECT_EQ(teller.text(), "The agent used bash (open)\n ran ls (none)\n ran id (none)\n");
}

TEST(Story, AttackAnotherTenantsRecordsAreNoPartOfIt) {
  Teller teller;
  teller.say(Process::guard, 0, of(Event::session_start).add(FieldKey::account, "2"));
  teller.say(Process::runner, 3, of(Event::command, Phase::intent).add(FieldKey::command, "prompt").add(FieldKey::args, R"({"message":"rm -rf /"})"));
  teller.story.finish(false);
  EXPECT_TRUE(teller.text().contains("Account 3, whose session this is not, recorded: mallory asked: “rm -rf /” (failed)")) << teller.text();
  EXPECT_EQ(teller.story.totals().prompts, 0U);
}

TEST(Story, AttackARecordThatComesBeforeTheHostsDoesNotDecideWhoseASessionIs) {
  Teller teller;
  teller.say(Process::runner, 3, of(Event::command, Phase::intent).add(FieldKey::command, "prompt").add(FieldKey::args, R"({"message":"mine"})"));
  teller.say(Process::session, 3, exec("10", "", {"evil"}));
  teller.say(Process::guard, 0, of(Event::session_start).add(FieldKey::account, "2"));
  teller.say(Process::runner, 2, of(Event::command, Phase::intent).add(FieldKey::command, "prompt").add(FieldKey::args, R"({"message":"hers"})"));
  teller.story.finish(false);
  EXPECT_EQ(teller.story.owner_of(kSession), "2");
  EXPECT_EQ(teller.story.totals().prompts, 1U);
  EXPECT_EQ(teller.story.totals().programs, 0U);
  EXPECT_TRUE(teller.text().starts_with("Account 3, whose session this is not, recorded: mallory asked: “mine” (failed)\n"
                                        " Account 3, whose session this is not, recorded: ran evil (failed)\n")) << teller.text();
}

TEST(Story, AttackTwoAccountsWithOneSessionIdShareNothing) {
  Teller teller;
  for (const std::uint32_t account : {2U, 3U}) {
    teller.say(Process::guard, 0, of(Event::session_start).add(FieldKey::account, std::to_string(account)));
    teller.say(Process::runner, account, of(Event::tool_call).add(FieldKey::tool, "bash").add(FieldKey::call_id, "c1"));
    teller.say(Process::session, account, exec("10", "", {"ls"}));
  }
  auto ended = of(Event::tool_call).add(FieldKey::tool, "bash").add(FieldKey::call_id, "c1");
  ended.outcome = Outcome::success;
  teller.say(Process::runner, 2, std::move(ended));
  teller.say(Process::guard, 0, of(Event::session_stop).add(FieldKey::account, "3").add(FieldKey::reason, "closed by its user"));
  teller.story.finish(false);
  EXPECT_EQ(teller.text(),
            "The session started (none)\n"
            "The agent used bash (done)\n"
            " ran ls (none)\n"
            "Account 3, in a session of its own with the same id: The session started (none)\n"
            "Account 3, in a session of its own with the same id: The agent used bash (none)\n"
            "Account 3, in a session of its own with the same id: ran ls (none)\n"
            "Account 3, in a session of its own with the same id: The session ended: closed by its user (none)\n");
}

TEST(Story, AttackACallIdThatIsUsedTwiceJoinsNoCalls) {
  Teller teller;
  const auto begins = [&](std::string_view tool) { teller.say(Process::runner, 2, of(Event::tool_call).add(FieldKey::tool, tool).add(FieldKey::call_id, "c1")); };
  const auto ends = [&](Outcome outcome) {
    auto end = of(Event::tool_call).add(FieldKey::tool, "bash").add(FieldKey::call_id, "c1");
    end.outcome = outcome;
    teller.say(Process::runner, 2, std::move(end));
  };
  begins("bash");
  teller.say(Process::session, 2, exec("10", "", {"rm"}));
  ends(Outcome::failure);
  begins("read");
  teller.say(Process::session, 2, exec("11", "", {"cat"}));
  ends(Outcome::success);
  ends(Outcome::success);  // of no call that runs
  begins("bash");
  begins("bash");
  teller.say(Process::session, 2, exec("12", "", {"id"}));
  ends(Outcome::failure);
  teller.story.finish(false);
  EXPECT_EQ(teller.text(),
            "The agent used bash (failed)\n"
            " ran rm (none)\n"
            "The agent used read (the id of this call was used before) (done)\n"
            " ran cat (none)\n"
            "The agent used bash (the end of a call that was not running) (done)\n"
            "The agent used bash (the id of this call was used before) (failed) or this was the end of another call of the same id\n"
            "The agent used bash (the id of this call was used before) (open)\n"
            "ran id (none)\n");
  EXPECT_EQ(teller.story.totals().failed, 2U);
}

TEST(Story, AttackAClaimedTimeMovesNothing) {
  Teller teller;
  const auto claim = [&](std::int64_t ms) { return utc_text(static_cast<std::uint64_t>(static_cast<std::int64_t>(teller.time) + ms)) + " (claimed)"; };
  teller.say(Process::runner, 2, of(Event::command, Phase::intent).add(FieldKey::command, "prompt").add(FieldKey::args, R"({"message":"first"})"));
  teller.say(Process::runner, 2, of(Event::command, Phase::intent).add(FieldKey::command, "prompt").add(FieldKey::args, R"({"message":"second"})").add(FieldKey::at, claim(-3'600'000)));
  teller.say(Process::runner, 2, of(Event::command, Phase::intent).add(FieldKey::command, "prompt").add(FieldKey::args, R"({"message":"third"})").add(FieldKey::at, claim(-999'000'000)));
  auto joined = record(Event::denial).add(FieldKey::host, "a.test").add(FieldKey::at, utc_text(teller.time - 5000));
  teller.say(Process::gateway, 0, std::move(joined));
  teller.story.finish(false);
  const std::string text = teller.text();
  EXPECT_TRUE(text.starts_with("was refused a.test")) << text;  // the host is believed
  EXPECT_LT(text.find("first"), text.find("second"));
  EXPECT_LT(text.find("second"), text.find("third"));
  EXPECT_TRUE(text.contains("“second” (open) by its own word this was at 20")) << text;
  EXPECT_FALSE(text.contains("“third” (open) by its own word")) << text;
}

TEST(Story, ARefusedCapabilityIsToldAsOne) {
  Teller teller;
  const auto refused = [&](std::string_view capability, std::string_view host) {
    auto denied = of(Event::denial).add(FieldKey::capability, capability).add(FieldKey::member, "tools[2]").add(FieldKey::rule, "network.delegated_fetch");
    if (!host.empty()) denied.add(FieldKey::host, host);
    denied.outcome = Outcome::failure;
    teller.say(Process::gateway, 0, std::move(denied));
  };
  refused("web_search", "");
  refused("image_url", "img.test");
  refused("unknown", "");
  teller.story.finish(false);
  EXPECT_EQ(teller.text(),
            "was refused the model's provider's web_search, tools[2] of a request (refused)\n"
            "was refused the model's provider's image_url, tools[2] of a request, with img.test (refused)\n"
            "was refused something unknown of the model's provider, tools[2] of a request (refused)\n");
}

TEST(Story, AttackNoTextOfATenantSteersATerminalOrForgesALine) {
  Teller teller;
  teller.say(Process::runner, 2, of(Event::command, Phase::intent).add(FieldKey::command, "prompt").add(FieldKey::args, "{\"message\":\"a\\u001b[2J\\nbob signed in\\u202e\"}"));
  teller.say(Process::session, 2, exec("10", "", {"x\n08:00:00  alice asked: nothing", "\x1b]0;t\x07"}));
  teller.story.finish(false);
  const std::string text = teller.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;
  EXPECT_EQ(text.find('\x1b'), text.npos);
  EXPECT_EQ(text.find("\xe2\x80\xae"), text.npos);
}

TEST(Story, AttackAChainOfProcessesDoesNotNestWithoutEnd) {
  Teller teller;
  for (int i = 1; i < 2000; ++i) teller.say(Process::session, 2, exec(std::to_string(i + 1), std::to_string(i), {"x"}));
  teller.story.finish(false);
  unsigned deepest = 0;
  for (const Scene& scene : teller.story.scenes()) deepest = std::max(deepest, scene.depth);
  EXPECT_EQ(deepest, Story::kMaxDepth - 1);
  EXPECT_EQ(teller.story.totals().programs, 1999U);
}

TEST(Story, ArgumentsThatAreNestedWithoutEndAreOnlyText) {
  Teller teller;
  teller.say(Process::runner, 2, of(Event::command, Phase::intent).add(FieldKey::command, "prompt").add(FieldKey::args, std::string(16000, '[')));
  teller.story.finish(false);
  EXPECT_TRUE(teller.text().contains("alice asked: “[[["));
}

}  // namespace
}  // namespace oqto::audit
