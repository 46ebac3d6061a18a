#include "auditor/search.h"

#include <algorithm>
#include <tuple>

#include "audit/read/entry_reader.h"
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

bool Search::fits(const protocol::AuditFilter& filter, const Row& row) const {
  if (!filter.from_ms && !filter.to_ms && filter.without.empty() &&
      (filter.text.empty() || row.opened.how == LogView::Opening::nothing_sealed)) {
    return true;
  }
  const auto entry = audit::ReadEntry::parse(row.entry);
  if (!entry) return false;
  const std::uint64_t time = entry->number("time");
  if (filter.from_ms && time < *filter.from_ms) return false;
  if (filter.to_ms && time >= *filter.to_ms) return false;
  const std::string event = entry->text("event");
  if (std::ranges::any_of(filter.without, [&](const auto& one) { return is_event(one, event); })) {
    return false;
  }
  return filter.text.empty() || row.opened.how == LogView::Opening::nothing_sealed ||
         has_words(all_texts(*entry, row.opened.plaintext), filter.text);
}

Result<std::string> Search::entry(std::uint64_t index) {
  if (auto recent = follower_.recent(index)) return std::move(*recent);
  const auto published = TRY(view_.published());
  if (index >= published.checkpoint.size) return fail(Errc::not_found, "there is no such entry");
  return view_.entry(index, published.checkpoint.size);
}

Result<Page> Search::run(const protocol::AuditFilter& filter, Range range) {
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
  Page page;
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
