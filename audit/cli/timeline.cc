#include <time.h>

#include <set>

#include "base/encoding.h"
#include "audit/cli/cli.h"
#include "audit/cli/read.h"
#include "audit/format/json.h"
#include "audit/format/time_text.h"
#include "audit/read/entry_reader.h"
#include "audit/read/story.h"
#include "audit/read/story_words.h"

namespace oqto::audit::cli {
namespace {

constexpr std::uint64_t kMaxEntries = 20'000;

struct Subject {
  Query query;
  std::string text;  // "session 0f00…", "anna"
  std::string session = {};  // once its whole id is known
};

// A name or a number that the log knows is a person; else the beginning of a session's id.
std::optional<Subject> subject_of(const std::string& log, const std::string& text, Query query) {
  Query person = query;
  person.tenants = {text};
  Selection selection(person, {});
  if (const Status learnt = learn_names(log, selection); !learnt) {
    (void)complain("the log " + log + ": " + reason(learnt.error()));
    return std::nullopt;
  }
  if (selection.names().knows(text)) return Subject{std::move(person), text};
  const auto id = plain_session(text);
  if (!id) {
    for (const std::string& sentence : selection.unknown()) (void)complain(sentence);
    (void)complain(text + " is no session id either, nor the beginning of one");
    return std::nullopt;
  }
  query.sessions = {*id};
  return Subject{std::move(query), "session " + *id};
}

std::string time_text(std::uint64_t ms, bool local) {
  if (!local) return utc_text(ms).substr(0, 19);
  const auto seconds = static_cast<time_t>(ms / 1000);
  struct tm parts {};
  char text[32] = {};
  if (::localtime_r(&seconds, &parts) == nullptr) return utc_text(ms).substr(0, 19);
  (void)::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

struct Page {
  const Story& story;
  bool local;
  std::string text = {};
  std::string day = {};
  std::vector<std::string> failed = {};

  void add(std::size_t at) {
    const Scene& scene = story.scenes()[at];
    const std::string time = time_text(scene.time_ms, local);
    if (time.substr(0, 10) != day) {
      day = time.substr(0, 10);
      text += "\n" + day + (local ? " (local time)\n" : " (UTC)\n");
    }
    std::string line = scene.sentence;
    std::string end = scene.result;
    if (scene.duration_ms) end += (end.empty() ? "" : ", ") + ("after " + lasted_text(*scene.duration_ms));
    if (scene.mark == Mark::open) end += std::string(end.empty() ? "" : ", ") + "nothing is recorded of what came of it";
    if (scene.mark == Mark::failed) line += "  FAILED";
    if (scene.mark == Mark::refused) line += "  REFUSED";
    if (!end.empty()) line += " [" + end + "]";
    line += "  #" + std::to_string(scene.index);
    text += time.substr(11) + "  " + std::string(std::size_t{2} * scene.depth, ' ') + line + "\n";
    if (scene.mark == Mark::failed || scene.mark == Mark::refused) failed.push_back(time.substr(11) + "  " + line);
    for (const std::size_t child : scene.within) add(child);
  }
};

std::string page_of(const Story& story, const Subject& subject, const Searched& searched, bool local) {
  Page page{story, local};
  for (const std::size_t at : story.top()) page.add(at);
  std::string text = "The story of " + printable(subject.text) + ": " + grouped(story.entries()) + " entries, " +
                     totals_text(story.totals()) + ".\n";
  if (searched.found >= subject.query.limit) {
    text += "It goes on: --range " + std::to_string(searched.last + 1) + "..\n";
  }
  const std::string id = subject.session;
  if (!id.empty() && story.owner_of(id).empty()) {
    text += "No record of the host here says whose session this is: what tenants' processes say of it is all there is.\n";
  }
  text += page.text;
  if (!page.failed.empty()) text += "\nWhat failed or was refused\n";
  for (const std::string& line : page.failed) text += line + "\n";
  return text;
}

std::string json_of(const Story& story, const Subject& subject, const Searched& searched) {
  std::string text = R"({"subject":)";
  append_json(text, subject.text);
  const bool goes_on = searched.found >= subject.query.limit;
  const std::string owner = story.owner_of(subject.session);
  if (!subject.session.empty()) {
    text += R"(,"owner":)";
    owner.empty() ? void(text += "null") : append_json(text, owner);
  }
  return text + R"(,"next":)" + (goes_on ? std::to_string(searched.last + 1) : "null") + "," + story_json(story) + "}\n";
}

int timeline(const Arguments& arguments) {
  const std::string log = log_dir(arguments);
  auto query = read_query(arguments);
  if (!query) return kUnusable;
  if (!arguments.has("--limit")) query->limit = kMaxEntries;
  auto subject = subject_of(log, arguments.operands.front(), std::move(*query));
  if (!subject) return kUnusable;
  Story story;
  std::set<std::string> sessions;
  Searched searched;
  const int status = visit_entries(
      log, subject->query,
      [&](const SeenEntry& seen) {
        story.add(seen.index, seen.opened, seen.related, seen.related_index);
        const auto entry = ReadEntry::parse(seen.opened);
        for (const std::string_view path : session_paths()) {
          std::string id = entry ? entry->text(path) : "";
          if (!subject->query.sessions.empty() && oqto::Uuid::parse(id) && id.starts_with(subject->query.sessions.front())) sessions.insert(std::move(id));
        }
        return true;
      },
      searched);
  if (status != kOk) return status;
  if (searched.found == 0) return nothing_found(subject->query, searched);
  if (sessions.size() > 1) {
    std::string list = "several sessions begin so; name one of them:";
    for (const std::string& one : sessions) list += "\n  " + one;
    return complain(list);
  }
  if (!sessions.empty()) subject->session = *sessions.begin();
  story.finish(arguments.has("--all"));
  const std::string text = arguments.has("--json") ? json_of(story, *subject, searched)
                                                   : page_of(story, *subject, searched, arguments.has("--local"));
  return print(text) ? kOk : kUnusable;
}

}  // namespace

Command timeline_command() {
  return {.name = "timeline",
          .operands = "SESSION|USER",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "Tells what one session or one person did, as one story in sentences.",
          .details =
              "USER is a name or an account number that the log knows; SESSION an id or its beginning, also\n"
              "with oqto- before it. Beneath each prompt stand the model calls, tool calls, programs, files,\n"
              "connections, questions and refusals that followed; a program stands beneath the one that\n"
              "started it, where its record says which, else beneath the tool call it ran in, by time. What\n"
              "is behind # is the entry's number: `oqto-audit show` and `prove` take it.\n"
              "Exit status: 0 told, 1 nothing found (stderr says among what), 2 not readable or wrong usage.\n"
              "Signatures are not checked here: that is `oqto-audit verify`.",
          .options = {log_option(),
                      {"--from", "TIME", "not before this time; times as in `oqto-audit search --help`"},
                      {"--to", "TIME", "before this time"},
                      {"--range", "A..B", "only of the entries A to B"},
                      {"--limit", "N", "of at most N entries (default 20000); it says where it goes on"},
                      {"--all", "", "also what pages and the host do by themselves, one by one"},
                      {"--local", "", "times of this machine's time zone instead of UTC"},
                      json_option()},
          .run = timeline};
}

}  // namespace oqto::audit::cli
