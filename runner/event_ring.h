// The last events of one session, numbered from 1, for clients that come back: at most kMaxEvents
// and kMaxBytes, the oldest go first.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/event.h"

namespace oqto::runner {

using EventText = std::shared_ptr<const std::string>;  // one encoded frame, shared by subscribers

class EventRing {
 public:
  static constexpr std::size_t kMaxEvents = 4096;
  static constexpr std::size_t kMaxBytes = 4 * 1024 * 1024;

  EventText add(std::string_view session_id, std::uint64_t ts, const protocol::Event& event);

  // The events with a number above `since`; complete: none of those was dropped.
  struct Replay {
    std::vector<EventText> events;
    bool complete = true;
  };
  [[nodiscard]] Replay after(std::uint64_t since) const;

  [[nodiscard]] std::uint64_t last_seq() const { return last_seq_; }
  [[nodiscard]] std::uint64_t first_seq() const { return last_seq_ + 1 - events_.size(); }
  void forget();  // frees the events; the numbers go on

 private:
  std::deque<EventText> events_;
  std::uint64_t last_seq_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace oqto::runner
