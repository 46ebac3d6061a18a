// What entries are found by, and how times are read.
#include "audit/read/query.h"

#include <gtest/gtest.h>

#include "audit/format/json.h"
#include "audit/format/time_text.h"
#include "audit/read/entry_reader.h"
#include "audit/read/export.h"
#include "audit/read/names.h"
#include "audit/read/ocsf.h"
#include "audit/read/relations.h"

namespace oqto::audit {
namespace {

constexpr std::uint64_t kNow = 1'770'000'000'000;

TEST(Time, IsReadInEverySpellingAndWrittenInOne) {
  const std::pair<const char*, std::uint64_t> times[] = {
      {"1970-01-01", 0},
      {"2026-01-31", 1'769'817'600'000},
      {"2026-01-31T12:00", 1'769'860'800'000},
      {"2026-01-31 12:00:01Z", 1'769'860'801'000},
      {"2026-01-31T12:00:00.5Z", 1'769'860'800'500},
      {"2026-01-31T12:00:00.1239Z", 1'769'860'800'123},
      {"2024-02-29", 1'709'164'800'000},
      {"@1769860800", 1'769'860'800'000},
      {"-90m", kNow - 5'400'000},
      {"-2h", kNow - 7'200'000},
      {"-1w", kNow - 604'800'000},
  };
  for (const auto& [text, expected] : times) EXPECT_EQ(parse_time(text, kNow), expected) << text;
  EXPECT_EQ(utc_text(1'769'860'800'007), "2026-01-31 12:00:00.007Z");
  EXPECT_EQ(utc_text(~std::uint64_t{0}), "18446744073709551615ms");
}

TEST(Time, WhatIsNoneIsRefused) {
  for (const char* text :
       {"", "-", "@", "2026", "2026-1-1", "2026-02-29", "2026-06-31", "2026-13-01", "2026-00-01",
        "2026-01-00", "2026-01-31T", "2026-01-31T24:00", "2026-01-31T12:60", "2026-01-31T12:00:60",
        "2026-01-31T12:00:00.", "2026-01-31T12:00:00ZZ", "2026-01-31T12:00:00+01:00", "1969-12-31",
        "-2", "-h", "-2y", "--2h", "@-1", "@99999999999999999999", "-99999999999999999999s",
        "yesterday"}) {
    EXPECT_FALSE(parse_time(text, kNow)) << text;
  }
}

const std::string kEntry =
    R"({"seq":4,"time":1000,"class_uid":1007,"event":"exec","outcome":"success","actor":{"process":)"
    R"("runner","account":7,"username":"ann"},"fields":{"argv":["rm","-rf",{"base64":"/wE="}],)"
    R"("args":{"cut":"begin","bytes":9,"sha256":"00"},"later":{"deep":[1,"found"]}},"new":false})";

TEST(Query, LooksIntoEverythingThatWasRecorded) {
  for (const std::string text : {"rm -rf", "RM", "\xff\x01", "begin", "found", "ann", "runner"}) {
    Query query;
    query.texts = {text};
    EXPECT_TRUE(query.matches(4, kEntry)) << text;
  }
  for (const std::string text : {"rm rf", "class_uid", "absent", "\xff\x02"}) {
    Query query;
    query.texts = {text};
    EXPECT_FALSE(query.matches(4, kEntry)) << text;
  }
}

TEST(Query, BoundsAreInclusiveAtTheStartAndExclusiveAtTheEnd) {
  Query query;
  query.from_ms = 1000;
  query.to_ms = 1001;
  EXPECT_TRUE(query.matches(4, kEntry));
  query.from_ms = 1001;
  EXPECT_FALSE(query.matches(4, kEntry));
  query.from_ms = 0;
  query.to_ms = 1000;
  EXPECT_FALSE(query.matches(4, kEntry));
}

TEST(Query, WhatIsNoEntryIsShownButMatchesNoFilter) {
  Query query;
  EXPECT_TRUE(query.matches(0, "garbage"));
  query.actors = {"ann"};
  EXPECT_FALSE(query.matches(0, "garbage"));
}

std::string by_accounts(const std::string& outcome, const std::string& fields) {
  return R"({"seq":4,"time":1000,"event":"login","phase":"event","outcome":")" + outcome +
         R"(","actor":{"process":"accounts","pid":5,"uid":6},"fields":{)" + fields + "}}";
}

