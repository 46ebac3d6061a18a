// The frames of a damaged segment. Each is looked for once, however often it is asked for, and what a
// hostile segment has hashed in vain is bounded: by a few times its own length, for the whole of it.
#pragma once
#include <cstddef>
#include <string_view>

#include "audit/format/format.h"

namespace oqto::audit {

class FrameSearch {
 public:
  explicit FrameSearch(std::string_view segment)
      : segment_(segment), budget_(kTimes * segment.size() + kNoteFrame) {}

  // The next whole one at or behind `from`, which ascends from call to call; npos: none.
  std::size_t entries_at(std::size_t from) {
    if (from >= entries_from_) {
      entries_ = find_entries_frame(segment_, from, budget_);
      entries_from_ = entries_ == segment_.npos ? segment_.npos : entries_ + 1;
    }
    return entries_;
  }
  std::size_t note_at(std::size_t from) {
    if (from >= note_from_) {
      note_ = find_note_frame(segment_, from, budget_);
      note_from_ = note_ == segment_.npos ? segment_.npos : note_ + 1;
    }
    return note_;
  }

  // What begins there is no batch, though it said so.
  void spend(std::size_t offset) {
    const std::size_t claimed = claimed_length(segment_.substr(offset));
    if (claimed <= segment_.size() - offset) budget_ -= budget_ < claimed ? budget_ : claimed;
  }
  [[nodiscard]] bool is_spent() const { return budget_ == 0; }

 private:
  static constexpr std::size_t kTimes = 4;
  std::string_view segment_;
  std::size_t budget_;
  std::size_t entries_ = 0, entries_from_ = 0;  // from there on nothing is known yet
  std::size_t note_ = 0, note_from_ = 0;
};

}  // namespace oqto::audit
