// What a policy file means when it is accepted. What is refused: refusal_test.cc.
#include <gtest/gtest.h>

#include "sandbox/policy/test_files.h"

namespace oqto::sandbox {
namespace {

using policies::Ask;
using policies::Network;

// --- both spellings ------------------------------------------------------------------------------

TEST(HostFile, EmptyIsTheBuiltInProfile) {
  EXPECT_EQ(host("", "minimal"), profile_policy(ipc::Profile::minimal));
  EXPECT_EQ(host("", "strict"), profile_policy(ipc::Profile::strict));
  EXPECT_EQ(host("", ""), profile_policy(ipc::Profile::development));
  EXPECT_EQ(host("# nothing but a comment: über\n\n"), profile_policy(ipc::Profile::development));
}

TEST(HostFile, FlatKeysAdjustWhicheverProfileIsChosen) {
  const char* text = "deny_read = [\"~/.ssh\"]\n[limits]\nmax_processes = 100\n";
  for (const char* name : {"minimal", "development", "strict"}) {
    const Policy policy = host(text, name);
    EXPECT_EQ(policy.deny_read.values, Items{"~/.ssh"});
    EXPECT_EQ(policy.limits.max_processes, 100U);
    EXPECT_EQ(profile_name(policy.profile), name);
  }
}

TEST(HostFile, ATableOfAProfileAdjustsThatProfileOnly) {
  const char* text =
      "[profiles.strict]\nrun_own_programs = true\n[profiles.strict.limits]\nmemory_bytes = "
      "1073741824\n";
  EXPECT_EQ(host(text, "development"), profile_policy(ipc::Profile::development));
  Policy expected = profile_policy(ipc::Profile::strict);
  expected.run_own_programs = 1;
  expected.limits.memory_bytes = 1073741824;
  EXPECT_EQ(host(text, "strict"), expected);
}

TEST(HostFile, AProfileOfItsOwnIsDevelopmentButForWhatItSays) {
  const char* text = "[profiles.build]\nallow_write = [\"/srv/cache\"]\n";
  Policy expected = profile_policy(ipc::Profile::development);
  expected.allow_write.values = {"/srv/cache"};
  EXPECT_EQ(host(text, "build"), expected);
}

TEST(HostFile, FlatKeysReplaceTheProfilesLists) {
  const char* text =
      "deny_read = [\"/srv/flat\"]\n[profiles.development]\ndeny_read = [\"/srv/own\"]\n"
      "deny_write = [\"/srv/own\"]\n";
  EXPECT_EQ(host(text).deny_read.values, Items{"/srv/flat"});
  EXPECT_EQ(host(text).deny_write.values, Items{"/srv/own"});
}

TEST(HostFile, TheNamedProfileCaps) {
  const char* text = "profile = \"strict\"\nallow_read = [\"/srv/a\"]\n";
  Policy expected = profile_policy(ipc::Profile::strict);
  expected.allow_read.values = {"/srv/a"};
  EXPECT_EQ(host(text, "minimal"), expected);
  EXPECT_EQ(host(text, "strict"), expected);
  EXPECT_EQ(host(text, ""), expected);
  EXPECT_EQ(host("profile = \"minimal\"\n", "strict"), profile_policy(ipc::Profile::strict));
  EXPECT_EQ(host("profile = \"minimal\"\n", ""), profile_policy(ipc::Profile::minimal));
}

TEST(HostFile, LimitsReplaceInBothDirections) {
  const Policy policy = host(
      "[limits]\nopen_files = 65000\ntmp_bytes = 2097152\n"
      "cgroups = \"required\"\n");
  EXPECT_EQ(policy.limits.open_files, 65000U);
  EXPECT_EQ(policy.limits.tmp_bytes, 2097152U);
  EXPECT_EQ(policy.cgroups, policies::Cgroups::required);
}

TEST(HostFile, WhatIsAlwaysOnMayBeDemandedOrNot) {
  const char* text =
      "enabled = true\nisolate_pid = false\ndrop_all_caps = true\ndisable_userns = false\n"
      "assert_userns_disabled = true\nno_new_privs = false\nseccomp_mode = \"audit\"\n"
      "landlock_mode = \"off\"\noverlay_enabled = false\noverlay_paths = []\nscoped_paths = []\n"
      "[ssh]\nenabled = false\nallowed_hosts = []\nallowed_keys = []\nprompt_unknown = true\n"
      "log_connections = true\n[network]\nmode = \"isolated\"\nallow_domains = []\n"
      "log_requests = false\n[guard]\nenabled = false\npaths = []\ntimeout_secs = 60\n"
      "default_on_timeout = \"deny\"\n[prompts]\ndesktop_notifications = false\n";
  EXPECT_EQ(host(text), profile_policy(ipc::Profile::development));
}

TEST(HostFile, BindsAreGrantsThatAdd) {
  const Policy policy = host(
      "extra_ro_bind = [\"/srv/b\"]\nallow_read = [\"/srv/a\"]\n"
      "extra_rw_bind = [\"/srv/c\"]\n");
  EXPECT_EQ(policy.allow_read.values, (Items{"/srv/a", "/srv/b"}));
  EXPECT_EQ(policy.allow_write.values, Items{"/srv/c"});
}

// --- paths ---------------------------------------------------------------------------------------

TEST(PolicyPath, IsWrittenFromTheLongestRootThatHoldsIt) {
  const Policy policy = host(
      "deny_read = [\"/home/u/.ssh/\", \"~/code/ws/key\", \"./a\", \"/home/u/code/ws/b\",\n"
      "             \"/home/ux\", \"~/code/wsx\", \"/bin/su\", '''~/c''']\n");
  EXPECT_EQ(policy.deny_read.values, (Items{"./a", "./b", "./key", "/home/ux", "/usr/bin/su",
                                            "~/.ssh", "~/c", "~/code/wsx"}));
}

TEST(PolicyPath, MayHoldLettersBeyondAscii) {
  const Policy policy = host("deny_read = [\"~/Müll\", '~/日本', \"~/\\u00e9\"] # ja: 日本\n");
  EXPECT_EQ(policy.deny_read.values, (Items{"~/Müll", "~/é", "~/日本"}));
}

TEST(PolicyPath, KeepsOnlyTheOutermost) {
  const Policy policy = host(
      "deny_read = [\"~/a/b\", \"~/a\", \"~/ab\", \"~/a\"]\n"
      "allow_write = [\"/srv/a\"]\nallow_read = [\"/srv/a/b\", \"/srv/c\"]\n");
  EXPECT_EQ(policy.deny_read.values, (Items{"~/a", "~/ab"}));
  EXPECT_EQ(policy.allow_read.values, Items{"/srv/c"});
}

TEST(PolicyPath, AGrantWithinTheWorkspaceNeedsNoGrant) {
  const Policy policy = host("allow_read = [\"~/code/ws\", \"~/code/other\"]\n");
  EXPECT_EQ(policy.allow_read.values, Items{"~/code/other"});
}

// --- network, environment, questions -------------------------------------------------------------

TEST(HostFile, NamesGetThePortsThatTheySayOr443And80) {
  const Policy policy = host(
      "[network]\nmode = \"proxy\"\nallow_domains = [\"A.Test\", "
      "\"*.b.test:8443\", \"**.c.test:443,8080\", \"d.test.:22\"]\n"
      "unknown = \"prompt\"\n");
  EXPECT_EQ(policy.network, Network::filtered);
  EXPECT_EQ(policy.domains.values, (Items{"**.c.test:443", "**.c.test:8080", "*.b.test:8443",
                                          "a.test:443", "a.test:80", "d.test:22"}));
  EXPECT_EQ(policy.unknown_hosts, Ask::prompt);
}

TEST(HostFile, IsolateNetworkIsolates) {
  const char* text =
      "isolate_network = true\n[profiles.development.network]\nmode = \"filtered\"\n"
      "allow_domains = [\"a.test\"]\n";
  EXPECT_EQ(host(text).network, Network::isolated);
  EXPECT_TRUE(host(text).domains.values.empty());
}

TEST(HostFile, IsolateNetworkFalseOpensItForTheToolAlone) {
  EXPECT_EQ(host("isolate_network = false\n").network, Network::open);
  EXPECT_EQ(parsed("isolate_network = false\n", host_file(true)).policy, profile_policy(ipc::Profile::development));
  EXPECT_EQ(host("isolate_network = false\n", "strict").network, Network::isolated);
  // A mode that is written out says more.
  EXPECT_EQ(host("isolate_network = false\n[network]\nmode = \"filtered\"\n").network, Network::filtered);
  EXPECT_EQ(asked("isolate_network = false\n"), loosest_policy());
}

// What users of other hosts have in their files, word for word.
constexpr const char* kCommonFile =
    "enabled = true\n"
    "profile = \"development\"\n"
    "deny_read = [\"~/.ssh\", \"~/.aws\", \"~/.gnupg\"]\n"
    "allow_write = [\"~/.cargo\", \"~/.npm\", \"/tmp\"]\n"
    "isolate_network = false\n"
    "isolate_pid = true\n";

std::vector<std::size_t> noted(const ParsedPolicy& parsed) {
  std::vector<std::size_t> lines;
  for (const PolicyNote& note : parsed.notes) lines.push_back(note.line);
  return lines;
}

TEST(HostFile, TheCommonOneMeansInTheToolWhatItSays) {
  const ParsedPolicy own = parsed(kCommonFile, host_file(), "");
  EXPECT_EQ(own.policy.network, Network::open);
  EXPECT_EQ(own.policy.allow_write.values, (Items{"~/.cargo", "~/.npm"}));
  EXPECT_EQ(own.policy.deny_read.values, (Items{"~/.aws", "~/.gnupg", "~/.ssh"}));
  EXPECT_EQ(noted(own), (std::vector<std::size_t>{4}));  // /tmp
}

TEST(HostFile, TheCommonOneMeansInAHostedSessionWhatThereIsOfIt) {
  const ParsedPolicy hosted = parsed(kCommonFile, host_file(true), "");
  EXPECT_EQ(hosted.policy.network, Network::isolated);
  EXPECT_EQ(hosted.policy.allow_write.values, Items{});
  EXPECT_EQ(hosted.policy.deny_read.values, (Items{"~/.aws", "~/.gnupg", "~/.ssh"}));
  EXPECT_EQ(noted(hosted), (std::vector<std::size_t>{4, 4, 5}));  // the home, /tmp, the network
}

TEST(WorkspaceFile, TheCommonOneOnlyTightens) {
  for (const bool hosted : {false, true}) {
    PolicyContext context = workspace_file();
    context.hosted = hosted;
    const ParsedPolicy wish = parsed(kCommonFile, context);
    EXPECT_EQ(wish.policy.network, loosest_policy().network);
    EXPECT_EQ(wish.policy.profile, ipc::Profile::development);
    EXPECT_EQ(wish.policy.allow_write.values, (Items{"~/.cargo", "~/.npm"}));
    EXPECT_EQ(noted(wish), (std::vector<std::size_t>{4, 5}));
    for (const auto profile : {ipc::Profile::minimal, ipc::Profile::development, ipc::Profile::strict}) {
      EXPECT_TRUE(at_least_as_strict(effective(built_in_policies(), profile, wish.policy), profile_policy(profile)));
    }
  }
}

TEST(HostFile, SharesTheNetworkOnlyInTheStandAloneTool) {
  const Policy open = host("[network]\nmode = \"open\"\n");
  EXPECT_EQ(open.network, Network::open);
  EXPECT_EQ(open.domains.values, Items{"**:*"});
}

TEST(HostFile, PassesAndSetsVariables) {
  const Policy policy =
      host("[env]\npass = [\"LANG\", \"MY_*\"]\nset = { A = \"1=2\", B = \"\" }\n");
  EXPECT_EQ(policy.env_pass.values, (Items{"LANG", "MY_*"}));
  EXPECT_EQ(policy.env_set.values, (Items{"A=1=2", "B="}));
  EXPECT_EQ(host("[env.set]\nC = 'x'\n").env_set.values, Items{"C=x"});
}

TEST(HostFile, AsksForGuardedPaths) {
  const Policy policy = host(
      "[guard]\nenabled = true\npaths = [\"~/.aws\", \"/srv/keys\", \"./env\"]\ntimeout_secs = 20\n"
      "[guard.policy]\n\"~/.aws/config\" = \"auto\"\n\"./env\" = \"deny\"\n"
      "[prompts]\nauto_deny_timeout_secs = 45\n");
  EXPECT_EQ(policy.ask.values, (Items{"auto:~/.aws/config", "prompt:/srv/keys", "prompt:~/.aws"}));
  EXPECT_EQ(policy.deny_read.values, Items{"./env"});
  EXPECT_EQ(policy.ask_timeout_s, 20U);
}

// --- a workspace's file --------------------------------------------------------------------------

TEST(WorkspaceFile, EmptyAsksForNothing) {
  EXPECT_EQ(asked(""), loosest_policy());
  for (const Policy& host : built_in_policies()) EXPECT_EQ(meet(host, asked("")), host);
}

TEST(WorkspaceFile, NamesAProfileByLabel) {
  Policy expected = loosest_policy();
  expected.profile = ipc::Profile::strict;
  EXPECT_EQ(asked("profile = \"strict\"\n"), expected);
}

TEST(WorkspaceFile, KeepsOfTheHostsGrantsWhatItLists) {
  const Policy granting = host("allow_read = [\"/srv/data\"]\nallow_write = [\"/srv/out\"]\n");
  const Policy narrowed = meet(granting, asked("allow_read = [\"/srv/data/a\", \"/srv/out\"]\n"));
  EXPECT_EQ(narrowed.allow_read.values, (Items{"/srv/data/a"}));
  EXPECT_EQ(narrowed.allow_write.values, Items{"/srv/out"});
  const Policy read_only = meet(granting, asked("allow_write = []\n"));
  EXPECT_EQ(read_only.allow_read.values, (Items{"/srv/data", "/srv/out"}));
  EXPECT_TRUE(read_only.allow_write.values.empty());
  const Policy none = meet(granting, asked("allow_read = []\n"));
  EXPECT_TRUE(none.allow_read.values.empty() && none.allow_write.values.empty());
}

TEST(WorkspaceFile, DeniesAndProtectsMore) {
  const Policy policy =
      meet(host("deny_read = [\"~/.ssh\"]\n"), asked("deny_read = [\"./k\"]\ndeny_write = [\".\"]\n"
                                                     "protect = [\"./Makefile\"]\n"));
  EXPECT_EQ(policy.deny_read.values, (Items{"./k", "~/.ssh"}));
  EXPECT_EQ(policy.deny_write.values, Items{"."});
  EXPECT_EQ(policy.protect.values.size(), 6U);
}

TEST(WorkspaceFile, MayAskAboutItsOwnFiles) {
  const Policy policy = meet(host(""), asked("[guard]\nenabled = true\npaths = [\"./.env\"]\n"));
  EXPECT_EQ(policy.ask.values, Items{"prompt:./.env"});
}

TEST(WorkspaceFile, NarrowsNames) {
  const Policy wide = host("[network]\nmode = \"filtered\"\nallow_domains = [\"**.x.test\"]\n");
  const Policy narrow = meet(
      wide,
      asked("[network]\nmode = \"filtered\"\nallow_domains = [\"a.x.test:443\", \"y.test\"]\n"));
  EXPECT_EQ(narrow.domains.values, Items{"a.x.test:443"});
  EXPECT_EQ(meet(wide, asked("[network]\nmode = \"filtered\"\n")), wide);
  EXPECT_EQ(meet(wide, asked("[network]\nmode = \"open\"\n")), wide);
  EXPECT_EQ(meet(wide, asked("isolate_network = true\n")).network, Network::isolated);
}

// --- origins -------------------------------------------------------------------------------------

TEST(PolicyOrigins, NameTheLineOfEveryKeyAndItem) {
  const auto file = parsed(
      "profile = \"strict\"\ndeny_read = [\n  \"~/a\",\n  \"~/b\",\n]\n"
      "[limits]\nopen_files = 100\n[network]\nmode = \"filtered\"\n"
      "allow_domains = [\n\"a.test:1\"]\n[guard]\nenabled=true\npaths=['./k']\n",
      host_file(), "strict");
  const auto line = [&](std::string_view key, std::string_view item) -> std::size_t {
    for (const PolicyOrigin& origin : file.origins) {
      if (origin.key == key && origin.item == item) return origin.line;
    }
    return 0;
  };
  EXPECT_EQ(line("profile", "strict"), 1U);
  EXPECT_EQ(line("deny_read", "~/a"), 3U);
  EXPECT_EQ(line("deny_read", "~/b"), 4U);
  EXPECT_EQ(line("limits.open_files", "100"), 7U);
  EXPECT_EQ(line("network.mode", "filtered"), 9U);
  EXPECT_EQ(line("network.allow_domains", "a.test:1"), 11U);
  EXPECT_EQ(line("guard.paths", "prompt:./k"), 14U);
}

TEST(PolicyOrigins, OfAReplacedListAreGone) {
  const auto file = parsed(
      "deny_read = [\"/srv/flat\"]\n[profiles.development]\n"
      "deny_read = [\"/srv/own\"]\n",
      host_file());
  ASSERT_EQ(file.origins.size(), 1U);
  EXPECT_EQ(file.origins[0].item, "/srv/flat");
}

}  // namespace
}  // namespace oqto::sandbox
