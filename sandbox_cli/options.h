// The command line: one table of commands and one of options, from which parsing, help and the
// completions of all three shells come.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policies/profiles.h"

namespace oqto::sandbox_cli {

constexpr const char* kName = "oqto-sandbox";
constexpr const char* kVersion = "0.3.0";
constexpr std::string_view kDefaultProfile = "development";

struct Options {
  std::string command;
  std::vector<std::string> words;    // after the command, its options taken out
  std::vector<std::string> program;  // what follows "--", or the first word of run and learn
  std::string profile;               // empty: what the policy file says, or kDefaultProfile
  std::string policy;
  std::string workspace;
  std::string record;
  std::string write;
  std::optional<policies::Network> network;
  std::optional<uid_t> user;
  std::optional<int> status_fd;
  bool workspace_file = false;
  bool json = false;
  bool help = false;
  bool version = false;
};

// What completions offer for an option's value or a command's words.
enum class Offer : std::uint8_t { nothing, files, directories, programs, words };

struct Command {
  std::string_view name;
  std::string_view arguments;  // "(path|host|env|syscall|exec) X"
  std::string_view summary;
  std::string_view details;
  std::string_view options;  // names, separated by spaces; --help goes with all
  Offer offer;
  std::string_view words;  // for Offer::words
  bool takes_program;
};
struct OptionHelp {
  std::string_view name, value, text;
  Offer offer;
  std::string_view words;
};
std::span<const Command> commands();
std::span<const OptionHelp> option_table();
bool has_word(std::string_view list, std::string_view word);

// The error is one line for people (exit status 2).
std::expected<Options, std::string> parse_options(std::span<const char* const> arguments);

std::string help(std::string_view command);      // of one command; "" for all
std::string completion(std::string_view shell);  // "bash", "zsh" or "fish"; empty for another

}  // namespace oqto::sandbox_cli
