// What the host says: events of a session, answers, and the frames of the system channel. One
// function per event is the one home of its spelling. docs/protocol.md lists them all.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/command.h"
#include "protocol/message.h"

namespace oqto::protocol {

constexpr std::size_t kMaxFrameBytes = 1024 * 1024;        // of the host
constexpr std::size_t kMaxMessageFrame = 768 * 1024;       // one message inside a frame
constexpr std::size_t kMaxProgressBytes = 32 * 1024;       // tool.progress keeps the end
constexpr std::size_t kMaxToolOutputBytes = 256 * 1024;    // tool.end keeps the end

struct Event {
  std::string name;
  std::string fields;  // JSON members, without braces
};

// Why the host itself asks: something in the sandbox attempted what its policy leaves to the user.
struct ApprovalFacts {
  std::string kind;  // file_read, host
  std::string what;  // path inside, or name
  std::uint32_t pid = 0;  // inside; 0: not known
  std::vector<std::string> argv;
  std::string cwd;
};

struct InputRequest {
  std::string type = {};  // select, confirm, input
  std::string request_id = {};
  std::string title = {};
  std::vector<std::string> options = {};
  std::string message = {};
  std::string placeholder = {};
  std::uint64_t timeout_ms = 0;  // 0: none
  std::optional<ApprovalFacts> approval = {};
};
std::string encode_input_request(const InputRequest& request);

// What came of it.
struct InputResolution {
  std::string_view how = "ended";  // answered, timeout, ended (the session, or the turn)
  std::string by = {};             // username
  std::string answer = {};
};

// One message that waits for the agent, as clients see it.
struct QueueItem {
  std::string id = {};
  bool steer = false;      // else a follow-up
  bool returned = false;   // nothing will deliver it any more: `reason`
  std::string reason = {};
  std::string message = {};
  std::size_t images = 0;
  std::string client_id = {};
  std::uint64_t created_at = 0;  // unix ms
};
std::string encode_queue(const std::vector<QueueItem>& queue);

enum class Phase : std::uint8_t {
  generating,
  thinking,
  tool_running,
  compacting,
  retrying,
  initializing
};
std::string_view phase_name(Phase phase);

namespace events {
Event session_created(bool resumed);
Event session_closed(std::string_view reason);
Event session_asleep();
Event session_unsubscribed(std::string_view reason);
Event title_changed(std::string_view title);
Event working(Phase phase, std::string_view detail = {});
Event idle(std::uint64_t version, std::uint64_t message_count);
Event error(std::string_view text, bool recoverable, std::string_view phase = {});
Event input_needed(const InputRequest& request);
Event input_resolved(std::string_view request_id, const InputResolution& resolution);
Event queue_changed(const std::vector<QueueItem>& queue);
Event user_message(const Message& message);
Event message_start(std::string_view message_id, Role role);
Event text_delta(std::string_view message_id, std::string_view delta, std::int64_t index);
Event thinking_delta(std::string_view message_id, std::string_view delta, std::int64_t index);
Event tool_call_start(std::string_view message_id, std::string_view call, std::string_view name,
                      std::int64_t index);
Event tool_call_delta(std::string_view message_id, std::string_view call, std::string_view delta,
                      std::int64_t index);
Event tool_call_end(std::string_view message_id, std::string_view call, std::string_view name,
                    std::string_view input_json, std::int64_t index);
Event message_retracted(std::string_view message_id, std::string_view error);
Event message_end(const Message& message);
Event tool_start(std::string_view call, std::string_view name, std::string_view input_json);
Event tool_progress(std::string_view call, std::string_view name, std::string_view output);
Event tool_end(std::string_view call, std::string_view name, std::string_view output, bool is_error,
               std::uint64_t duration_ms);
Event retry_start(std::int64_t attempt, std::int64_t max_attempts, std::int64_t delay_ms,
                  std::string_view error);
Event retry_end(bool success, std::int64_t attempt, std::string_view final_error);
Event compact_start(std::string_view reason);
Event compact_end(bool success, std::string_view error, std::string_view summary,
                  std::optional<std::int64_t> tokens_before);
Event model_changed(std::string_view provider, std::string_view model_id);
Event thinking_level_changed(std::string_view level);
Event notify(std::string_view level, std::string_view message);
Event status(std::string_view key, std::optional<std::string_view> text);
Event persisted(std::uint64_t message_count);
Event resync_required(std::uint64_t dropped, std::string_view reason);
}  // namespace events

// `seq` counts within `epoch`.
struct EventStamp {
  std::string_view epoch;
  std::uint64_t seq = 0;
  std::uint64_t ts = 0;  // unix ms
};
std::string encode_event(std::string_view session_id, const EventStamp& stamp, const Event& event);

// Answers. `data` is JSON text, or empty for none; `epoch` the session's, or empty.
std::string encode_success(const CommandHead& head, std::string_view data);
std::string encode_failure(const CommandHead& head, const Failure& failure, std::string_view epoch = {});

struct ModelInfo {
  std::string id;
  std::string name;
  std::string provider;
  bool reasoning = false;
  bool images = false;  // takes pictures
};
constexpr std::string_view kDemoProvider = "demo";  // the gateway's scripted model: no AI
std::string encode_models(const std::vector<ModelInfo>& models);

// The system channel.
// `more`: further members as JSON text, or empty.
std::string encode_connected(std::uint32_t account, std::string_view username,
                             std::string_view role, std::string_view models_json, std::string_view more = {});
std::string encode_ping();
// What the account's other connections must know: {"channel":"system","type":TYPE,NAME:JSON}.
std::string encode_push(std::string_view type, std::string_view name, std::string_view json);
std::string encode_bad_frame(const BadFrame& bad);
std::string encode_reserved(const ReservedChannel& reserved);

}  // namespace oqto::protocol
