// What an auditor does with the program, on logs that the real auditd wrote.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "audit/cli/test_cli.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;
using ipc::Event;
using ipc::FieldKey;

using Cli = CliTest;

// --- search ---

TEST_F(Cli, SearchFindsByEveryFilter) {
  const std::pair<const char*, int> searches[] = {
      {"search --event login", 2},
      {"search --event login --outcome failure", 1},
      {"search --class authentication", 3},
      {"search --class 3002 --tenant bob", 1},
      {"search --class Process_Activity --actor bob", 9},
      {"search --tenant 7 --event command", 2},
      {"search --tenant ANN --event command,denial", 3},
      {"search --actor accounts", 2},
      {"search --session 0f000000", 1},
      {"search --session 0f000000-0000-4000-8000-000000000001", 1},
      {"search --text 'rm -RF'", 1},
      {"search --text 'usr/bin/rm' --text /tmp", 1},
      {"search --text 'usr/bin/rm' --text absent", 0},
      {"search --text Übung", 2},  // and what came of it
      {"search --text wrong --text password", 1},
      {"search --event session.*", 1},
      {"search --range 1..3", 3},
      {"search --event exec --limit 5", 5},
      {"search --limit 0", 0},
      {"search --from -1h --event login", 2},
      {"search --to -1h", 0},
      {"search --from 2020-01-01 --to 2999-12-31T23:59:59Z --event denial", 1},
      {"search --from @4102444800", 0},
  };
  for (const auto& [arguments, expected] : searches) {
    const Output output = run("(" + oqto_audit(arguments) + " --log " + log_->dir() + " 2>/dev/null)");
    EXPECT_EQ(lines(output), expected) << arguments << "\n" << output.out;
    EXPECT_EQ(output.status, expected > 0 ? 0 : 1) << arguments;
  }
}

TEST_F(Cli, SearchFindsTextsHoweverTheyAreSpelledInTheLog) {
  for (const std::string& text : kHostileTexts) {
    const Output output = audit("search --json --text " + quoted(text));
    EXPECT_GE(lines(output), 1) << output.out;
    EXPECT_TRUE(contains(output.out, "\"username\":\"bob\"")) << output.out;
  }
}

TEST_F(Cli, SearchAsJsonGivesTheEntriesThemselves) {
  const Output output = audit("search --json --event denial");
  const auto entries = entries_of(log_->host());
  EXPECT_TRUE(std::ranges::any_of(
      entries, [&](const std::string& entry) { return entry + "\n" == output.out; }))
      << output.out;
}

TEST_F(Cli, WrongFiltersAreRefusedWithTheirName) {
  for (const std::string filter :
       {"--from yesterday", "--to 2026-02-30", "--class nonsense", "--outcome maybe", "--range 9..3",
        "--range x", "--limit -1", "--event ''", "--from 2026-13-01", "--from 2026-01-01T25:00"}) {
    const Output output = audit("search " + filter);
    EXPECT_EQ(output.status, 2) << filter << output.out;
    EXPECT_EQ(lines(output), 1) << filter << output.out;
  }
}

// --- show and tail ---

TEST_F(Cli, ShowTakesOneEntryOrARange) {
  EXPECT_EQ(lines(audit("show 3..7 --json")), 5);
  const Output pages = audit("show 1..2");
  EXPECT_TRUE(contains(pages.out, "event                   \"login\"")) << pages.out;
  EXPECT_TRUE(contains(pages.out, "\n\nseq                     2\n")) << pages.out;
  const Output beyond = audit("show 99999");
  EXPECT_EQ(beyond.status, 2);
  EXPECT_TRUE(contains(beyond.out, "the log has " + std::to_string(log_->size()) + " entries"))
      << beyond.out;
}

TEST_F(Cli, TailTakesTheFiltersOfSearch) {
  const Output output = audit("tail -n 2 --actor bob");
  EXPECT_EQ(lines(output), 2) << output.out;
  EXPECT_TRUE(contains(output.out, "line separator")) << output.out;
  EXPECT_EQ(lines(audit("tail -n 0 --actor bob")), 0);
}

