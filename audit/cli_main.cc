// oqto-audit: what an auditor needs, offline, on a copy of the log directory.
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#include <charconv>
#include <cstdio>
#include <map>
#include <optional>
#include <set>

#include "audit/entry_view.h"
#include "audit/hash.h"
#include "audit/json.h"
#include "audit/reader.h"
#include "audit/verify.h"
#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr int kOk = 0;
constexpr int kFindings = 1;
constexpr int kUnusable = 2;
constexpr const char* kDefaultLog = "/var/lib/oqto/audit/log";
constexpr const char* kDefaultKey = "/var/lib/oqto/audit/key/log.vkey";
constexpr std::size_t kMaxKeyFile = 1024;
constexpr std::size_t kMaxNoteFile = 64 * 1024;
constexpr std::uint64_t kDefaultTail = 20;
constexpr long kPollNs = 200'000'000;

constexpr const char* kUsage =
    "usage: oqto-audit verify [--log DIR] [--vkey FILE] [--known FILE] [--json]\n"
    "       oqto-audit tail   [--log DIR] [-n N] [-f] [--json]\n"
    "       oqto-audit show INDEX [--log DIR] [--json]\n"
    "Checks and shows an audit log. Works offline, on a copy: nothing is asked of a server.\n"
    "`oqto-audit COMMAND --help` says more.\n";
constexpr const char* kVerifyUsage =
    "usage: oqto-audit verify [--log DIR] [--vkey FILE] [--known FILE] [--json]\n"
    "Checks every byte of a log directory against the public key: segments, entry bundles, hash\n"
    "tiles, every signed checkpoint. One line per defect.\n"
    "  --log DIR     the log directory, or a copy of it   (default /var/lib/oqto/audit/log)\n"
    "                To copy a log in use: first `checkpoint`, then `tile`, then `segment`.\n"
    "  --vkey FILE   the log's public key   (default /var/lib/oqto/audit/key/log.vkey)\n"
    "                Get it once, from the host's operator, and keep it apart from the log.\n"
    "  --known FILE  a `checkpoint` file that you kept: the log must be its continuation. This is\n"
    "                what finds a log that was cut back to an older state.\n"
    "  --json        one JSON object instead of text\n"
    "Exit status: 0 nothing found, 1 defects found, 2 not readable or wrong usage.\n";
constexpr const char* kTailUsage =
    "usage: oqto-audit tail [--log DIR] [-n N] [-f] [--json]\n"
    "Shows the newest committed entries, oldest first: time (UTC), number, who, event, fields.\n"
    "Signatures are not checked here: that is `oqto-audit verify`.\n"
    "  --log DIR  the log directory   (default /var/lib/oqto/audit/log)\n"
    "  -n N       how many entries   (default 20)\n"
    "  -f         go on with each entry as it is committed, until interrupted\n"
    "  --json     the entries themselves, one per line\n";
constexpr const char* kShowUsage =
    "usage: oqto-audit show INDEX [--log DIR] [--json]\n"
    "Shows one entry in full, and its leaf hash in the tree.\n"
    "  --log DIR  the log directory   (default /var/lib/oqto/audit/log)\n"
    "  --json     the entry itself\n";

struct Arguments {
  std::map<std::string, std::string, std::less<>> values;  // flags that take one
  std::set<std::string, std::less<>> switches;
  std::vector<std::string> operands;

  [[nodiscard]] bool has(std::string_view name) const { return switches.contains(name); }
  [[nodiscard]] std::string get(std::string_view name, const char* otherwise) const {
    const auto found = values.find(name);
    return found == values.end() ? otherwise : found->second;
  }
};

int complain(const std::string& what) {
  (void)std::fprintf(stderr, "oqto-audit: %s\n", what.c_str());
  return kUnusable;
}

