// Stories: what one session or one person did, and whose there are.
#include <ranges>

#include "audit/read/open_entry.h"
#include "audit/read/relations.h"
#include "audit/read/story.h"
#include "auditor/answers.h"
#include "protocol/json_writer.h"

namespace oqto::auditor {
namespace {

using protocol::Code;
using protocol::Failure;
using protocol::JsonArray;
using protocol::JsonObject;

constexpr std::size_t kMaxSubjects = 200;

}  // namespace

Answers::Counted Answers::subjects() {
  protocol::AuditFilter filter;
  filter.events = {"session.start"};
  const auto page = search_.run(filter, {.from = 0,
                                         .to = protocol::kMaxAuditIndex,
                                         .ascending = false,
                                         .limit = kMaxSubjects});
  const auto names = search_.names();
  if (!page || !names) {
    return {std::unexpected(failure_of(!page ? page.error() : names.error())), 0};
  }
  JsonArray sessions;
  for (const Row& row : page->rows) {
    const auto entry = audit::ReadEntry::parse(row.entry);
    if (!entry || entry->text("phase") != "intent") continue;
    const std::string account = entry->text("fields.account");
    JsonObject session;
    session.text("session", entry->text("fields.session")).text("account", account);
    session.text("name", names->name_of(account)).number("time", entry->number("time"));
    sessions.json(session.str());
  }
  JsonArray people;
  for (const audit::Names::Pair& one : names->people(kMaxSubjects)) {
    JsonObject person;
    people.json(person.text("account", one.account).text("name", one.name).str());
  }
  JsonObject data;
  data.json("sessions", sessions.str()).json("people", people.str());
  return {data.str(), page->rows.size()};
}

Answers::Counted Answers::timeline(const protocol::AuditTimeline& args) {
  if (auto problem = filter_problem(args.filter)) return {std::unexpected(Failure{Code::bad_request, std::move(*problem)}), 0};
  auto page = search_.run(args.filter, {.from = 0,
                                        .to = args.before.value_or(protocol::kMaxAuditIndex),
                                        .ascending = false,
                                        .limit = args.limit});
  if (!page) return {std::unexpected(failure_of(page.error())), 0};
  audit::KeyReader keys(view_.dir());
  audit::Relations relations([&](std::uint64_t index) -> std::optional<std::string> {
    const auto earlier = search_.entry(index);
    return earlier ? std::optional(audit::open_entry(*earlier, keys)) : std::nullopt;
  });
  audit::Story story;
  for (const Row& row : page->rows | std::views::reverse) {
    const std::string opened = audit::open_entry(row.entry, keys);
    const auto related = relations.of(row.index, opened);
    story.add(row.index, opened, related ? std::string_view(related->entry) : std::string_view(),
              related ? related->index : 0);
  }
  story.finish(args.all);
  JsonObject data;
  data.append(audit::story_json(story)).number("indexed", follower_.state().next);
  data.json("next", page->next ? std::to_string(*page->next) : "null");
  add_unknown(data, page->unknown);
  return {data.str(), page->rows.size()};
}

}  // namespace oqto::auditor
