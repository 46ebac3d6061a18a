// The policy as a value: profiles, bounds, and what the guard takes from a parser that it does not
// trust. What the merge means: oracle_test.cc.
#include "sandbox/policy/policy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/sys.h"
#include "ipc/channel.h"
#include "sandbox/policy/items.h"
#include "sandbox/policy/toml.h"

namespace oqto::sandbox {
namespace {

using policies::Ask;
using policies::Network;

Policy with(PolicyList Policy::*list, std::vector<std::string> items) {
  Policy policy = profile_policy(ipc::Profile::minimal);
  (policy.*list).values = std::move(items);
  return policy;
}

bool decodes(const Policy& policy) {
  return ipc::decode<PolicyParsed>(ipc::encode(PolicyParsed{policy})).has_value();
}

TEST(Policy, ProfilesTightenInTheirOrder) {
  const Policy minimal = profile_policy(ipc::Profile::minimal);
  const Policy development = profile_policy(ipc::Profile::development);
  const Policy strict = profile_policy(ipc::Profile::strict);
  EXPECT_TRUE(at_least_as_strict(development, minimal) && at_least_as_strict(strict, development));
  EXPECT_FALSE(at_least_as_strict(minimal, development));
  for (const Policy& policy : {minimal, development, strict}) {
    EXPECT_TRUE(policy.in_range() && policy.fits_one_file());
    EXPECT_EQ(meet(policy, loosest_policy()), policy);
  }
}

TEST(Policy, HasOneTextPerValue) {
  EXPECT_EQ(canonical_text(with(&Policy::deny_read, {"./a b", "~"})),
            "profile=minimal network=isolated unknown_hosts=deny cgroups=optional "
            "run_own_programs=yes ask_timeout_s=60 delegated_fetch=none audit_contents=no memory_bytes=17179869184 swap_bytes=4294967296 "
            "cpu_percent=1600 io_bytes_per_s=1099511627776 max_processes=4096 open_files=65536 "
            "file_bytes=68719476736 tmp_bytes=4294967296 tmp_inodes=1048576 wall_clock_s=2678400 "
            "env_pass=9:COLORTERM env_pass=4:LANG env_pass=4:LC_* env_pass=8:NO_COLOR "
            "env_pass=4:TERM env_pass=2:TZ deny_read=5:./a b deny_read=1:~ "
            "protect=16:./.git/commondir protect=13:./.git/config "
            "protect=22:./.git/config.worktree protect=12:./.git/hooks protect=7:./.oqto");
}

TEST(Policy, ChangesItsWayOutAsAWhole) {
  Policy filtered = with(&Policy::domains, {"a.test:443"});
  filtered.network = Network::filtered;
  filtered.unknown_hosts = Ask::prompt;
  EXPECT_EQ(with_network(filtered, Network::filtered), filtered);
  const Policy open = with_network(filtered, Network::open);
  EXPECT_EQ(open.domains.values, std::vector<std::string>{"**:*"});
  const Policy isolated = with_network(open, Network::isolated);
  EXPECT_TRUE(isolated.domains.values.empty());
  EXPECT_EQ(isolated.unknown_hosts, Ask::deny);
  EXPECT_TRUE(at_least_as_strict(isolated, filtered) && at_least_as_strict(filtered, open));
}

TEST(Policy, TellsANeighbourFromWhatIsBelow) {
  EXPECT_TRUE(path_contains("/srv/a", "/srv/a/b") && path_contains("/srv/a", "/srv/a"));
  EXPECT_FALSE(path_contains("/srv/a", "/srv/ab") || path_contains("/srv/a/b", "/srv/a"));
  EXPECT_FALSE(path_contains(".", "~/a") || path_contains("~", "./a") || path_contains(".", "/a"));
  EXPECT_TRUE(path_contains("/", "./a") && path_contains("/", "~"));
}

TEST(Policy, TellsANameFromOneThatEndsLikeIt) {
  EXPECT_TRUE(domain_allows("*.x.test:443", "a.x.test", 443));
  EXPECT_FALSE(domain_allows("*.x.test:443", "x.test", 443));
  EXPECT_FALSE(domain_allows("*.x.test:443", "b.a.x.test", 443));
  EXPECT_FALSE(domain_allows("*.x.test:443", "evilx.test", 443));
  EXPECT_TRUE(domain_allows("**.x.test:443", "b.a.x.test", 443));
  EXPECT_FALSE(domain_allows("**.x.test:443", "x.test", 443));
  EXPECT_FALSE(domain_allows("**.x.test:443", "evilx.test", 443));
  EXPECT_FALSE(domain_allows("x.test:443", "x.test", 80));
  EXPECT_FALSE(domain_allows("x.test:443", "x.test.evil.test", 443));
}

TEST(PolicyOnTheWire, RefusesWhatIsNotInNormalForm) {
  EXPECT_TRUE(decodes(with(&Policy::deny_read, {"./a", "/a", "~/a"})));
  const std::vector<std::string> bad_paths[] = {{"b", "a"},
                                                {"/a", "/a"},
                                                {"/a/"},
                                                {"/a//b"},
                                                {"/a/../b"},
                                                {"../a"},
                                                {"./."},
                                                {"./.."},
                                                {""},
                                                {"~u/a"},
                                                {"/a\n/b"},
                                                {"/a\x7f"},
                                                {"a"},
                                                {"/\xff"},
                                                {"/"},
                                                {"./"},
                                                {"~/"},
                                                {"/a", "/b/./c"},
                                                {std::string("/a\0b", 4)}};
  for (const auto& items : bad_paths)
    EXPECT_FALSE(decodes(with(&Policy::deny_read, items))) << items[0];
  for (const char* path : {".", "/a", "~/a", "/"}) {
    EXPECT_FALSE(decodes(with(&Policy::protect, {path}))) << path;
  }
  EXPECT_TRUE(decodes(with(&Policy::allow_read, {"/"})));
  for (const char* rule : {"a.test", "a.test:0", "a.test:65536", "a.test:*", "A.test:1", "a:1",
                           "*:1", "**:443", "*.*.test:1", "a.test:01", "1.2.3.4:1", "a..test:1",
                           "-a.test:1", "a.*.test:1", "*a.test:1", ":443", "*.:1", "[::1]:80"}) {
    EXPECT_FALSE(decodes(with(&Policy::domains, {rule}))) << rule;
  }
  for (const char* item : {"auto:/", "deny:/a", "/a", "auto:", "prompt:a", "auto:/a/.."}) {
    EXPECT_FALSE(decodes(with(&Policy::ask, {item}))) << item;
  }
  for (const char* item : {"", "A B", "A=1", "1A", "*A", "A**"}) {
    EXPECT_FALSE(decodes(with(&Policy::env_pass, {item}))) << item;
  }
  for (const char* item : {"", "A", "=1", "1A=2", "A=\n"}) {
    EXPECT_FALSE(decodes(with(&Policy::env_set, {item}))) << item;
  }
}

TEST(PolicyOnTheWire, RefusesWhatIsOutOfRange) {
  const Policy good = profile_policy(ipc::Profile::minimal);
  EXPECT_TRUE(decodes(good));
  const auto refused = [&](auto&& change) {
    Policy policy = good;
    change(policy);
    return !decodes(policy);
  };
  EXPECT_TRUE(refused([](Policy& p) { p.limits.tmp_bytes = 0; }));  // to tmpfs: no limit
  EXPECT_TRUE(refused([](Policy& p) { p.run_own_programs = 2; }));
  EXPECT_TRUE(refused([](Policy& p) { p.hash_programs = 2; }));
  EXPECT_TRUE(refused([](Policy& p) { p.ask_timeout_s = 0; }));
  EXPECT_TRUE(refused([](Policy& p) { p.delegated_fetch = policies::kEveryFetch + 1; }));
  EXPECT_TRUE(refused([](Policy& p) { p.audit_contents = 2; }));
  EXPECT_TRUE(refused([](Policy& p) { p.ask_timeout_s = kMaxAskTimeout + 1; }));
  EXPECT_TRUE(refused([](Policy& p) { p.network = Network::kEnd; }));
  EXPECT_TRUE(refused([](Policy& p) { p.profile = ipc::Profile::kEnd; }));
}

std::vector<std::string> numbered(const std::string& prefix, std::size_t count,
                                  const std::string& end = "") {
  std::vector<std::string> items;
  for (std::size_t i = 0; i < count; ++i) items.push_back(prefix + std::to_string(i) + end);
  std::ranges::sort(items);
  return items;
}

TEST(PolicyOnTheWire, RefusesMoreThanOneFileCanHold) {
  EXPECT_TRUE(decodes(with(&Policy::deny_write, numbered("/a", kMaxFileItems))));
  EXPECT_FALSE(decodes(with(&Policy::deny_write, numbered("/a", kMaxFileItems + 1))));
  EXPECT_FALSE(decodes(with(&Policy::deny_write, numbered("/" + std::string(200, 'a'), 100))));
  Policy both = with(&Policy::allow_read, numbered("/a", kMaxFileItems));
  both.allow_write.values = {"/b"};
  EXPECT_FALSE(decodes(both));
}

// Every file at its bounds, nothing in common but what makes the meet as long as it can be.
TEST(PolicyOnTheWire, NoThreeFilesMakeAMeetThatCannotBeSent) {
  const auto full = [](const std::string& tag) {
    Policy policy = loosest_policy();
    policy.deny_read.values = numbered("/r" + tag, 64);
    policy.ask.values = numbered("auto:./a" + tag, 64);
    policy.deny_write.values = numbered("/w" + tag, kMaxFileItems);
    return policy;
  };
  HostPolicies host;
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = full(std::to_string(i) + "x");
  Policy asked = full("9x");
  asked.profile = ipc::Profile::strict;
  for (const Policy& policy : host) EXPECT_TRUE(decodes(policy));
  const Policy got = effective(host, ipc::Profile::minimal, asked);
  EXPECT_EQ(got.deny_write.values.size(), kMaxPolicyItems);
  EXPECT_EQ(got.ask.values.size(), 192U);
  EXPECT_TRUE(got.in_range());
  EXPECT_LE(ipc::encode(PolicyParsed{got}).size(), ipc::kMaxDatagram);
}

// Names of one times ports of the other would be 64 * 64 rules.
TEST(PolicyOnTheWire, NoTwoListsOfNamesMultiply) {
  Policy names = loosest_policy(), ports = loosest_policy();
  names.network = ports.network = Network::filtered;
  names.domains.values = numbered("a", 64, ".test:*");
  ports.domains.values = numbered("**.test:", 64);
  EXPECT_FALSE(decodes(names)) << "a rule for every port would be needed";
  names.domains.values = numbered("a", 64, ".test:1");
  EXPECT_LE(meet(names, ports).domains.values.size(), 128U);
}

TEST(PolicyOnTheWire, AQuestionNeverOutgrowsItsBound) {
  const std::string longest = "auto:/" + std::string(kMaxPolicyItem - 8, 'a');
  EXPECT_TRUE(decodes(with(&Policy::ask, {longest})));
  EXPECT_FALSE(decodes(with(&Policy::ask, {longest + "a"})));
  Policy asked = loosest_policy();
  asked.ask.values = {"prompt:/" + std::string(kMaxPolicyItem - 8, 'a')};
  const Policy met = meet(with(&Policy::ask, {longest}), asked);
  EXPECT_EQ(met.ask.values, asked.ask.values);
  EXPECT_TRUE(decodes(met));
}

// --- the program -------------------------------------------------------------------------------

struct Answer {
  std::optional<Policy> policy;
  std::string refused;
};

// The real one, sealed, as the guard starts it: all of its answers.
std::vector<Answer> ask_oqto_policy(std::string_view text, const char* source) {
  auto ends = sys::seqpacket_pair();
  const auto file = sys::sealed_memfd("policy", text);
  if (!ends || !file) return {};
  const std::string program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() /
      "bin/oqto-policy";
  const pid_t pid = ::fork();
  if (pid == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    const int from[] = {ends->second.get(), null, null, file->get()};
    int high[4];
    for (int i = 0; i < 4; ++i) high[i] = ::fcntl(from[i], F_DUPFD, 100);
    for (int i = 0; i < 4; ++i) ::dup2(high[i], 3 + i);
    ::execl(program.c_str(), "oqto-policy", "--name", "f.toml", "--source", source, nullptr);
    ::_exit(127);
  }
  ends->second.reset();
  ipc::Channel channel(std::move(ends->first));
  std::vector<Answer> answers;
  while (const auto received = channel.wait(10'000)) {
    Answer& answer = answers.emplace_back();
    if (const auto parsed = received->as<PolicyParsed>()) answer.policy = parsed->asked;
    if (const auto failed = received->as<ipc::LaunchFailed>()) answer.refused = failed->why.str();
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  return answers;
}

TEST(PolicyProgram, AnswersSealedWithTheValueOfAWorkspacesFile) {
  const auto answers =
      ask_oqto_policy("profile = \"strict\"\ndeny_read = [\"./k\"]\n", "workspace");
  ASSERT_EQ(answers.size(), 1U);
  ASSERT_TRUE(answers[0].policy.has_value()) << answers[0].refused;
  Policy expected = loosest_policy();
  expected.profile = ipc::Profile::strict;
  expected.deny_read.values = {"./k"};
  EXPECT_EQ(*answers[0].policy, expected);
}

TEST(PolicyProgram, AnswersWithEveryProfileOfTheHostsFileInOrder) {
  const auto answers = ask_oqto_policy(
      "allow_read = [\"/srv/x\"]\n[profiles.strict]\nallow_read = [\"/srv/y\"]\n", "host");
  ASSERT_EQ(answers.size(), policies::kProfiles);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    ASSERT_TRUE(answers[i].policy.has_value()) << answers[i].refused;
    EXPECT_EQ(answers[i].policy->profile, static_cast<ipc::Profile>(i));
    EXPECT_EQ(answers[i].policy->allow_read.values, std::vector<std::string>{"/srv/x"});
  }
}

TEST(PolicyProgram, AnswersARefusedFileWithOneErrorAndNoValue) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"profile = \"strict\"\nroot = \"/\"\n", "f.toml:2: `root = \"/\"`: unknown key"},
      {"a = [\n", "f.toml:"},  // the library throws, in a process that may do next to nothing
      {"?", "f.toml:1: `?`: not valid TOML"},
  };
  for (const char* source : {"host", "workspace"}) {
    for (const auto& [text, error] : cases) {
      const auto answers = ask_oqto_policy(text, source);
      ASSERT_EQ(answers.size(), 1U) << text;
      EXPECT_FALSE(answers[0].policy.has_value());
      EXPECT_TRUE(answers[0].refused.starts_with(error)) << answers[0].refused;
    }
  }
}

}  // namespace
}  // namespace oqto::sandbox
