// What a browser may say, decoded strictly: a missing field, a field of the wrong type or an over-long
// one is an error in the answer to that command, and nothing else. Fields we do not know are ignored.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace oqto::protocol {

enum class Code : std::uint8_t {
  bad_request,
  not_found,
  busy,
  unavailable,
  refused,
  limit,
  not_available_yet
};
std::string_view code_name(Code code);

struct Failure {
  Code code{};
  std::string error;
};

constexpr std::size_t kMaxPromptBytes = 1024 * 1024;        // the text of one prompt
constexpr std::size_t kMaxImagesBytes = 10 * 1024 * 1024;   // base64, all images of one prompt
constexpr std::size_t kMaxImages = 20;
constexpr std::size_t kMaxNameCharacters = 64;
constexpr std::uint32_t kMaxPage = 200;
constexpr std::uint64_t kMaxPieceBytes = 512 * 1024;        // of a part, in one answer
constexpr std::size_t kMaxQueued = 32;                      // messages that wait for one agent
constexpr std::size_t kMaxSubscriptions = 512;              // sessions that one connection follows
constexpr std::string_view kSystemSession = "_system";

struct Image {
  std::string data;  // base64
  std::string media_type;
};
struct CreateWorkspace {
  std::string name;
};
struct CreateSession {
  std::string workspace;  // an id, or a name (`cwd`); empty: the one that the session has already
  std::string provider;
  std::string model;
  std::string profile;
};
struct Subscribe {
  std::uint64_t since_seq = 0;
  std::string epoch;  // that it was counted in; empty: unknown
};
struct SetName {
  std::string name;
};
struct Prompt {  // also steer and follow_up
  std::string message;
  std::string client_id;
  std::vector<Image> images;
};
struct InputResponse {
  std::string request_id;
  std::optional<std::string> value;
  std::optional<bool> confirmed;
  bool cancelled = false;
};
struct GetMessages {
  std::optional<std::uint32_t> before_idx;
  std::uint32_t limit = 100;
};
struct GetPart {
  std::string message_id;
  std::string part_id;
  std::uint64_t offset = 0;  // bytes
  std::uint64_t length = 256 * 1024;
};
struct QueueEdit {
  std::string item_id;
  std::string message;
};
struct QueueRemove {
  std::string item_id;
};
struct Fork {  // from before this message of the user: one of the two
  std::string entry_id;  // the harness's
  std::string message_id;
};
struct Compact {
  std::string instructions;
};
struct SetModel {
  std::string provider;
  std::string model_id;
};
struct SetThinkingLevel {
  std::string level;
};

enum class Cmd : std::uint8_t {
  list_workspaces,
  create_workspace,
  list_sessions,
  session_create,
  session_subscribe,
  session_unsubscribe,
  session_close,
  session_delete,
  session_new,
  fork,
  get_fork_points,
  compact,
  set_session_name,
  prompt,
  steer,
  follow_up,
  queue_edit,
  queue_remove,
  abort,
  input_response,
  get_state,
  get_messages,
  get_part,
  get_stats,
  get_models,
  set_model,
  set_thinking_level,
  not_built,  // a known name; the answer is not_available_yet
};

struct CommandHead {
  std::string id;  // echoed; may be empty
  std::string session_id;
  std::string name;
  bool numeric = false;  // the id is echoed as a number
};
struct Command {
  CommandHead head;
  Cmd cmd{};
  std::variant<std::monostate, CreateWorkspace, CreateSession, Subscribe, SetName, Prompt,
               InputResponse, GetMessages, GetPart, QueueEdit, QueueRemove, Fork, Compact, SetModel,
               SetThinkingLevel>
      args;
  // What is recorded of it in place of its frame: the fields that it has, where the frame has others as
  // well, or is longer than they explain. Empty: the frame.
  std::string recorded{};
  // A read changes nothing, so its record need not be durable before it is answered.
  [[nodiscard]] bool is_read() const;
};

struct BadFrame {  // no valid envelope
  std::optional<std::string> id;  // JSON
  std::string error;
};
struct ReservedChannel {
  std::string channel;
  std::optional<std::string> id;  // JSON
};
struct BadCommand {
  CommandHead head;
  Failure failure;
};
using Frame = std::variant<BadFrame, ReservedChannel, BadCommand, Command>;

Frame decode_frame(std::string_view text);

}  // namespace oqto::protocol
