#include "audit/cli/cli.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "audit/format/epoch.h"
#include "audit/format/json.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

constexpr std::string_view kDefaultLog = "/var/lib/oqto/audit/log";
constexpr std::string_view kDefaultKey = "/var/lib/oqto/audit/key/log.vkey";

std::string left_column(const Option& option) {
  std::string text = "  " + std::string(option.name);
  if (!option.value.empty()) text += " " + std::string(option.value);
  return text;
}

const Option* find_option(const Command& command, std::string_view name) {
  const auto found = std::ranges::find(command.options, name, &Option::name);
  return found == command.options.end() ? nullptr : &*found;
}

}  // namespace

std::string Arguments::get(std::string_view name, std::string_view otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string(otherwise) : found->second.back();
}

std::vector<std::string> Arguments::all(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

std::string help_of(const Command& command) {
  std::string text = "usage: oqto-audit " + std::string(command.name);
  if (!command.operands.empty()) text += " " + std::string(command.operands);
  text += command.options.empty() ? "\n" : " [OPTION]...\n";
  text += std::string(command.summary) + "\n";
  std::size_t width = 0;
  for (const Option& option : command.options) width = std::max(width, left_column(option).size());
  for (const Option& option : command.options) {
    std::string left = left_column(option);
    std::string_view rest = option.help;
    while (!rest.empty()) {
      const std::string_view line = first_line(rest);
      text += left + std::string(width + 2 - left.size(), ' ') + std::string(line) + "\n";
      left.clear();
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    }
  }
  if (!command.details.empty()) text += "\n" + std::string(command.details) + "\n";
  return text;
}

std::optional<Arguments> parse(const Command& command, std::span<char* const> words, int& status) {
  Arguments arguments;
  bool only_operands = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (only_operands || !word.starts_with('-') || word == "-") {
      arguments.operands.emplace_back(word);
      continue;
    }
    if (word == "--") {
      only_operands = true;
      continue;
    }
    if (word == "--help" || word == "-h") {
      (void)print(help_of(command));
      status = kOk;
      return std::nullopt;
    }
    const std::size_t equals = word.starts_with("--") ? word.find('=') : word.npos;
    const Option* option = find_option(command, word.substr(0, equals));
    if (option == nullptr) {
      status = complain("unknown option " + std::string(word) + "; see `oqto-audit " +
                        std::string(command.name) + " --help`");
      return std::nullopt;
    }
    const bool takes_value = !option->value.empty();
    if (takes_value ? equals == word.npos && i + 1 == words.size() : equals != word.npos) {
      status = complain(std::string(option->name) + (takes_value ? " needs a value" : " takes none"));
      return std::nullopt;
    }
    arguments.add(option->name, !takes_value         ? ""
                                : equals == word.npos ? words[++i]
                                                      : word.substr(equals + 1));
  }
  const std::size_t given = arguments.operands.size();
  if (given >= command.min_operands && given <= command.max_operands) return arguments;
  status = complain(given > command.max_operands
                        ? "unexpected argument " + arguments.operands.back()
                        : std::string(command.name) + " needs " + std::string(command.operands) +
                              "; see `oqto-audit " + std::string(command.name) + " --help`");
  return std::nullopt;
}

// --- shared options ---

const Option& log_option() {
  static constexpr Option kOption = {
      "--log", "DIR", "the log directory, or a copy of it (default /var/lib/oqto/audit/log)"};
  return kOption;
}

const Option& vkey_option() {
  static constexpr Option kOption = {
      "--vkey", "FILE",
      "the log's public key (default /var/lib/oqto/audit/key/log.vkey).\n"
      "Get it once, from the host's operator, and keep it apart from the log.\n"
      "The keys themselves may stand in the place of their file, both lines in one\n"
      "argument with a space or a newline between; so may a key with --witness"};
  return kOption;
}

const Option& witness_option() {
  static constexpr Option kOption = {"--witness", "FILE",
                                     "demand the cosignature of the witness with this public key;\n"
                                     "may be given several times"};
  return kOption;
}

const Option& json_option() {
  static constexpr Option kOption = {"--json", "", "for programs"};
  return kOption;
}

