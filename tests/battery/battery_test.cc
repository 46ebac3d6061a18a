// The battery inside every profile, against the table of docs/sandbox.md: what is open there is
// open here, with a reason, and nothing else is.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

struct State {
  std::string state;  // "open" or "closed"
  std::string error;  // why it is closed
};
using States = std::map<std::string, State>;  // by probe
constexpr std::size_t kMostOpen = 20;
constexpr std::size_t kFewestProbes = 83;
constexpr ipc::Profile kProfiles[] = {ipc::Profile::minimal, ipc::Profile::development,
                                      ipc::Profile::strict};

std::string between(const std::string& line, const std::string& before, const std::string& after) {
  const std::size_t start = line.find(before);
  if (start == std::string::npos) return "";
  const std::size_t from = start + before.size();
  const std::size_t to = line.find(after, from);
  return to == std::string::npos ? "" : line.substr(from, to - from);
}

States parse(const std::string& said) {
  States states;
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);) {
    states[between(line, "\"probe\": \"", "\"")] = {between(line, "\"state\": \"", "\""),
                                                   between(line, "\"errno\": \"", "\"")};
  }
  return states;
}

std::set<std::string> open_of(const States& states) {
  std::set<std::string> open;
  for (const auto& [probe, state] : states) {
    if (state.state == "open") open.insert(probe);
  }
  return open;
}

// The table's rows: | surface | `probe` | minimal | development | strict | why |
struct Row {
  std::map<std::string, std::string> by_profile;  // profile -> state
  std::string why;
};
std::map<std::string, Row> documented() {
  std::map<std::string, Row> rows;
  std::ifstream file(OQTO_SOURCE_DIR "/docs/sandbox.md");
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> cells;
    std::istringstream split(line);
    for (std::string cell; std::getline(split, cell, '|');) {
      const std::size_t from = cell.find_first_not_of(' ');
      cells.push_back(from == std::string::npos
                          ? ""
                          : cell.substr(from, cell.find_last_not_of(' ') - from + 1));
    }
    if (cells.size() < 7 || !cells[2].starts_with('`')) continue;
    const std::string probe = between(cells[2], "`", "`");
    rows[probe] = {{{"minimal", cells[3]}, {"development", cells[4]}, {"strict", cells[5]}},
                   cells[6]};
  }
  return rows;
}

// What the battery looks for: a process, two sockets and a file outside.
class Outside {
 public:
  explicit Outside(uid_t uid) : held_(uid, {"abstract-listen", unique("oqto-battery")}) {
    listener_ = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    CHECK(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    CHECK(::listen(listener_.get(), 16) == 0);
    CHECK(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = std::to_string(ntohs(address.sin_port));
  }
  [[nodiscard]] Words battery(const std::string& beside) const {
    return {std::filesystem::path(probe()).parent_path() / "battery",
            "--pid", held_.pid(), "--abstract", unique("oqto-battery"), "--port", port_, "--beside", beside};
  }

 private:
  Held held_;
  Fd listener_;
  std::string port_;
};

class Battery : public ::testing::Test {
 protected:
  Battery() { ::setenv("OQTO_BATTERY_SECRET", "hunter2", 1); }
  ~Battery() override { ::unsetenv("OQTO_BATTERY_SECRET"); }
  static States inside(ipc::Profile profile) {
    (void)probe();
    TestSession session({.policy = test_policy(profile), .leak = 77});
    const Outside outside(session.uid());
    const std::string beside = session.dir() + "/beside";
    std::ofstream(beside) << "secret";
    EXPECT_EQ(session.start(), "");
    return parse(session.run(outside.battery(beside)).output);
  }
  // With the same things to find, wrapped in `wrapper`, in a directory of the uid's own.
  static States naive(const Words& wrapper) {
    TestSession place({});  // for its uid and its directories; never started
    const Outside outside(place.uid());
    const std::string beside = place.dir() + "/beside";
    std::ofstream(beside) << "secret";
    Words all = {"/bin/sh", "-c", "cd " + place.workspace() + " && exec \"$@\"", "sh"};
    all.insert(all.end(), wrapper.begin(), wrapper.end());
    const Words battery = outside.battery(beside);
    all.insert(all.end(), battery.begin(), battery.end());
    return parse(run_outside(place.uid(), all).output);
  }
};

TEST_F(Battery, FindsMuchWhereNothingHoldsItAndInNamespacesAlone) {
  const States none = naive({});
  EXPECT_GE(none.size(), kFewestProbes);
  EXPECT_GE(open_of(none).size(), 60U);
  const States plain = naive({"/usr/bin/bwrap", "--unshare-all", "--bind", "/", "/", "--proc",
                              "/proc", "--dev", "/dev", "--"});
  EXPECT_EQ(plain.size(), none.size());
  EXPECT_GE(open_of(plain).size(), 45U);
}

TEST_F(Battery, FindsInEachProfileExactlyWhatTheDocumentSays) {
  const auto rows = documented();
  ASSERT_GE(rows.size(), kFewestProbes) << "docs/sandbox.md has no table";
  for (const ipc::Profile profile : kProfiles) {
    const std::string name(profile_name(profile));
    const States found = inside(profile);
    EXPECT_EQ(found.size(), rows.size()) << name;
    for (const auto& [probe, state] : found) {
      const auto row = rows.find(probe);
      ASSERT_NE(row, rows.end()) << probe << " is not in docs/sandbox.md";
      EXPECT_EQ(row->second.by_profile.at(name), state.state)
          << probe << " in " << name << ' ' << state.error;
      EXPECT_GE(row->second.why.size(), 8U) << probe << " needs its reason";
    }
  }
}

TEST_F(Battery, FindsAtMostTwentySurfacesInDevelopmentAndFewerInStrict) {
  const auto development = open_of(inside(ipc::Profile::development));
  const auto strict = open_of(inside(ipc::Profile::strict));
  EXPECT_LE(development.size(), kMostOpen);
  EXPECT_LT(strict.size(), development.size());
  for (const std::string& probe : strict) EXPECT_TRUE(development.contains(probe)) << probe;
}

}  // namespace
}  // namespace oqto::sandbox
