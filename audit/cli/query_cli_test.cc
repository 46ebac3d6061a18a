// Questions that an investigator asks, on logs that the real auditd wrote: nothing that belongs to the
// answer may be missing without a word.
#include <gtest/gtest.h>

#include <algorithm>

#include "audit/cli/test_cli.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;
using ipc::Outcome;
using ipc::Phase;

constexpr const char* kSession = "e0a6cb16-9495-4ee4-91ea-dcdcaaa467fd";

// What the real processes write about one person: each knows another half of who she is.
class Question : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    host_ = std::make_unique<TestHost>();
    CHECK(host_->start());
    ipc::AuditClient guard(host_->source(ipc::Process::guard, 0, "", 11, 0));
    ipc::AuditClient accounts(host_->source(ipc::Process::accounts, 0, "", 17, 20002));
    ipc::AuditClient gateway(host_->source(ipc::Process::gateway, 0, "", 18, 20003));
    ipc::AuditClient anna(host_->source(ipc::Process::runner, 7, "anna", 4242, 20007));
    ipc::AuditClient bob(host_->source(ipc::Process::runner, 8, "bob", 4243, 20008));
    act(accounts, intent(Event::login).add(FieldKey::account, "7").add(FieldKey::username, "anna"), Outcome::success);
    act(gateway, intent(Event::model_call).add(FieldKey::account, "7").add(FieldKey::session, kSession), Outcome::failure);
    const auto prompt = act(anna,
        intent(Event::command).add(FieldKey::command, "prompt").add(FieldKey::session, kSession)
            .add(FieldKey::args, R"({"message":"deploy"})"),
        Outcome::success);
    say(guard, record(Event::process_start).add(FieldKey::process, "session").add(FieldKey::pid, "77")
                   .add(FieldKey::account, "7").add(FieldKey::session, kSession));
    say(guard, record(Event::process_stop).add(FieldKey::process, "session").add(FieldKey::pid, "77")
                   .add(FieldKey::signal, "9"));
    // Bob's runner says that it finished what Anna's began.
    auto forged = record(Event::command, Phase::outcome);
    forged.intent = prompt;
    forged.outcome = Outcome::failure;
    say(bob, std::move(forged));
    // … what hers has begun and not finished,
    auto open = record(Event::command, Phase::outcome);
    open.intent = say(anna, intent(Event::command).add(FieldKey::command, "set_model"));
    open.outcome = Outcome::success;
    say(bob, std::move(open));
    // … and that account 7 is called mallory.
    say(bob, record(Event::command).add(FieldKey::account, "7").add(FieldKey::username, "mallory"));
    say(anna, record(Event::command).add(FieldKey::command, "late").add(FieldKey::at, "2001-02-03T04:05:06.789Z"));
    say(anna, record(Event::command).add(FieldKey::command, "waited").add(FieldKey::at, sys::utc_text(sys::now_ms() - 3'600'000)));
    say(anna, record(Event::command).add(FieldKey::command, "timeless").add(FieldKey::at, "\x1b[31mnoon"));
    say(gateway, record(Event::denial).add(FieldKey::host, "joined.test").add(FieldKey::at, "2002-02-03T04:05:06.789Z"));
    host_->stop();
  }
  static void TearDownTestSuite() { host_.reset(); }

  static ipc::AuditAppend intent(Event event) { return record(event, Phase::intent); }
  static std::uint64_t say(ipc::AuditClient& client, ipc::AuditAppend record) {
    return *client.append(std::move(record));
  }
  static std::uint64_t act(ipc::AuditClient& client, ipc::AuditAppend record, Outcome came_of_it) {
    ipc::AuditAppend outcome = audit::record(record.event, Phase::outcome);
    outcome.intent = say(client, std::move(record));
    outcome.outcome = came_of_it;
    (void)say(client, outcome);
    return outcome.intent;
  }
  static Output ask(const std::string& arguments) {
    return run(oqto_audit(arguments) + " --log " + host_->log_dir());
  }
  static std::ptrdiff_t found(const std::string& arguments) {
    const Output output = run("(" + oqto_audit(arguments) + " --log " + host_->log_dir() + " 2>/dev/null)");
    return std::ranges::count(output.out, '\n');
  }

  static inline std::unique_ptr<TestHost> host_;
};