std::string reason(const Error& error) {
  std::string text = error.what;
  if (error.sys != 0) text += std::string(": ") + ::strerrordesc_np(error.sys);
  return text;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// nullopt: the usage was printed, or what is wrong with the arguments.
std::optional<Arguments> read_arguments(int argc, char** argv, const char* usage,
                                        const std::set<std::string_view>& with_value,
                                        const std::set<std::string_view>& without, int& status) {
  Arguments arguments;
  for (int i = 2; i < argc; ++i) {
    const std::string text = argv[i];
    if (text == "--help" || text == "-h") {
      (void)std::fputs(usage, stdout);
      status = kOk;
      return std::nullopt;
    }
    if (without.contains(text)) {
      arguments.switches.insert(text);
    } else if (with_value.contains(text)) {
      if (i + 1 == argc) {
        status = complain(text + " needs a value");
        return std::nullopt;
      }
      arguments.values[text] = argv[++i];
    } else if (text.starts_with("-")) {
      status = complain("unknown option " + printable(text) + "; see --help");
      return std::nullopt;
    } else {
      arguments.operands.push_back(text);
    }
  }
  return arguments;
}

Result<std::string> read_file(const std::string& path, std::size_t max) {
  const Fd file = TRY(sys::open_file(path.c_str(), O_RDONLY));
  return sys::read_all(file, max);
}

bool print(const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
}

// --- verify ---

std::string report_text(const Report& report, const VerifierKey& key) {
  std::string text;
  for (const Finding& finding : report.findings) text += finding.where + ": " + finding.what + "\n";
  for (const std::string& remark : report.remarks) text += "note: " + remark + "\n";
  const std::string what = std::to_string(report.entries) + " entries in " +
                           std::to_string(report.batches) + " signed batches, " +
                           std::to_string(report.files) + " files";
  if (!report.findings.empty()) {
    return text + "FAILED: " + std::to_string(report.findings.size()) + " defects; " + what + "\n";
  }
  return text + "ok: " + what + "\n    log " + key.name + ", checkpoint at " +
         std::to_string(report.checkpoint->size) + " entries, root " +
         to_hex(report.checkpoint->root) + "\n";
}

std::string report_json(const Report& report, const VerifierKey& key) {
  std::string text = R"({"ok":)" + std::string(report.findings.empty() ? "true" : "false");
  text += R"(,"log":)";
  append_json(text, key.name);
  text += R"(,"entries":)" + std::to_string(report.entries);
  text += R"(,"batches":)" + std::to_string(report.batches);
  text += R"(,"files":)" + std::to_string(report.files);
  if (report.checkpoint) {
    text += R"(,"checkpoint":{"size":)" + std::to_string(report.checkpoint->size) + R"(,"root":")" +
            to_hex(report.checkpoint->root) + "\"}";
  }
  text += R"(,"findings":[)";
  for (const Finding& finding : report.findings) {
    if (&finding != &report.findings.front()) text += ",";
    text += R"({"where":)";
    append_json(text, finding.where);
    text += R"(,"what":)";
    append_json(text, finding.what);
    text += "}";
  }
  text += R"(],"remarks":[)";
  for (const std::string& remark : report.remarks) {
    if (&remark != &report.remarks.front()) text += ",";
    append_json(text, remark);
  }
  return text + "]}\n";
}

int verify(const Arguments& arguments) {
  const std::string log = arguments.get("--log", kDefaultLog);
  const std::string key_file = arguments.get("--vkey", kDefaultKey);
  const auto key_text = read_file(key_file, kMaxKeyFile);
  if (!key_text) return complain("the public key " + key_file + ": " + reason(key_text.error()));
  const auto key = VerifierKey::parse(std::string_view(*key_text).substr(0, key_text->find('\n')));
  if (!key) return complain("the public key " + key_file + " is not of the form name+hash+base64");
  std::optional<std::string> known;
  if (arguments.values.contains("--known")) {
    const std::string known_file = arguments.get("--known", "");
    auto text = read_file(known_file, kMaxNoteFile);
    if (!text) return complain("the kept checkpoint " + known_file + ": " + reason(text.error()));
    const auto checked = verify_checkpoint(*text, *key);
    if (!checked)
      return complain("the kept checkpoint " + known_file + ": " + checked.error().what);
    known = std::move(*text);
  }
  const auto report = verify_log(log, *key, known);
  if (!report) return complain("the log " + log + ": " + reason(report.error()));
  (void)print(arguments.has("--json") ? report_json(*report, *key) : report_text(*report, *key));
  return report->findings.empty() ? kOk : kFindings;
}

// --- tail and show ---

std::string shown(std::string_view entry, bool json) {
  return (json ? entry_json(entry) : entry_line(entry)) + "\n";
}

