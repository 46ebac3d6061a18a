#include <signal.h>
#include <stdio.h>
#include <time.h>

#include <algorithm>

#include "audit/cli/cli.h"
#include "audit/cli/read.h"

namespace oqto::audit::cli {
namespace {

constexpr std::string_view kDefaultCount = "20";
constexpr long kPollNs = 200'000'000;

volatile sig_atomic_t interrupted = 0;
void on_interrupt(int /*signal*/) {
  interrupted = 1;
}

// Ctrl-C is how one stops following: what was begun is finished, and that is no failure.
void stop_on_interrupt() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;  // no SA_RESTART: a pause or a full pipe ends at once
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) (void)::sigaction(signal, &action, nullptr);
}

struct Follower {
  LogReader reader;
  const Query& query;
  bool json;
  Opener& opener;

  EntrySink sink() {
    return [this](std::uint64_t index, std::string_view entry) -> Status {
      if (interrupted != 0) return enough();
      if (index < query.first) return {};
      const std::string opened = opener.open(entry);
      if (!query.matches(index, opened) || print(shown(opened, json))) return {};
      return enough();
    };
  }

  Status follow() {
    ::setvbuf(stdout, nullptr, _IOLBF, 0);
    const EntrySink print_entry = sink();
    while (interrupted == 0) {
      TRY(reader.read_new(print_entry));
      if (std::fflush(stdout) != 0) return {};
      const timespec pause{0, kPollNs};
      (void)::nanosleep(&pause, nullptr);
    }
    return {};
  }
};

// The index from which on `count` entries fit. Without filters that is arithmetic.
Result<std::uint64_t> start_of(LogReader& reader, Opener& opener, const Query& query,
                               std::uint64_t count, bool has_filters) {
  if (!has_filters) {
    const std::uint64_t size = TRY(reader.count());
    return size - std::min(size, count);
  }
  std::vector<std::uint64_t> newest;  // a ring
  std::uint64_t found = 0;
  TRY(reader.seek(query.first));
  TRY(reader.read_new([&](std::uint64_t index, std::string_view entry) -> Status {
    if (count == 0 || !query.matches(index, opener.open(entry))) return {};
    if (newest.size() < count) {
      newest.push_back(index);
    } else {
      newest[found % count] = index;
    }
    ++found;
    return {};
  }));
  if (newest.empty()) return reader.count();
  return found <= count ? newest.front() : newest[found % count];
}

int tail(const Arguments& arguments) {
  const std::string log = log_dir(arguments);
  const auto count = number(arguments.get("-n", kDefaultCount));
  if (!count) return complain("-n needs a number");
  auto query = read_query(arguments);
  if (!query) return kUnusable;
  const bool follow = arguments.has("-f");
  const bool has_filters = std::ranges::any_of(
      filter_options(), [&](const Option& option) { return arguments.has(option.name); });
  auto reader = LogReader::open(log);
  if (!reader) return complain("the log " + log + ": " + reason(reader.error()));
  const auto opener = Opener::create(log);
  if (!opener) return complain("the log " + log + ": " + reason(opener.error()));
  if (follow) stop_on_interrupt();
  const auto start = start_of(*reader, **opener, *query, *count, has_filters);
  if (!start) return reading_ended(log, *reader, std::unexpected(start.error()));
  query->first = std::max(query->first, *start);
  if (follow) reader->only_durable();
  Follower follower{std::move(*reader), *query, arguments.has("--json"), **opener};
  Status status = follower.reader.seek(query->first);
  if (status) status = follow ? follower.follow() : follower.reader.read_new(follower.sink());
  return reading_ended(log, follower.reader, status);
}

}  // namespace

Command tail_command() {
  return {.name = "tail",
          .summary = "Shows the newest entries, oldest first: time (UTC), number, who, event, "
                     "fields.",
          .details = "Signatures are not checked here: that is `oqto-audit verify`.",
          .options = joined({log_option(),
                             {"-n", "N", "how many entries (default 20)"},
                             {"-f", "", "go on with each entry once it is safely on the disk, until\n"
                                        "interrupted"},
                             {"--json", "", "the entries, opened where the log has their keys, one per line"}},
                            filter_options()),
          .run = tail};
}

}  // namespace oqto::audit::cli
