#include "audit/auditd/entry.h"

#include <gtest/gtest.h>

#include "audit/format/hash.h"
#include "audit/format/json.h"
#include "audit/read/entry_view.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

using ipc::FieldKey;

Actor ann() {
  return {ipc::Process::runner, 7, "ann", {}, 99, 20001};
}

ipc::AuditAppend with(FieldKey key, std::string value) {
  ipc::AuditAppend record;
  record.event = ipc::Event::exec;
  record.phase = ipc::Phase::intent;
  record.list.push_back({key, std::move(value)});
  return record;
}

std::string spelled(std::string_view value) {
  std::string out;
  append_json(out, value);
  return out;
}

bool has_no_raw_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next < 0xa0)) return false;
  }
  return is_valid_utf8(text);
}

TEST(Entry, IsOneLineOfOcsfNames) {
  auto record = with(FieldKey::argv, "ls");
  record.list.push_back({FieldKey::argv, "-l"});
  record.list.push_back({FieldKey::cwd, "/work"});
  EXPECT_EQ(encode_entry(12, 1700000000123, ann(), record),
            R"({"seq":12,"time":1700000000123,"class_uid":1007,"category_uid":1,"activity_id":1,)"
            R"("type_uid":100701,"severity_id":1,"status_id":0,"metadata":{"version":"1.8.0",)"
            R"("product":{"name":"Oqto","vendor_name":"Oqto"}},"event":"exec","phase":"intent",)"
            R"("outcome":"unknown","actor":{"process":"runner","account":7,"username":"ann",)"
            R"("pid":99,"uid":20001},"fields":{"argv":["ls","-l"],"cwd":"/work"}})");
}

TEST(Entry, RecordsAPolicysHashBesideIt) {
  const std::string entry = encode_entry(0, 0, ann(), with(FieldKey::policy, "deny all"));
  EXPECT_NE(entry.find(R"("policy":"deny all","policy_sha256":")" + to_hex(sha256("deny all"))),
            entry.npos);
}

TEST(Entry, AttackNothingAnAgentWritesBreaksTheLineOrReachesTheTerminal) {
  const std::string payloads[] = {"x\n{\"seq\":0,\"event\":\"login\"}",
                                  "\x1b]0;owned\x07",
                                  "\x1b[2J\x1b[1;1H",
                                  "a\rb",
                                  std::string("nul\0byte", 8),
                                  "\xc2\x9b"
                                  "31m",  // C1 CSI
                                  "\xe2\x80\xae"
                                  "txt.exe",  // right-to-left override
                                  "\xe2\x81\xa6isolate\xe2\x81\xa9",
                                  "\xe2\x80\xa8line\xe2\x80\xa9paragraph",
                                  "del\x7f",
                                  "\xef\xbb\xbf"
                                  "bom",
                                  "\xf3\xa0\x81\x81tag",
                                  "\",\"seq\":7,\"x\":\"",
                                  "\\u000a",
                                  "\\"};
  for (const std::string& payload : payloads) {
    for (const FieldKey key :
         {FieldKey::argv, FieldKey::cwd, FieldKey::username, FieldKey::policy}) {
      Actor actor = ann();
      actor.username = payload.substr(0, 64);
      const std::string entry = encode_entry(3, 4, actor, with(key, payload));
      EXPECT_TRUE(has_no_raw_control(entry)) << entry;
      const auto members = json_members(entry);
      ASSERT_TRUE(members) << entry;
      EXPECT_EQ(members->front().value, "3");
      for (const std::string& shown : {entry_line(entry), entry_json(entry)}) {
        EXPECT_TRUE(has_no_raw_control(shown)) << shown;
        EXPECT_EQ(shown.find("\xe2\x80\xae"), shown.npos);
      }
    }
    EXPECT_EQ(json_text(spelled(payload)), payload);  // nothing is lost by escaping
  }
}

