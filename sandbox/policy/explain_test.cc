#include "sandbox/policy/explain.h"

#include <gtest/gtest.h>

#include "sandbox/policy/oracle.h"

namespace oqto::sandbox {
namespace {

using Layers = std::vector<PolicyLayer>;

PolicyContext context_of(const std::string& name, PolicySource source) {
  return {.name = name,
          .source = source,
          .hosted = false,
          .workspace = "/home/u/ws",
          .home = "/home/u"};
}
PolicyLayer layer(const std::string& name, PolicySource source, std::string_view text) {
  auto parsed = parse_policy(text, context_of(name, source));
  EXPECT_TRUE(parsed.has_value()) << parsed.error();
  return {name, parsed.value_or(ParsedPolicy{})};
}
Layers host_and_workspace(std::string_view host, std::string_view workspace) {
  return {layer("h.toml", PolicySource::host, host),
          layer("w.toml", PolicySource::workspace, workspace)};
}

void expect(const Explanation& got, Verdict verdict, const std::string& decided_by) {
  EXPECT_EQ(verdict_name(got.verdict), verdict_name(verdict)) << got.reason;
  EXPECT_EQ(got.decided_by, decided_by) << got.reason;
  EXPECT_FALSE(got.reason.empty());
}

TEST(Explain, APathByTheLineThatDecided) {
  const Layers layers = host_and_workspace(
      "allow_read = [\n\"/srv/a\",\n\"/srv/b\"]\nallow_write = [\"/srv/w\"]\ndeny_read = "
      "[\"~/.ssh\"]\n"
      "[guard]\nenabled = true\npaths = [\"/srv/k\"]\n",
      "allow_read = [\"/srv/a/x\", \"/srv/w\"]\ndeny_write = [\"./gen\"]\nprotect = [\"./ci\"]\n"
      "[guard]\nenabled = true\npaths = [\"./.env\"]\n[guard.policy]\n\"./.env\" = \"deny\"\n");
  expect(explain_path(layers, "./src"), Verdict::read_write, "built in");
  expect(explain_path(layers, "~/.cache"), Verdict::read_write, "built in");
  expect(explain_path(layers, "/usr/bin/git"), Verdict::read_only, "built in");
  expect(explain_path(layers, "/etc/shadow"), Verdict::absent, "h.toml:2 allow_read");
  expect(explain_path(layers, "/etc/passwd"), Verdict::read_only, "built in");
  expect(explain_path(layers, "/srv/a/x/y"), Verdict::read_only, "h.toml:2 allow_read");
  expect(explain_path(layers, "/srv/b/y"), Verdict::absent, "w.toml:1 allow_read");
  expect(explain_path(layers, "/srv/w/y"), Verdict::read_write, "h.toml:4 allow_write");
  expect(explain_path(layers, "~/.ssh/id"), Verdict::hidden, "h.toml:5 deny_read");
  expect(explain_path(layers, "./gen/x"), Verdict::read_only, "w.toml:2 deny_write");
  expect(explain_path(layers, "./ci"), Verdict::read_only, "w.toml:3 protect");
  expect(explain_path(layers, "./.oqto/sandbox.toml"), Verdict::read_only,
         "h.toml (profile development)");
  expect(explain_path(layers, "./.env"), Verdict::hidden, "w.toml:8 guard.policy");
  expect(explain_path(layers, "/srv/k/x"), Verdict::absent, "w.toml:1 allow_read");
}

TEST(Explain, AQuestion) {
  const Layers layers = {layer("h.toml", PolicySource::host,
                               "[guard]\nenabled = true\npaths = [\"/srv/k\"]\n"
                               "policy = {\"/srv/k/a\" = \"auto\"}\n")};
  expect(explain_path(layers, "/srv/k/x"), Verdict::ask, "h.toml:3 guard.paths");
  expect(explain_path(layers, "/srv/k/a/x"), Verdict::ask, "h.toml:4 guard.policy");
  expect(explain_exec(layers, "/srv/k/x"), Verdict::refused, "h.toml:3 guard.paths");
}

TEST(Explain, WithoutAnyFileTheProfile) {
  const Layers layers = {built_in_layer(ipc::Profile::strict)};
  expect(explain_path(layers, "/srv/x"), Verdict::absent, "profile strict");
  expect(explain_path(layers, "./.git/hooks/x"), Verdict::read_only, "profile strict");
  expect(explain_exec(layers, "./a.out"), Verdict::refused, "profile strict");
  expect(explain_exec(layers, "/usr/bin/env"), Verdict::allowed, "built in");
  expect(explain_exec(layers, "/proc/self/exe"), Verdict::refused, "built in");
  expect(explain_host(layers, "a.test", 443), Verdict::refused, "profile strict");
  expect(explain_host(layers, "models.oqto", 80), Verdict::allowed, "built in");
  expect(explain_env(layers, "HOME"), Verdict::allowed, "built in");
  expect(explain_env(layers, "LC_ALL"), Verdict::allowed, "profile strict");
  expect(explain_env(layers, "AWS_SECRET"), Verdict::refused, "profile strict");
  const Layers development = {built_in_layer(ipc::Profile::development)};
  expect(explain_exec(development, "./a.out"), Verdict::allowed, "profile development");
}

TEST(Explain, AHostByTheRuleOrTheFileThatLacksIt) {
  const Layers layers = host_and_workspace(
      "[network]\nmode = \"filtered\"\nallow_domains = [\n\"a.test\",\n\"**.b.test:443\"]\n"
      "unknown = \"prompt\"\n",
      "[network]\nmode = \"filtered\"\nallow_domains = [\"a.test\", \"x.b.test\"]\n"
      "unknown = \"prompt\"\n");
  expect(explain_host(layers, "a.test", 443), Verdict::allowed, "h.toml:4 network.allow_domains");
  expect(explain_host(layers, "x.b.test", 443), Verdict::allowed, "h.toml:5 network.allow_domains");
  expect(explain_host(layers, "y.b.test", 443), Verdict::ask, "w.toml:4 network.unknown");
  expect(explain_host(layers, "x.b.test", 80), Verdict::ask, "h.toml:6 network.unknown");
  const Layers silent = host_and_workspace(
      "[network]\nmode = \"filtered\"\nallow_domains = [\"a.test\"]\n", "isolate_network = true\n");
  expect(explain_host(silent, "a.test", 443), Verdict::refused, "w.toml:1 isolate_network");
}

TEST(Explain, AVariable) {
  const Layers layers = host_and_workspace(
      "[env]\npass = [\"LANG\", \"MY_*\"]\nset = {A = \"1\"}\n", "[env]\npass = [\"LANG\"]\n");
  expect(explain_env(layers, "LANG"), Verdict::allowed, "h.toml:2 env.pass");
  expect(explain_env(layers, "MY_X"), Verdict::refused, "w.toml:2 env.pass");
  expect(explain_env(layers, "A"), Verdict::allowed, "h.toml:3 env.set");
}

TEST(Explain, ASystemCall) {
  const Layers layers = {built_in_layer(ipc::Profile::development)};
  EXPECT_EQ(explain_syscall(layers, "read").verdict, Verdict::allowed);
  EXPECT_EQ(explain_syscall(layers, "ptrace").verdict, Verdict::refused);
  EXPECT_EQ(explain_syscall(layers, "no_such_call").verdict, Verdict::refused);
  EXPECT_FALSE(explain_syscall(layers, "mount").reason.empty());
}

// The explanation is not a second opinion: it says what the effective policy says.
TEST(Explain, AgreesWithTheEffectivePolicy) {
  using oracle::Access;
  for (int round = 0; round < 1500; ++round) {
    std::mt19937_64 random(static_cast<std::uint64_t>(round));
    const auto host = parse_policy(oracle::toml(oracle::random_host(random)),
                                   context_of("h", PolicySource::host));
    const auto asked = parse_policy(oracle::toml(oracle::random_workspace(random)),
                                    context_of("w", PolicySource::workspace));
    if (!host || !asked) continue;
    const Layers layers = {{"h", *host}, {"w", *asked}};
    const Policy got = effective_of(layers);
    for (const std::string& path : oracle::paths()) {
      if (path.starts_with('~')) continue;  // the private home is there whatever is granted
      const Verdict verdict = explain_path(layers, path).verdict;
      const bool none = verdict == Verdict::absent || verdict == Verdict::hidden;
      const Access access = oracle::access(got, path);
      const bool asks = access == Access::asked || access == Access::recorded;
      EXPECT_EQ(none, access == Access::none) << path << round;
      EXPECT_EQ(verdict == Verdict::read_write, access == Access::write) << path << round;
      EXPECT_EQ(verdict == Verdict::read_only, access == Access::read) << path << round;
      EXPECT_EQ(verdict == Verdict::ask, asks) << path << round;
    }
    for (const std::string& name : oracle::names()) {
      const Verdict verdict = explain_host(layers, name, 443).verdict;
      const oracle::Reach reach = oracle::reach(got, name, 443);
      EXPECT_EQ(verdict, reach == oracle::Reach::yes     ? Verdict::allowed
                         : reach == oracle::Reach::asked ? Verdict::ask
                                                         : Verdict::refused)
          << name << round;
    }
  }
}

// --- the difference of two, and the file that makes one
// --------------------------------------------

TEST(Diff, SaysWhatDiffersAndWhichIsStricter) {
  const Policy first = layer("h", PolicySource::host,
                             "deny_read = [\"~/.ssh\", \"~/.aws\"]\nallow_read = [\"/srv/a\"]\n"
                             "[limits]\nopen_files = 100\n[network]\nmode = \"filtered\"\n"
                             "allow_domains = [\"a.test:443\", \"b.test:443\"]\n")
                           .parsed.policy;
  const Policy second = layer("h", PolicySource::host,
                              "deny_read = [\"~/.ssh\"]\nallow_read = [\"/srv/b\"]\n"
                              "[limits]\nopen_files = 200\n[network]\nmode = \"filtered\"\n"
                              "allow_domains = [\"a.test:443\"]\n")
                            .parsed.policy;
  const auto all = diff(first, second);
  ASSERT_EQ(all.size(), 4U);
  const auto check = [&](std::size_t i, const char* key, const char* a, const char* b,
                         Stricter who) {
    EXPECT_EQ(all[i].key, key);
    EXPECT_EQ(all[i].first, a);
    EXPECT_EQ(all[i].second, b);
    EXPECT_EQ(all[i].stricter, who) << key;
  };
  check(0, "limits.open_files", "100", "200", Stricter::first);
  check(1, "allow_read", "/srv/a", "/srv/b", Stricter::neither);
  check(2, "network.allow_domains", "b.test:443", "-", Stricter::second);
  check(3, "deny_read", "~/.aws", "-", Stricter::first);
  EXPECT_TRUE(diff(first, first).empty());
}

TEST(ToToml, IsTheSmallestFileThatMakesThePolicy) {
  for (const Policy& policy : built_in_policies()) {
    EXPECT_EQ(to_toml(policy), "profile = \"" + std::string(profile_name(policy.profile)) + "\"\n");
  }
  const char* text =
      "profile = \"strict\"\nallow_read = [\"/srv/a\"]\n\n[network]\nmode = \"filtered\"\n"
      "allow_domains = [\"a.test:443\"]\n";
  EXPECT_EQ(to_toml(parse_policy(text, context_of("h", PolicySource::host), "")->policy), text);
}

TEST(ToToml, MakesTheSamePolicyAgain) {
  int checked = 0;
  for (int round = 0; round < 3000; ++round) {
    std::mt19937_64 random(static_cast<std::uint64_t>(round) + 77);
    const auto file = parse_policy(oracle::toml(oracle::random_host(random)),
                                   context_of("h", PolicySource::host), "");
    if (!file) continue;
    const std::string text = to_toml(file->policy);
    const auto again = parse_policy(text, context_of("h", PolicySource::host), "");
    ASSERT_TRUE(again.has_value()) << again.error() << '\n' << text;
    ASSERT_EQ(canonical_text(again->policy), canonical_text(file->policy)) << text;
    ++checked;
  }
  EXPECT_GT(checked, 1000);
}

}  // namespace
}  // namespace oqto::sandbox
