// The canonical message: what a stream ends with, what history stores, what get_messages returns.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace oqto::protocol {

enum class Role : std::uint8_t { user, assistant, system, tool };
std::string_view role_name(Role role);
std::optional<Role> role_named(std::string_view name);

struct Part {
  enum class Type : std::uint8_t { text, thinking, tool_call, tool_result, image };
  Type type{};
  std::string id = {};
  std::string text = {};          // text, thinking; a tool result's output
  std::string tool_call_id = {};  // tool_call, tool_result
  std::string name = {};          // the same
  std::string input = {};         // tool_call: JSON text, or empty while it is not complete
  bool is_error = false;     // tool_result
  std::optional<std::uint64_t> duration_ms = {};
  std::string data = {};          // image: base64
  std::string mime_type = {};
  // Not 0: `text` (of a tool call `input`, of an image `data`) is not all of it; it has so many bytes.
  // A tool call's input is then a JSON text with the beginning of the input's own text.
  std::uint64_t whole_bytes = 0;
  bool operator==(const Part&) const = default;
};

struct Usage {
  std::uint64_t input = 0;
  std::uint64_t output = 0;
  std::uint64_t cache_read = 0;
  std::uint64_t cache_write = 0;
  double cost = 0;
  bool operator==(const Usage&) const = default;
};

// An earlier try of an answer, that failed and was tried again.
struct Attempt {
  std::string error = {};
  std::string text = {};  // what had been streamed of it
  bool operator==(const Attempt&) const = default;
};

// What a cut part holds in full.
struct WholePart {
  std::string part_id;
  std::string bytes;
};

struct Message {
  std::string id = {};  // one id from the first delta to storage
  std::uint32_t idx = 0;
  Role role{};
  std::vector<Part> parts = {};
  std::uint64_t created_at = 0;  // unix ms
  std::string client_id = {};
  std::string model = {};
  std::string provider = {};
  std::string stop_reason = {};  // stop, length, tool_use, error, aborted
  std::string error = {};        // with stop_reason error: what the model's side said
  std::optional<Usage> usage = {};
  std::string tool_call_id = {};  // role tool
  std::string tool_name = {};
  std::optional<bool> is_error = {};
  std::vector<Attempt> attempts = {};
  bool recovered = false;  // it was read from the harness's own file after a crash
  std::vector<WholePart> wholes = {};  // of its cut parts, on the way to storage; not encoded
};

std::string encode_message(const Message& message);

// As encode_message, but never longer than `max_bytes`: images and then the ends of long texts are
// cut, and marked. History keeps the whole.
std::string encode_message_within(const Message& message, std::size_t max_bytes);

// The text that a part is about: of a tool call its input, of an image its data.
const std::string& content_of(const Part& part);

constexpr std::size_t kMaxStoredText = 1024 * 1024;             // of one part, in a stored message
constexpr std::size_t kMaxStoredMessage = 13 * 1024 * 1024;     // encoded
// Cuts what is too long to be stored in one message, and puts the whole of it into `wholes`.
void cut_for_storage(Message& message);

// The two JSON columns of storage. What encodes, decodes to the same message.
std::string encode_parts(const std::vector<Part>& parts);
std::string encode_metadata(const Message& message);
Result<std::vector<Part>> decode_parts(std::string_view json);
Status decode_metadata(std::string_view json, Message& into);

std::string plain_text(const Message& message);  // the text parts, for search and titles
std::size_t size_of(const Message& message);     // bytes it holds, for bounds

}  // namespace oqto::protocol
