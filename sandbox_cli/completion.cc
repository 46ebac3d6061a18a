#include "sandbox_cli/options.h"

namespace oqto::sandbox_cli {
namespace {

std::string all_commands() {
  std::string names;
  for (const Command& command : commands()) {
    names += (names.empty() ? "" : " ") + std::string(command.name);
  }
  return names;
}

std::string bash() {
  const auto reply = [](Offer offer, std::string_view words) -> std::string {
    switch (offer) {
      case Offer::files:
        return "compgen -f";
      case Offer::directories:
        return "compgen -d";
      case Offer::programs:
        return "compgen -c";
      case Offer::words:
        return "compgen -W '" + std::string(words) + "'";
      case Offer::nothing:
        break;
    }
    return ":";
  };
  std::string values, cases;
  for (const OptionHelp& option : option_table()) {
    if (option.value.empty()) continue;
    values += "    " + std::string(option.name) + ") COMPREPLY=($(" +
              reply(option.offer, option.words) + " -- \"$word\")); return;;\n";
  }
  for (const Command& command : commands()) {
    cases += "    " + std::string(command.name) + ") options='--help " +
             std::string(command.options) + "'; offer=\"" + reply(command.offer, command.words) +
             "\";;\n";
  }
  return "_oqto_sandbox() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  local options='--help --version' offer=\"compgen -W '" +
         all_commands() +
         "'\" i\n"
         "  COMPREPLY=()\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    [[ ${COMP_WORDS[i]} == -- ]] && { _oqto_sandbox_program $((i + 1)); return; }\n"
         "  done\n"
         "  case $before in\n" +
         values +
         "  esac\n"
         "  ((COMP_CWORD > 1)) && case ${COMP_WORDS[1]} in\n" +
         cases +
         "  esac\n"
         "  if [[ $word == -* ]]; then offer=\"compgen -W '$options'\"; fi\n"
         "  COMPREPLY=($(eval \"$offer\" -- '\"$word\"'))\n"
         "}\n"
         "_oqto_sandbox_program() {\n"
         "  if declare -F _command_offset >/dev/null; then _command_offset \"$1\"; return; fi\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} kind=-f\n"
         "  ((COMP_CWORD == $1)) && kind=-c\n"
         "  COMPREPLY=($(compgen $kind -- \"$word\"))\n"
         "}\n"
         "complete -o filenames -F _oqto_sandbox oqto-sandbox\n";
}

// In single quotes, for zsh and fish.
std::string quoted(std::string_view text) {
  std::string all = "'";
  for (const char c : text) {
    if (c == '\'')
      all += "'\\''";
    else
      all += c;
  }
  return all + '\'';
}

std::string zsh() {
  const auto action = [](Offer offer, std::string_view words) -> std::string {
    switch (offer) {
      case Offer::files:
        return "_files";
      case Offer::directories:
        return "_directories";
      case Offer::programs:
        return "_normal";
      case Offer::words:
        return '(' + std::string(words) + ')';
      case Offer::nothing:
        break;
    }
    return " ";
  };
  // What zsh takes for a separator in a description.
  const auto described = [](std::string_view text) {
    std::string all;
    for (const char c : text) {
      if (c == ':' || c == '[' || c == ']') all += '\\';
      all += c;
    }
    return all;
  };
  std::string names, cases;
  for (const Command& command : commands()) {
    names += "    " + quoted(std::string(command.name) + ':' + described(command.summary)) + '\n';
    cases += "    " + std::string(command.name) + ") _arguments -S";
    for (const OptionHelp& option : option_table()) {
      if (option.name != "--help" && !has_word(command.options, option.name)) continue;
      std::string one = std::string(option.name) + (option.value.empty() ? "" : "=") + '[' +
                        described(option.text) + ']';
      if (!option.value.empty()) {
        one += ':' + std::string(option.value) + ':' + action(option.offer, option.words);
      }
      cases += " \\\n      " + quoted(one);
    }
    if (command.offer != Offer::nothing) {
      cases += " \\\n      " + quoted("*::word:" + action(command.offer, command.words));
    }
    cases += ";;\n";
  }
  return "#compdef oqto-sandbox\n"
         "_oqto_sandbox() {\n"
         "  local -a names=(\n" +
         names +
         "  )\n"
         "  if ((CURRENT == 2)); then _describe command names; return; fi\n"
         "  shift words; ((CURRENT--))\n"
         "  case $words[1] in\n" +
         cases +
         "  esac\n"
         "}\n"
         "compdef _oqto_sandbox oqto-sandbox\n";
}

std::string fish() {
  std::string text = "complete -c oqto-sandbox -f\n";
  for (const Command& command : commands()) {
    text += "complete -c oqto-sandbox -n __fish_use_subcommand -a " + std::string(command.name) +
            " -d " + quoted(command.summary) + '\n';
    const std::string seen = " -n '__fish_seen_subcommand_from " + std::string(command.name) + "'";
    for (const OptionHelp& option : option_table()) {
      if (option.name != "--help" && !has_word(command.options, option.name)) continue;
      text += "complete -c oqto-sandbox" + seen + " -l " + std::string(option.name.substr(2));
      if (option.offer == Offer::files)
        text += " -r -F";
      else if (option.offer == Offer::directories)
        text += " -x -a '(__fish_complete_directories)'";
      else if (option.offer == Offer::words)
        text += " -x -a " + quoted(option.words);
      else if (!option.value.empty())
        text += " -x";
      text += " -d " + quoted(option.text) + '\n';
    }
    if (command.offer == Offer::words) {
      text += "complete -c oqto-sandbox" + seen + " -a " + quoted(command.words) + '\n';
    } else if (command.offer == Offer::files) {
      text += "complete -c oqto-sandbox" + seen + " -F\n";
    } else if (command.offer == Offer::programs) {
      text += "complete -c oqto-sandbox" + seen + " -a '(__fish_complete_subcommand)'\n";
    }
  }
  return text;
}

}  // namespace

std::string completion(std::string_view shell) {
  if (shell == "bash") return bash();
  if (shell == "zsh") return zsh();
  if (shell == "fish") return fish();
  return {};
}

}  // namespace oqto::sandbox_cli
