// Lines of a hostile harness: translation ends, and every event is valid JSON.
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "runner/event_ring.h"
#include "runner/line_framer.h"
#include "runner/translator.h"

namespace {

using namespace oqto;

class Checker final : public runner::TranslatorSink {
 public:
  void on_event(protocol::Event event) override { check(event); }
  void on_message(protocol::Message message) override {
    check(protocol::events::message_end(message));
    const auto parts = protocol::decode_parts(protocol::encode_parts(message.parts));
    CHECK(parts && parts->size() == message.parts.size());
  }
  void on_phase(protocol::Phase phase, std::string_view detail) override {
    check(protocol::events::working(phase, detail));
  }
  void on_input_needed(protocol::InputRequest request) override {
    check(protocol::events::input_needed(request));
  }
  void on_dialog_refused(std::string_view) override {}
  void on_thinking_level(std::string_view) override {}
  void on_settled() override {}

 private:
  void check(const protocol::Event& event) {
    CHECK(protocol::parse_json(*ring_.add("oqto-x", 1, event), {.depth = 80}));
  }
  runner::EventRing ring_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Checker sink;
  int next = 0;
  runner::Translator translator(sink, [&] { return "m" + std::to_string(++next); });
  runner::LineFramer framer(1 << 20, [](std::string_view) { return false; });
  std::uint64_t now = 0;
  (void)framer.feed({reinterpret_cast<const char*>(data), size}, [&](std::string_view line) {
    const auto json = protocol::parse_json(line);
    if (json && json->object() != nullptr) translator.feed(*json, now += 60);
  });
  translator.abandon("the end");
  return 0;
}
