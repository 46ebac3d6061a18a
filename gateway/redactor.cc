#include "gateway/redactor.h"

#include <algorithm>
#include <utility>

namespace oqto::gateway {

Redactor::Redactor(std::string_view key, bool sse) : forms_(key), sse_(sse), here_(forms_) {}

std::string Redactor::feed(std::string_view bytes) {
  if (forms_.all().empty()) return std::string(bytes);
  if (!sse_) {
    take(std::string(bytes), false);
    return release(false);
  }
  std::string out;
  while (!bytes.empty()) {
    std::size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size() - 1) + 1;
    if (bytes[end - 1] == '\r' && bytes.substr(end).starts_with('\n')) ++end;
    line_ += bytes.substr(0, end);
    bytes.remove_prefix(end);
    const bool whole = line_.back() == '\n' || line_.back() == '\r';
    if (!whole && line_.size() < kMaxLine) break;
    take(std::exchange(line_, {}), whole);
    out += release(false);
  }
  return out;
}

std::string Redactor::finish() {
  if (!line_.empty()) take(std::exchange(line_, {}), true);
  return release(true);
}

void Redactor::take(std::string text, bool ends_line) {
  waiting_bytes_ += text.size();
  waiting_.push_back({next_part_++, std::move(text), {}});
  const Part& part = waiting_.back();
  std::vector<KeyTrack::Pieces> found;
  here_.feed(part.number, 0, part.text, found);
  if (sse_) take_strings(part, found);
  for (const KeyTrack::Pieces& pieces : found) cut(pieces);
  if (ends_line) here_ = KeyTrack(forms_);
}

void Redactor::take_strings(const Part& part, std::vector<KeyTrack::Pieces>& found) {
  if (part.text.find_first_not_of("\r\n") == std::string::npos) facts_ = {};  // the end of an event
  if (!part.text.starts_with("data:")) return;
  read_line(part.text, facts_);
  for (const LineString& string : facts_.strings) {
    if (joined_.size() >= kMaxTracks) joined_.clear();
    KeyTrack& track = joined_.try_emplace(string.key + ' ' + facts_.indexes, forms_).first->second;
    const std::string_view text = std::string_view(part.text).substr(string.begin, string.end - string.begin);
    track.feed(part.number, string.begin, text, found);
  }
}

// What of it has passed already stays passed: at most kTelling - 1 characters.
void Redactor::cut(const KeyTrack::Pieces& pieces) {
  bool named = false;
  for (const KeyTrack::Piece& piece : pieces) {
    if (waiting_.empty() || piece.part < waiting_.front().number) continue;
    waiting_[piece.part - waiting_.front().number].cuts.push_back({piece.begin, piece.end, !named});
    named = true;
  }
}

void Redactor::each_track(const auto& see) {
  see(here_);
  for (auto& [name, track] : joined_) see(track);
}

std::string Redactor::release(bool all) {
  std::uint64_t passing = next_part_;  // those before it
  std::size_t longest = 0;
  const std::size_t least = sse_ ? kLeastOfAnEvent : 1;
  each_track([&](const KeyTrack& track) {
    if (track.pending() < least) return;
    for (const KeyTrack::Piece& piece : track.pending_pieces()) {
      if (waiting_.empty() || piece.part < waiting_.front().number) continue;  // it has passed
      passing = std::min(passing, piece.part);
      longest = std::max(longest, track.pending());
    }
  });
  idle_parts_ = longest > longest_ ? 0 : idle_parts_ + 1;
  longest_ = longest;
  if (all || waiting_bytes_ > kMaxHeld || (sse_ && idle_parts_ > kMaxIdleParts)) {
    passing = next_part_;
    each_track([&](const KeyTrack& track) {
      if (track.pending() >= kTelling) cut(track.pending_pieces());
    });
  }
  std::string out;
  while (!waiting_.empty() && waiting_.front().number < passing) {
    waiting_bytes_ -= waiting_.front().text.size();
    out += without_cuts(waiting_.front());
    waiting_.pop_front();
  }
  if (waiting_.empty()) idle_parts_ = 0;
  return out;
}

std::string Redactor::without_cuts(Part& part) {
  if (part.cuts.empty()) return std::move(part.text);
  std::ranges::sort(part.cuts, {}, [](const Cut& cut) { return std::pair(cut.begin, !cut.named); });
  std::string out;
  std::size_t at = 0;
  for (const Cut& cut : part.cuts) {  // two ways of reading find the same key: cuts overlap
    if (cut.begin >= at) {
      out.append(part.text, at, cut.begin - at);
      if (cut.named) out += "[redacted]";
    }
    at = std::max(at, cut.end);
  }
  return out.append(part.text, at);
}

}  // namespace oqto::gateway
