#include "sandbox_cli/doctor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>

#include "base/encoding.h"
#include "base/sys.h"
#include "sandbox_cli/child.h"
#include "sandbox_cli/probe.h"

namespace oqto::sandbox_cli {
namespace {

constexpr int kRunMs = 60'000;

// A directory for the time of the test.
class Scratch {
 public:
  explicit Scratch(const std::string& above) {
    std::string name = above + "/oqto-doctor-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

  [[nodiscard]] std::string write(const std::string& name, std::string_view content,
                                  mode_t mode) const {
    const std::string file = path_ + '/' + name;
    const auto fd = sys::open_file(file.c_str(), O_WRONLY | O_CREAT | O_EXCL, mode);
    return fd && sys::write_all(*fd, content) ? file : "";
  }

 private:
  std::string path_;
};

// A listener on the host's loopback, and one with an abstract name.
struct Listeners {
  Fd loopback = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Fd abstract = Fd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  std::string port, name;

  bool open() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(loopback.get(), generic, size) != 0 || ::listen(loopback.get(), 8) != 0 ||
        ::getsockname(loopback.get(), generic, &size) != 0) {
      return false;
    }
    port = std::to_string(ntohs(address.sin_port));
    name = "oqto-doctor-" + Uuid::random().text();
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    ::memcpy(local.sun_path + 1, name.data(), name.size());
    return ::bind(abstract.get(), reinterpret_cast<sockaddr*>(&local),
                  static_cast<socklen_t>(sizeof(sa_family_t) + 1 + name.size())) == 0 &&
           ::listen(abstract.get(), 8) == 0;
  }
};

std::map<std::string, std::string> verdicts(const std::string& output) {
  std::map<std::string, std::string> all;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.find(' ');
    if (space != line.npos) all[line.substr(0, space)] = line.substr(space + 1);
  }
  return all;
}

std::string last_line(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  const std::size_t end = text.rfind('\n');
  return end == text.npos ? text : text.substr(end + 1);
}

Finding failed(std::string found, std::string fix) {
  return {"self-test", State::missing, std::move(found), std::move(fix)};
}

std::vector<Finding> judge(const Ran& outside, const Ran& inside) {
  const auto there = verdicts(outside.output), here = verdicts(inside.output);
  if (there.empty()) return {failed("the attacks do not run outside", "")};
  std::vector<Finding> all;
  for (const auto& [name, verdict] : there) {
    const auto found = here.find(name);
    Finding finding{"attack " + name, State::ok, "", ""};
    if (found == here.end() || !found->second.starts_with("closed")) {
      finding.state = State::missing;
      finding.found =
          found == here.end() ? "the sandbox ended before it was tried" : "works inside";
      finding.fix = "do not rely on this sandbox on this host; report it";
    } else {
      finding.found = verdict == "open" ? "works outside, refused inside"
                                        : "refused inside; not possible outside either";
    }
    all.push_back(std::move(finding));
  }
  return all;
}

const char* state_name(State state) {
  switch (state) {
    case State::ok:
      return "ok";
    case State::weaker:
      return "weaker";
    case State::missing:
      break;
  }
  return "missing";
}

Json to_json(const std::vector<Finding>& findings, bool works) {
  Json list = Json::array();
  for (const Finding& finding : findings) {
    list.add(Json::object()
                 .set("name", finding.name)
                 .set("state", state_name(finding.state))
                 .set("found", finding.found)
                 .set("fix", finding.fix.empty() ? Json() : Json(finding.fix)));
  }
  return Json::object().set("works", works).set("findings", list);
}

std::string to_text(const std::vector<Finding>& findings, bool works) {
  std::vector<Row> rows = {{"WHAT", "STATE", "FOUND"}};
  std::string fixes;
  for (const Finding& finding : findings) {
    rows.push_back({finding.name, state_name(finding.state), finding.found});
    if (!finding.fix.empty()) fixes += "\n" + finding.name + ": " + printable(finding.fix) + '\n';
  }
  return table(rows) + fixes + '\n' +
         (works ? "Sandboxes of the profile development hold on this host.\n"
                : "No sandbox holds on this host: mend what is missing.\n");
}

}  // namespace

std::vector<Finding> self_test(const User& user) {
  const Scratch workspace("/tmp"), temporary("/tmp"), home(user.home);
  Listeners listeners;
  const auto self = sys::open_file("/proc/self/exe", O_RDONLY);
  constexpr std::size_t kMaxProgram = 64 * 1024 * 1024;
  const auto image = self ? sys::read_all(*self, kMaxProgram) : std::string();
  if (workspace.path().empty() || temporary.path().empty() || home.path().empty() || !image ||
      !listeners.open()) {
    return {failed("the test cannot be set up in /tmp and in your home directory",
                   "make both writable")};
  }
  const std::string probe = workspace.write("probe", *image, 0755);
  const Targets targets{home.write("secret", "x", 0600), temporary.write("file", "x", 0600),
                        std::to_string(::getpid()), listeners.port, listeners.name};
  const std::vector<std::string> environment = {"HOME=" + user.home, "PATH=/usr/bin:/bin",
                                                std::string(kSecretVariable) + "=1",
                                                "XDG_DATA_HOME=" + temporary.path()};
  std::vector<std::string> attack = {probe, kProbeWord};
  for (const std::string& word : targets.words()) attack.push_back(word);
  const Ran outside = run_and_read(attack, environment, kRunMs);

  // The built-in policy is what is tested, whatever files there are.
  const std::string none = temporary.write("policy.toml", "", 0600);
  std::vector<std::string> contained = {"/proc/self/exe",
                                        "run",
                                        "--profile",
                                        std::string(kDefaultProfile),
                                        "--policy",
                                        none,
                                        "--workspace",
                                        workspace.path(),
                                        "--"};
  contained.insert(contained.end(), attack.begin(), attack.end());
  const Ran inside = run_and_read(contained, environment, kRunMs);
  if (inside.status != 0) {
    return {failed("no sandbox starts: " + last_line(inside.output), "see what is missing above")};
  }
  return judge(outside, inside);
}

int doctor(const Options& options) {
  const auto user = become_user(options.user);
  if (!user) return refused(user.error(), options.json);
  std::vector<Finding> findings = examine_host();
  const auto tested = self_test(*user);
  findings.insert(findings.end(), tested.begin(), tested.end());
  const bool works = std::ranges::all_of(
      findings, [](const Finding& finding) { return finding.state != State::missing; });
  print(options.json ? to_json(findings, works).text() : to_text(findings, works));
  return works ? 0 : 1;
}

}  // namespace oqto::sandbox_cli
