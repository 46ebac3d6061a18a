#include "ipc/kept_records.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/sys.h"

namespace oqto::ipc {
namespace {

AuditAppend outcome_of(std::uint64_t intent) {
  AuditAppend record;
  record.event = Event::model_call;
  record.phase = Phase::outcome;
  record.intent = intent;
  return record;
}

AuditAppend refused_name() {
  AuditAppend record;
  record.event = Event::denial;
  record.phase = Phase::event;
  return record;
}

std::string value(const AuditAppend& record, FieldKey key) {
  const auto found = std::ranges::find(record.list, key, &AuditField::key);
  return found == record.list.end() ? "" : found->value;
}

struct Sent {
  std::vector<AuditAppend> all;
  std::size_t room = 1'000'000;
  bool operator()(const AuditAppend& record) {
    if (all.size() >= room) return false;
    all.push_back(record);
    return true;
  }
};

class Kept : public testing::Test {
 protected:
  std::uint64_t flush(std::uint64_t now = 1) {
    return kept_.send(now, [this](const AuditAppend& record) { return sent_(record); });
  }
  std::uint64_t requests_ = 1;
  KeptRecords kept_{requests_, 16};
  Sent sent_;
};

TEST_F(Kept, WhatFoundNoRoomInTheChannelIsSentAgain) {
  sent_.room = 2;
  for (std::uint64_t i = 0; i < 5; ++i) kept_.keep(outcome_of(i));
  EXPECT_NE(flush(), 0U);
  EXPECT_EQ(sent_.all.size(), 2U);
  sent_.room = 100;
  EXPECT_EQ(flush(), 0U);
  ASSERT_EQ(sent_.all.size(), 5U);
  EXPECT_EQ(sent_.all[4].intent, 4U);
  for (const AuditAppend& record : sent_.all) EXPECT_TRUE(kept_.settle(record.request));
  EXPECT_EQ(kept_.size(), 0U);
}

TEST_F(Kept, ARefusedOutcomeIsSentAgainUnderItsNumberAndWaitsBehindNoOther) {
  kept_.keep(outcome_of(1));
  kept_.keep(outcome_of(2));
  (void)flush(1000);
  EXPECT_TRUE(kept_.refused(sent_.all[0].request, RefusedFor::log, 1000));
  EXPECT_TRUE(kept_.settle(sent_.all[1].request));
  EXPECT_EQ(flush(1000), 0U);
  ASSERT_EQ(sent_.all.size(), 3U);
  EXPECT_EQ(sent_.all[2].request, sent_.all[0].request);  // so that a gap counts it once
  EXPECT_TRUE(kept_.refused(sent_.all[2].request, RefusedFor::log, 1000));
  EXPECT_EQ(flush(1001), KeptRecords::kAgainMs - 1);
  EXPECT_EQ(sent_.all.size(), 3U);
}

TEST_F(Kept, AnAccountsUsedUpShareIsTriedWithOneRecordNotWithAll) {
  for (std::uint64_t i = 0; i < 5; ++i) kept_.keep(outcome_of(i));
  (void)flush(1);
  for (std::size_t i = 0; i < 5; ++i)
    EXPECT_TRUE(kept_.refused(sent_.all[i].request, RefusedFor::budget, 1));
  EXPECT_EQ(flush(KeptRecords::kBudgetAgainMs + 1), 0U);
  ASSERT_EQ(sent_.all.size(), 6U);
  (void)flush(KeptRecords::kBudgetAgainMs + 2);
  EXPECT_EQ(sent_.all.size(), 6U);
  EXPECT_TRUE(kept_.settle(sent_.all[5].request));
  (void)flush(KeptRecords::kBudgetAgainMs + 3);
  EXPECT_EQ(sent_.all.size(), 10U);
}

TEST_F(Kept, AttackAUsedUpShareKeepsNoOutcomeBehindAnEventThatIsRefused) {
  kept_.keep(refused_name());
  kept_.keep(refused_name());
  (void)flush(1);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(kept_.refused(sent_.all[i].request, RefusedFor::budget, 1));
  }
  for (std::uint64_t i = 0; i < 3; ++i) {
    kept_.keep(outcome_of(i));
    EXPECT_NE(flush(2 + i), 0U) << "the events come later";
    ASSERT_EQ(sent_.all.size(), 3 + i);
    EXPECT_EQ(sent_.all.back().intent, i);
    EXPECT_TRUE(kept_.settle(sent_.all.back().request));
  }
  (void)flush(KeptRecords::kBudgetAgainMs + 1);
  EXPECT_EQ(sent_.all.size(), 6U) << "one of the two";
  EXPECT_TRUE(kept_.settle(sent_.all.back().request));
  (void)flush(KeptRecords::kBudgetAgainMs + 2);
  EXPECT_EQ(sent_.all.size(), 7U);
}

TEST_F(Kept, AttackAFloodOfEventsCostsNoOutcomeItsPlaceAndIsCounted) {
  kept_.keep(outcome_of(1));
  for (int i = 0; i < 1000; ++i) kept_.keep(refused_name());
  EXPECT_TRUE(kept_.has_room_for_an_act());
  kept_.keep(outcome_of(2));
  (void)flush();
  const auto outcomes = std::ranges::count(sent_.all, Phase::outcome, &AuditAppend::phase);
  EXPECT_EQ(outcomes, 2);
  for (const AuditAppend& record : std::vector(sent_.all))
    EXPECT_TRUE(kept_.settle(record.request));
  (void)flush();
  const auto& told = sent_.all.back();
  EXPECT_EQ(told.event, Event::violation);
  EXPECT_EQ(value(told, FieldKey::count), "989");  // of 1000: 11 beside one outcome
}

TEST_F(Kept, AProbeThatIsGivenUpForAnOutcomeKeepsNoGateShut) {
  kept_.keep(refused_name());
  (void)flush(1);
  EXPECT_TRUE(kept_.refused(sent_.all[0].request, RefusedFor::budget, 1));
  (void)flush(KeptRecords::kBudgetAgainMs + 1);
  ASSERT_EQ(sent_.all.size(), 2U) << "it is on its way, for all events";
  const std::uint64_t probe = sent_.all[1].request;
  for (std::uint64_t i = 0; i < 16; ++i) kept_.keep(outcome_of(i));  // the last one finds its room
  EXPECT_FALSE(kept_.settle(probe)) << "nothing knows it any more";
  (void)flush(KeptRecords::kBudgetAgainMs + 2);
  for (const AuditAppend& record : std::vector(sent_.all)) (void)kept_.settle(record.request);
  sent_.all.clear();
  kept_.keep(refused_name());
  (void)flush(2 * KeptRecords::kBudgetAgainMs);
  EXPECT_EQ(std::ranges::count(sent_.all, Event::denial, &AuditAppend::event), 1);
}

TEST_F(Kept, NoActBeginsWhoseOutcomeWouldFindNoRoom) {
  for (std::uint64_t i = 0; i < 14; ++i) {
    EXPECT_TRUE(kept_.has_room_for_an_act());
    kept_.keep(outcome_of(i));
  }
  EXPECT_FALSE(kept_.has_room_for_an_act());
}

// It would cut the source off.
TEST_F(Kept, ABlobThatAuditdNoLongerKnowsIsNotNamedAndTheRecordSaysSo) {
  AuditAppend record = outcome_of(1);
  record.add(FieldKey::response_sha256, "aa").add(FieldKey::response_blob, "bb");
  kept_.keep(record);
  kept_.keep(record);
  sent_.room = 1;
  (void)flush();
  EXPECT_EQ(value(sent_.all[0], FieldKey::response_blob), "bb");
  for (std::uint64_t i = 0; i < KeptRecords::kNameableBlobs; ++i) {
    kept_.blob_sent();
    kept_.blob_answered();
  }
  sent_.room = 9;
  (void)flush();
  EXPECT_EQ(value(sent_.all[1], FieldKey::response_blob), "");
  EXPECT_EQ(value(sent_.all[1], FieldKey::response_sha256), "aa");
  EXPECT_NE(value(sent_.all[1], FieldKey::reason), "");
  kept_.begin_anew();
  (void)flush();
  ASSERT_EQ(sent_.all.size(), 4U);
  EXPECT_EQ(value(sent_.all[2], FieldKey::response_blob), "");
}

TEST_F(Kept, AttackBlobsThatAreOnTheirWayCountAsNewerOnes) {
  AuditAppend record = outcome_of(1);
  record.add(FieldKey::response_blob, "bb");
  for (int i = 0; i < 40; ++i) kept_.blob_sent();
  sent_.room = 0;
  kept_.keep(record);
  kept_.keep(record);
  (void)flush();
  for (int i = 0; i < 23; ++i) kept_.blob_sent();
  sent_.room = 1;
  (void)flush();
  EXPECT_EQ(value(sent_.all[0], FieldKey::response_blob), "bb");
  kept_.blob_sent();
  sent_.room = 2;
  (void)flush();
  EXPECT_EQ(value(sent_.all[1], FieldKey::response_blob), "") << "auditd may know 64 that are newer";
}

TEST(AuditClient, AnOutcomeIsSentAlthoughTheRecordBeforeItWasRefused) {
  auto ends = *sys::seqpacket_pair();
  AuditClient client{Channel(std::move(ends.first))};
  Channel auditd(std::move(ends.second));
  ASSERT_TRUE(client.post(refused_name()));
  const auto first = auditd.wait(5000);
  ASSERT_TRUE(first);
  ASSERT_TRUE(auditd.send(AuditRefused{first->as<AuditAppend>()->request, "no room"}));
  ASSERT_TRUE(client.post(outcome_of(7)));
  const auto second = auditd.wait(5000);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->as<AuditAppend>()->intent, 7U);
}

}  // namespace
}  // namespace oqto::ipc
