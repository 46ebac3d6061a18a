#include "auditor/search.h"

#include <algorithm>
#include <tuple>

#include "audit/read/relations.h"
#include "audit/read/selection.h"
#include "auditor/words.h"
#include "base/sys.h"

namespace oqto::auditor {
namespace {

constexpr std::uint64_t kWindow = 262'144;  // indices that one query of the index looks at
constexpr std::size_t kCandidates = 256;    // that it gives at once

bool is_event(const std::string& pattern, std::string_view event) {
  if (!pattern.ends_with('*')) return pattern == event;
  return event.starts_with(std::string_view(pattern).substr(0, pattern.size() - 1));
}

// All that is said in an entry and in what was sealed of it.
std::string all_texts(const audit::ReadEntry& entry, const std::string& opened) {
  std::string all = words_of(entry).text;
  (void)audit::any_text(opened, [&](const std::string& text) {
    (all += ' ') += text;
    return false;
  });
  return all;
}

}  // namespace

struct Search::Walk {
  std::string expression;
  std::uint64_t from;
  std::uint64_t to;
  bool ascending;

  [[nodiscard]] bool done() const { return from >= to; }
  // What lies behind an index is done with.
  void pass(std::uint64_t index) {
    if (ascending) {
      from = index + 1;
    } else {
      to = index;
    }
  }
};

Result<IndexReader*> Search::index() {
  const std::uint64_t generation = follower_.state().generation;
  if (!index_ || generation_ != generation) {
    index_.reset();
    auto opened = IndexReader::open(state_dir_);
    if (!opened)
      return fail(Errc::unavailable, "the index is being made again: try again in a moment");
    index_ = std::move(*opened);
    generation_ = generation;
  }
  return &*index_;
}

// The next indices to look at; none: what was looked at is passed already.
Result<std::vector<std::uint64_t>> Search::candidates(Walk& walk) {
  const std::uint64_t width = walk.to - walk.from;
  std::vector<std::uint64_t> found;
  if (walk.expression.empty()) {
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(width, kCandidates); ++i) {
      found.push_back(walk.ascending ? walk.from + i : walk.to - 1 - i);
    }
    return found;
  }
  const std::uint64_t step = std::min(width, kWindow);
  const std::uint64_t from = walk.ascending ? walk.from : walk.to - step;
  const std::uint64_t to = walk.ascending ? walk.from + step : walk.to;
  auto matching = TRY(index())->find(walk.expression, from, to, walk.ascending, kCandidates);
  if (!matching && matching.error().code != Errc::bad_message) {
    return fail(Errc::invalid, "the index cannot look for this");
  }
  if (!matching) {
    follower_.make_again();
    index_.reset();
    return fail(Errc::unavailable, "the index is damaged and is made again: try again in a moment");
  }
  if (matching->empty()) walk.pass(walk.ascending ? to - 1 : from);
  return matching;
}

std::optional<Row> Search::related(const Row& row) {
  audit::Relations relations([this](std::uint64_t index) -> std::optional<std::string> {
    auto text = entry(index);
    return text ? std::optional(std::move(*text)) : std::nullopt;
  });
  auto found = relations.of(row.index, row.entry);
  if (!found) return std::nullopt;
  Row other{found->index, std::move(found->entry), {}};
  other.opened = view_.open_sealed(other.index, other.entry);
  return other;
}

// The index knows all words but those that are sealed.
bool Search::has_texts(const std::string& wanted, const audit::ReadEntry& entry, const Row& row) {
  using enum LogView::Opening;
  const auto other = related(row);
  const auto belongs = other ? audit::ReadEntry::parse(other->entry) : std::nullopt;
  if (row.opened.how == nothing_sealed && (!other || other->opened.how == nothing_sealed)) return true;
  std::string all = all_texts(entry, row.opened.plaintext);
  if (belongs) all += ' ' + all_texts(*belongs, other->opened.plaintext);
  return has_words(all, wanted);
}

