// What the commands of oqto-audit share: their tables of options, from which parsing, --help and
// shell completion are made, and how they read and print.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "audit/format/note.h"
#include "audit/read/query.h"
#include "audit/read/seals.h"
#include "base/result.h"

namespace oqto::audit::cli {

// Exit statuses of every command.
constexpr int kOk = 0;
constexpr int kFindings = 1;  // a defect, a failed proof, nothing found
constexpr int kUnusable = 2;  // wrong usage, or not readable

struct Option {
  std::string_view name;   // with its dashes
  std::string_view value;  // what stands for the value in the help; empty: a switch
  std::string_view help;   // lines after the first are indented
};

class Arguments {
 public:
  [[nodiscard]] bool has(std::string_view name) const { return values_.contains(name); }
  [[nodiscard]] std::string get(std::string_view name, std::string_view otherwise = {}) const;
  [[nodiscard]] std::vector<std::string> all(std::string_view name) const;
  void add(std::string_view name, std::string_view value) {
    values_[std::string(name)].emplace_back(value);
  }
  std::vector<std::string> operands;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

struct Command {
  std::string_view name = {};      // "verify", or two words
  std::string_view operands = {};  // as the help shows them
  std::size_t min_operands = 0;
  std::size_t max_operands = 0;
  std::string_view summary = {};  // the first line is also in the list of commands
  std::string_view details = {};  // paragraphs behind the options
  std::vector<Option> options = {};
  int (*run)(const Arguments&) = nullptr;
};

std::string help_of(const Command& command);
// nullopt: the help, or what is wrong, was printed; `status` is the exit status.
std::optional<Arguments> parse(const Command& command, std::span<char* const> words, int& status);

std::span<const Command> commands();
Command verify_command();
Command prove_command();
Command check_proof_command();
Command tail_command();
Command show_command();
Command search_command();
Command export_command();
Command stats_command();
Command timeline_command();
Command keygen_command();
Command rotate_command();
Command shred_command();
Command replay_command();
Command prune_command();
Command copy_command();
Command collect_command();
Command witness_serve_command();
Command witness_submit_command();
Command completion_command();

// --- shared options ---

const Option& log_option();
const Option& vkey_option();
const Option& witness_option();  // --witness VKEY
const Option& json_option();
std::vector<Option> filter_options();  // what `search`, `tail` and `export` select by
std::vector<Option> joined(std::vector<Option> first, std::span<const Option> more);

std::string log_dir(const Arguments& arguments);
// The lines of log.vkey from the file `path`, or from `path` itself. nullopt after a complaint, also if the
// second line is there and damaged: less would be checked than was asked for.
std::optional<Pin> read_pin(const std::string& path);
// The key of --vkey, nullopt after a complaint.
std::optional<VerifierKey> log_key(const Arguments& arguments);
// The key of epoch 0 beside it, if its file has one.
std::optional<VerifierKey> first_epoch_key(const Arguments& arguments);
std::optional<VerifierKey> read_key(const std::string& path, KeyType type);
std::optional<std::vector<VerifierKey>> witness_keys(const Arguments& arguments);
std::optional<Query> read_query(const Arguments& arguments);

// --- input and output ---

constexpr std::size_t kMaxNoteFile = 64 * 1024;
constexpr std::size_t kMaxKeyFile = 1024;
constexpr std::size_t kMaxSealsFile = std::size_t{1} << 30;  // a seal takes some 2 KB, a year 100 MB
Result<std::string> read_file(const std::string& path, std::size_t max);
std::optional<std::uint64_t> number(std::string_view text);

// Nothing that it prints can steer a terminal: what is not plain is escaped.
int complain(const std::string& what);  // kUnusable
std::string reason(const Error& error);

bool print(std::string_view text);  // false: nobody reads it any more
std::string quoted_note(const std::string& note);

}  // namespace oqto::audit::cli
