// The commands besides run and shell.
#include <gtest/gtest.h>

#include <filesystem>

#include "sandbox_cli/test_tool.h"

namespace oqto::sandbox_cli {
namespace {

// Python's parser says whether it is JSON; `expression` is evaluated on it as `j`.
std::string json(const Tool& tool, const std::string& text, const std::string& expression) {
  const std::string path = tool.write(tool.workspace() + "/answer.json", text);
  return tool
      .outside({"/usr/bin/python3", "-c",
                "import json; j = json.load(open('" + path + "')); print(" + expression + ")"})
      .out;
}

TEST(Commands, HelpNamesEveryCommandAndEachHasItsOwn) {
  const Tool tool;
  const Finished help = tool.run({"--help"});
  EXPECT_EQ(help.status, 0);
  for (const char* command :
       {"run", "shell", "check", "explain", "diff", "doctor", "learn", "completion"}) {
    EXPECT_NE(help.out.find(std::string("\n  ") + command), std::string::npos) << command;
    const Finished own = tool.run({command, "--help"});
    EXPECT_EQ(own.status, 0);
    EXPECT_TRUE(own.out.starts_with(std::string("usage: oqto-sandbox ") + command)) << own.out;
  }
  EXPECT_TRUE(tool.run({"--version"}).out.starts_with("oqto-sandbox "));
}

TEST(Commands, WrongUseIsAnErrorWithTwo) {
  const Tool tool;
  const std::vector<Words> wrong = {{},
                                    {"nonsense"},
                                    {"run"},
                                    {"run", "--no-such-option", "--", "true"},
                                    {"run", "--net", "none", "--", "true"},
                                    {"run", "--net"},
                                    {"shell", "more"},
                                    {"check"},
                                    {"explain", "colour", "red"},
                                    {"diff", "strict"},
                                    {"completion", "tcsh"},
                                    {"check", "--net", "open", "x"},
                                    {"run", "--status-fd", "7", "--json", "--", "true"}};
  for (const Words& words : wrong) {
    const Finished ran = tool.run(words);
    EXPECT_EQ(ran.status, 2) << (words.empty() ? "" : words[0]);
    EXPECT_TRUE(ran.err.starts_with("oqto-sandbox: ")) << ran.err;
  }
}

TEST(Commands, CheckSaysWhatIsWrongAndWhere) {
  const Tool tool;
  const std::string good = tool.write(tool.home() + "/good.toml", "deny_read = [\"./x\"]\n", 0600);
  const std::string bad = tool.write(tool.home() + "/bad.toml", "\ndeny_raed = [\"./x\"]\n", 0600);
  EXPECT_EQ(tool.run({"check", good}).status, 0);
  EXPECT_EQ(
      json(tool, tool.run({"check", good, "--json"}).out, "j['ok'], j['policy']['deny_read']"),
      "True ['./x']\n");
  const Finished ran = tool.run({"check", bad});
  EXPECT_EQ(ran.status, 2);
  EXPECT_NE(ran.err.find(bad + ":2"), std::string::npos) << ran.err;
  EXPECT_EQ(
      json(tool, tool.run({"check", bad, "--json"}).out, "j['ok'], 'deny_raed' in j['error']"),
      "False True\n");
}

TEST(Commands, CheckReadsAWorkspacesFileAsOneThatOnlyTightens) {
  const Tool tool;
  const std::string file =
      tool.write(tool.home() + "/w.toml", "[env]\nset = { A = \"b\" }\n", 0600);
  EXPECT_EQ(tool.run({"check", file}).status, 0);
  EXPECT_EQ(tool.run({"check", file, "--workspace-file"}).status, 2);
}

TEST(Commands, ExplainNamesTheFileAndLineThatDecided) {
  const Tool tool;
  const std::string file =
      tool.write(tool.workspace() + "/.oqto/sandbox.toml", "# mine\ndeny_read = [\"./secret\"]\n");
  const Finished ran = tool.run({"explain", "path", "secret"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find(file + ":2"), std::string::npos) << ran.out;
  for (const char* absent : {"./secret/deep", "other/../secret", "./secret/"}) {
    EXPECT_NE(tool.run({"explain", "path", absent}).out.find(file + ":2"), std::string::npos) << absent;
  }
  for (const Words& what : std::vector<Words>{{"path", "/etc/shadow"},
                                              {"host", "example.org:443"},
                                              {"env", "API_KEY"},
                                              {"syscall", "bpf"},
                                              {"exec", "ls"}}) {
    const Finished one = tool.run({"explain", what[0], what[1], "--json"});
    EXPECT_EQ(one.status, 0) << one.err;
    EXPECT_EQ(
        json(tool, one.out, "j['kind'], bool(j['verdict'] and j['decided_by'] and j['reason'])"),
        what[0] + " True\n")
        << one.out;
  }
  const Finished unknown = tool.run({"explain", "syscall", "no_such_call", "--json"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_EQ(json(tool, unknown.out, "'no_such_call' in j['error']"), "True\n");
}

TEST(Commands, ExplainKnowsWhatGitWouldObey) {
  const Tool tool;
  const auto verdict = [&](const char* path) {
    const Finished ran = tool.run({"explain", "path", path});
    return ran.out.substr(0, ran.out.find('\n'));
  };
  EXPECT_EQ(verdict("refs/heads"),
            "refs/heads: read-only: git would obey it outside, so it stays as it is, or absent");
  EXPECT_NE(verdict(".git/index").find("exists inside only"), std::string::npos);
  (void)tool.outside({"/bin/sh", "-c", "cd " + tool.workspace() + " && git init -q . && "
                                       "git config core.hooksPath .githooks"});
  EXPECT_NE(verdict(".githooks/pre-commit").find(": read-only: "), std::string::npos);
  EXPECT_NE(verdict("refs").find(": read-write: "), std::string::npos);
  // Relative to the workspace that is named.
  const Finished named = tool.outside({"/bin/sh", "-c", "cd / && " + tool.tool() +
                                       " explain --workspace " + tool.workspace() +
                                       " path .git/config"});
  EXPECT_NE(named.out.find(": read-only: "), std::string::npos) << named.out << named.err;
}

TEST(Commands, DiffSaysWhichIsStricter) {
  const Tool tool;
  const Finished ran = tool.run({"diff", "minimal", "strict", "--json"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(json(tool, ran.out, "j['same'], all(d['stricter'] == 'b' for d in j['differences'])"),
            "False True\n");
  EXPECT_EQ(tool.run({"diff", "strict", "strict"}).status, 0);
}

TEST(Commands, DoctorProvesItselfByAttackingFromInside) {
  const Tool tool;
  const Finished ran = tool.run({"doctor", "--json"});
  EXPECT_EQ(ran.status, 0) << ran.out;
  EXPECT_EQ(json(tool, ran.out,
                 "j['works'], sum(f['name'].startswith('attack ') for f in j['findings']) > 8"),
            "True True\n")
      << ran.out;
  EXPECT_NE(ran.out.find("works outside, refused inside"), std::string::npos);
  EXPECT_EQ(tool.run({"doctor"}).status, 0);
  EXPECT_FALSE(std::filesystem::exists(tool.home() + "/.local"));
}

TEST(Commands, DoctorSaysWhatIsMissing) {
  const Tool tool;
  std::filesystem::remove(tool.bin() + "/oqto-init");
  const Finished ran = tool.run({"doctor"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.out.find("oqto-init"), std::string::npos) << ran.out;
}

TEST(Commands, LearnProposesWhatWasRefusedAndNothingElse) {
  const Tool tool;
  tool.write(tool.home() + "/.config/tool/settings", "x");
  tool.write(tool.home() + "/.ssh/id_ed25519", "x", 0600);
  tool.write(tool.home() + "/unrelated", "x");
  const std::string proposal = tool.home() + "/proposal.toml";
  const Finished ran = tool.run({"learn", "--write", proposal, "--json", "--", "sh", "-c",
                                 "cat ~/.config/tool/settings ~/.ssh/id_ed25519; getent hosts "
                                 "example.org; unshare -U true; exit 3"});
  EXPECT_EQ(ran.status, 3) << ran.err;
  EXPECT_EQ(
      json(tool, ran.out,
           "j['allow_read'], j['allow_domains'], j['secrets'], 'unshare' in j['refused_calls']"),
      "['~/.config/tool/settings'] ['example.org:443'] ['~/.ssh/id_ed25519'] True\n")
      << ran.out;
  // The proposal is a policy, and suffices.
  EXPECT_EQ(tool.run({"check", proposal}).status, 0);
  EXPECT_EQ(
      tool.run({"run", "--policy", proposal, "--", "sh", "-c", "cat ~/.config/tool/settings"}).out,
      "x");
}

// Four harmless files are proposed as their directory, unless credentials are kept there too.
TEST(Commands, AttackAProgramThatLearnWatchesGetsNothingSensitiveProposed) {
  const Tool tool;
  for (const char* name : {"/.config/a", "/.config/b", "/.config/c", "/.config/d",
                           "/.data/e", "/.data/f", "/.data/g", "/.data/h"}) {
    tool.make_directory(std::filesystem::path(tool.home() + name).parent_path());
    tool.write(tool.home() + name, "x");
  }
  tool.make_directory(tool.home() + "/.local");
  tool.make_directory(tool.home() + "/.local/bin");
  const Finished ran = tool.run({"learn", "--json", "--", "sh", "-c",
                                 "cat ~/.config/a ~/.config/b ~/.config/c ~/.config/d ~/.data/e "
                                 "~/.data/f ~/.data/g ~/.data/h > /dev/null; echo x > ~/.local/bin/git"});
  EXPECT_EQ(json(tool, ran.out, "j['allow_read'], j['allow_write'], j['secrets']"),
            "['~/.config/a', '~/.config/b', '~/.config/c', '~/.config/d', '~/.data'] [] "
            "['~/.local/bin']\n")
      << ran.out;
}

TEST(Commands, LearnGrantsNothingWhileItLooks) {
  const Tool tool;
  tool.write(tool.home() + "/mine", "secret");
  const Finished ran = tool.run({"learn", "--", "sh", "-c", "cat ~/mine; echo y > ~/mine"});
  EXPECT_EQ(ran.out.find("secret"), std::string::npos);
  EXPECT_EQ(Tool::read(tool.home() + "/mine"), "secret");
}

TEST(Commands, CompletionsLoadInTheirShells) {
  const Tool tool;
  const std::string script = "source <(" + tool.tool() + " completion bash); ";
  const Finished commands = tool.outside(
      {"/bin/bash", "-c",
       script +
           "COMP_WORDS=(oqto-sandbox do); COMP_CWORD=1; _oqto_sandbox; echo \"${COMPREPLY[@]}\""});
  EXPECT_EQ(commands.out, "doctor\n") << commands.err;
  const Finished values =
      tool.outside({"/bin/bash", "-c",
                    script + "COMP_WORDS=(oqto-sandbox run --net f); COMP_CWORD=3; _oqto_sandbox; "
                             "echo \"${COMPREPLY[@]}\""});
  EXPECT_EQ(values.out, "filtered\n") << values.err;
  const Finished options =
      tool.outside({"/bin/bash", "-c",
                    script + "COMP_WORDS=(oqto-sandbox check --wo); COMP_CWORD=2; _oqto_sandbox; "
                             "echo \"${COMPREPLY[@]}\""});
  EXPECT_EQ(options.out, "--workspace-file --workspace\n") << options.err;
  for (const char* shell : {"zsh", "fish"}) {
    EXPECT_NE(tool.run({"completion", shell}).out.find("doctor"), std::string::npos);
  }
}

}  // namespace
}  // namespace oqto::sandbox_cli
