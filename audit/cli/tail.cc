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
  Selection& selection;
  std::uint64_t first;
  bool json;
  Opener& opener;
  std::uint64_t shown_entries = 0;

  EntrySink sink() {
    return [this](std::uint64_t index, std::string_view entry) -> Status {
      if (interrupted != 0) return enough();
      if (selection.needs_names()) selection.learn(entry);
      const std::string opened = opener.open(entry);
      if (!selection.takes(index, opened) || index < first) return {};
      ++shown_entries;
      const auto& related = selection.related();
      return print(shown(opened, json, related ? std::string_view(related->entry) : "")) ? Status() : enough();
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
Result<std::uint64_t> start_of(LogReader& reader, Opener& opener, Selection& selection,
                               std::uint64_t count, Searched& searched) {
  const Query& query = selection.asked();
  if (!query.selects_by_content()) {
    const std::uint64_t size = TRY(reader.count());
    const std::uint64_t end = query.last < size ? query.last + 1 : size;
    searched.entries = end - std::min(end, query.first);
    return std::max(query.first, end - std::min(end, count));
  }
  std::vector<std::uint64_t> newest;  // a ring
  TRY(reader.seek(query.first));
  TRY(reader.read_new([&](std::uint64_t index, std::string_view entry) -> Status {
    const bool takes = selection.takes(index, opener.open(entry));
    if (index < query.first || index > query.last) return {};
    if (searched.entries++ == 0) searched.first = index;
    searched.last = index;
    if (!takes || count == 0) return {};
    if (newest.size() < count) {
      newest.push_back(index);
    } else {
      newest[searched.found % count] = index;
    }
    ++searched.found;
    return {};
  }));
  if (newest.empty()) return reader.count();
  return searched.found <= count ? newest.front() : newest[searched.found % count];
}

int tail(const Arguments& arguments) {
  const std::string log = log_dir(arguments);
  const auto count = number(arguments.get("-n", kDefaultCount));
  if (!count) return complain("-n needs a number");
  auto query = read_query(arguments);
  if (!query) return kUnusable;
  const bool follow = arguments.has("-f");
  auto reader = LogReader::open(log);
  if (!reader) return complain("the log " + log + ": " + reason(reader.error()));
  const auto opener = Opener::create(log);
  if (!opener) return complain("the log " + log + ": " + reason(opener.error()));
  if (follow) stop_on_interrupt();
  Selection selection(*query, fetch_from(**opener));
  if (const Status learnt = learn_names(log, selection); !learnt) {
    return reading_ended(log, *reader, learnt);
  }
  Searched searched;
  const auto start = start_of(*reader, **opener, selection, *count, searched);
  if (!start) return reading_ended(log, *reader, std::unexpected(start.error()));
  searched.unknown = selection.unknown();
  if (follow) reader->only_durable();
  Follower follower{std::move(*reader), selection, *start, arguments.has("--json"), **opener};
  Status status = follower.reader.seek(*start);
  if (follow) {
    for (const std::string& sentence : searched.unknown) (void)complain(sentence + " (following)");
  }
  if (status) status = follow ? follower.follow() : follower.reader.read_new(follower.sink());
  const int ended = reading_ended(log, follower.reader, status);
  if (ended != kOk || follow || follower.shown_entries > 0 || *count == 0) return ended;
  return nothing_found(*query, searched);
}

}  // namespace

Command tail_command() {
  return {.name = "tail",
          .summary = "Shows the newest entries, oldest first: time (UTC), number, who, event, "
                     "fields.",
          .details = "Exit status: 0 something was shown, 1 nothing fits (stderr says among what), 2 not\n"
                     "readable or wrong usage. Where it says (happened TIME) the entry was written later\n"
                     "than that. Signatures are not checked here: that is `oqto-audit verify`.",
          .options = joined({log_option(),
                             {"-n", "N", "how many entries (default 20)"},
                             {"-f", "", "go on with each entry once it is safely on the disk, until\n"
                                        "interrupted"},
                             {"--json", "", "the entries, opened where the log has their keys, one per line"}},
                            filter_options()),
          .run = tail};
}

}  // namespace oqto::audit::cli
