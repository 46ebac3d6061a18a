#include "sandbox_cli/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace oqto::sandbox_cli {
namespace {

constexpr auto kCommands = std::to_array<Command>({
    {"run", "[--] CMD [ARGUMENTS]", "run a program in a sandbox",
     "Standard input, output and error, signals and the exit status pass through. What is a "
     "terminal\n"
     "outside is a private terminal inside. The workspace keeps its path; the home directory is a\n"
     "private one that belongs to this workspace and stays.\n"
     "Exit status: the program's; 128+N if signal N ended it; 127 if it was not found, 126 if it\n"
     "cannot be executed; 2 if anything is wrong before it starts: then nothing was started.",
     "--profile --policy --workspace --net --record --user --json --status-fd", Offer::programs, "",
     true},
    {"shell", "", "run a shell in a sandbox", "The same as `run -- /bin/bash`.",
     "--profile --policy --workspace --net --record --user --json --status-fd", Offer::nothing, "",
     false},
    {"check", "FILE", "say whether a policy file is in order",
     "Reads FILE as your own policy, or as one found in a workspace (--workspace-file), which may\n"
     "only tighten. Exit status 0 if it is in order, else 2.",
     "--workspace-file --profile --workspace --json", Offer::files, "", false},
    {"explain", "(path|host|env|syscall|exec) X", "say what the policy decides, and which line",
     "X is a path, NAME[:PORT], the name of a variable, of a system call, or a program.",
     "--profile --policy --workspace --net --json", Offer::words, "path host env syscall exec",
     false},
    {"diff", "A B", "say where two policies differ, and which is stricter",
     "A and B are policy files or names of built-in profiles.\n"
     "Exit status 0 if they are the same, else 1.",
     "--json", Offer::files, "", false},
    {"doctor", "", "say what this host can enforce, what not, and how to mend it",
     "Ends with a self-test: a real sandbox that is attacked from inside. Exit status 0 if a "
     "sandbox\n"
     "of the default profile holds here, else 1.",
     "--user --json", Offer::nothing, "", false},
    {"learn", "[--] CMD [ARGUMENTS]", "run a program and propose the smallest policy for it",
     "The program runs under the policy as it is: what it is refused is noted, and proposed as "
     "TOML\n"
     "afterwards. Nothing is granted while it runs. Variables that a program misses cannot be "
     "seen.",
     "--profile --policy --workspace --net --write --user --json", Offer::programs, "", true},
    {"completion", "(bash|zsh|fish)", "print a completion script for a shell",
     "bash: source <(oqto-sandbox completion bash)\n"
     "zsh:  source <(oqto-sandbox completion zsh)\n"
     "fish: oqto-sandbox completion fish | source",
     "", Offer::words, "bash zsh fish", false},
});

constexpr auto kOptions = std::to_array<OptionHelp>({
    {"--profile", "NAME", "minimal, development, strict, or one that the policy file defines",
     Offer::words, "minimal development strict"},
    {"--policy", "FILE",
     "your policy (default: ~/.config/oqto/sandbox.toml, /etc/oqto/sandbox.toml)", Offer::files,
     ""},
    {"--workspace", "DIR", "the project (default: the current directory)", Offer::directories, ""},
    {"--net", "MODE", "isolated, filtered or open, in place of what your policy says", Offer::words,
     "isolated filtered open"},
    {"--record", "FILE", "append what was executed, refused and asked to FILE, one JSON line each",
     Offer::files, ""},
    {"--user", "UID", "as root only: give everything up for this user first", Offer::nothing, ""},
    {"--write", "FILE", "write the proposal to FILE, which must not exist yet", Offer::files, ""},
    {"--workspace-file", "", "read FILE as one that is found in a workspace", Offer::nothing, ""},
    {"--json", "", "machine-readable output; with run and shell: how it ended, on --status-fd",
     Offer::nothing, ""},
    {"--status-fd", "N", "where that goes (default: standard error)", Offer::nothing, ""},
    {"--help", "", "this text", Offer::nothing, ""},
});

const Command* find_command(std::string_view name) {
  const auto* found = std::ranges::find(kCommands, name, &Command::name);
  return found == kCommands.end() ? nullptr : found;
}

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<policies::Network> network(std::string_view name) {
  for (std::uint8_t i = 0; i < static_cast<std::uint8_t>(policies::Network::kEnd); ++i) {
    const auto mode = static_cast<policies::Network>(i);
    if (policies::network_name(mode) == name) return mode;
  }
  return std::nullopt;
}

// The error of one option's value; empty if it was good.
std::string set_option(Options& options, std::string_view name, std::string_view value) {
  if (value.empty()) return std::string(name) + " needs a value";
  if (name == "--profile") {
    options.profile = value;
  } else if (name == "--policy") {
    options.policy = value;
  } else if (name == "--workspace") {
    options.workspace = value;
  } else if (name == "--record") {
    options.record = value;
  } else if (name == "--write") {
    options.write = value;
  } else if (name == "--net") {
    options.network = network(value);
    if (!options.network) return "--net is isolated, filtered or open";
  } else if (name == "--user") {
    options.user = number(value);
    if (!options.user || *options.user == 0 ||
        *options.user == std::numeric_limits<std::uint32_t>::max()) {
      return "--user needs the number of a user other than root";
    }
  } else if (name == "--status-fd") {
    constexpr std::uint32_t kMaxFd = 1023;
    const auto fd = number(value);
    if (!fd || *fd == 0 || *fd > kMaxFd)
      return "--status-fd needs the number of an open descriptor";
    options.status_fd = static_cast<int>(*fd);
  }
  return {};
}

// For those who know other sandboxes, where the command line says it.
std::string said_elsewhere(std::string_view option) {
  constexpr struct {
    std::string_view begin, where;
  } kElsewhere[] = {
      {"--ro-bind", "what is shown inside is said in a policy: allow_read = [\"/PATH\"]"},
      {"--bind", "what is shown inside is said in a policy: allow_write = [\"/PATH\"]"},
      {"--dev", "/dev, /proc and /tmp are always there"},
      {"--proc", "/dev, /proc and /tmp are always there"},
      {"--tmpfs", "/dev, /proc and /tmp are always there"},
      {"--setenv", "variables are said in a policy: [env] pass and set"},
      {"--env", "variables are said in a policy: [env] pass and set"},
      {"--unsetenv", "the environment is made from nothing; see [env] in a policy"},
      {"--clearenv", "the environment is made from nothing; see [env] in a policy"},
      {"--share-net", "the network is said by --net, or in a policy"},
      {"--unshare", "every namespace is always a new one; the network is said by --net"},
      {"--die-with-parent", "nothing that runs inside outlives this"},
      {"--chdir", "programs start in the workspace: --workspace DIR"},
  };
  for (const auto& [begin, where] : kElsewhere) {
    if (option.starts_with(begin)) return "; " + std::string(where);
  }
  return {};
}

std::string check_words(const Options& options, const Command& command) {
  const std::size_t count = options.words.size();
  const std::string name(command.name);
  const std::string see = "; see `oqto-sandbox " + name + " --help`";
  const std::string_view first = count > 0 ? std::string_view(options.words[0]) : "";
  if (command.takes_program) {
    return options.program.empty() ? name + " needs a program: " + name + " -- CMD" : "";
  }
  if (!options.program.empty()) return name + " takes no program" + see;
  if (name == "check") return count == 1 ? "" : "check takes one FILE" + see;
  if (name == "diff") return count == 2 ? "" : "diff takes two policies: A B" + see;
  if (name == "explain") {
    const bool good = count == 2 && has_word(command.words, first);
    return good ? "" : "explain takes: (path|host|env|syscall|exec) X" + see;
  }
  if (name == "completion") {
    const bool good = count == 1 && has_word(command.words, first);
    return good ? "" : "completion takes the name of a shell: bash, zsh or fish";
  }
  return count == 0 ? "" : name + " takes no further words" + see;
}

// One pass over the arguments.
class Parser {
 public:
  explicit Parser(std::span<const char* const> arguments) : rest_(arguments) {}

