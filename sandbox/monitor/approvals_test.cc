#include "sandbox/monitor/approvals.h"

#include <gtest/gtest.h>

namespace oqto::sandbox {
namespace {

using Choice = ipc::ApprovalChoice;

struct User final : Approver {
  Status ask(const ipc::ApprovalAsk& question) override {
    if (!is_there) return fail(Errc::unavailable, "nobody");
    questions.push_back(question);
    return {};
  }
  bool is_there = true;
  std::vector<ipc::ApprovalAsk> questions;
};

constexpr std::uint64_t kNow = 1'000'000;

OpenRequest request(std::string path, pid_t process = 10, std::uint64_t notification = 1) {
  OpenRequest request;
  request.notification = notification;
  request.path = std::move(path);
  request.process = process;
  request.inside = process - 5;
  request.argv = {"cat", "x"};
  request.cwd = "/workspace";
  return request;
}

TEST(Approvals, AskTheUserWithTheFacts) {
  User user;
  Approvals approvals(&user, 30);
  EXPECT_TRUE(approvals.consider(request("/w/.env"), false, kNow).empty());
  ASSERT_EQ(user.questions.size(), 1U);
  const auto& question = user.questions[0];
  EXPECT_EQ(question.what.view(), "/w/.env");
  EXPECT_EQ(question.pid, 5U);
  EXPECT_EQ(question.argv.values, (std::vector<std::string>{"cat", "x"}));
  EXPECT_EQ(question.cwd.view(), "/workspace");
  EXPECT_EQ(question.timeout_s, 30U);
}

TEST(Approvals, OnceIsForTheProcessThatWasShown) {
  User user;
  Approvals approvals(&user, 30);
  (void)approvals.consider(request("/w/.env", 10, 1), false, kNow);
  (void)approvals.consider(request("/w/.env", 10, 2), false, kNow);
  (void)approvals.consider(request("/w/.env", 20, 3), false, kNow);
  ASSERT_EQ(user.questions.size(), 1U);
  const auto settled = approvals.on_answer(user.questions[0].question, Choice::once, kNow);
  ASSERT_EQ(settled.size(), 2U);
  EXPECT_EQ(settled[0].request.notification, 1U);
  EXPECT_EQ(settled[1].request.notification, 2U);
  ASSERT_EQ(user.questions.size(), 2U);  // about the other
  EXPECT_EQ(user.questions[1].pid, 15U);
  (void)approvals.consider(request("/w/.env", 10, 4), false, kNow);
  EXPECT_TRUE(approvals.waits());
}

TEST(Approvals, ForTheSessionIsNotAskedAgainAndHoldsForThatPathOnly) {
  User user;
  Approvals approvals(&user, 30);
  (void)approvals.consider(request("/w/.env"), false, kNow);
  const auto settled = approvals.on_answer(1, Choice::session, kNow);
  ASSERT_EQ(settled.size(), 1U);
  const auto again = approvals.consider(request("/w/.env", 99), false, kNow + 3'600'000);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].choice, Choice::session);
  EXPECT_EQ(again[0].rule, "remembered");
  EXPECT_TRUE(approvals.consider(request("/w/.env2", 99), false, kNow).empty());
}

TEST(Approvals, ANoIsRememberedForAWhile) {
  User user;
  Approvals approvals(&user, 30);
  (void)approvals.consider(request("/w/.env"), false, kNow);
  EXPECT_EQ(approvals.on_answer(1, Choice::deny, kNow).at(0).choice, Choice::deny);
  EXPECT_EQ(approvals.consider(request("/w/.env"), false, kNow + 1).at(0).choice, Choice::deny);
  EXPECT_EQ(user.questions.size(), 1U);
  EXPECT_TRUE(approvals.consider(request("/w/.env"), false, kNow + kDenialLastsMs).empty());
  EXPECT_EQ(user.questions.size(), 2U);
}

TEST(Approvals, NoAnswerInTimeIsANoAndTheLateAnswerHasNoEffect) {
  User user;
  Approvals approvals(&user, 30);
  (void)approvals.consider(request("/w/.env"), false, kNow);
  EXPECT_TRUE(approvals.expire(kNow + 29'999).empty());
  const auto settled = approvals.expire(kNow + 30'000);
  ASSERT_EQ(settled.size(), 1U);
  EXPECT_EQ(settled[0].choice, Choice::deny);
  EXPECT_EQ(settled[0].rule, "timeout");
  EXPECT_TRUE(approvals.on_answer(1, Choice::session, kNow + 30'001).empty());
  EXPECT_EQ(approvals.consider(request("/w/.env"), false, kNow + 30'002).at(0).choice,
            Choice::deny);
}

TEST(Approvals, WithoutAUserTheAnswerIsNo) {
  Approvals nobody(nullptr, 30);
  EXPECT_EQ(nobody.consider(request("/w/.env"), false, kNow).at(0).choice, Choice::deny);
  EXPECT_EQ(nobody.consider(request("/w/.env"), true, kNow).at(0).choice, Choice::session);
  User user;
  user.is_there = false;
  Approvals gone(&user, 30);
  EXPECT_EQ(gone.consider(request("/w/.env"), false, kNow).at(0).choice, Choice::deny);
}

TEST(Approvals, AttackAFloodOfQuestionsDoesNotReachTheUser) {
  User user;
  Approvals approvals(&user, 30);
  for (int i = 0; i < 1000; ++i) {
    (void)approvals.consider(request("/w/" + std::to_string(i)), false, kNow);
  }
  EXPECT_EQ(user.questions.size(), kMaxQuestions);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    (void)approvals.on_answer(i, Choice::deny, kNow);
    (void)approvals.consider(request("/v/" + std::to_string(i)), false, kNow);
  }
  EXPECT_EQ(user.questions.size(), kMaxQuestionsPerMinute);
  for (int i = 0; i < 1000; ++i) (void)approvals.consider(request("/v/1000"), false, kNow);
  EXPECT_LE(user.questions.size(), kMaxQuestionsPerMinute);
}

TEST(Approvals, AttackAPathTooLongToBeShownInFullIsNotAskedAbout) {
  User user;
  Approvals approvals(&user, 30);
  const auto settled =
      approvals.consider(request("/w/" + std::string(600, 'a') + "/.env"), false, kNow);
  EXPECT_EQ(settled.at(0).choice, Choice::deny);
  EXPECT_TRUE(user.questions.empty());
}

}  // namespace
}  // namespace oqto::sandbox