TEST(Names, AttackWhatSomebodyTypedWhoDidNotGetInIsNobodysName) {
  Names names;
  (void)names.learn(by_accounts("failure", R"("username":"annna","reason":"unknown user")"));
  (void)names.learn(by_accounts("failure", R"("account":"7","username":"root","reason":"wrong password")"));
  (void)names.learn(by_accounts("unknown", R"("username":"wished-for")"));
  EXPECT_FALSE(names.knows("annna"));
  EXPECT_FALSE(names.knows("root"));
  EXPECT_FALSE(names.knows("wished-for"));
  EXPECT_EQ(names.name_of("7"), "");
  EXPECT_EQ(names.nearest("anna"), "");
  (void)names.learn(by_accounts("success", R"("account":"7","username":"anna")"));
  EXPECT_EQ(names.name_of("7"), "anna");
}

TEST(Relations, AttackLongIntentsTakeNoMoreThanABoundedRoom) {
  const auto entry = [](std::uint64_t index, std::string_view phase, const std::string& more) {
    return R"({"seq":)" + std::to_string(index) + R"(,"time":1000,"event":"command","phase":")" + std::string(phase) +
           R"(","outcome":"unknown")" + more + R"(,"actor":{"process":"runner","account":7},"fields":{}})";
  };
  const std::string old = entry(0, "intent", "");
  Relations relations([&](std::uint64_t index) { return index == 0 ? std::optional(old) : std::nullopt; });
  (void)relations.of(0, old);
  const std::string filling = R"(,"filling":")" + std::string(60'000, 'x') + "\"";
  for (std::uint64_t i = 1; i < 2000; ++i) {
    (void)relations.of(i, entry(i, "intent", filling));
    ASSERT_LE(relations.kept_bytes(), Relations::kMaxKeptBytes);
  }
  const auto forgotten = relations.of(2000, entry(2000, "outcome", R"(,"intent":0)"));
  ASSERT_TRUE(forgotten) << "it is fetched from the log";
  EXPECT_EQ(forgotten->entry, old);
}

TEST(EntryReader, KeepsMembersThatThisVersionDoesNotKnow) {
  const auto entry = ReadEntry::parse(kEntry);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->raw("new"), "false");
  EXPECT_EQ(entry->raw("fields.later"), R"({"deep":[1,"found"]})");
  EXPECT_EQ(entry->text("fields.argv"), "rm -rf \xff\x01");
  EXPECT_EQ(entry->number("actor.account"), 7U);
  EXPECT_EQ(entry->number("fields.absent"), 0U);
  for (const std::string& line : {to_ocsf(4, kEntry), to_cef(4, kEntry)}) {
    EXPECT_NE(line.find("later"), line.npos) << line;
  }
  EXPECT_NE(to_ocsf(4, kEntry).find(R"("new":false)"), std::string::npos);
}

TEST(Export, WhatIsNoEntryIsExportedAsSuch) {
  EXPECT_NE(to_ocsf(9, "garb\x1b").find("malformed"), std::string::npos);
  EXPECT_NE(to_cef(9, "garb\x1b|=").find(R"(garb\\u001b|\=)"), std::string::npos)
      << to_cef(9, "garb\x1b|=");
}

TEST(Json, TakesWholeNumbersAndLiteralsInOneSpelling) {
  for (const char* good : {R"({"a":0})", R"({"a":-1})", R"({"a":null,"b":false,"c":true})"}) {
    EXPECT_TRUE(is_canonical_object(good)) << good;
  }
  for (const char* bad : {R"({"a":-0})", R"({"a":01})", R"({"a":1.5})", R"({"a":-})", R"({"a":nul})",
                          R"({"a":+1})", R"({"a":1e3})", R"({"a":1,"a":2})", R"({"a":"\/"})"}) {
    EXPECT_FALSE(is_canonical_object(bad)) << bad;
  }
  EXPECT_EQ(json_items(R"([1,"b",[2]])")->size(), 3U);
  EXPECT_FALSE(json_items("[1,]"));
}

TEST(Ocsf, ClassesAreFoundByNumberAndName) {
  EXPECT_EQ(find_ocsf_class("3002"), 3002U);
  EXPECT_EQ(find_ocsf_class("file system activity"), 1001U);
  EXPECT_EQ(find_ocsf_class("File_System_Activity"), 1001U);
  EXPECT_FALSE(find_ocsf_class("file"));
  EXPECT_EQ(ocsf_activity_name(1007, 1), "Launch");
  EXPECT_EQ(ocsf_activity_name(6003, 99), "Other");
}

}  // namespace
}  // namespace oqto::audit