TEST_F(Question, ANameFindsWhatCarriesOnlyTheAccountAndTheOtherWayRound) {
  for (const std::string who : {"7", "anna", "ANNA"}) {
    EXPECT_EQ(found("search --event model.call --tenant " + who), 2) << who;
    EXPECT_EQ(found("search --event login --tenant " + who), 2) << who;
    EXPECT_EQ(found("search --event process.* --tenant " + who), 2) << who;
    EXPECT_EQ(found("tail -n 100 --event model.call --tenant " + who), 2) << who;
    EXPECT_EQ(found("export --event model.call --tenant " + who), 2) << who;
    EXPECT_EQ(found("search --event login --actor " + who), 2) << who;
  }
  const Output stats = ask("stats --tenant anna --event model.call");
  EXPECT_TRUE(stats.out.starts_with("2 entries")) << stats.out;
  EXPECT_TRUE(contains(stats.out, "7 anna")) << stats.out;
}

TEST_F(Question, OutcomesAreFoundByWhatTheirIntentsSay) {
  EXPECT_EQ(found("search --event login --tenant anna --outcome success"), 1);
  EXPECT_EQ(found(std::string("search --event command --session ") + kSession), 2);
  EXPECT_EQ(found(std::string("search --event model.call --outcome failure --session ") + kSession), 1);
  EXPECT_EQ(found("search --text deploy --outcome success"), 1);
  EXPECT_EQ(found(std::string("search --event process.stop --session ") + kSession), 1);
  const Output login = ask("search --event login --outcome success");
  EXPECT_TRUE(contains(login.out, "[username=anna account=7]")) << login.out;
}

TEST_F(Question, AnOutcomeIsFoundAlthoughTheSearchBeginsBehindItsIntent) {
  const Output all = ask("search --event login --tenant anna --outcome success");
  const std::string index = all.out.substr(all.out.find('#') + 1, all.out.find("  ", all.out.find('#')) - all.out.find('#') - 1);
  EXPECT_EQ(found("search --event login --tenant anna --range " + index + ".."), 1) << all.out;
}

TEST_F(Question, ASessionIsFoundByTheIdThatOtherToolsPrint) {
  const std::ptrdiff_t all = found(std::string("search --session ") + kSession);
  EXPECT_GT(all, 5);
  EXPECT_EQ(found(std::string("search --session oqto-") + kSession), all);
  EXPECT_EQ(found("search --session oqto-E0A6"), all);
  const Output none = ask("search --session nonsense");
  EXPECT_EQ(none.status, 2);
  EXPECT_TRUE(contains(none.out, "is no session id")) << none.out;
}

TEST_F(Question, UnknownEventsAreRefusedWithTheNearest) {
  const std::pair<const char*, const char*> events[] = {{"exce", "did you mean exec?"},
                                                        {"comand", "did you mean command?"},
                                                        {"sesion.*", "did you mean session*?"},
                                                        {"start", "did you mean process.start?"},
                                                        {"zzz", "audit-events.md"}};
  for (const auto& [event, said] : events) {
    for (const std::string command : {"search", "tail", "export", "stats"}) {
      const Output output = ask(command + " --event " + event);
      EXPECT_EQ(output.status, 2) << command << " " << event;
      EXPECT_TRUE(contains(output.out, said)) << output.out;
    }
  }
}

TEST_F(Question, NothingFoundIsSaidWithWhatWasSearched) {
  const Output nobody = ask("search --tenant annna");
  EXPECT_EQ(nobody.status, 1);
  EXPECT_TRUE(contains(nobody.out, "no account or user annna: did you mean anna?")) << nobody.out;
  EXPECT_TRUE(contains(nobody.out, "nothing found: none of ")) << nobody.out;
  EXPECT_TRUE(contains(nobody.out, "fits tenant annna")) << nobody.out;
  for (const std::string command : {"search", "tail", "stats"}) {
    const Output none = ask(command + " --event ssh.open --tenant anna");
    EXPECT_EQ(none.status, 1) << command;
    EXPECT_TRUE(contains(none.out, "fits event ssh.open, tenant anna")) << none.out;
  }
  const Output exported = ask("export --event ssh.open");
  EXPECT_EQ(exported.status, 0);
  EXPECT_TRUE(contains(exported.out, "nothing found")) << exported.out;
}