int reading_failed(const std::string& log, const LogReader& reader, const Error& error) {
  if (error.code == Errc::unavailable) return kOk;  // nobody reads our output any more
  (void)std::fflush(stdout);
  return complain("the log " + log + ", " + reader.where() + ": " + reason(error) +
                  (error.code == Errc::bad_message ? "; run `oqto-audit verify`" : ""));
}

int tail(const Arguments& arguments) {
  const std::string log = arguments.get("--log", kDefaultLog);
  const auto wanted = number(arguments.get("-n", std::to_string(kDefaultTail).c_str()));
  if (!wanted) return complain("-n needs a number");
  auto reader = LogReader::open(log);
  if (!reader) return complain("the log " + log + ": " + reason(reader.error()));
  const auto count = reader->count();
  if (!count) return reading_failed(log, *reader, count.error());
  const std::uint64_t from = *count - std::min(*count, *wanted);
  const bool json = arguments.has("--json");
  const EntrySink sink = [&](std::uint64_t index, std::string_view entry) -> Status {
    if (index < from || print(shown(entry, json))) return {};
    return fail(Errc::unavailable, "the output is closed");
  };
  if (const Status sought = reader->seek(from); !sought) {
    return reading_failed(log, *reader, sought.error());
  }
  for (;;) {
    const Status read = reader->read_new(sink);
    if (!read) return reading_failed(log, *reader, read.error());
    if (std::fflush(stdout) != 0 || !arguments.has("-f")) return kOk;
    const timespec pause{0, kPollNs};
    (void)::nanosleep(&pause, nullptr);
  }
}

int show(const Arguments& arguments) {
  const std::string log = arguments.get("--log", kDefaultLog);
  const auto wanted = arguments.operands.size() == 1 ? number(arguments.operands[0]) : std::nullopt;
  if (!wanted) return complain("show needs one INDEX; see `oqto-audit show --help`");
  auto reader = LogReader::open(log);
  if (!reader) return complain("the log " + log + ": " + reason(reader.error()));
  std::optional<std::string> found;
  std::uint64_t count = 0;
  const Status sought = reader->seek(*wanted);
  const Status read =
      !sought ? sought : reader->read_new([&](std::uint64_t index, std::string_view entry) {
        count = index + 1;
        if (index == *wanted) found = entry;
        return Status();
      });
  if (!found && !read) return reading_failed(log, *reader, read.error());
  if (!found) {
    return complain("there is no entry " + std::to_string(*wanted) + ": the log has " +
                    std::to_string(count) + " entries");
  }
  if (arguments.has("--json")) {
    (void)print(entry_json(*found) + "\n");
  } else {
    (void)print(entry_page(*found) + "leaf hash               " + to_hex(leaf_hash(*found)) + "\n");
  }
  return kOk;
}

struct Command {
  std::string_view name;
  const char* usage;
  std::set<std::string_view> with_value;
  std::set<std::string_view> without;
  std::size_t operands;
  int (*run)(const Arguments&);
};

int run(int argc, char** argv) {
  const Command commands[] = {
      {"verify", kVerifyUsage, {"--log", "--vkey", "--known"}, {"--json"}, 0, verify},
      {"tail", kTailUsage, {"--log", "--vkey", "-n"}, {"-f", "--json"}, 0, tail},
      {"show", kShowUsage, {"--log", "--vkey"}, {"--json"}, 1, show},
  };
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    (void)std::fputs(kUsage, stdout);
    return kOk;
  }
  for (const Command& command : commands) {
    if (command.name != name) continue;
    int status = kUnusable;
    const auto arguments =
        read_arguments(argc, argv, command.usage, command.with_value, command.without, status);
    if (!arguments) return status;
    if (arguments->operands.size() > command.operands) {
      return complain("unexpected argument " + printable(arguments->operands.back()));
    }
    prepare_hashing();
    if (::sodium_init() < 0) return complain("libsodium cannot start");
    return command.run(*arguments);
  }
  (void)std::fputs(kUsage, stderr);
  return kUnusable;
}

}  // namespace
}  // namespace oqto::audit

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_DFL);  // `oqto-audit tail | head` ends quietly, whoever started us
  return oqto::audit::run(argc, argv);
}
