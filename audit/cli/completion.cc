// Shell completion, from the same tables as --help.
#include <algorithm>
#include <set>

#include "audit/cli/cli.h"

namespace oqto::audit::cli {
namespace {

bool is_path(const Option& option) {
  return option.value == "FILE" || option.value == "DIR";
}

std::string words_of(const Command& command) {
  std::string words = "--help";
  for (const Option& option : command.options) words += " " + std::string(option.name);
  return words;
}

std::string first_words() {
  std::set<std::string_view> words;
  for (const Command& command : commands()) {
    words.insert(command.name.substr(0, command.name.find(' ')));
  }
  std::string text;
  for (const std::string_view word : words) text += (text.empty() ? "" : " ") + std::string(word);
  return text;
}

std::string path_options() {
  std::set<std::string_view> names;
  for (const Command& command : commands()) {
    for (const Option& option : command.options) {
      if (is_path(option)) names.insert(option.name);
    }
  }
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : "|") + std::string(name);
  return text;
}

std::string second_words(std::string_view first) {
  std::string text;
  for (const Command& command : commands()) {
    if (command.name.starts_with(std::string(first) + " ")) {
      text += (text.empty() ? "" : " ") + std::string(command.name.substr(first.size() + 1));
    }
  }
  return text;
}

std::string bash() {
  std::string text =
      "_oqto_audit() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words\n"
      "  case $prev in " + path_options() + ") COMPREPLY=($(compgen -f -- \"$cur\")); return ;; esac\n"
      "  if [ \"$COMP_CWORD\" = 1 ]; then words='" + first_words() + " --help'; else\n"
      "  case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n";
  for (const Command& command : commands()) {
    const bool two = command.name.find(' ') != command.name.npos;
    text += "    '" + std::string(command.name) + (two ? "')" : " '*)") + " words='" +
            words_of(command) + "' ;;\n";
  }
  text += "    'witness '*) words='" + second_words("witness") + "' ;;\n";
  return text +
         "  esac; fi\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "  [ ${#COMPREPLY[@]} = 0 ] && [ \"$COMP_CWORD\" -gt 1 ] && "
         "COMPREPLY=($(compgen -f -- \"$cur\"))\n"
         "}\n"
         "complete -o filenames -F _oqto_audit oqto-audit\n";
}

std::string zsh() {
  return "#compdef oqto-audit\nautoload -U +X bashcompinit && bashcompinit\n" + bash();
}

std::string fish() {
  std::string text = "complete -c oqto-audit -n __fish_use_subcommand -f -a '" + first_words() + "'\n";
  for (const Command& command : commands()) {
    std::string seen;
    for (std::string_view rest = command.name; !rest.empty();) {
      const std::string_view word = rest.substr(0, rest.find(' '));
      seen += (seen.empty() ? "" : "; and ") + std::string("__fish_seen_subcommand_from ") +
              std::string(word);
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    }
    for (const Option& option : command.options) {
      const bool is_long = option.name.starts_with("--");
      text += "complete -c oqto-audit -n '" + seen + "' " + (is_long ? "-l " : "-s ") +
              std::string(option.name.substr(is_long ? 2 : 1));
      if (!option.value.empty()) text += is_path(option) ? " -r -F" : " -r -f";
      text += "\n";
    }
  }
  return text + "complete -c oqto-audit -n '__fish_seen_subcommand_from witness' -f -a '" +
         second_words("witness") + "'\n";
}

int completion(const Arguments& arguments) {
  const std::string& shell = arguments.operands.front();
  if (shell == "bash") return print(bash()) ? kOk : kUnusable;
  if (shell == "zsh") return print(zsh()) ? kOk : kUnusable;
  if (shell == "fish") return print(fish()) ? kOk : kUnusable;
  return complain("completion is for bash, zsh or fish");
}

}  // namespace

Command completion_command() {
  return {.name = "completion",
          .operands = "bash|zsh|fish",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "Prints a completion script: `source <(oqto-audit completion bash)`.",
          .run = completion};
}

}  // namespace oqto::audit::cli
