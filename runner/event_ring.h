// The last events of one session, numbered from 1 within an epoch, for clients that come back: at most
// kMaxEvents and kMaxBytes, the oldest go first. The numbers do not outlive the process, so each ring is
// an epoch of its own.
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

  EventRing();
  [[nodiscard]] const std::string& epoch() const { return epoch_; }

  EventText add(std::string_view session_id, std::uint64_t ts, const protocol::Event& event);

  // The events with a number above `since`, counted in `epoch`; complete: none of those is missing.
  struct Replay {
    std::vector<EventText> events;
    bool complete = true;
  };
  [[nodiscard]] Replay after(std::uint64_t since, std::string_view epoch) const;

  [[nodiscard]] std::uint64_t last_seq() const { return last_seq_; }
  [[nodiscard]] std::uint64_t first_seq() const { return last_seq_ + 1 - events_.size(); }
  void forget();  // frees the events; the numbers go on

 private:
  std::string epoch_;
  std::deque<EventText> events_;
  std::uint64_t last_seq_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace oqto::runner