TEST_F(Question, TheTimelineOfASessionAndOfAPersonIsTold) {
  for (const std::string subject : {"oqto-e0a6cb16-9495-4ee4-91ea-dcdcaaa467fd", "e0a6", "anna", "7"}) {
    const Output story = ask("timeline " + subject);
    EXPECT_EQ(story.status, 0) << story.out;
    EXPECT_TRUE(contains(story.out, "anna asked: “deploy”")) << story.out;
    EXPECT_TRUE(contains(story.out, "The agent called the model / ")) << story.out;
    EXPECT_TRUE(contains(story.out, "FAILED")) << story.out;
    EXPECT_FALSE(contains(story.out, "mallory")) << story.out;
  }
  EXPECT_TRUE(contains(ask("timeline anna").out, "anna signed in")) << ask("timeline anna").out;
  const Output json = run("(" + oqto_audit("timeline anna --json --log ") + host_->log_dir() +
                          ") | python3 -c 'import json,sys; s=json.load(sys.stdin); print(s[\"subject\"], s[\"totals\"][\"prompts\"], s[\"next\"])'");
  EXPECT_EQ(json.out, "anna 1 None\n");
  const Output part = ask("timeline anna --limit 2");
  EXPECT_TRUE(contains(part.out, "It goes on: --range ")) << part.out;
  const Output nobody = ask("timeline zoe");
  EXPECT_EQ(nobody.status, 2);
  EXPECT_TRUE(contains(nobody.out, "no account or user zoe")) << nobody.out;
  EXPECT_EQ(ask("timeline ffff").status, 1);
}

TEST_F(Question, AttackAnOutcomeOfSomebodyElsesIntentIsNotJoinedToIt) {
  EXPECT_EQ(found("search --event command --outcome failure --tenant anna"), 0);
  EXPECT_EQ(found("search --event command --outcome failure --tenant bob"), 1);
  const Output stats = ask("stats");
  EXPECT_TRUE(contains(stats.out, "\n1 intents without an outcome\n")) << stats.out;
}

TEST_F(Question, AttackATenantNamesNobody) {
  EXPECT_EQ(found("search --event model.call --tenant mallory"), 0);
  const Output anna = ask("search --event command --tenant anna");
  EXPECT_FALSE(contains(anna.out, "bob(8)")) << anna.out;
  EXPECT_FALSE(contains(ask("stats").out, "mallory"));
}

TEST_F(Question, WhenItHappenedStandsBesideWhenItWasWritten) {
  const Output joined = ask("search --text joined.test");
  EXPECT_TRUE(contains(joined.out, "(happened 2002-02-03T04:05:06.789Z)")) << joined.out;
  EXPECT_EQ(found("search --from 2002-02-03 --to 2002-02-04"), 1);
  EXPECT_TRUE(contains(ask("search --text waited").out, "(claimed)"));
  EXPECT_EQ(found("search --event command --from -62m --to -58m"), 1);
}

TEST_F(Question, AttackATimeThatATenantClaimsIsMarkedAndNotBelievedWhereItCannotBe) {
  const Output late = ask("search --text late");
  EXPECT_TRUE(contains(late.out, "(happened \"2001-02-03T04:05:06.789Z (claimed, out of range)\")")) << late.out;
  EXPECT_EQ(found("search --from 2001-02-03 --to 2001-02-04"), 0);
  const Output timeless = ask("search --text timeless");
  EXPECT_TRUE(contains(timeless.out, "no time (claimed)")) << timeless.out;
  EXPECT_FALSE(contains(timeless.out, "noon")) << timeless.out;
}

}  // namespace
}  // namespace oqto::audit