bool Search::fits(const protocol::AuditFilter& filter, const Row& row) {
  if (!filter.from_ms && !filter.to_ms && filter.without.empty() && filter.text.empty()) return true;
  const auto entry = audit::ReadEntry::parse(row.entry);
  if (!entry) return false;
  const auto is_within = [&](std::uint64_t time) {
    return time >= filter.from_ms.value_or(0) && time < filter.to_ms.value_or(~std::uint64_t{0});
  };
  const auto happened = audit::happened_ms(*entry);
  if (!is_within(entry->number("time")) && (!happened || !is_within(*happened))) return false;
  const std::string event = entry->text("event");
  if (std::ranges::any_of(filter.without, [&](const auto& one) { return is_event(one, event); })) {
    return false;
  }
  return filter.text.empty() || has_texts(filter.text, *entry, row);
}

std::optional<std::string> filter_problem(const protocol::AuditFilter& filter) {
  for (const auto* events : {&filter.events, &filter.without}) {
    for (const std::string& event : *events) {
      if (auto problem = audit::event_problem(event)) return problem;
    }
  }
  for (const std::string& session : filter.sessions) {
    if (!audit::plain_session(session)) {
      return session + " is no session id, nor the beginning of one";
    }
  }
  return std::nullopt;
}

Result<audit::Names> Search::names() {
  auto names = TRY(index())->names();
  if (!names) return fail(Errc::unavailable, "the index is being made again: try again in a moment");
  return names;
}

// A name stands for its account and the other way round.
Result<protocol::AuditFilter> Search::as_the_log_spells(protocol::AuditFilter filter,
                                                        std::vector<std::string>& unknown) {
  for (std::string& session : filter.sessions) {
    session = audit::plain_session(session).value_or(session);
  }
  if (filter.tenants.empty() && filter.actors.empty()) return filter;
  audit::Query asked;
  asked.tenants = filter.tenants;
  asked.actors = filter.actors;
  auto known = TRY(names());
  audit::Selection selection(std::move(asked), {});
  selection.learn(std::move(known));
  unknown = selection.unknown();
  filter.tenants = selection.wanted().tenants;
  filter.actors = selection.wanted().actors;
  return filter;
}

Result<std::string> Search::entry(std::uint64_t index) {
  if (auto recent = follower_.recent(index)) return std::move(*recent);
  const auto published = TRY(view_.published());
  if (index >= published.checkpoint.size) return fail(Errc::not_found, "there is no such entry");
  return view_.entry(index, published.checkpoint.size);
}

Result<Page> Search::run(const protocol::AuditFilter& asked, Range range) {
  Page page;
  const protocol::AuditFilter filter = TRY(as_the_log_spells(asked, page.unknown));
  const auto expression = match_expression(filter);
  if (!expression) return fail(Errc::invalid, "the text has no letter and no digit in it");
  const Follower::State state = follower_.state();
  Walk walk{*expression, std::max(range.from, state.first), std::min(range.to, state.next),
            range.ascending};
  if (filter.from_ms || filter.to_ms) {
    const auto part = TRY(index())->narrow(walk.from, walk.to, filter.from_ms.value_or(0),
                                           filter.to_ms.value_or(protocol::kMaxAuditIndex));
    if (!part) return std::unexpected(part.error());
    std::tie(walk.from, walk.to) = *part;
  }
  const std::uint64_t deadline = sys::monotonic_ms() + kMaxMs;
  std::size_t bytes = 0;
  while (!walk.done()) {
    for (const std::uint64_t index : TRY(candidates(walk))) {
      if (sys::monotonic_ms() >= deadline || page.rows.size() >= range.limit) break;
      auto text = entry(index);
      if (!text) {  // pruned, or damaged: what is there is shown
        walk.pass(index);
        continue;
      }
      Row row{index, std::move(*text), {}};
      row.opened = view_.open_sealed(index, row.entry);
      if (fits(filter, row)) {
        bytes += row.entry.size() + row.opened.plaintext.size();
        if (!page.rows.empty() && bytes > kMaxBytes) {
          page.next = walk.ascending ? walk.from : walk.to;
          return page;
        }
        page.rows.push_back(std::move(row));
      }
      walk.pass(index);
    }
    if (sys::monotonic_ms() >= deadline || page.rows.size() >= range.limit) break;
  }
  if (!walk.done()) page.next = walk.ascending ? walk.from : walk.to;
  return page;
}

}  // namespace oqto::auditor
