// The command line: one table of commands and options, from which parsing, help and shell
// completion all come.
#pragma once
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ipc/messages.h"

namespace oqto::cli {

constexpr std::string_view kDefaultState = "/var/lib/oqto";
constexpr std::uint64_t kDefaultInviteHours = 72;
constexpr std::uint64_t kMaxInviteHours = 720;
constexpr std::uint64_t kDefaultResetHours = 24;
constexpr std::uint64_t kMaxResetHours = 168;
constexpr std::uint64_t kMaxWaitSeconds = 3600;

struct Options {
  std::string command;
  std::vector<std::string> words;  // after the command: verb and object
  std::string state;
  std::string url;  // empty: from STATE/url
  bool json = false;
  bool help = false;
  std::uint64_t wait_s = 0;
  ipc::Role role = ipc::Role::user;
  std::uint64_t expires_hours = 0;  // 0: the command's default
};

struct Command {
  std::string_view name;
  std::string_view arguments;  // "kill ID"
  std::string_view summary;
  std::string_view details;
  std::string_view options;  // names, separated by spaces; --state and --help go with all
  std::string_view verbs;    // for completion
};
std::span<const Command> commands();

// `state_variable`: OQTO_STATE, or null. The error is one line for people (exit status 2).
std::expected<Options, std::string> parse_options(std::span<const char* const> arguments,
                                                  const char* state_variable);
std::string help(std::string_view command);  // of one command; "" for all
std::string bash_completion();

}  // namespace oqto::cli
