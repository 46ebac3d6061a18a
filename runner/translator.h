// Pi's event records (1.5.2) to canonical events. Pure: no clock, no descriptors; ids and the time
// are given from outside, so the recorded transcripts are its tests.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/event.h"
#include "protocol/json.h"
#include "protocol/message.h"
#include "protocol/surrogates.h"

namespace oqto::runner {

// What the session does with a translated record, in the order of the calls.
class TranslatorSink {
 public:
  virtual ~TranslatorSink() = default;
  virtual void on_event(protocol::Event event) = 0;
  virtual void on_message(protocol::Message message) = 0;  // complete: give it an idx, store, send
  // A tool's result of which `path`, inside the sandbox, holds the whole; `bytes` of it.
  virtual void on_cut_result(protocol::Message message, std::string /*path*/) { on_message(std::move(message)); }
  virtual void on_user_message(const std::string& /*text*/) {}  // the model gets it now
  // An answer that is being streamed: for whoever must be able to restore it.
  virtual void on_stream_begins(const protocol::Message& /*head*/) {}
  virtual void on_streamed(protocol::Part::Type /*type*/, std::int64_t /*index*/, const std::string& /*text*/) {}
  virtual void on_phase(protocol::Phase phase, std::string_view detail) = 0;
  virtual void on_input_needed(protocol::InputRequest request) = 0;
  virtual void on_dialog_refused(std::string_view request_id) = 0;  // tell Pi that it is cancelled
  virtual void on_thinking_level(std::string_view level) = 0;
  // As the agent reports it, before and after: what really ran, the monitor records.
  virtual void on_tool_begins(std::string_view /*call*/, std::string_view /*tool*/,
                              const std::string& /*args_json*/) {}
  // `output` is what the model gets of it: text, or JSON where it is more than that.
  virtual void on_tool_ended(std::string_view /*call*/, std::string_view /*tool*/, bool /*failed*/,
                             std::uint64_t /*took_ms*/, const std::string& /*output*/) {}
  virtual void on_settled() = 0;  // the turn, its retries and its compaction are really over
};

class Translator {
 public:
  using NewId = std::function<std::string()>;
  Translator(TranslatorSink& sink, NewId new_id) : sink_(sink), new_id_(std::move(new_id)) {}

  // One record that is a JSON object and no response. Unknown records are ignored.
  void feed(const protocol::Json& record, std::uint64_t now_ms);

  // The assistant message that is being streamed, as far as it has come, or one that failed and may be
  // tried again.
  [[nodiscard]] std::optional<protocol::Message> partial() const;

  // Between agent_start and agent_settled.
  [[nodiscard]] bool running() const { return phase_.has_value(); }

  // Pi is gone: what was being streamed becomes a message that ended in an error. False: nothing was.
  bool abandon(std::string_view why);
  // What was asked of Pi beside a turn is done, and Pi does not say that it settles.
  void over();

  static constexpr std::size_t kMaxPartialBytes = 16 * 1024 * 1024;
  static constexpr std::uint64_t kProgressIntervalMs = 100;  // per tool call; progress is cumulative

 private:
  struct Tool {
    std::string name;
    std::uint64_t started_ms = 0;
    std::uint64_t progress_ms = 0;
  };

  void on_message_start(const protocol::Json& record);
  void on_message_update(const protocol::Json& record);
  void on_message_end(const protocol::Json& record);
  void on_tool_call(const protocol::Json& event, std::string_view type);
  void on_tool(const protocol::Json& record, std::string_view type, std::uint64_t now_ms);
  void on_retry(const protocol::Json& record, bool start);
  void on_compaction(const protocol::Json& record, bool start);
  void on_dialog(const protocol::Json& record);
  void on_agent_end(const protocol::Json& record);
  void settle();

  void phase(protocol::Phase phase, std::string_view detail = {});
  void announce();        // stream.message_start, once per message
  void release_failed();  // the failed message that no retry will replace
  void retract_failed();  // … and that one does
  void complete(protocol::Message message);
  static bool is_empty(const protocol::Message& message);
  std::string joined(std::int64_t index, std::string_view delta);  // with characters that were cut in two
  void append(protocol::Part::Type type, std::int64_t index, std::string_view delta);
  protocol::Part* part_at(protocol::Part::Type type, std::int64_t index);

  TranslatorSink& sink_;
  NewId new_id_;
  std::optional<protocol::Message> open_;
  std::map<std::int64_t, std::size_t> blocks_;  // content index -> part of open_
  std::size_t partial_bytes_ = 0;
  bool announced_ = false;
  std::map<std::int64_t, protocol::SurrogateJoiner> joiners_;  // content index -> of its deltas
  struct Failed {
    protocol::Message message;
    bool shown = false;  // it had begun to stream
  };
  std::optional<Failed> failed_;  // held back until it is known whether Pi retries
  std::vector<protocol::Attempt> attempts_;  // of the answer that is being tried again
  std::map<std::string, Tool, std::less<>> tools_;
  std::optional<std::pair<protocol::Phase, std::string>> phase_;
};

}  // namespace oqto::runner
