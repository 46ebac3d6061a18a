// Every refusal, with the file, the line, what stands there and what to do.
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "sandbox/policy/toml.h"

namespace oqto::sandbox {
namespace {

struct Refused {
  const char* text;
  const char* error;  // how it begins
};

std::string error_of(std::string_view text, PolicySource source, bool hosted) {
  PolicyContext context{.name = "f",
                        .source = source,
                        .hosted = hosted,
                        .workspace = "/home/u/code/ws",
                        .home = "/home/u"};
  const auto policy = parse_policy(text, context);
  return policy ? "accepted" : policy.error();
}

void expect(std::initializer_list<Refused> cases, PolicySource source, bool hosted = false) {
  for (const auto& [text, error] : cases) {
    const std::string got = error_of(text, source, hosted);
    EXPECT_EQ(got.substr(0, std::string_view(error).size()), error) << text;
  }
}
void expect_both(std::initializer_list<Refused> cases) {
  expect(cases, PolicySource::host);
  expect(cases, PolicySource::workspace);
}

TEST(Refusal, OfWhatIsNoPolicy) {
  expect_both({
      {"\xff", "f:1: ``: the file must be UTF-8 text"},
      {"a = [1,\n", "f:"},
      {"profile = \"strict\"\nprofile = \"minimal\"",
       "f:2: `profile = \"minimal\"`: not valid TOML"},
      {"\nä = 1", "f:2: `ä = 1`: letters beyond ASCII can only stand in"},
      {"a = \"\"\"\nä\"\"\"", "f:2: `ä\"\"\"`: letters beyond ASCII can only stand in"},
      {"\x01", "f:1: `?`: a control character"},
      {"?", "f:1: `?`: not valid TOML"},
      {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r = 1",
       "f:1: `a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r = 1`: too many dots in one line"},
  });
  EXPECT_NE(error_of("a = " + std::string(60'000, '['), PolicySource::host, false), "accepted");
  EXPECT_NE(error_of(std::string(70'000, '#'), PolicySource::host, false).find("at most 64 KiB"),
            std::string::npos);
}

TEST(Refusal, OfUnknownKeysSaysWhichIsMeant) {
  expect_both({
      {"\n  deny_raed = []\n", "f:2: `deny_raed = []`: unknown key: did you mean `deny_read`?"},
      {"netwrk = {}", "f:1: `netwrk = {}`: unknown key: did you mean `network`?"},
      {"profil = \"strict\"", "f:1: `profil = \"strict\"`: unknown key: did you mean `profile`?"},
      {"[limits]\ncpu = 1", "f:2: `cpu = 1`: unknown key: remove it"},
      {"[limits]\nmemory_byte = 1",
       "f:2: `memory_byte = 1`: unknown key: did you mean `memory_bytes`?"},
      {"[limits]\ndeny_read = []",
       "f:2: `deny_read = []`: unknown key: `deny_read` stands at the top"},
      {"[network]\nset = {}", "f:2: `set = {}`: unknown key here: it belongs in [env]"},
      {"tmp_bytes = 1", "f:1: `tmp_bytes = 1`: unknown key here: it belongs in [limits]"},
      {"qqqq = 1", "f:1: `qqqq = 1`: unknown key: remove it; policies/sandbox.schema.json lists"},
  });
}

TEST(Refusal, OfValuesOfTheWrongKind) {
  expect_both({
      {"profile = 3", "f:1: `profile = 3`: a profile's name is needed, in quotes"},
      {"limits = 3", "f:1: `limits = 3`: a table is needed: [limits]"},
      {"deny_read = \"~/.ssh\"",
       "f:1: `deny_read = \"~/.ssh\"`: a list is needed: deny_read = [\"...\"]"},
      {"deny_read = [\n 3]", "f:2: `3]`: each entry is a text in quotes"},
      {"isolate_network = \"true\"", "f:1: `isolate_network = \"true\"`: true or false is needed"},
      {"[limits]\ntmp_bytes = 1e9", "f:2: `tmp_bytes = 1e9`: a whole number is needed"},
      {"[limits]\ntmp_bytes = \"1G\"", "f:2: `tmp_bytes = \"1G\"`: a whole number is needed"},
      {"seccomp_mode = true", "f:1: `seccomp_mode = true`: a text is needed, in quotes"},
      {"seccomp_mode = \"on\"", "f:1: `seccomp_mode = \"on\"`: the modes are \"off\", \"audit\""},
      {"[guard]\npolicy = []", "f:2: `policy = []`: a table is needed: [policy]"},
      {"deny_read = 2024-01-01", "f:1: `deny_read = 2024-01-01`: a list is needed"},
  });
}

TEST(Refusal, OfNumbersOutOfRange) {
  expect_both({
      {"[limits]\ntmp_bytes = 0",
       "f:2: `tmp_bytes = 0`: a whole number from 1048576 to 68719476736"},
      {"[limits]\ntmp_bytes = -1", "f:2: `tmp_bytes = -1`: a whole number from"},
      {"[limits]\nopen_files = 99999999999999999999",
       "f:2: `open_files = 99999999999999999999`: not"},
      {"[limits]\ncgroups = \"maybe\"", "f:2: `cgroups = \"maybe\"`: cgroups are \"optional\" or"},
      {"[guard]\ntimeout_secs = 0", "f:2: `timeout_secs = 0`: a number of seconds from 1 to 600"},
      {"[prompts]\nauto_deny_timeout_secs = 601", "f:2: `auto_deny_timeout_secs = 601`: a number"},
  });
}

TEST(Refusal, OfPathsThatAreNotWrittenOut) {
  expect_both({
      {"deny_read = [\"\"]", "f:1: `deny_read = [\"\"]`: an empty path"},
      {"deny_read = [\"a/b\"]", "f:1: `deny_read = [\"a/b\"]`: a path starts with \"./\""},
      {"deny_read = [\"~bob/x\"]",
       "f:1: `deny_read = [\"~bob/x\"]`: other users' homes have no short"},
      {"deny_read = [\"~/../x\"]", "f:1: `deny_read = [\"~/../x\"]`: a path has no \"..\""},
      {"deny_read = [\"/a//b\"]", "f:1: `deny_read = [\"/a//b\"]`: a path has no"},
      {"deny_read = [\"/a/./b\"]", "f:1: `deny_read = [\"/a/./b\"]`: a path has no"},
      {"deny_read = [\"/a\\nb\"]", "f:1: `deny_read = [\"/a\\nb\"]`: a path has no"},
      {"deny_read = [\"/a\\u0000b\"]", "f:1: `deny_read = [\"/a\\u0000b\"]`: a path has no"},
      {"deny_read = [\"~/.aws/*\"]", "f:1: `deny_read = [\"~/.aws/*\"]`: patterns are not known"},
      {"deny_read = [\"~/[ab]\"]", "f:1: `deny_read = [\"~/[ab]\"]`: patterns are not known"},
      {"deny_read = [\"$HOME/x\"]", "f:1: `deny_read = [\"$HOME/x\"]`: variables are not replaced"},
      {"deny_read = [\"/\"]", "f:1: `deny_read = [\"/\"]`: \"/\" is everything"},
      {"allow_read = [\"/\"]", "f:1: `allow_read = [\"/\"]`: \"/\" is everything"},
      {"deny_read = [\"/proc/sys\"]",
       "f:1: `deny_read = [\"/proc/sys\"]`: /proc inside is the sandbox's"},
      {"deny_write = [\"/var/tmp\"]",
       "f:1: `deny_write = [\"/var/tmp\"]`: /tmp inside is the sandbox's"},
      {"deny_read = [\"/opt\"]",
       "f:1: `deny_read = [\"/opt\"]`: /opt/oqto inside is the sandbox's"},
      {"deny_read = [\".\"]", "f:1: `deny_read = [\".\"]`: every session has its workspace"},
      {"deny_read = [\"/usr/bin\"]",
       "f:1: `deny_read = [\"/usr/bin\"]`: no program can be started"},
      {"deny_read = [\"~/code\"]", "f:1: `deny_read = [\"~/code\"]`: the workspace lies below it"},
      {"deny_write = [\"/home\"]", "f:1: `deny_write = [\"/home\"]`: the workspace lies below it"},
      {"protect = [\"~/.bashrc\"]",
       "f:1: `protect = [\"~/.bashrc\"]`: protect is for what is below"},
      {"protect = [\".\"]", "f:1: `protect = [\".\"]`: protect is for what is below the workspace"},
  });
  const std::string path(600, 'a');
  EXPECT_NE(error_of("deny_read = ['/" + path + "']", PolicySource::host, false).find("512 bytes"),
            std::string::npos);
}

TEST(Refusal, OfGrantsOfEverything) {
  expect(
      {
          {"allow_read = [\"/etc\"]",
           "f:1: `allow_read = [\"/etc\"]`: too much to grant in one piece"},
          {"allow_write = [\"~\"]", "f:1: `allow_write = [\"~\"]`: too much to grant in one piece"},
          {"allow_write = [\"/home\"]", "f:1: `allow_write = [\"/home\"]`: too much to grant"},
          {"allow_read = [\"/root\"]", "f:1: `allow_read = [\"/root\"]`: too much to grant"},
          {"allow_read = [\"/sys/fs\"]",
           "f:1: `allow_read = [\"/sys/fs\"]`: /sys inside is the sandbox's"},
          {"allow_write = [\"/dev/kvm\"]",
           "f:1: `allow_write = [\"/dev/kvm\"]`: /dev inside is the"},
          {"allow_write = [\"/tmp/x\"]",
           "f:1: `allow_write = [\"/tmp/x\"]`: /tmp inside is the sandbox's own"},
          {"extra_rw_bind = [\"/run/docker.sock\"]",
           "f:1: `extra_rw_bind = [\"/run/docker.sock\"]`: the sockets of this host's services"},
          {"extra_ro_bind = [\"/var/run/x\"]",
           "f:1: `extra_ro_bind = [\"/var/run/x\"]`: the sockets of"},
          {"[guard]\nenabled = true\npaths = [\"/etc\"]",
           "f:3: `paths = [\"/etc\"]`: no program can be"},
      },
      PolicySource::host);
  expect({{"allow_write = [\"./src\"]",
           "f:1: `allow_write = [\"./src\"]`: a workspace is writable whatever is allowed"}},
         PolicySource::workspace);
}

TEST(Refusal, OfWhatOnlyTheHostMaySay) {
  expect(
      {
          {"extra_ro_bind = []", "f:1: `extra_ro_bind = []`: a workspace's file can only tighten"},
          {"extra_rw_bind = []", "f:1: `extra_rw_bind = []`: a workspace's file can only tighten"},
          {"seccomp_bpf_path = \"/x\"",
           "f:1: `seccomp_bpf_path = \"/x\"`: a workspace's file can only"},
          {"overlay_enabled = true", "f:1: `overlay_enabled = true`: a workspace's file can only"},
          {"overlay_root = \"~/x\"", "f:1: `overlay_root = \"~/x\"`: a workspace's file can only"},
          {"overlay_paths = []", "f:1: `overlay_paths = []`: a workspace's file can only tighten"},
          {"scoped_paths = []", "f:1: `scoped_paths = []`: a workspace's file can only tighten"},
          {"[env]\nset = {}", "f:2: `set = {}`: a workspace's file can only tighten"},
          {"[network]\nproxy_tcp_port = 1",
           "f:2: `proxy_tcp_port = 1`: a workspace's file can only"},
          {"[network]\nproxy_dns_port = 1",
           "f:2: `proxy_dns_port = 1`: a workspace's file can only"},
          {"[profiles.x]",
           "f:1: `[profiles.x]`: a workspace's file can only tighten: profiles are"},
          {"profile = \"none\"", "f:1: `profile = \"none\"`: the profiles are \"minimal\","},
      },
      PolicySource::workspace);
}

TEST(Refusal, OfWhatNothingEnforces) {
  expect_both({
      {"enabled = false", "f:1: `enabled = false`: no switch turns a sandbox off"},
      {"enabled = 0", "f:1: `enabled = 0`: no switch turns a sandbox off"},
      {"[ssh]\nenabled = true",
       "f:2: `enabled = true`: a session gets no SSH agent in this version"},
      {"[ssh]\nallowed_hosts = [\"github.com\"]",
       "f:2: `allowed_hosts = [\"github.com\"]`: a session"},
      {"[ssh]\nallowed_keys = [\"k\"]",
       "f:2: `allowed_keys = [\"k\"]`: a session gets no SSH agent"},
      {"[guard]\ndefault_on_timeout = \"auto\"",
       "f:2: `default_on_timeout = \"auto\"`: an unanswered question is always a no"},
      {"[prompts]\ndesktop_notifications = true",
       "f:2: `desktop_notifications = true`: questions are asked where the session is shown"},
  });
  expect(
      {
          {"seccomp_bpf_path = \"/x\"",
           "f:1: `seccomp_bpf_path = \"/x\"`: the system call filter is"},
          {"overlay_enabled = true", "f:1: `overlay_enabled = true`: overlays are not known"},
          {"overlay_root = \"~/x\"", "f:1: `overlay_root = \"~/x\"`: overlays are not known"},
          {"overlay_paths = [\"~/x\"]", "f:1: `overlay_paths = [\"~/x\"]`: overlays are not known"},
          {"[[scoped_paths]]\nname = \"x\"", "f:1: `[[scoped_paths]]`: scoped_paths are not known"},
          {"[network]\nproxy_tcp_port = 1",
           "f:2: `proxy_tcp_port = 1`: there is no proxy whose port"},
      },
      PolicySource::host);
}

TEST(Refusal, OfProfilesThatAreNotThere) {
  expect(
      {
          {"profile = \"none\"",
           "f:1: `profile = \"none\"`: there is no profile `none`; there are minimal,"},
          {"profile = \"a b\"\n[profiles.own]",
           "f:1: `profile = \"a b\"`: there is no profile; there are minimal, development, strict, "
           "own"},
          {"[profiles.\"A B\"]", "f:1: `[profiles.\"A B\"]`: a profile's name is 1 to 32 of"},
          {"profiles = 3", "f:1: `profiles = 3`: write [profiles.NAME]"},
          {"[profiles]\nx = 1", "f:2: `x = 1`: write [profiles.NAME]"},
          {"[profiles.x]\nprofile = \"strict\"",
           "f:2: `profile = \"strict\"`: this is for the top"},
          {"[profiles.x]\nenabled = true",
           "f:2: `enabled = true`: this is for the top of the file"},
          // A mistake in a profile that nobody chose.
          {"[profiles.x.limits]\ncpu = 1", "f:2: `cpu = 1`: unknown key: remove it"},
      },
      PolicySource::host);
}

TEST(Refusal, OfWhatOnlyAHostedSessionHas) {
  for (const PolicySource source : {PolicySource::host, PolicySource::workspace}) {
    expect({{"[network]\ndelegated_fetch = [\"web_search\"]",
             "f:2: `delegated_fetch = [\"web_search\"]`: nothing enforces this outside a hosted session"},
            {"[network]\ndelegated_fetch = []", "f:2: `delegated_fetch = []`: nothing enforces this"},
            {"[audit]\ncontents = true", "f:2: `contents = true`: nothing enforces this"}},
           source);
    expect({{"[network]\ndelegated_fetch = [\"web_serch\"]",
             "f:2: `delegated_fetch = [\"web_serch\"]`: a provider can be allowed: web_search,web_fetch,"},
            {"[network]\ndelegated_fetch = true", "f:2: `delegated_fetch = true`: a list is needed"},
            {"[audit]\ncontents = \"yes\"", "f:2: `contents = \"yes\"`: true or false is needed"},
            {"[audit]\ncontent = true", "f:2: `content = true`: unknown key: did you mean `contents`?"}},
           source, true);
  }
}

TEST(Refusal, OfWhatAHostedSessionCannotHave) {
  expect(
      {
          {"[network]\nmode = \"open\"",
           "f:2: `mode = \"open\"`: a hosted session never shares this"},
          {"[env]\npass = [\"LANG\"]", "f:2: `pass = [\"LANG\"]`: a hosted session has no caller"},
      },
      PolicySource::host, true);
}

TEST(Refusal, OfContradictions) {
  expect_both({
      {"allow_write = [\"/srv/a\"]\ndeny_write = [\"/srv/a\"]",
       "f:2: `deny_write = [\"/srv/a\"]`: `/srv/a` (allow_write, line 1) is denied by `/srv/a` "
       "(deny_write, line 2): remove one of them"},
      {"deny_read = [\"/srv\"]\nallow_read = [\"/srv/a\"]",
       "f:2: `allow_read = [\"/srv/a\"]`: `/srv/a` (allow_read, line 2) is denied by `/srv` "
       "(deny_read"},
      {"allow_read = [\"/srv/k\"]\n[guard]\nenabled = true\npaths = [\"/srv\"]",
       "f:4: `paths = [\"/srv\"]`: `/srv/k` (allow_read, line 1) is only read by asking, after"},
      {"deny_read = [\"./k\"]\n[guard]\nenabled = true\npaths = [\"./k/a\"]",
       "f:4: `paths = [\"./k/a\"]`: `prompt:./k/a` (guard.paths, line 4) is denied by `./k`"},
      {"isolate_network = true\n[network]\nmode = \"filtered\"",
       "f:3: `mode = \"filtered\"`: isolate_network = true in line 1 says otherwise"},
      {"[network]\nallow_domains = [\"a.test\"]",
       "f:2: `allow_domains = [\"a.test\"]`: only mode \"filtered\" knows names"},
      {"[network]\nmode = \"isolated\"\nunknown = \"prompt\"",
       "f:3: `unknown = \"prompt\"`: only mode \"filtered\" knows names"},
      {"[guard]\npaths = [\"./k\"]", "f:2: `paths = [\"./k\"]`: without enabled = true in [guard]"},
      {"[guard]\nenabled = false\npaths = [\"./k\"]",
       "f:3: `paths = [\"./k\"]`: without enabled = true"},
      {"[guard]\nenabled = true\n[guard.policy]\n\"./k\" = \"auto\"",
       "f:4: `\"./k\" = \"auto\"`: this path is not guarded: add it to guard.paths"},
      {"[guard]\nenabled = true\npaths = [\"./k\"]\n[guard.policy]\n\"./k\" = \"auto\"\n\"./k/\" = "
       "\"deny\"",
       "f:6: `\"./k/\" = \"deny\"`: line 5 says otherwise of this path"},
      {"[guard]\nenabled = true\npaths = [\"./k\"]\n[guard.policy]\n\"./k\" = \"maybe\"",
       "f:5: `\"./k\" = \"maybe\"`: a guarded path is \"auto\", \"prompt\" or \"deny\""},
  });
  expect({{"[env]\npass = [\"A\"]\nset = {A = \"1\"}",
           "f:3: `set = {A = \"1\"}`: `A` is passed and set"}},
         PolicySource::host);
}

TEST(Refusal, OfNamesThatAreNone) {
  const char* head = "[network]\nmode = \"filtered\"\nallow_domains = [\"";
  const Refused cases[] = {
      {"https://a.test", "a name alone is needed"},
      {"a.test/x", "a name alone is needed"},
      {"u@a.test", "a name alone is needed"},
      {"müller.test", "a name is ASCII"},
      {"*", "every name is no list"},
      {"**:443", "every name is no list"},
      {"a.*.test", "a full name as"},
      {"*.*.test", "\\\"*.example.com\\\" covers one"},
      {"127.0.0.1", "a full name as"},
      {"localhost", "a full name as"},
      {"[::1]:80", "a full name as"},
      {"a.test:0", "ports are numbers"},
      {"a.test:65536", "ports are numbers"},
      {"a.test:http", "ports are numbers"},
      {"a.test:", "ports are numbers"},
      {"", "a full name as"},
      {"-a.test", "a full name as"},
      {"a..test", "a full name as"},
      {"0x7f.1", "a full name as"},
      {"a.test\\u0000.b", "a full name as"},
  };
  for (const auto& [name, why] : cases) {
    const std::string got = error_of(std::string(head) + name + "\"]\n", PolicySource::host, false);
    std::string needle(why);
    std::erase(needle, '\\');
    EXPECT_TRUE(got.starts_with("f:3: ") && got.find(needle) != std::string::npos) << name << got;
  }
  expect({{"[network]\nmode = \"closed\"", "f:2: `mode = \"closed\"`: the modes are \"isolated\","},
          {"[network]\nmode = \"filtered\"\nunknown = \"auto\"",
           "f:3: `unknown = \"auto\"`: other names are refused or asked for"}},
         PolicySource::host);
}

TEST(Refusal, OfVariablesThatAreNone) {
  expect(
      {
          {"[env]\npass = [\"*\"]", "f:2: `pass = [\"*\"]`: every variable is no list"},
          {"[env]\npass = [\"A B\"]", "f:2: `pass = [\"A B\"]`: a variable's name is letters"},
          {"[env]\npass = [\"HOME\"]", "f:2: `pass = [\"HOME\"]`: the sandbox sets this variable"},
          {"[env.set]\nOQTO_X = \"1\"",
           "f:2: `OQTO_X = \"1\"`: the sandbox sets this variable itself"},
          {"[env.set]\n\"A-B\" = \"1\"", "f:2: `\"A-B\" = \"1\"`: a variable's name is letters"},
          {"[env.set]\nA = 1", "f:2: `A = 1`: a text is needed, in quotes"},
          {"[env.set]\nA = \"\\n\"",
           "f:2: `A = \"\\n\"`: a value is UTF-8 without control characters"},
      },
      PolicySource::host);
}

TEST(Refusal, OfListsWithoutAnEnd) {
  std::string many = "deny_read = [";
  for (int i = 0; i < 129; ++i) many += "\"./a" + std::to_string(i) + "\",";
  EXPECT_NE(error_of(many + "]", PolicySource::workspace, true).find("at most 128 entries"),
            std::string::npos);
  std::string large = "deny_write = [";
  for (int i = 0; i < 100; ++i) large += "\"./" + std::string(200, 'a') + std::to_string(i) + "\",";
  EXPECT_NE(error_of(large + "]", PolicySource::workspace, true).find("bytes in all"),
            std::string::npos);
  std::string profiles;
  for (int i = 0; i < 17; ++i) profiles += "[profiles.p" + std::to_string(i) + "]\n";
  EXPECT_NE(error_of(profiles, PolicySource::host, true).find("at most 16 profiles"),
            std::string::npos);
}

// The error goes to logs and terminals.
TEST(Attack, AFileDrivesTheTerminalThatShowsItsError) {
  const std::string text = "x = \"\x1b[2J\xc2\x9b" + std::string(300, 'a') + "\xe2\x82\xac\"";
  PolicyContext context;
  context.name = std::string(300, 'n') + "\x1b]0;title\x07";
  const auto policy = parse_policy(text, context);
  ASSERT_FALSE(policy.has_value());
  EXPECT_LE(policy.error().size(), 480U);
  EXPECT_TRUE(is_valid_utf8(policy.error()));
  for (const char c : policy.error()) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  EXPECT_EQ(policy.error().find("\xc2\x9b"), std::string::npos);
}

}  // namespace
}  // namespace oqto::sandbox
