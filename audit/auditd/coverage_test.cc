// docs/audit-events.md against the code: every event has a class, and who records it or that nothing
// does yet.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <sstream>

#include "audit/auditd/entry.h"
#include "audit/auditd/entry_class.h"
#include "audit/read/entry_reader.h"
#include "audit/read/export.h"
#include "audit/read/ocsf.h"
#include "audit/tests/test_host.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

struct Row {
  std::string ocsf;
  std::string by;
};

std::map<std::string, Row> table() {
  std::map<std::string, Row> rows;
  std::istringstream lines(read_file(std::string(OQTO_SOURCE_DIR) + "/docs/audit-events.md"));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| ") || !contains(line, "/")) continue;
    const std::size_t first = line.find(" | ");
    const std::size_t second = line.find(" | ", first + 3);
    if (second == line.npos) continue;
    const bool is_new = rows.try_emplace(line.substr(2, first - 2),
                                         Row{line.substr(first + 3, second - first - 3),
                                             line.substr(second + 3, line.size() - second - 5)}).second;
    EXPECT_TRUE(is_new) << line;
  }
  return rows;
}

std::string in_code(ipc::Event event) {
  std::string name(ipc::event_name(event));
  std::ranges::replace(name, '.', '_');
  return "Event::" + name;
}

// Whether `name` stands there as a word.
bool mentions(const std::string& text, const std::string& name) {
  for (std::size_t at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
    const char next = at + name.size() < text.size() ? text[at + name.size()] : ' ';
    if (std::isalnum(static_cast<unsigned char>(next)) == 0 && next != '_') return true;
  }
  return false;
}

std::vector<std::string> parts(const std::string& text, const std::string& between) {
  std::vector<std::string> found;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(between, at), text.size());
    found.push_back(text.substr(at, end - at));
    at = end + between.size();
  }
  return found;
}

// Sources that may record: no tests, and not the lists of all events.
const std::vector<std::pair<std::string, std::string>>& sources() {
  static const auto kSources = [] {
    std::vector<std::pair<std::string, std::string>> found;
    for (const char* folder : {"accounts", "auditor", "audit", "egress", "gateway", "guard", "relay", "runner", "sandbox"}) {
      const std::string dir = std::string(OQTO_SOURCE_DIR) + "/" + folder;
      if (!fs::exists(dir)) continue;
      for (const auto& file : fs::recursive_directory_iterator(dir)) {
        const std::string name = file.path().filename().string();
        const bool is_other = name.ends_with("_test.cc") || name.starts_with("test_") || name.ends_with("_rig.cc") ||
                              name.ends_with("_bench.cc") || name == "entry_class.cc";
        if (!name.ends_with(".cc") || is_other) continue;
        found.emplace_back(fs::relative(file.path(), OQTO_SOURCE_DIR).string(), read_file(file.path()));
      }
    }
    return found;
  }();
  return kSources;
}

TEST(Coverage, EveryEventHasItsClassAndItsRecorderInTheTable) {
  auto rows = table();
  for (std::size_t i = 0; i < static_cast<std::size_t>(ipc::Event::kEnd); ++i) {
    const auto event = static_cast<ipc::Event>(i);
    const std::string name(ipc::event_name(event));
    const auto row = rows.find(name);
    ASSERT_NE(row, rows.end()) << name << " is not in docs/audit-events.md";
    const OcsfClass ocsf = ocsf_class(event);
    EXPECT_EQ(row->second.ocsf, std::to_string(ocsf.class_uid) + "/" + std::to_string(ocsf.activity_id)) << name;
    EXPECT_NE(ocsf_class_name(ocsf.class_uid), "Unknown") << name;
    EXPECT_NE(ocsf_activity_name(ocsf.class_uid, ocsf.activity_id), "Unknown") << name;
    const bool is_recorded = std::ranges::any_of(sources(), [&](const auto& source) {
      return mentions(source.second, in_code(event));
    });
    if (row->second.by.starts_with("nothing yet")) {
      EXPECT_FALSE(is_recorded) << name << " is recorded, whatever the table says";
    } else {
      for (const std::string& by : parts(row->second.by, ", ")) {
        const auto file = std::ranges::find(sources(), by, &std::pair<std::string, std::string>::first);
        ASSERT_NE(file, sources().end()) << name << ": there is no " << by;
        EXPECT_TRUE(mentions(file->second, in_code(event))) << name << " is not recorded by " << by;
      }
    }
    rows.erase(row);
  }
  EXPECT_TRUE(rows.empty()) << rows.begin()->first << " is no event";
}

TEST(Coverage, EveryEventExportsWithWhatItsClassDemands) {
  const std::map<std::uint64_t, std::vector<std::string>> demanded = {
      {1001, {"actor", "device", "file"}}, {1007, {"actor", "device", "process"}}, {2004, {"finding_info"}},
      {3001, {"user"}}, {3002, {"user"}}, {3003, {"user"}}, {3004, {"entity"}}, {3005, {"user", "privileges"}},
      {4001, {"dst_endpoint"}}, {4007, {"dst_endpoint"}}, {5019, {"device"}}, {6002, {"app"}},
      {6003, {"actor", "api", "src_endpoint"}}};
  for (std::size_t i = 0; i < static_cast<std::size_t>(ipc::Event::kEnd); ++i) {
    ipc::AuditAppend append = record(static_cast<ipc::Event>(i));
    append.add(ipc::FieldKey::path, "/x").add(ipc::FieldKey::username, "ann");
    const std::string entry = encode_entry(3, 5, {ipc::Process::runner, 7, "ann", {}, 1, 2}, append);
    const auto event = ReadEntry::parse(entry);
    ASSERT_TRUE(event) << entry;
    const std::string exported = to_ocsf(3, entry);
    const auto found = demanded.find(event->number("class_uid"));
    ASSERT_NE(found, demanded.end()) << entry;
    for (const std::string& attribute : found->second) {
      EXPECT_TRUE(contains(exported, "\"" + attribute + "\":")) << event->text("event") << " lacks " << attribute;
    }
  }
}

}  // namespace
}  // namespace oqto::audit
