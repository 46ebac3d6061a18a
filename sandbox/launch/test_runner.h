// For tests: the runner's end of oqto-init's control channel, and that end served by Programs under
// the real filter and monitor.
#pragma once
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sandbox/monitor/test_monitored.h"

namespace oqto::sandbox {

class TestRunner {
 public:
  // What happens on the runner's side happens in `drive`, on a thread of its own.
  static void with(Monitored monitored, const std::function<void(TestRunner&)>& drive);

  struct Wanted {
    std::vector<std::string> argv;
    std::vector<std::string> env{};
    std::uint16_t rows = 0, columns = 0;
  };
  void give(std::uint32_t program, ipc::StdioKind kind, const Fd& fd);
  void start(std::uint32_t program, Wanted wanted);
  // The next message of this type; anything else on the way is dropped.
  template <class Message>
  std::optional<Message> expect(Fd* with = nullptr) {
    for (;;) {
      auto received = channel_.wait(kPatienceMs);
      if (!received) return std::nullopt;
      if (received->tag != Message::kTag) continue;
      const auto message = received->template as<Message>();
      if (with != nullptr) *with = std::move(received->fd);
      return message ? std::optional<Message>(*message) : std::nullopt;
    }
  }

  static constexpr int kPatienceMs = 20'000;

 private:
  explicit TestRunner(ipc::Channel channel) : channel_(std::move(channel)) {}
  ipc::Channel channel_;
};

// Reads until `text` has appeared or `patience` is over; everything that was read.
std::string read_until(const Fd& fd, std::string_view text);

}  // namespace oqto::sandbox