  std::expected<Options, std::string> parse() {
    while (!rest_.empty()) {
      const std::string_view word = take();
      if (word == "--") {
        take_program();
      } else if (word.starts_with('-') && word != "-") {
        if (auto problem = option(word); !problem.empty()) return std::unexpected(problem);
      } else if (command_ == nullptr) {
        command_ = find_command(word);
        if (command_ == nullptr) {
          return std::unexpected(
              "unknown command " + std::string(word) +
              "; see `oqto-sandbox --help`; programs are started with `run -- CMD`");
        }
        options_.command = word;
      } else if (command_->takes_program) {  // its options are its own, as with env or nice
        options_.program.emplace_back(word);
        take_program();
      } else {
        options_.words.emplace_back(word);
      }
    }
    if (auto problem = check(); !problem.empty()) return std::unexpected(problem);
    return std::move(options_);
  }

 private:
  std::string_view take() {
    const char* word = rest_.front();
    rest_ = rest_.subspan(1);
    return word;
  }

  void take_program() {
    for (const char* word : rest_) options_.program.emplace_back(word);
    rest_ = {};
  }

  std::string option(std::string_view word) {
    const std::size_t equals = word.find('=');
    const std::string_view name = word == "-h" ? "--help" : word.substr(0, equals);
    if (name == "--version") {
      options_.version = true;
      return {};
    }
    const auto* known = std::ranges::find(kOptions, name, &OptionHelp::name);
    if (known == kOptions.end()) {
      return "unknown option " + std::string(name) + "; see `oqto-sandbox " +
             (command_ == nullptr ? "" : std::string(command_->name) + ' ') + "--help`" +
             said_elsewhere(name);
    }
    seen_.push_back(known->name);
    if (known->value.empty()) {
      if (equals != word.npos) return std::string(name) + " takes no value";
      options_.help |= name == "--help";
      options_.json |= name == "--json";
      options_.workspace_file |= name == "--workspace-file";
      return {};
    }
    if (equals != word.npos) return set_option(options_, name, word.substr(equals + 1));
    if (rest_.empty()) return std::string(name) + " needs " + std::string(known->value);
    return set_option(options_, name, take());
  }