TEST(Entry, InvalidUtf8IsKeptAsBase64) {
  EXPECT_EQ(spelled("\xff\xfe"), R"({"base64":"//4="})");
  EXPECT_EQ(spelled("\xc0\xaf"), R"({"base64":"wK8="})");      // overlong
  EXPECT_EQ(spelled("\xed\xa0\x80"), R"({"base64":"7aCA"})");  // surrogate
  EXPECT_TRUE(json_members(encode_entry(0, 0, ann(), with(FieldKey::argv, "\xff"))));
}

TEST(Entry, AttackValuesThatGrowByEscapingStayWithinTheLimitWithTheirHash) {
  ipc::AuditAppend record = with(FieldKey::argv, std::string(ipc::kMaxFieldBytes, '\x01'));
  record.list.push_back({FieldKey::cwd, std::string(ipc::kMaxFieldBytes, '\xff')});
  record.list.push_back({FieldKey::exe, std::string(ipc::kMaxFieldBytes - 1, 'x') + "\xc3\xa4"});
  const std::string entry = encode_entry(1, 2, ann(), record);
  EXPECT_LE(entry.size(), kMaxEntry);
  const auto members = json_members(entry);
  ASSERT_TRUE(members);
  EXPECT_EQ(members->back().key, "truncated");
  for (const auto& field : record.list) {
    EXPECT_NE(entry.find(to_hex(sha256(field.value))), entry.npos);
  }
}

TEST(Entry, TheLargestRecordFits) {
  for (const FieldKey key : {FieldKey::policy, FieldKey::argv, FieldKey::exit_status}) {
    ipc::AuditAppend record;
    for (std::size_t i = 0; i < ipc::kMaxAuditFields; ++i) {
      record.list.push_back({key, std::string(ipc::kMaxAuditBytes / ipc::kMaxAuditFields, '\x02')});
    }
    Actor actor = ann();
    actor.username = std::string(64, '\x1b');
    const std::string entry = encode_entry(~0ULL, ~0ULL, actor, record);
    EXPECT_LE(entry.size(), kMaxEntry);
    EXPECT_TRUE(json_members(entry));
  }
}

TEST(Json, RefusesWhatTheWriterWouldNotWrite) {
  for (const std::string_view bad : {R"({"a":1,"a":2})",
                                     R"({"a" :1})",
                                     R"({"a":01})",
                                     R"({"a":-01})",
                                     R"({"a":1.5})",
                                     R"({"a":1}x)",
                                     R"({"a":"\u0041"})",
                                     R"({"a":"\n"})",
                                     R"({"a":"\u000A"})",
                                     R"({"a":"\ud800"})",
                                     "{\"a\":\"\n\"}",
                                     R"({"a":nil})",
                                     R"({"a":"x)",
                                     R"({"a":"\)",
                                     "{\"a\":\"\xff\"}",
                                     "{\"a\":\"\xe2\x80\xae\"}",
                                     R"({"a":[1,]})",
                                     R"({"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":1}}}}}}}})",
                                     "",
                                     "[]",
                                     "{"}) {
    EXPECT_FALSE(json_members(bad)) << bad;
  }
  EXPECT_TRUE(json_members(R"({"a":[],"b":{},"c":true,"d":0,"e":"\u000a\"\\"})"));
}

TEST(EntryView, ShowsWhoWhenAndWhat) {
  auto record = with(FieldKey::command, "prompt");
  record.event = ipc::Event::command;
  const std::string line = entry_line(encode_entry(12, 1700000000123, ann(), record));
  EXPECT_EQ(line, "2023-11-14 22:13:20.123Z  #12  ann(7) runner  command intent  command=prompt");
}

TEST(EntryView, ShowsAForgedEntryAsMalformedAndEscaped) {
  EXPECT_EQ(entry_line("\x1b[31m{}"), R"({"malformed":"\u001b[31m{}"})");
}

}  // namespace
}  // namespace oqto::audit