struct Follower {
  explicit Follower(const std::string& log) {
    int ends[2];
    CHECK(::pipe(ends) == 0);
    pid = ::fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      const std::string path = program("oqto-audit");
      ::execl(path.c_str(), "oqto-audit", "tail", "-f", "-n", "1000", "--log", log.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    out = Fd::adopt(ends[0]);
  }
  std::string read_lines(std::ptrdiff_t count) {
    while (std::ranges::count(text, '\n') < count && read_some()) {
    }
    return text;
  }
  bool read_some() {
    char buffer[4096];
    const ssize_t n = ::read(out.get(), buffer, sizeof buffer);
    if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
  }
  int wait() {
    int status = 0;
    CHECK(::waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  pid_t pid = -1;
  Fd out;
  std::string text;
};

TEST_F(Cli, TailFollowsAcrossSegmentsAndEndsCleanlyOnInterrupt) {
  TestHost host;
  host.auditd_arguments = {"--segment-bytes", "3000"};
  ASSERT_TRUE(host.start());
  Follower follower(host.log_dir());
  auto client = host.client();
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(client.append(record(Event::exec).add(FieldKey::argv, "n" + std::to_string(i))));
  }
  EXPECT_GT(files_beneath(host.log_dir() + "/segment").size(), 3U);
  const std::string text = follower.read_lines(32);
  EXPECT_EQ(std::ranges::count(text, '\n'), 32) << text;
  EXPECT_TRUE(text.ends_with("[\"n29\"]\n")) << text;
  ASSERT_EQ(::kill(follower.pid, SIGINT), 0);
  EXPECT_EQ(follower.wait(), 0);
  while (follower.read_some()) {
  }
  EXPECT_TRUE(follower.text.ends_with('\n'));
}

// The signer's note is in the file before the disk has it: only what is durable may be shown.
TEST_F(Cli, TailFollowingShowsNothingThatAPowerCutCouldTakeAway) {
  const std::string copy = dir_.path() + "/log";
  copy_directory(log_->dir(), copy);
  // The published checkpoint covers less than the newest batch, and no batch follows that one.
  write_file(copy + "/checkpoint", read_file(log_->older_dir() + "/checkpoint"));
  Follower follower(copy);
  const std::ptrdiff_t all = static_cast<std::ptrdiff_t>(entries_of(log_->host()).size());
  const std::string before = follower.read_lines(all - 1);
  EXPECT_EQ(std::ranges::count(before, '\n'), all - 1);
  write_file(copy + "/checkpoint", read_file(log_->dir() + "/checkpoint"));
  EXPECT_EQ(std::ranges::count(follower.read_lines(all), '\n'), all);
  ASSERT_EQ(::kill(follower.pid, SIGTERM), 0);
  EXPECT_EQ(follower.wait(), 0);
}

TEST_F(Cli, TailEndsWhenItsPagerDoes) {
  EXPECT_EQ(run("timeout 20 sh -c '" + oqto_audit("tail -f -n 1000 --log ") + log_->dir() +
                " | head -1 | wc -l'").out,
            "1\n");
}

// --- verify --since ---

TEST_F(Cli, VerifySinceReadsWhatIsNewAndFindsWhatIsWrong) {
  const std::string since = " --since " + log_->older_dir() + "/checkpoint" + key_option();
  const Output good = audit("verify" + since);
  EXPECT_EQ(good.status, 0) << good.out;
  EXPECT_TRUE(contains(good.out, "by hash only")) << good.out;
  const std::string copy = dir_.path() + "/log";
  // A changed hash of an old entry breaks the tree, whoever reads the entry itself.
  copy_directory(log_->dir(), copy);
  std::string hashes = read_file(copy + "/tile/0/000");
  hashes[40] = static_cast<char>(hashes[40] ^ 1);
  write_file(copy + "/tile/0/000", hashes);
  const Output bad = run(oqto_audit("verify --log " + copy + since));
  EXPECT_EQ(bad.status, 1) << bad.out;
  EXPECT_TRUE(contains(bad.out, "tile/0/000: hash 1 differs")) << bad.out;
  EXPECT_EQ(lines(bad), 2) << bad.out;
}

// --- statistics, keys ---

TEST_F(Cli, StatsCountsClassesTenantsDaysAndOpenIntents) {
  const Output text = audit("stats");
  EXPECT_EQ(text.status, 0);
  for (const char* part : {"3002 Authentication", "7 ann", "8 bob", "(host)", "by day",
                           "1 intents without an outcome"}) {
    EXPECT_TRUE(contains(text.out, part)) << part << "\n" << text.out;
  }
  const Output json = run(oqto_audit("stats --json --log " + log_->dir()) +
                          " | python3 -c 'import json,sys; s=json.load(sys.stdin); "
                          "print(s[\"entries\"], sum(g[\"entries\"] for g in "
                          "s[\"classes\"].values()), sum(g[\"entries\"] for g in "
                          "s[\"days\"].values()), s[\"intents_without_outcome\"])'");
  const std::string n = std::to_string(log_->size());
  EXPECT_EQ(json.out, n + " " + n + " " + n + " 1\n");
}

TEST_F(Cli, KeygenMakesKeysThatOnlyTheirOwnerReadsAndReplacesNone) {
  const std::string file = dir_.path() + "/w.key";
  const std::string command =
      oqto_audit("keygen --type witness --name witness.example/w1 --out " + file);
  const Output made = run(command);
  ASSERT_EQ(made.status, 0) << made.out;
  EXPECT_EQ(made.out, read_file(dir_.path() + "/w.vkey"));
  struct stat facts {};
  ASSERT_EQ(::stat(file.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
  const std::string text = read_file(file);
  const auto key = SigningKey::parse(first_line(text), KeyType::witness);
  ASSERT_TRUE(key);
  EXPECT_EQ(key->verifier().text() + "\n", made.out);
  EXPECT_EQ(run(command).status, 2);
  EXPECT_EQ(read_file(file), text);
  fs::create_symlink(dir_.path() + "/elsewhere", dir_.path() + "/link.key");
  EXPECT_EQ(run(oqto_audit("keygen --name a --out " + dir_.path() + "/link.key")).status, 2);
  EXPECT_FALSE(fs::exists(dir_.path() + "/elsewhere"));
  write_file(dir_.path() + "/half.vkey", "x");
  EXPECT_EQ(run(oqto_audit("keygen --name a --out " + dir_.path() + "/half.key")).status, 2);
  EXPECT_FALSE(fs::exists(dir_.path() + "/half.key"));
}

// --- exports ---

TEST_F(Cli, ExportsSurviveOtherPeoplesParsers) {
  std::string files;
  for (const std::string format : {"jsonl", "ocsf", "cef"}) {
    const std::string file = dir_.path() + "/" + format;
    EXPECT_EQ(run(oqto_audit("export --format " + format + " --log " + log_->dir()) + " > " + file)
                  .status,
              0);
    files += " " + file;
  }
  const Output checked =
      run(std::string("python3 ") + OQTO_CHECK_EXPORTS + " " + log_->dir() + files);
  EXPECT_EQ(checked.status, 0) << checked.out;
  EXPECT_EQ(checked.out, std::to_string(log_->size()) + "\n");
  const Output ocsf = run(std::string("python3 ") + OQTO_CHECK_OCSF + " " + dir_.path() + "/ocsf | tail -n 20");
  EXPECT_TRUE(contains(ocsf.out, std::to_string(log_->size()) + " good, 0 bad")) << ocsf.out;
  EXPECT_EQ(lines(audit("export --event login")), 2);
  EXPECT_EQ(audit("export --format csv").status, 2);
}

// --- output ---

TEST_F(Cli, AttackNoControlByteOfAnEntryReachesTheTerminal) {
  for (const std::string command :
       {"tail -n 1000", "tail -n 1000 --json", "search --actor bob", "show 0..50",
        "show 0..50 --json", "stats", "export", "export --format ocsf", "export --format cef"}) {
    const Output output = audit(command);
    EXPECT_EQ(output.status, 0) << command;
    EXPECT_FALSE(has_raw_control_byte(output.out)) << command;
  }
  for (const std::string& text : kHostileTexts) {
    for (const std::string& command :
         {"search --event " + quoted(text), "show " + quoted(text), quoted(text),
          "verify --log " + quoted(text) + key_option(), "check-proof " + quoted(text)}) {
      EXPECT_FALSE(has_raw_control_byte(run(oqto_audit(command)).out)) << command;
    }
  }
}

TEST_F(Cli, OutputThatCannotBeWrittenIsAnError) {
  EXPECT_EQ(run(oqto_audit("export --log " + log_->dir()) + " > /dev/full").status, 2);
  EXPECT_EQ(run(oqto_audit("verify --log " + log_->dir() + key_option()) + " > /dev/full").status,
            2);
}

TEST_F(Cli, EveryCommandExplainsItselfAndRefusesWhatItDoesNotKnow) {
  const Output all = run(oqto_audit("--help"));
  EXPECT_EQ(all.status, 0);
  for (const std::string command :
       {"verify", "prove", "check-proof", "tail", "search", "show", "export", "stats", "timeline", "keygen",
        "witness serve", "witness submit", "completion"}) {
    EXPECT_TRUE(contains(all.out, "  " + command + " ")) << command;
    const Output help = run(oqto_audit(command + " --help"));
    EXPECT_EQ(help.status, 0) << command;
    EXPECT_TRUE(help.out.starts_with("usage: oqto-audit " + command)) << help.out;
    EXPECT_EQ(run(oqto_audit(command + " --nonsense")).status, 2) << command;
  }
  for (const std::string shell : {"bash", "zsh"}) {
    EXPECT_EQ(run(oqto_audit("completion " + shell) + " | bash -n").out, "");
  }
  EXPECT_EQ(run("bash -c 'source <(" + oqto_audit("completion bash") +
                "); COMP_WORDS=(oqto-audit ver); COMP_CWORD=1; _oqto_audit; echo $COMPREPLY; "
                "COMP_WORDS=(oqto-audit verify --si); COMP_CWORD=2; _oqto_audit; echo $COMPREPLY'")
                .out,
            "verify\n--since\n");
  EXPECT_EQ(run(oqto_audit("completion tcsh")).status, 2);
}

}  // namespace
}  // namespace oqto::audit