  std::string check() const {
    if (options_.help || options_.version) return {};
    if (command_ == nullptr) return "a command is missing; see `oqto-sandbox --help`";
    for (const std::string_view name : seen_) {
      if (!has_word(command_->options, name)) {
        return std::string(name) + " does not go with " + options_.command;
      }
    }
    if (options_.status_fd && !options_.json) return "--status-fd goes with --json";
    return check_words(options_, *command_);
  }

  std::span<const char* const> rest_;
  Options options_;
  const Command* command_ = nullptr;
  std::vector<std::string_view> seen_;
};

}  // namespace

std::span<const Command> commands() {
  return kCommands;
}
std::span<const OptionHelp> option_table() {
  return kOptions;
}

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(' '), list.size());
    if (list.substr(0, end) == word) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

std::expected<Options, std::string> parse_options(std::span<const char* const> arguments) {
  return Parser(arguments).parse();
}

std::string help(std::string_view name) {
  const Command* command = find_command(name);
  std::string text;
  const auto row = [&text](std::string left, std::string_view right) {
    constexpr std::size_t kColumn = 20;
    left.resize(std::max(left.size() + 2, kColumn), ' ');
    text += "  " + left + std::string(right) + '\n';
  };
  if (command == nullptr) {
    text =
        "usage: oqto-sandbox COMMAND [OPTIONS]\n"
        "Runs programs so that they reach their project and nothing else. Needs neither root nor "
        "a\n"
        "daemon.\n\n";
    for (const Command& each : kCommands) row(std::string(each.name), each.summary);
  } else {
    text = "usage: oqto-sandbox " + std::string(name) + " [OPTIONS]";
    if (!command->arguments.empty()) text += ' ' + std::string(command->arguments);
    text += '\n' + std::string(command->summary) + ".\n" + std::string(command->details) + '\n';
  }
  text += '\n';
  for (const OptionHelp& option : kOptions) {
    const bool common = option.name == "--help";
    if (!common && (command == nullptr || !has_word(command->options, option.name))) continue;
    const std::string value = option.value.empty() ? "" : ' ' + std::string(option.value);
    row(std::string(option.name) + value, option.text);
  }
  if (command == nullptr) row("--version", "which version this is");
  return text;
}

}  // namespace oqto::sandbox_cli
