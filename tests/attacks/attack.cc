#include "tests/attacks/attack.h"

#include <poll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/sys.h"

namespace oqto::sandbox {
namespace {

namespace fs = std::filesystem;
constexpr const char* kBelowUsr = "/usr/local/games";

// The process on the host whose only child-visible name is this one: programs of a session have
// numbers of their own.
pid_t find_on_host(uid_t uid, const std::string& comm) {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream status(entry.path() / "status");
    std::string line, found;
    bool ours = false;
    while (std::getline(status, line)) {
      if (line.starts_with("Name:\t")) found = line.substr(6);
      if (line.starts_with("Uid:\t" + std::to_string(uid) + "\t")) ours = true;
    }
    if (ours && found == comm) return static_cast<pid_t>(std::stol(name));
  }
  return -1;
}

}  // namespace

const std::string& probe() {
  static const std::string path = [] {
    const std::string dir = fs::path(built("tests/tools/probe")).parent_path();
    CHECK(::mount(dir.c_str(), kBelowUsr, nullptr, MS_BIND, nullptr) == 0);
    return std::string(kBelowUsr) + "/probe";
  }();
  return path;
}

Words probe_words(const Words& attack) {
  Words all{probe()};
  all.insert(all.end(), attack.begin(), attack.end());
  return all;
}

std::string outside(uid_t uid, const Words& attack) {
  return run_outside(uid, probe_words(attack)).output;
}

std::string in_plain_bubblewrap(uid_t uid, const Words& attack) {
  Words all = {"/usr/bin/bwrap", "--unshare-all", "--bind", "/", "/", "--proc", "/proc",
               "--dev",          "/dev",          "--"};
  const Words words = probe_words(attack);
  all.insert(all.end(), words.begin(), words.end());
  return run_outside(uid, all).output;
}

std::string first_byte(const Fd& io) {
  constexpr int kMostMs = 10'000;
  pollfd ready{io.get(), POLLIN, 0};
  char said = 0;
  if (::poll(&ready, 1, kMostMs) != 1) return "nothing";
  return ::read(io.get(), &said, 1) == 1 ? std::string(1, said) : "";
}

std::string unique(const std::string& name) {
  return name + '-' + std::to_string(::getpid());
}

std::string unique_key() {
  constexpr int kBase = 0x6f710000;  // "oq"
  return std::to_string(kBase ^ ::getpid());
}

bool is_closed(const std::string& said) {
  return said.starts_with("closed: ");
}

Policy test_policy(ipc::Profile profile) {
  Policy policy = profile_policy(profile);
  policy.cgroups = policies::Cgroups::optional;
  return policy;
}

void Attack::begin(TestSession::Options options) {
  (void)probe();
  session.reset();
  session = std::make_unique<TestSession>(std::move(options));
  ASSERT_EQ(session->start(), "");
}

static std::string joined(const Words& words) {
  std::string all;
  for (const std::string& word : words) all += word + ' ';
  return all;
}

void Attack::expect_closed(const Words& attack, const std::string& why, uid_t control_uid) {
  EXPECT_EQ(outside(control_uid, attack), "open\n") << "the control of " << joined(attack);
  EXPECT_EQ(inside(attack), "closed: " + why + "\n") << joined(attack);
}

void Attack::expect_closed_in_every_spelling(Words attack, std::size_t index,
                                             const std::string& why, uid_t control_uid) {
  const std::string plain = attack.at(index);
  const std::uint64_t value = std::strtoull(plain.c_str(), nullptr, 0);
  for (const std::uint64_t high : {0ULL, 0x1'0000'0000ULL, 0x8000'0000'0000'0000ULL,
                                   0xffff'ffff'0000'0000ULL, 0x5a5a'5a5a'0000'0000ULL}) {
    attack[index] = std::to_string(value | high);
    EXPECT_EQ(outside(control_uid, attack), "open\n") << "control: " << plain << " | " << high;
    EXPECT_EQ(inside(attack), "closed: " + why + "\n") << plain << " | " << high;
  }
  for (const std::uint64_t negative : {0x8000'0000ULL, 0xffff'ffff'8000'0000ULL}) {
    attack[index] = std::to_string(value | negative);
    EXPECT_TRUE(is_closed(inside(attack))) << plain << " | " << negative;
  }
}

Held::Held(uid_t uid, const Words& attack) {
  int ends[2];
  CHECK(::pipe2(ends, 0) == 0);
  const Words words = probe_words(attack);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(ends[1], 1);
    ::close(ends[0]);
    ::close(ends[1]);
    CHECK(::setresgid(uid, uid, uid) == 0 && ::setresuid(uid, uid, uid) == 0);
    CHECK(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);  // after the change of uid, which clears it
    ::execv(argv[0], argv.data());
    ::_exit(1);
  }
  ::close(ends[1]);
  char said = 0;
  CHECK(::read(ends[0], &said, 1) == 1 && said == 'h');
  ::close(ends[0]);
}

Held::Held(TestSession& in, const Words& attack) : in_(&in) {
  program_ = in.launch(probe_words(attack), &io_);
  CHECK(first_byte(io_) == "h");
  pid_ = find_on_host(in.uid(), attack[0] == "hold" ? attack[1] : "probe");
  CHECK(pid_ > 0);
}

Held::~Held() {
  if (in_ != nullptr) {
    in_->signal(program_, SIGKILL);
    return;
  }
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

}  // namespace oqto::sandbox
