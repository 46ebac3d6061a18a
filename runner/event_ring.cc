#include "runner/event_ring.h"

#include <algorithm>

#include "base/encoding.h"

namespace oqto::runner {

EventRing::EventRing() : epoch_(Uuid::random().text().substr(0, 8)) {}

EventText EventRing::add(std::string_view session_id, std::uint64_t ts,
                         const protocol::Event& event) {
  auto text = std::make_shared<const std::string>(
      protocol::encode_event(session_id, {epoch_, ++last_seq_, ts}, event));
  bytes_ += text->size();
  events_.push_back(text);
  while (events_.size() > kMaxEvents || (bytes_ > kMaxBytes && events_.size() > 1)) {
    bytes_ -= events_.front()->size();
    events_.pop_front();
  }
  return text;
}

EventRing::Replay EventRing::after(std::uint64_t since, std::string_view epoch) const {
  Replay replay;
  // A number that was counted in another epoch says nothing about these events.
  const bool known = epoch == epoch_ && since <= last_seq_;
  replay.complete = since == 0 ? first_seq() == 1 : known && since + 1 >= first_seq();
  const std::uint64_t from = known ? std::max(since + 1, first_seq()) : first_seq();
  const auto skip = static_cast<std::ptrdiff_t>(from - first_seq());
  replay.events.assign(events_.begin() + skip, events_.end());
  return replay;
}

void EventRing::forget() {
  events_.clear();
  bytes_ = 0;
}

}  // namespace oqto::runner
