// The options by which entries are chosen.
#include "audit/cli/cli.h"
#include "audit/format/time_text.h"
#include "audit/read/ocsf.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

// "7", "3..9", "3.." (to the end): both ends included.
bool read_range(std::string_view text, Query& query) {
  const std::size_t dots = text.find("..");
  const auto first = number(text.substr(0, dots));
  if (!first) return false;
  query.first = query.last = *first;
  if (dots == text.npos) return true;
  query.last = ~std::uint64_t{0};
  const std::string_view rest = text.substr(dots + 2);
  if (rest.empty()) return true;
  const auto last = number(rest);
  if (!last || *last < *first) return false;
  query.last = *last;
  return true;
}

std::optional<std::vector<std::string>> list_of(const Arguments& arguments, std::string_view name) {
  std::vector<std::string> list;
  for (const std::string& value : arguments.all(name)) {
    for (std::string_view rest = value;;) {
      const std::string_view one = rest.substr(0, rest.find(','));
      if (one.empty()) {
        (void)complain(std::string(name) + " needs a value");
        return std::nullopt;
      }
      list.emplace_back(one);
      if (one.size() == rest.size()) break;
      rest.remove_prefix(one.size() + 1);
    }
  }
  return list;
}

bool read_time(const Arguments& arguments, std::string_view name, std::uint64_t& time) {
  if (!arguments.has(name)) return true;
  const auto read = parse_time(arguments.get(name), sys::now_ms());
  if (read) time = *read;
  if (!read) {
    (void)complain(std::string(name) + ": not a time: " + arguments.get(name) +
                   " (as 2026-01-31, 2026-01-31T12:00:00Z, @1769860800, -2h)");
  }
  return read.has_value();
}

bool read_classes(const Arguments& arguments, Query& query) {
  const auto names = list_of(arguments, "--class");
  if (!names) return false;
  for (const std::string& name : *names) {
    const auto uid = find_ocsf_class(name);
    if (!uid || ocsf_class_name(*uid) == "Unknown") {
      (void)complain("--class: no OCSF class " + name + " (as 3002, or authentication)");
      return false;
    }
    query.classes.push_back(*uid);
  }
  return true;
}

bool read_events(Query& query) {
  for (const std::string& event : query.events) {
    const auto problem = event_problem(event);
    if (!problem) continue;
    (void)complain("--event: " + *problem);
    return false;
  }
  return true;
}

bool read_sessions(Query& query) {
  for (std::string& session : query.sessions) {
    auto id = plain_session(session);
    if (!id) {
      (void)complain("--session: " + session + " is no session id, nor the beginning of one");
      return false;
    }
    session = std::move(*id);
  }
  return true;
}

bool read_outcomes(const Arguments& arguments, Query& query) {
  for (const std::string& outcome : query.outcomes) {
    if (outcome == "success" || outcome == "failure" || outcome == "unknown") continue;
    (void)complain("--outcome: " + outcome + " is none of success, failure, unknown");
    return false;
  }
  query.texts = arguments.all("--text");
  return true;
}

}  // namespace

std::vector<Option> filter_options() {
  return {
      {"--from", "TIME", "not before this time: 2026-01-31, 2026-01-31T12:00:00Z (UTC), @UNIX\n"
                         "seconds, or -90m, -2h, -7d before now"},
      {"--to", "TIME", "before this time"},
      {"--range", "A..B", "entries A to B, both included; A.. for all from A on"},
      {"--actor", "NAME", "who acted: a user's name or account, or a process (runner, accounts, ...)"},
      {"--tenant", "ACCOUNT", "whom it concerns: account number or user name, either finds both"},
      {"--session", "ID", "session id, or its beginning; also as oqtoctl has it, oqto-..."},
      {"--class", "CLASS", "OCSF class: number or name (authentication, process_activity, ...)"},
      {"--event", "EVENT", "login, exec, session.start, ...; session.* for all that begin so"},
      {"--outcome", "OUTCOME", "success, failure or unknown"},
      {"--text", "TEXT", "anywhere in what was recorded, capital letters or not; given several\n"
                         "times: all of them. The other options take lists (a,b): any of them"},
  };
}

std::optional<Query> read_query(const Arguments& arguments) {
  Query query;
  const std::pair<std::string_view, std::vector<std::string>*> lists[] = {
      {"--actor", &query.actors},   {"--tenant", &query.tenants},   {"--session", &query.sessions},
      {"--event", &query.events},   {"--outcome", &query.outcomes},
  };
  for (const auto& [name, list] : lists) {
    auto values = list_of(arguments, name);
    if (!values) return std::nullopt;
    *list = std::move(*values);
  }
  if (!read_time(arguments, "--from", query.from_ms) ||
      !read_time(arguments, "--to", query.to_ms) || !read_classes(arguments, query) ||
      !read_outcomes(arguments, query) || !read_events(query) || !read_sessions(query)) {
    return std::nullopt;
  }
  if (arguments.has("--range") && !read_range(arguments.get("--range"), query)) {
    (void)complain("entries are named by their numbers: A, A..B or A..");
    return std::nullopt;
  }
  if (arguments.has("--limit")) {
    const auto limit = number(arguments.get("--limit"));
    if (!limit) {
      (void)complain("--limit needs a number");
      return std::nullopt;
    }
    query.limit = *limit;
  }
  return query;
}

}  // namespace oqto::audit::cli
