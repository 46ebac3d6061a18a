// What the history lacks after a crash, as the harness's file tells it.
#include <gtest/gtest.h>

#include "runner/pi_messages.h"
#include "runner/reconcile.h"

namespace oqto::runner {
namespace {

using protocol::Json;
using protocol::Message;
using protocol::Role;

int next_id = 0;
std::string new_id() { return "new" + std::to_string(++next_id); }

// The harness's file, one entry behind the other.
class File {
 public:
  File& message(const std::string& json) { return entry(R"("type":"message","message":)" + json); }
  File& user(const std::string& text) { return message(R"({"role":"user","content":")" + text + R"(","timestamp":1})"); }
  File& answer(int time, const std::string& text, const std::string& stop = "stop") {
    return message(R"({"role":"assistant","stopReason":")" + stop + R"(","timestamp":)" + std::to_string(time) +
                   R"(,"content":[{"type":"text","text":")" + text + R"("}]})");
  }
  File& hide() {  // the last one: a try that failed
    return entry(R"("type":"context_edit","replacement":null,"targetId":"e)" + std::to_string(count_ - 1) + '"');
  }
  [[nodiscard]] Json data() const {
    return *protocol::parse_json(R"({"entries":[)" + entries_ + R"(],"leafId":"e)" + std::to_string(count_ - 1) + R"("})");
  }

 private:
  File& entry(const std::string& members) {
    if (count_ != 0) entries_ += ',';
    entries_ += R"({"id":"e)" + std::to_string(count_) + R"(","parentId":"e)" + std::to_string(count_ - 1) + R"(",)" + members + '}';
    ++count_;
    return *this;
  }
  std::string entries_;
  int count_ = 0;
};

Message said(const std::string& text) {
  Message message{.id = "u-" + text, .role = Role::user, .created_at = 99};
  message.parts.push_back({.type = protocol::Part::Type::text, .id = "p", .text = text});
  return message;
}
Message answered(std::uint64_t time, const std::string& stop = "stop") {
  return {.id = "a" + std::to_string(time), .role = Role::assistant, .created_at = time, .stop_reason = stop};
}

TEST(Reconcile, AddsNothingWhenBothAgree) {
  const auto data = File().user("one").answer(10, "1").user("two").answer(20, "2").data();
  const Reconciled found =
      reconcile({said("one"), answered(10), said("two"), answered(20)}, true, data, nullptr, new_id);
  EXPECT_TRUE(found.missing.empty());
  EXPECT_TRUE(found.answered);
  EXPECT_FALSE(found.prompt_unknown);
}

TEST(Reconcile, BringsTheAnswerThatOnlyTheHarnessHas) {
  const auto data = File().user("one").answer(10, "1").user("two").answer(20, "2", "toolUse").answer(30, "3").data();
  const Reconciled found = reconcile({said("one"), answered(10), said("two")}, true, data, nullptr, new_id);
  ASSERT_EQ(found.missing.size(), 2U);
  EXPECT_EQ(plain_text(found.missing[1]), "3");
  EXPECT_TRUE(found.missing[0].recovered);
  EXPECT_TRUE(found.missing[1].parts[0].id.starts_with(found.missing[1].id));
  EXPECT_TRUE(found.answered);
}

TEST(Reconcile, KnowsAPromptThatTheHarnessNeverHad) {
  const auto data = File().user("ping").answer(10, "pong").data();
  EXPECT_TRUE(reconcile({said("ping"), answered(10), said("ping")}, true, data, nullptr, new_id).prompt_unknown);
  const auto both = File().user("ping").answer(10, "pong").user("ping").data();
  const Reconciled known = reconcile({said("ping"), answered(10), said("ping")}, true, both, nullptr, new_id);
  EXPECT_FALSE(known.prompt_unknown);
  EXPECT_FALSE(known.answered);
}

TEST(Reconcile, GivesTheBegunAnswerItsOwnIdAndLeavesFailedTriesOut) {
  Message partial = answered(30, "");
  partial.id = "streamed";
  const auto data = File().user("one").answer(20, "half", "error").hide().answer(30, "whole").data();
  const Reconciled found = reconcile({said("one")}, true, data, &partial, new_id);
  ASSERT_EQ(found.missing.size(), 1U);
  EXPECT_EQ(found.missing[0].id, "streamed");
  EXPECT_TRUE(found.partial_known);
}

TEST(Reconcile, AnAnswerThatIsStoredAlreadyIsNotCutAgain) {
  Message partial = answered(10, "");
  partial.id = "a10";
  const auto data = File().user("one").answer(10, "1", "toolUse").data();
  const Reconciled found = reconcile({said("one"), answered(10, "tool_use")}, true, data, &partial, new_id);
  EXPECT_TRUE(found.missing.empty());
  EXPECT_TRUE(found.partial_known);
  EXPECT_FALSE(found.answered);
}

TEST(Reconcile, AMessageThatWaitedAndWasReadComesInItsPlace) {
  const auto data = File().user("one").answer(10, "1", "toolUse").user("steer").answer(20, "2").data();
  const Reconciled found = reconcile({said("one"), answered(10, "tool_use")}, true, data, nullptr, new_id);
  ASSERT_EQ(found.missing.size(), 2U);
  EXPECT_EQ(found.missing[0].role, Role::user);
  EXPECT_EQ(plain_text(found.missing[0]), "steer");
}

TEST(Reconcile, OfWhatHasNothingInCommonNothingIsTaken) {
  const auto data = File().user("other").answer(77, "x").data();
  const Reconciled found = reconcile({said("one"), answered(10)}, false, data, nullptr, new_id);
  EXPECT_FALSE(found.comparable);
  EXPECT_TRUE(found.missing.empty());
}

TEST(Reconcile, AttackAFileThatLeadsBackToItselfEnds) {
  const auto data = *protocol::parse_json(R"({"leafId":"a","entries":[{"id":"a","parentId":"b","type":"message",
    "message":{"role":"user","content":"x"}},{"id":"b","parentId":"a","type":"message","message":{"role":"user","content":"y"}}]})");
  EXPECT_EQ(reconcile({}, true, data, nullptr, new_id).missing.size(), 2U);
  for (const char* text : {"{}", R"({"entries":3})", R"({"entries":[null,7,{"id":4}],"leafId":"x"})"}) {
    EXPECT_TRUE(reconcile({}, true, *protocol::parse_json(text), nullptr, new_id).missing.empty()) << text;
  }
}

}  // namespace
}  // namespace oqto::runner
