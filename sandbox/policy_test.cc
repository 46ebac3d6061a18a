#include "sandbox/policy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "base/sys.h"
#include "ipc/channel.h"
#include "sandbox/policy_toml.h"

namespace oqto::sandbox {
namespace {

Policy random_policy(std::mt19937_64& random) {
  Policy policy;
  policy.profile = static_cast<ipc::Profile>(random() % 3);
  policy.network = static_cast<policies::Network>(random() % 3);
  policy.run_own_programs = static_cast<std::uint8_t>(random() % 2);
  for (const auto& row : policies::kLimitRows) {
    policy.limits.*row.value = row.floor + random() % (row.ceiling - row.floor + 1);
  }
  return policy;
}

TEST(Policy, MeetIsTheGreatestLowerBound) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 5000; ++i) {
    const Policy a = random_policy(random), b = random_policy(random), c = random_policy(random);
    const Policy both = meet(a, b);
    EXPECT_TRUE(at_least_as_strict(both, a) && at_least_as_strict(both, b));
    EXPECT_EQ(meet(b, a), both);
    EXPECT_EQ(meet(a, a), a);
    EXPECT_EQ(meet(meet(a, b), c), meet(a, meet(b, c)));
    EXPECT_EQ(meet(a, loosest_policy()), a);
    EXPECT_TRUE(both.in_range());
    if (at_least_as_strict(c, a) && at_least_as_strict(c, b)) {
      EXPECT_TRUE(at_least_as_strict(c, both));
    }
  }
}

TEST(Policy, ProfilesTightenInTheirOrder) {
  const Policy minimal = profile_policy(ipc::Profile::minimal);
  const Policy development = profile_policy(ipc::Profile::development);
  const Policy strict = profile_policy(ipc::Profile::strict);
  EXPECT_TRUE(at_least_as_strict(development, minimal) && at_least_as_strict(strict, development));
  EXPECT_FALSE(at_least_as_strict(minimal, development));
  for (const Policy& policy : {minimal, development, strict}) EXPECT_TRUE(policy.in_range());
}

TEST(Policy, HasOneTextPerValue) {
  EXPECT_EQ(canonical_text(profile_policy(ipc::Profile::strict)),
            "profile=strict network=isolated run_own_programs=no tmp_bytes=268435456 "
            "tmp_inodes=65536 max_processes=256 open_files=4096 file_bytes=2147483648");
}

TEST(Policy, DoesNotDecodeOutOfRange) {
  PolicyParsed message{profile_policy(ipc::Profile::minimal)};
  EXPECT_EQ(ipc::decode<PolicyParsed>(ipc::encode(message))->asked, message.asked);
  message.asked.limits.tmp_bytes = 0;  // to tmpfs: no limit
  EXPECT_FALSE(ipc::decode<PolicyParsed>(ipc::encode(message)).has_value());
}

TEST(PolicyFile, AsksForAProfileAndLimits) {
  const auto policy = parse_policy("profile = \"strict\"\n[limits]\nmax_processes = 40\n", "f");
  ASSERT_TRUE(policy.has_value()) << policy.error();
  Policy expected = profile_policy(ipc::Profile::strict);
  expected.limits.max_processes = 40;
  expected.network = policies::Network::isolated;
  EXPECT_EQ(*policy, expected);
  EXPECT_EQ(*parse_policy("", "f"), loosest_policy());
}

TEST(PolicyFile, CannotLoosenAProfileThatItNames) {
  const auto policy = parse_policy("profile = \"strict\"\n[limits]\nmax_processes = 60000\n", "f");
  ASSERT_TRUE(policy.has_value()) << policy.error();
  EXPECT_EQ(policy->limits.max_processes, 256U);
}

TEST(PolicyFile, RefusesWithFileLineAndFix) {
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"\nenabled = false\n", "f:2: `enabled = false`: unknown key; known are: profile, [limits]"},
      {"profile = \"none\"", "f:1: `profile = \"none\"`: the profiles are"},
      {"profile = 3", "f:1: `profile = 3`: the profiles are"},
      {"limits = 3", "f:1: `limits = 3`: `limits` is a table"},
      {"[limits]\ncpu = 1", "f:2: `cpu = 1`: unknown limit; known are: tmp_bytes"},
      {"[limits]\ntmp_bytes = 0", "f:2: `tmp_bytes = 0`: a whole number from 1048576"},
      {"[limits]\ntmp_bytes = -1", "f:2: `tmp_bytes = -1`: a whole number from"},
      {"[limits]\ntmp_bytes = 1e9", "f:2: `tmp_bytes = 1e9`: a whole number from"},
      {"[limits]\nopen_files = 99999999999999999999", "f:2: `open_files ="},
      {"a = [1,\n", "f:"},
      {"profile = \"strict\"\nprofile = \"minimal\"",
       "f:2: `profile = \"minimal\"`: not valid TOML"},
      {"\xff", "f:1: "},
  };
  for (const auto& [text, error] : cases) {
    const auto policy = parse_policy(text, "f");
    ASSERT_FALSE(policy.has_value()) << text;
    EXPECT_EQ(policy.error().substr(0, std::string(error).size()), error);
  }
  EXPECT_FALSE(parse_policy("a = " + std::string(60'000, '['), "f").has_value());
  EXPECT_FALSE(parse_policy(std::string(70'000, '#'), "f").has_value());
}

// The real program, sealed, as the guard starts it.
Result<ipc::Received> ask_oqto_policy(std::string_view text, ipc::Channel& channel) {
  auto ends = TRY(sys::seqpacket_pair());
  const Fd file = TRY(sys::sealed_memfd("policy", text));
  const std::string program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() /
      "bin/oqto-policy";
  const pid_t pid = ::fork();
  if (pid == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    const int from[] = {ends.second.get(), null, null, file.get()};
    int high[4];
    for (int i = 0; i < 4; ++i) high[i] = ::fcntl(from[i], F_DUPFD, 100);
    for (int i = 0; i < 4; ++i) ::dup2(high[i], 3 + i);
    ::execl(program.c_str(), "oqto-policy", "--name", "f.toml", nullptr);
    ::_exit(127);
  }
  ends.second.reset();
  channel = ipc::Channel(std::move(ends.first));
  auto answer = channel.wait(10'000);
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  return answer;
}

TEST(PolicyProgram, AnswersSealedWithTheValueOrTheError) {
  ipc::Channel channel;
  const auto good = ask_oqto_policy("profile = \"development\"\n", channel);
  ASSERT_TRUE(good.has_value());
  const auto parsed = good->as<PolicyParsed>();
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->asked, profile_policy(ipc::Profile::development));
  const auto bad = ask_oqto_policy("root = \"/\"\n", channel);
  ASSERT_TRUE(bad.has_value());
  const auto failed = bad->as<ipc::LaunchFailed>();
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->why.str(),
            "f.toml:1: `root = \"/\"`: unknown key; known are: profile, [limits]");
}

}  // namespace
}  // namespace oqto::sandbox
