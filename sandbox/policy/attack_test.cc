// Files that were written to loosen what they may only tighten, or to be taken for what they are not.
#include <gtest/gtest.h>

#include "sandbox/policy/explain.h"
#include "sandbox/policy/test_files.h"

namespace oqto::sandbox {
namespace {

using policies::Ask;

// -----------------------------------------

std::string refusal(std::string_view text, bool hosted = false) {
  PolicyContext context = workspace_file();
  context.hosted = hosted;
  const auto policy = parse_policy(text, context);
  return policy ? "accepted" : policy.error();
}

constexpr const char* kForHosts = "this is for the host's policy";
constexpr const char* kTightens = "a workspace's file can only tighten";

TEST(Attack, AWorkspaceBindsTheUsersKeys) {
  for (const char* key : {"extra_rw_bind", "extra_ro_bind"}) {
    const std::string text = std::string(key) + " = [\"~/.ssh\"]\n";
    EXPECT_NE(refusal(text).find(kForHosts), std::string::npos) << refusal(text);
  }
  // And what it may say grants nothing.
  const Policy got =
      meet(host(""), asked("allow_read = [\"~/.ssh\"]\nallow_write = [\"~/.ssh\"]\n"));
  EXPECT_TRUE(got.allow_read.values.empty() && got.allow_write.values.empty());
}

TEST(Attack, AWorkspaceScopesAPathOverAnother) {
  const char* text =
      "[[scoped_paths]]\nname = \"x\"\nsource = \"literal\"\nsource_literal = \"~/.ssh\"\n";
  EXPECT_TRUE(refusal(text).starts_with("f:1: `[[scoped_paths]]`: ")) << refusal(text);
  EXPECT_NE(refusal(text).find(kTightens), std::string::npos);
}

TEST(Attack, AWorkspaceNamesALooserProfile) {
  HostPolicies all = built_in_policies();
  const Policy got = effective(all, ipc::Profile::strict, asked("profile = \"minimal\"\n"));
  EXPECT_EQ(got, all[static_cast<std::size_t>(ipc::Profile::strict)]);
}

TEST(Attack, AWorkspaceDefinesTheProfileThatItNames) {
  EXPECT_NE(
      refusal("profile = \"strict\"\n[profiles.strict]\nrun_own_programs = true\n").find(kTightens),
      std::string::npos);
}

TEST(Attack, AWorkspaceLetsTheProviderFetchOrTheLogForget) {
  const auto hosted = [](std::string_view text, PolicySource source) {
    PolicyContext context = workspace_file();
    context.hosted = true;
    context.source = source;
    return source == PolicySource::host ? parse_policy(text, context, "")->policy
                                        : parse_policy(text, context)->policy;
  };
  const Policy asked =
      hosted("[network]\ndelegated_fetch = [\"mcp\", \"image_url\"]\n[audit]\ncontents = false\n",
             PolicySource::workspace);
  EXPECT_EQ(meet(host(""), asked).delegated_fetch, 0U);
  const Policy host =
      hosted("[network]\ndelegated_fetch = [\"image_url\", \"web_search\"]\n[audit]\ncontents = true\n",
             PolicySource::host);
  const Policy got = meet(host, asked);
  EXPECT_EQ(policies::fetch_names(got.delegated_fetch), "image_url");
  EXPECT_EQ(got.audit_contents, 1);
  const Policy demands = hosted("[audit]\ncontents = true\n", PolicySource::workspace);
  EXPECT_EQ(meet(host, demands).delegated_fetch, host.delegated_fetch);
  EXPECT_EQ(meet(profile_policy(ipc::Profile::minimal), demands).audit_contents, 1);
}

TEST(Attack, AWorkspaceBringsItsOwnSystemCallFilter) {
  EXPECT_NE(refusal("seccomp_bpf_path = \"./allow-all.bpf\"\n").find(kForHosts), std::string::npos);
  const Policy got = meet(host(""), asked("seccomp_mode = \"off\"\nlandlock_mode = \"off\"\n"));
  EXPECT_EQ(got, host(""));
}

TEST(Attack, AWorkspaceChoosesTheWayOut) {
  EXPECT_NE(refusal("[network]\nproxy_tcp_port = 22\n").find(kForHosts), std::string::npos);
  const Policy isolated = host("isolate_network = true\n");
  EXPECT_EQ(meet(isolated, asked("[network]\nmode = \"proxy\"\nallow_domains = [\"evil.test\"]\n")),
            isolated);
  const Policy filtered = host("[network]\nmode = \"filtered\"\nallow_domains = [\"a.test\"]\n");
  const Policy got =
      meet(filtered, asked("[network]\nmode = \"filtered\"\nallow_domains = [\"evil.test\"]\n"
                           "unknown = \"prompt\"\n"));
  EXPECT_TRUE(got.domains.values.empty());
  EXPECT_EQ(got.unknown_hosts, Ask::deny);
}

TEST(Attack, AWorkspaceHasDirectoriesMadeAndRemovedOutside) {
  for (const char* text : {"overlay_root = \"~/.cargo\"\n", "overlay_paths = [\"~/.cargo\"]\n",
                           "overlay_enabled = true\n", "overlay_enabled = false\n"}) {
    EXPECT_NE(refusal(text).find(kForHosts), std::string::npos) << text;
  }
}

TEST(Attack, AWorkspaceHasSecretsReadWithoutAQuestion) {
  const char* text =
      "[guard]\nenabled = true\npaths = [\"~/.ssh\"]\npolicy = {\"~/.ssh\" = \"auto\"}\n";
  const Policy got = meet(host(""), asked(text));
  EXPECT_TRUE(got.ask.values.empty());
  EXPECT_EQ(got.deny_read.values, Items{"~/.ssh"});
  const Policy prompting = host("[guard]\nenabled = true\npaths = [\"~/.ssh\"]\n");
  EXPECT_EQ(meet(prompting, asked(text)).ask.values, Items{"prompt:~/.ssh"});
  // Not asking is no way around the question either.
  EXPECT_EQ(meet(prompting, asked("[guard]\nenabled = false\n")).ask.values,
            Items{"prompt:~/.ssh"});
}

TEST(Attack, AWorkspaceSetsVariables) {
  EXPECT_NE(refusal("[env]\nset = { LD_PRELOAD = \"./x.so\" }\n").find(kForHosts),
            std::string::npos);
  EXPECT_EQ(meet(host(""), asked("[env]\npass = [\"AWS_*\", \"LANG\"]\n")).env_pass.values,
            Items{"LANG"});
}

// An agent that renames what lies above a protected path, or the policy's own directory.
TEST(Attack, TheWorkspacesOwnPolicyStaysProtectedInEveryProfile) {
  for (const Policy& policy : built_in_policies()) {
    const auto& items = policy.protect.values;
    EXPECT_NE(std::ranges::find(items, "./.oqto"), items.end());
    EXPECT_NE(std::ranges::find(items, "./.git/hooks"), items.end());
  }
  EXPECT_EQ(meet(host(""), asked("protect = []\n")), host(""));
}

TEST(Attack, AFlatFileTypoOrUnknownProfileIsNeverIgnored) {
  EXPECT_TRUE(refusal("deny_raed = [\"~/.ssh\"]\n").starts_with("f:1: "));
  EXPECT_TRUE(refusal("profile = \"paranoid\"\n").starts_with("f:1: "));
  const auto custom = parse_policy("profile = \"paranoid\"\n", host_file());
  EXPECT_FALSE(custom.has_value());
  // Keys at the top of the file are not only for show.
  EXPECT_EQ(host("isolate_network = true\ndeny_read = [\"~/.kube\"]\n").deny_read.values,
            Items{"~/.kube"});
}

TEST(Attack, TheOrderOfNestedPathsCannotBeChosen) {
  const char* nested[] = {"deny_read = [\"~/.config\"]\ndeny_write = [\"~/.config/x\"]\n",
                          "deny_write = [\"~/.config/x\"]\ndeny_read = [\"~/.config\"]\n"};
  EXPECT_EQ(host(nested[0]), host(nested[1]));
  EXPECT_EQ(host("deny_read = [\"~/b\", \"~/a\"]\n"), host("deny_read = [\"~/a\", \"~/b\"]\n"));
  // A path that is only to be read-only is not thereby to be read.
  const PolicyLayer layer{"f", {host(nested[0]), {}}};
  EXPECT_EQ(explain_path({&layer, 1}, "~/.config/x").verdict, Verdict::hidden);
}

// The workspace's own path decides what "./" means.
TEST(Attack, TheWorkspaceIsAllOfTheHomeOrOfTheHost) {
  PolicyContext context = host_file();
  context.workspace = context.home;
  EXPECT_EQ(parsed("deny_read = [\"~/.ssh\"]\n", context).policy.deny_read.values, Items{"./.ssh"});
  for (const char* path : {"/", "", ".", "relative", "/a/..", "/a/", "//a"}) {
    for (std::string PolicyContext::*root : {&PolicyContext::workspace, &PolicyContext::home}) {
      context = host_file();
      context.*root = path;
      const auto policy = parse_policy("", context);
      ASSERT_FALSE(policy.has_value()) << path;
      EXPECT_TRUE(policy.error().starts_with("f: a session needs a workspace and a home"));
    }
  }
}

TEST(Attack, ABrokenFileIsNeverNoFile) {
  for (const char* text : {"profile = ", "\xff\xfe", "[", "a = 1\na = 2", "\"", "= 3", "?",
                           "\xc3\xa9 = 1", "[\xe2\x80\xa8]", "a = \xc2\xa0"}) {
    for (const PolicyContext& context : {host_file(), workspace_file()}) {
      const auto policy = parse_policy(text, context);
      ASSERT_FALSE(policy.has_value()) << text;
      EXPECT_TRUE(policy.error().starts_with("f:")) << policy.error();
    }
  }
}

}  // namespace
}  // namespace oqto::sandbox
