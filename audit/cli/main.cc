// oqto-audit: what an auditor needs, offline, on a copy of the log directory.
#include <signal.h>
#include <sodium.h>

#include <cstdio>

#include "audit/cli/cli.h"
#include "audit/format/hash.h"

namespace oqto::audit::cli {
namespace {

std::string usage() {
  std::string text = "usage: oqto-audit COMMAND [OPTION]...\n"
                     "Checks, shows and proves what an audit log holds. Works offline, on a copy of "
                     "the log directory.\n\n";
  std::size_t width = 0;
  for (const Command& command : commands()) width = std::max(width, command.name.size());
  for (const Command& command : commands()) {
    text += "  " + std::string(command.name) +
            std::string(width + 2 - command.name.size(), ' ') +
            std::string(first_line(command.summary)) + "\n";
  }
  return text + "\n`oqto-audit COMMAND --help` says more.\n";
}

// The words of a command's name at the beginning of `words`; 0: another command.
std::size_t words_of_name(const Command& command, std::span<char* const> words) {
  std::string given;
  for (std::size_t i = 0; i < words.size() && i < 2; ++i) {
    given += (i == 0 ? "" : " ") + std::string(words[i]);
    if (given == command.name) return i + 1;
  }
  return 0;
}

int run_command(const Command& command, std::span<char* const> words) {
  int status = kUnusable;
  const auto arguments = parse(command, words, status);
  if (arguments) {
    prepare_hashing();
    if (::sodium_init() < 0) return complain("libsodium cannot start");
    status = command.run(*arguments);
  }
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  return complain("the output cannot be written");
}

int run(std::span<char* const> words) {
  if (words.empty()) {
    (void)std::fputs(usage().c_str(), stderr);
    return kUnusable;
  }
  const std::string_view name = words.front();
  if (name == "--help" || name == "-h" || name == "help") return print(usage()) ? kOk : kUnusable;
  for (const Command& command : commands()) {
    if (const std::size_t count = words_of_name(command, words); count > 0) {
      return run_command(command, words.subspan(count));
    }
  }
  return complain("no command " + std::string(name) + "; see `oqto-audit --help`");
}

}  // namespace

std::span<const Command> commands() {
  static const Command kCommands[] = {
      verify_command(), prove_command(),  check_proof_command(), tail_command(),
      search_command(), show_command(),   export_command(),      stats_command(), timeline_command(),
      keygen_command(), rotate_command(), shred_command(), replay_command(), prune_command(), copy_command(), collect_command(), witness_serve_command(), witness_submit_command(), completion_command()};
  return kCommands;
}

}  // namespace oqto::audit::cli

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_DFL);  // `oqto-audit tail | head` ends quietly, whoever started us
  return oqto::audit::cli::run(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
}