std::vector<Option> joined(std::vector<Option> first, std::span<const Option> more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

std::string log_dir(const Arguments& arguments) {
  return arguments.get("--log", kDefaultLog);
}

std::optional<VerifierKey> read_key(const std::string& path, KeyType type) {
  if (auto given = VerifierKey::parse(path, type)) return given;
  const auto text = read_file(path, kMaxKeyFile);
  if (!text) {
    (void)complain("the public key " + path + ": " + reason(text.error()));
    return std::nullopt;
  }
  auto key = VerifierKey::parse(first_line(*text), type);
  if (!key) (void)complain("the public key " + path + " is not of the form name+hash+base64");
  return key;
}

// What comes behind the first space or newline, up to the next one.
static std::string_view second_part(std::string_view text) {
  constexpr std::string_view kBetween = " \n";
  const std::size_t end = text.find_first_of(kBetween);
  if (end == text.npos) return {};
  const std::string_view rest = text.substr(end + 1);
  return rest.substr(0, rest.find_first_of(kBetween));
}

// A file, or the lines themselves; nullopt after a complaint. Read once: what the shell hands over is gone then.
static std::optional<std::string> lines_of_key(const std::string& path) {
  static std::map<std::string, std::string, std::less<>> known;
  if (VerifierKey::parse(path.substr(0, path.find_first_of(" \n")))) return path;
  if (const auto found = known.find(path); found != known.end()) return found->second;
  const auto text = read_file(path, kMaxKeyFile);
  if (!text) {
    (void)complain("the public key " + path + ": " + reason(text.error()));
    return std::nullopt;
  }
  return known[path] = *text;
}

std::optional<Pin> read_pin(const std::string& path) {
  const auto text = lines_of_key(path);
  if (!text) return std::nullopt;
  auto key = VerifierKey::parse(text->substr(0, text->find_first_of(" \n")));
  if (!key) {
    (void)complain("the public key " + path + " is not of the form name+hash+base64");
    return std::nullopt;
  }
  const std::string_view line = second_part(*text);
  auto epoch = VerifierKey::parse(line);
  if (!line.empty() && (!epoch || epoch->name != epoch_key_name(key->name, 0))) {
    (void)complain("the second line of the public key " + path + " is not that of its log's epoch 0");
    return std::nullopt;
  }
  return Pin{std::move(*key), std::move(epoch)};
}

std::optional<VerifierKey> log_key(const Arguments& arguments) {
  auto pin = read_pin(arguments.get("--vkey", kDefaultKey));
  return pin ? std::optional(std::move(pin->log)) : std::nullopt;
}

std::optional<VerifierKey> first_epoch_key(const Arguments& arguments) {
  auto pin = read_pin(arguments.get("--vkey", kDefaultKey));
  return pin ? std::move(pin->first_epoch) : std::nullopt;
}

std::optional<std::vector<VerifierKey>> witness_keys(const Arguments& arguments) {
  std::vector<VerifierKey> keys;
  for (const std::string& path : arguments.all("--witness")) {
    auto key = read_key(path, KeyType::witness);
    if (!key) return std::nullopt;
    keys.push_back(std::move(*key));
  }
  return keys;
}

// --- input and output ---

Result<std::string> read_file(const std::string& path, std::size_t max) {
  // What the shell hands over (`<(…)`) may be a pipe; a pipe that lies somewhere would be waited for.
  const bool is_handed = path == "-" || path.starts_with("/dev/fd/") || path == "/dev/stdin";
  const Fd file = path == "-" ? Fd::adopt(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3))
                              : TRY(sys::open_file(path.c_str(), is_handed ? O_RDONLY : O_RDONLY | O_NONBLOCK));
  struct stat facts {};
  if (!is_handed && (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode))) {
    return fail(Errc::invalid, "is no regular file");
  }
  return sys::read_all(file, max);
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

int complain(const std::string& what) {
  (void)std::fflush(stdout);
  std::string text;
  for (std::string_view rest = what; !rest.empty();) {
    const std::string_view line = first_line(rest);
    text += std::string("oqto-audit: ") + printable(line) + "\n";
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
  (void)std::fputs(text.c_str(), stderr);
  return kUnusable;
}

std::string reason(const Error& error) {
  std::string text = error.what;
  if (error.sys != 0) text += std::string(": ") + ::strerrordesc_np(error.sys);
  return text;
}

bool print(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
}

std::string quoted_note(const std::string& note) {
  std::string text;
  for (std::string_view rest = note; !rest.empty();) {
    const std::string_view line = first_line(rest);
    text += "  | " + printable(line) + "\n";
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
  return text;
}

}  // namespace oqto::audit::cli
