#include "cli/audit.h"

#include <time.h>
#include <unistd.h>

#include <charconv>
#include <optional>

namespace oqto::cli {
namespace {

constexpr std::int64_t kDaySeconds = 86'400;

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Days since 1970 of "2026-01-31".
std::optional<std::uint32_t> day_number(const std::string& text) {
  tm parts{};
  const char* const end = ::strptime(text.c_str(), "%Y-%m-%d", &parts);
  if (text.size() != 10 || end == nullptr || *end != '\0') return std::nullopt;
  const time_t seconds = ::timegm(&parts);
  char again[16] = {};
  (void)::strftime(again, sizeof again, "%Y-%m-%d", &parts);
  if (seconds < 0 || text != again) return std::nullopt;
  return static_cast<std::uint32_t>(seconds / kDaySeconds);
}

// Of the programs that stand beside this one.
Outcome<std::string> program_named(std::string_view name) {
  char self[4096] = {};
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self - 1);
  if (length <= 0) return std::unexpected("/proc is needed");
  const std::string program(self, static_cast<std::size_t>(length));
  return program.substr(0, program.rfind('/') + 1) + std::string(name);
}

Outcome<std::string> show_size(const Options& options) {
  const std::string program = TRY(program_named("oqto-audit"));
  const std::string log = options.state + "/audit/log";
  (void)::execl(program.c_str(), program.c_str(), "stats", "--log", log.c_str(),
                options.json ? "--json" : "--size", static_cast<char*>(nullptr));
  return std::unexpected(program + " cannot be started");
}

}  // namespace

Outcome<> adopt(const Options& options) {
  const std::string program = TRY(program_named("oqto-audit-signer"));
  const std::string keys = options.state + "/audit/key";
  if (::geteuid() != 0) return std::unexpected("oqtoctl needs root: run it with sudo");
  (void)::execl(program.c_str(), program.c_str(), "--adopt", "--key-dir", keys.c_str(), "--operator-name",
                operator_name().c_str(), static_cast<char*>(nullptr));
  return std::unexpected(program + " cannot be started");
}

Outcome<std::string> audit(const Options& options) {
  const std::string verb = options.words.empty() ? "size" : options.words[0];
  if (verb == "size") return show_size(options);
  auto host = TRY(Host::connect(options.state));
  if (verb == "prune") {
    const auto index = number<std::uint64_t>(options.words[1]);
    if (!index) return std::unexpected("prune needs the number of an entry");
    const std::string minimum = std::to_string(TRY(host.audit_prune(*index)));
    return options.json ? "{\"minimum_index\":" + minimum + "}"
                        : "Entries before " + minimum +
                              " may be pruned now: `oqto-audit prune --archive DIR` moves them.";
  }
  const auto account = number<std::uint32_t>(options.words[1]);
  const auto day = day_number(options.words[2]);
  if (!account || *account == 0) return std::unexpected("erase needs an account number");
  if (!day) return std::unexpected("erase needs a day (UTC), as 2026-01-31");
  const std::string index = std::to_string(TRY(host.audit_erase(*account, *day)));
  return options.json ? "{\"entry\":" + index + "}"
                      : "The key is destroyed; entry " + index +
                            " of the log says so. Copies of the log have keys of their own.";
}

}  // namespace oqto::cli
