#include "audit/read/relations.h"

#include <algorithm>

#include "audit/read/entry_reader.h"

namespace oqto::audit {
namespace {

bool says(std::string_view entry, std::string_view member) {
  return entry.find(member) != entry.npos;
}

// Whoever writes an outcome names its intent: another one's is not his to finish.
bool is_of_one_source(const ReadEntry& a, const ReadEntry& b) {
  for (const std::string_view path : {"event", "actor.process", "actor.account", "actor.session"}) {
    if (a.raw(path) != b.raw(path)) return false;
  }
  return true;
}

bool is_guard_on_process(const ReadEntry& entry) {
  return entry.text("actor.process") == "guard" && !entry.raw("fields.pid").empty();
}

}  // namespace

std::optional<Relations::Related> Relations::intent_of(std::string_view entry) {
  const auto outcome = ReadEntry::parse(entry);
  if (!outcome || outcome->raw("intent").empty()) return std::nullopt;
  const std::uint64_t index = outcome->number("intent");
  Related related{index, {}};
  if (const auto found = intents_.find(index); found != intents_.end()) {
    related.entry = found->second;
  } else if (auto fetched = fetch_ ? fetch_(index) : std::nullopt) {
    related.entry = std::move(*fetched);
  }
  const auto intent = ReadEntry::parse(related.entry);
  if (!intent || intent->text("phase") != "intent" || !is_of_one_source(*outcome, *intent)) {
    return std::nullopt;
  }
  return related;
}

std::optional<Relations::Related> Relations::start_of(std::string_view entry) {
  const auto stop = ReadEntry::parse(entry);
  if (!stop || !is_guard_on_process(*stop)) return std::nullopt;
  const auto found = processes_.find(stop->text("fields.pid"));
  if (found == processes_.end()) return std::nullopt;
  Related related = std::move(found->second);
  processes_.erase(found);
  const auto start = ReadEntry::parse(related.entry);
  if (!start || start->raw("fields.process") != stop->raw("fields.process")) return std::nullopt;
  return related;
}

void Relations::keep_intent(std::uint64_t index, std::string_view entry) {
  if (!intents_.emplace(index, entry).second) return;
  kept_bytes_ += entry.size();
  while (intents_.size() > kMaxKept || kept_bytes_ > kMaxKeptBytes) {
    kept_bytes_ -= intents_.begin()->second.size();
    intents_.erase(intents_.begin());
  }
}

void Relations::keep_start(std::uint64_t index, std::string_view entry) {
  const auto start = ReadEntry::parse(entry);
  if (!start || !is_guard_on_process(*start)) return;
  processes_.insert_or_assign(start->text("fields.pid"), Related{index, std::string(entry)});
  if (processes_.size() <= kMaxKept) return;
  processes_.erase(std::ranges::min_element(processes_, {}, [](const auto& one) { return one.second.index; }));
  ++forgotten_starts_;
}

std::optional<Relations::Related> Relations::of(std::uint64_t index, std::string_view entry) {
  if (says(entry, R"("phase":"outcome")")) return intent_of(entry);
  if (says(entry, R"("phase":"intent")")) {
    keep_intent(index, entry);
  } else if (says(entry, R"("event":"process.stop")")) {
    return start_of(entry);
  } else if (says(entry, R"("event":"process.start")")) {
    keep_start(index, entry);
  }
  return std::nullopt;
}

}  // namespace oqto::audit
