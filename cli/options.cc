#include "cli/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace oqto::cli {
namespace {

constexpr auto kCommands = std::to_array<Command>({
    {"status", "", "every process, tenant and session, and whether the host is ready",
     "Exit status 0 if the host is ready, else 1 with what is not and what to do. Parts are asked to write something.",
     "--json --wait", ""},
    {"reload", "", "read certificate, gateway.toml and the host's policy again, while the host serves",
     "Says for each part what became of it: changed, unchanged, or refused, with the reason; what is refused goes\n"
     "on as it was. Connections and sessions that are there keep what they began with. SIGHUP does the same.",
     "--json", ""},
    {"setup-link", "", "the one-time link with which the first administrator is made",
     "The link changes with every start of the host and is dead once it has been used.",
     "--json --url", ""},
    {"invite", "", "make a one-time invitation for a new account",
     "Anybody who has the link can use it, once.", "--json --url --role --expires", ""},
    {"invites", "[list | revoke ID]", "list invitations, or revoke one that is open",
     "Open ones come first, all of them. One whose maker is disabled, or no administrator any more, is\n"
     "suspended: it opens again with its maker.", "--json", "list revoke"},
    {"accounts", "[list | disable NAME | enable NAME | logins NAME | revoke NAME [LOGIN] | reset-password NAME]",
     "list accounts, disable or enable one, its logins, a link for a new password",
     "disable ends everything of the account: logins, connections, sessions, questions. Its data stays, its\n"
     "invitations are suspended. revoke ends one login, or all. reset-password prints a link that works once;\n"
     "whoever has it sets a new password, which ends every login. An earlier link is dead then.",
     "--json --url --expires", "list disable enable logins revoke reset-password"},
    {"sessions", "kill ID [ACCOUNT]", "end one session with everything that runs in it",
     "ID as in `oqtoctl status`: oqto-<uuid>. ACCOUNT, a number or a user name, where two have a session of this id.", "--json", "kill"},
    {"tenants", "kill ACCOUNT", "end all processes of one tenant",
     "ACCOUNT is a number or a user name. The runner starts again at the next request.", "--json",
     "kill"},
    {"audit", "[size | erase ACCOUNT DAY | prune INDEX]",
     "the log's size and growth; erase a tenant's day in it; permit to prune it",
     "erase destroys the key of ACCOUNT's personal fields and blobs of DAY (UTC, 2026-01-31), for ever;\n"
     "the log records it, and every proof stays valid. prune has the log say that whole segments before\n"
     "INDEX may go: `oqto-audit prune` then moves them to an archive.",
     "--json", "size erase prune"},
    {"adopt", "", "with the host stopped: a state directory that was moved or restored belongs here now",
     "A log must go on in one place only, so a copy of a state directory is not served: make sure that the other\n"
     "one never starts again. The next start records who adopted it, and begins a new epoch.",
     "", ""},
    {"completion", "bash", "print a completion script for the shell",
     "Use it with: source <(oqtoctl completion bash)", "", "bash"},
});

struct OptionHelp {
  std::string_view name, value, text;
};
constexpr auto kOptions = std::to_array<OptionHelp>({
    {"--state", "DIR", "the host's state directory (default: $OQTO_STATE, or /var/lib/oqto)"},
    {"--json", "", "machine-readable output"},
    {"--wait", "SECONDS", "wait until the host is ready, at most so long"},
    {"--url", "URL", "the host's address, as browsers see it (default: what DIR/url says)"},
    {"--role", "ROLE", "user, admin or auditor (default: user)"},
    {"--expires", "TIME", "1h to 30d (default: 72h); of a reset link 1h to 7d (default: 24h)"},
    {"--help", "", "this text"},
});

const Command* find_command(std::string_view name) {
  for (const Command& command : kCommands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(' '), list.size());
    if (list.substr(0, end) == word) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> hours(std::string_view text) {
  constexpr std::uint64_t kHoursPerDay = 24;
  if (text.empty()) return std::nullopt;
  const char unit = text.back();
  if (unit == 'h' || unit == 'd') text.remove_suffix(1);
  const auto count = number(text);
  if (!count || *count > kMaxInviteHours) return std::nullopt;
  const std::uint64_t total = unit == 'd' ? *count * kHoursPerDay : *count;
  if (total < 1 || total > kMaxInviteHours) return std::nullopt;
  return total;
}

// The error of one option's value; empty if it was good.
std::string set_option(Options& options, std::string_view name, std::string_view value) {
  if (name == "--state") {
    options.state = value;
    if (value.empty()) return "--state needs a directory";
  } else if (name == "--url") {
    options.url = value;
  } else if (name == "--wait") {
    const auto seconds = number(value);
    if (!seconds || *seconds > kMaxWaitSeconds) return "--wait needs seconds, 0 to 3600";
    options.wait_s = *seconds;
  } else if (name == "--expires") {
    const auto total = hours(value);
    if (!total) return "--expires needs 1h to 30d, for example 72h";
    options.expires_hours = *total;
  } else if (name == "--role") {
    if (value == "admin") options.role = ipc::Role::admin;
    else if (value == "user") options.role = ipc::Role::user;
    else if (value == "auditor") options.role = ipc::Role::auditor;
    else return "--role is user, admin or auditor";
  }
  return {};
}

std::string check_words(const Options& options) {
  if (options.help) return {};
  if (options.command.empty()) return "a command is missing; see `oqtoctl --help`";
  const std::size_t count = options.words.size();
  const std::string_view verb = count > 0 ? std::string_view(options.words[0]) : "";
  const std::string see = "; see `oqtoctl " + options.command + " --help`";
  if (options.command == "accounts") {
    const bool list = count == 0 || (count == 1 && verb == "list");
    const bool one = count == 2 && (verb == "disable" || verb == "enable" || verb == "revoke" ||
                                    verb == "logins" || verb == "reset-password");
    const bool login = count == 3 && verb == "revoke" && number(options.words[2]).value_or(0) != 0;
    if (list || one || login) return options.expires_hours <= kMaxResetHours || verb != "reset-password"
                                         ? ""
                                         : "a reset link lasts 1h to 7d";
    return "accounts takes: list, disable NAME, enable NAME, logins NAME, revoke NAME [LOGIN], reset-password NAME" +
           see;
  }
  if (options.command == "invites") {
    const bool list = count == 0 || (count == 1 && verb == "list");
    const bool revoke = count == 2 && verb == "revoke" && number(options.words[1]).value_or(0) != 0;
    return list || revoke ? "" : "invites takes: list, revoke ID" + see;
  }
  if (options.command == "sessions" || options.command == "tenants") {
    const bool named = options.command == "sessions" && count == 3;
    return (count == 2 || named) && verb == "kill" ? "" : options.command + " takes: kill and what" + see;
  }
  if (options.command == "audit") {
    const bool size = count == 0 || (count == 1 && verb == "size");
    const bool act = (count == 3 && verb == "erase") || (count == 2 && verb == "prune");
    return size || act ? "" : "audit takes: size, erase ACCOUNT DAY, prune INDEX" + see;
  }
  if (options.command == "completion") {
    return count == 1 && verb == "bash" ? "" : "completion takes the name of a shell: bash";
  }
  return count == 0 ? "" : options.command + " takes no further words" + see;
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

std::expected<Options, std::string> parse_options(std::span<const char* const> arguments,
                                                  const char* state_variable) {
  Options options;
  options.state = state_variable != nullptr && *state_variable != '\0' ? state_variable
                                                                       : kDefaultState;
  std::vector<std::string_view> seen;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view word = arguments[i];
    if (!word.starts_with('-')) {
      if (options.command.empty()) options.command = word;
      else options.words.emplace_back(word);
      continue;
    }
    const std::size_t equals = word.find('=');
    const std::string_view name = word == "-h" ? "--help" : word.substr(0, equals);
    const auto* known = std::find_if(kOptions.begin(), kOptions.end(),
                                     [&](const OptionHelp& option) { return option.name == name; });
    if (known == kOptions.end()) {
      return std::unexpected("unknown option " + std::string(name) + "; see `oqtoctl --help`");
    }
    seen.push_back(known->name);
    if (known->value.empty() && equals != word.npos) {
      return std::unexpected(std::string(name) + " takes no value");
    }
    options.help |= name == "--help";
    options.json |= name == "--json";
    if (known->value.empty()) continue;
    if (equals == word.npos && i + 1 == arguments.size()) {
      return std::unexpected(std::string(name) + " needs " + std::string(known->value));
    }
    const std::string_view value =
        equals == word.npos ? std::string_view(arguments[++i]) : word.substr(equals + 1);
    if (auto problem = set_option(options, name, value); !problem.empty()) {
      return std::unexpected(std::move(problem));
    }
  }
  const Command* command = find_command(options.command);
  if (!options.command.empty() && command == nullptr) {
    return std::unexpected("unknown command " + options.command + "; see `oqtoctl --help`");
  }
  if (auto problem = check_words(options); !problem.empty()) {
    return std::unexpected(std::move(problem));
  }
  for (const std::string_view name : seen) {
    const bool common = name == "--state" || name == "--help";
    if (!common && command != nullptr && !has_word(command->options, name)) {
      return std::unexpected(std::string(name) + " does not go with " + options.command);
    }
  }
  return options;
}

std::string help(std::string_view name) {
  const Command* command = find_command(name);
  std::string text;
  const auto row = [&text](std::string left, std::string_view right) {
    constexpr std::size_t kColumn = 22;
    left.resize(std::max(left.size() + 2, kColumn), ' ');
    text += "  " + left + std::string(right) + '\n';
  };
  if (command == nullptr) {
    text = "usage: oqtoctl COMMAND [OPTIONS]\nLooks after a running Oqto host. Needs root.\n\n";
    for (const Command& each : kCommands) row(std::string(each.name), each.summary);
  } else {
    text = "usage: oqtoctl " + std::string(name);
    if (!command->arguments.empty()) text += " " + std::string(command->arguments);
    text += " [OPTIONS]\n" + std::string(command->summary) + ".\n";
    text += std::string(command->details) + "\n";
  }
  text += '\n';
  for (const OptionHelp& option : kOptions) {
    const bool common = option.name == "--state" || option.name == "--help";
    if (!common && (command == nullptr || !has_word(command->options, option.name))) continue;
    const std::string value = option.value.empty() ? "" : " " + std::string(option.value);
    row(std::string(option.name) + value, option.text);
  }
  text += "\nExit status: 0 done, 1 refused or failed, 2 wrong use.\n";
  return text;
}

std::string bash_completion() {
  std::string names;
  std::string cases;
  for (const Command& command : kCommands) {
    names += (names.empty() ? "" : " ") + std::string(command.name);
    cases += "    " + std::string(command.name) + ") words='" + std::string(command.verbs) +
             " --state --help " + std::string(command.options) + "';;\n";
  }
  return "_oqtoctl() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words\n"
         "  case $before in\n"
         "    --state) COMPREPLY=($(compgen -d -- \"$word\")); return;;\n"
         "    --role) COMPREPLY=($(compgen -W 'user admin auditor' -- \"$word\")); return;;\n"
         "    --wait|--url|--expires) return;;\n"
         "  esac\n"
         "  case ${COMP_WORDS[1]} in\n" +
         cases +
         "    *) words='" + names + " --help';;\n"
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "}\n"
         "complete -F _oqtoctl oqtoctl\n";
}

}  // namespace oqto::cli
