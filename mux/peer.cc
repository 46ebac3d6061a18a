#include "mux/peer.h"

namespace oqto::mux {

void Peer::attach(ipc::Channel channel) {
  detach();
  channel_ = std::move(channel);
  watch_ = reactor_.watch(channel_.fd(), [this] { drain(); });
}

void Peer::detach() {
  ++generation_;
  watch_.reset();
  channel_ = ipc::Channel();
}

// At most so many at once, that one busy peer does not starve the others.
static constexpr int kBatch = 64;

void Peer::drain() {
  const std::uint64_t generation = generation_;
  for (int i = 0; i < kBatch && generation == generation_; ++i) {
    auto received = channel_.receive();
    if (received) {
      on_message_(*received);
    } else if (received.error().code == Errc::limit) {
      return;
    } else {
      detach();
      on_gone_(received.error());
      return;
    }
  }
}

}  // namespace oqto::mux
