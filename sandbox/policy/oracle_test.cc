// For random files of a host and of a workspace, every answer of the effective policy is no looser
// than the host's answer and no looser than the workspace's, by an oracle that knows no merge.
#include "sandbox/policy/oracle.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ipc/channel.h"

namespace oqto::sandbox {
namespace {

using oracle::Access;
using oracle::File;
using oracle::Reach;
using oracle::Said;

constexpr int kFileRounds = 3000;
constexpr int kValueRounds = 3000;
constexpr const char* kNames[] = {"minimal", "development", "strict"};

PolicyContext context_of(PolicySource source) {
  return {
      .name = "f", .source = source, .hosted = false, .workspace = "/work/ws", .home = "/home/u"};
}

// What a random file may be refused for: what it grants and denies at once.
bool contradicts(const std::string& error) {
  return error.find("is denied by") != std::string::npos ||
         error.find("is only read by asking") != std::string::npos;
}

// Every host's file that has a say in a session, as resolved profiles.
struct Host {
  HostPolicies policies;
  std::vector<Said> says[3];
};

std::optional<Host> make_host(const File& file) {
  Host host;
  const std::string text = oracle::toml(file);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto parsed = parse_policy(text, context_of(PolicySource::host), kNames[i]);
    if (!parsed) {
      EXPECT_TRUE(contradicts(parsed.error())) << parsed.error() << '\n' << text;
      return {};
    }
    host.policies[i] = parsed->policy;
    host.says[i] = {oracle::resolved(file, kNames[i])};
    if (file.profile) host.says[i].push_back(oracle::resolved(file, *file.profile));
  }
  return host;
}

struct Case {
  File host_file, asked_file;
  Host host;
  Policy asked;
  std::size_t wanted = 0;
};

// `round` is enough to make it again.
std::optional<Case> make_case(int round) {
  std::mt19937_64 random(static_cast<std::uint64_t>(round) * 7919 + 1);
  Case made;
  made.host_file = oracle::random_host(random);
  made.asked_file = oracle::random_workspace(random);
  made.wanted = random() % 3;
  auto host = make_host(made.host_file);
  if (!host) return {};
  made.host = *std::move(host);
  const std::string text = oracle::toml(made.asked_file);
  const auto asked = parse_policy(text, context_of(PolicySource::workspace));
  if (!asked) {
    EXPECT_TRUE(contradicts(asked.error())) << asked.error() << '\n' << text;
    return {};
  }
  made.asked = asked->policy;
  return made;
}

std::string described(const Case& made) {
  return "host:\n" + oracle::toml(made.host_file) + "\nworkspace:\n" +
         oracle::toml(made.asked_file) + "\nwanted: " + kNames[made.wanted];
}

// All that have a say: the wanted profile, the one that the workspace names if it is stricter, and
// the workspace itself.
template <class Answer, class Ask>
Answer least(const Case& made, Answer loosest, Ask&& ask) {
  Answer answer = loosest;
  const auto host_says = [&](std::size_t profile) {
    for (const Said& said : made.host.says[profile]) answer = std::min(answer, ask(said, true));
  };
  host_says(made.wanted);
  const auto named = static_cast<std::size_t>(made.asked.profile);
  if (named > made.wanted) host_says(named);
  return std::min(answer, ask(made.asked_file.flat, false));
}

bool mentions_asks(const Case& made) {
  const auto asks = [](const Said& said) { return said.guard.has_value() && !said.guard->empty(); };
  return asks(made.asked_file.flat) || asks(made.host_file.flat) ||
         std::ranges::any_of(made.host_file.profiles,
                             [&](const auto& entry) { return asks(entry.second); });
}

void check_paths(const Case& made, const Policy& got) {
  for (const std::string& path : oracle::paths()) {
    const Access bound = least(made, Access::write, [&](const Said& said, bool host) {
      return oracle::access(said, host, path);
    });
    const Access own = oracle::access(got, path);
    ASSERT_LE(own, bound) << path << '\n' << described(made) << '\n' << canonical_text(got);
    if (mentions_asks(made)) continue;  // what only one side shows by asking is denied: stricter
    ASSERT_EQ(own, bound) << path << '\n' << described(made) << '\n' << canonical_text(got);
  }
}

void check_hosts(const Case& made, const Policy& got) {
  for (const std::string& name : oracle::names()) {
    for (const int port : oracle::kPorts) {
      const Reach bound = least(made, Reach::yes, [&](const Said& said, bool host) {
        return oracle::reach(said, host, name, port);
      });
      const Reach own = oracle::reach(got, name, port);
      ASSERT_LE(own, bound) << name << ' ' << port << '\n'
                            << described(made) << canonical_text(got);
      if (bound == Reach::asked) continue;  // not listed here and never asked there: no
      ASSERT_EQ(own, bound) << name << ' ' << port << '\n'
                            << described(made) << canonical_text(got);
    }
  }
}

void check_variables(const Case& made, const Policy& got) {
  for (const std::string& name : oracle::variables()) {
    const bool bound = least(
        made, true, [&](const Said& said, bool host) { return oracle::passes(said, host, name); });
    ASSERT_EQ(oracle::passes(got, name), bound) << name << '\n' << described(made);
  }
}

// Limits of a host's profile are those of the flat table, of its own, or built in.
std::uint64_t limit_of(const Case& made, const policies::LimitRow& row, const std::string& profile,
                       ipc::Profile built_in) {
  std::uint64_t value = profile_policy(built_in).limits.*row.value;
  const auto adjust = [&](const Said& said) {
    if (const auto own = said.limits.find(std::string(row.key)); own != said.limits.end()) {
      value = own->second;
    }
  };
  if (const auto own = made.host_file.profiles.find(profile);
      own != made.host_file.profiles.end()) {
    adjust(own->second);
  }
  adjust(made.host_file.flat);
  return value;
}

ipc::Profile profile_called(const std::string& name) {
  return static_cast<ipc::Profile>(std::ranges::find(kNames, name) - kNames);
}

void check_limits(const Case& made, const Policy& got) {
  std::vector<std::string> profiles = {kNames[made.wanted]};
  if (static_cast<std::size_t>(made.asked.profile) > made.wanted) {
    profiles.emplace_back(kNames[static_cast<std::size_t>(made.asked.profile)]);
  }
  if (made.host_file.profile) profiles.push_back(*made.host_file.profile);
  for (const policies::LimitRow& row : policies::kLimitRows) {
    std::uint64_t bound = row.ceiling;
    for (const std::string& profile : profiles) {
      bound = std::min(bound, limit_of(made, row, profile, profile_called(profile)));
    }
    const auto asked = made.asked_file.flat.limits.find(std::string(row.key));
    if (asked != made.asked_file.flat.limits.end()) bound = std::min(bound, asked->second);
    ASSERT_EQ(got.limits.*row.value, bound) << row.key << '\n' << described(made);
  }
  const bool own_programs = least(
      made, true, [](const Said& said, bool) { return said.run_own_programs.value_or(true); });
  ASSERT_EQ(got.run_own_programs != 0, own_programs) << described(made);
  const bool unhashed = least(
      made, true, [](const Said& said, bool) { return !said.hash_programs.value_or(false); });
  ASSERT_EQ(got.hash_programs == 0, unhashed) << described(made);
  const int seconds = least(made, 600, [](const Said& said, bool host) {
    return said.timeout.value_or(host ? 60 : 600);
  });
  ASSERT_EQ(got.ask_timeout_s, static_cast<std::uint64_t>(seconds)) << described(made);
}

TEST(Oracle, EveryAnswerOfTheEffectivePolicyIsNoLooserThanTheHostsAndTheWorkspaces) {
  int checked = 0;
  for (int round = 0; round < kFileRounds; ++round) {
    const auto made = make_case(round);
    if (!made) continue;
    ++checked;
    const Policy got =
        effective(made->host.policies, static_cast<ipc::Profile>(made->wanted), made->asked);
    ASSERT_NO_FATAL_FAILURE(check_paths(*made, got)) << round;
    ASSERT_NO_FATAL_FAILURE(check_hosts(*made, got)) << round;
    ASSERT_NO_FATAL_FAILURE(check_variables(*made, got)) << round;
    ASSERT_NO_FATAL_FAILURE(check_limits(*made, got)) << round;
    ASSERT_TRUE(got.in_range()) << round;
    ASSERT_TRUE(at_least_as_strict(got, made->host.policies[made->wanted])) << round;
    ASSERT_TRUE(at_least_as_strict(got, made->asked)) << round;
  }
  EXPECT_GT(checked, kFileRounds / 4);
}

TEST(Oracle, NoMeetOfTwoValuesAnswersLooserThanEither) {
  for (int round = 0; round < kValueRounds; ++round) {
    std::mt19937_64 random(static_cast<std::uint64_t>(round));
    const Policy a = oracle::random_value(random), b = oracle::random_value(random);
    const Policy both = meet(a, b);
    const std::string what =
        canonical_text(a) + "\n" + canonical_text(b) + "\n" + canonical_text(both);
    for (const std::string& path : oracle::paths()) {
      ASSERT_LE(oracle::access(both, path), oracle::access(a, path)) << path << '\n' << what;
      ASSERT_LE(oracle::access(both, path), oracle::access(b, path)) << path << '\n' << what;
    }
    for (const std::string& name : oracle::names()) {
      for (const int port : oracle::kPorts) {
        const Reach own = oracle::reach(both, name, port);
        ASSERT_LE(own, oracle::reach(a, name, port)) << name << port << '\n' << what;
        ASSERT_LE(own, oracle::reach(b, name, port)) << name << port << '\n' << what;
      }
    }
    for (const std::string& name : oracle::variables()) {
      ASSERT_LE(oracle::passes(both, name), oracle::passes(a, name)) << name << '\n' << what;
      ASSERT_LE(oracle::passes(both, name), oracle::passes(b, name)) << name << '\n' << what;
    }
    ASSERT_EQ(both.delegated_fetch & ~a.delegated_fetch, 0U) << what;
    ASSERT_EQ(both.delegated_fetch & ~b.delegated_fetch, 0U) << what;
    ASSERT_GE(both.audit_contents, std::max(a.audit_contents, b.audit_contents)) << what;
    ASSERT_TRUE(both.in_range()) << what;
  }
}

TEST(Oracle, TheMeetIsALattice) {
  const auto random_normal = [](std::mt19937_64& random) {
    const Policy raw = oracle::random_value(random);
    return meet(raw, raw);
  };
  for (int round = 0; round < kValueRounds; ++round) {
    std::mt19937_64 random(static_cast<std::uint64_t>(round) + 1'000'000);
    const Policy a = random_normal(random), b = random_normal(random), c = random_normal(random);
    const std::string what = std::to_string(round) + "\n" + canonical_text(a) + "\n" +
                             canonical_text(b) + "\n" + canonical_text(c);
    const Policy both = meet(a, b);
    ASSERT_EQ(meet(a, a), a) << what;
    ASSERT_EQ(canonical_text(meet(b, a)), canonical_text(both)) << what;
    ASSERT_EQ(canonical_text(meet(both, c)), canonical_text(meet(a, meet(b, c)))) << what;
    ASSERT_EQ(canonical_text(meet(a, loosest_policy())), canonical_text(a)) << what;
    ASSERT_TRUE(at_least_as_strict(both, a) && at_least_as_strict(both, b)) << what;
    if (at_least_as_strict(c, a) && at_least_as_strict(c, b)) {
      ASSERT_TRUE(at_least_as_strict(c, both)) << what;
    }
  }
}

}  // namespace
}  // namespace oqto::sandbox
