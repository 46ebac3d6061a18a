#include "protocol/message.h"

#include <algorithm>
#include <array>

#include "protocol/json.h"
#include "protocol/json_writer.h"

namespace oqto::protocol {
namespace {

constexpr std::array<std::string_view, 4> kRoles = {"user", "assistant", "system", "tool"};
constexpr std::array<std::string_view, 5> kPartTypes = {"text", "thinking", "tool_call",
                                                        "tool_result", "image"};

std::string encode_part(const Part& part) {
  JsonObject object;
  object.text("type", kPartTypes[static_cast<std::size_t>(part.type)]).text("id", part.id);
  switch (part.type) {
    case Part::Type::text:
    case Part::Type::thinking:
      object.text("text", part.text);
      break;
    case Part::Type::tool_call:
      object.text("toolCallId", part.tool_call_id).text("name", part.name);
      if (!part.input.empty()) object.json("input", part.input);
      break;
    case Part::Type::tool_result:
      object.text("toolCallId", part.tool_call_id).text_unless_empty("name", part.name);
      object.text("output", part.text).boolean("isError", part.is_error);
      if (part.duration_ms) object.number("durationMs", *part.duration_ms);
      break;
    case Part::Type::image:
      object.text("source", "base64").text("data", part.data).text("mimeType", part.mime_type);
      break;
  }
  if (part.whole_bytes != 0) object.json("cut", JsonObject().number("bytes", part.whole_bytes).str());
  return object.str();
}

std::string encode_usage(const Usage& usage) {
  JsonObject object;
  object.number("input_tokens", usage.input).number("output_tokens", usage.output);
  object.number("cache_read_tokens", usage.cache_read);
  object.number("cache_write_tokens", usage.cache_write).real("cost_usd", usage.cost);
  return object.str();
}

std::uint64_t count_at(const Json& object, std::string_view key) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, object.integer_at(key)));
}

std::optional<Part> decode_part(const Json& json) {
  Part part;
  const auto type = std::find(kPartTypes.begin(), kPartTypes.end(), json.text_at("type"));
  if (type == kPartTypes.end()) return std::nullopt;
  part.type = static_cast<Part::Type>(type - kPartTypes.begin());
  part.id = json.text_at("id");
  part.text = json.text_at(part.type == Part::Type::tool_result ? "output" : "text");
  part.tool_call_id = json.text_at("toolCallId");
  part.name = json.text_at("name");
  if (const Json* input = json.find("input")) part.input = input->dump();
  part.is_error = json.boolean_at("isError");
  if (json.find("durationMs") != nullptr) part.duration_ms = count_at(json, "durationMs");
  part.data = json.text_at("data");
  part.mime_type = json.text_at("mimeType");
  if (const Json* cut = json.find("cut")) part.whole_bytes = count_at(*cut, "bytes");
  return part;
}

std::string encode_attempts(const std::vector<Attempt>& attempts) {
  JsonArray array;
  for (const Attempt& attempt : attempts) {
    JsonObject object;
    array.json(object.text("error", attempt.error).text_unless_empty("text", attempt.text).str());
  }
  return array.str();
}

// What both the whole message and the metadata column say.
void add_common(JsonObject& object, const Message& message) {
  object.text_unless_empty("stop_reason", message.stop_reason);
  object.text_unless_empty("error", message.error);
  if (message.usage) object.json("usage", encode_usage(*message.usage));
  object.text_unless_empty("tool_call_id", message.tool_call_id);
  object.text_unless_empty("tool_name", message.tool_name);
  if (message.is_error) object.boolean("is_error", *message.is_error);
  if (!message.attempts.empty()) object.json("attempts", encode_attempts(message.attempts));
  if (message.recovered) object.boolean("recovered", true);
}

std::string& content(Part& part) {
  return part.type == Part::Type::tool_call ? part.input : part.type == Part::Type::image ? part.data : part.text;
}

// Keeps the first `max` bytes. Half an image shows nothing, so none of it is kept.
void cut(Part& part, std::size_t max) {
  std::string& text = content(part);
  if (text.size() <= max) return;
  const bool again = part.whole_bytes != 0;
  if (!again) part.whole_bytes = text.size();
  if (part.type == Part::Type::image) {
    text.clear();
  } else if (part.type == Part::Type::tool_call) {
    const auto before = parse_json(text);  // of one that was cut before: its text again
    const std::string* beginning = before && again ? before->text() : &text;
    std::string quoted;
    append_json_text(quoted, cut_text(beginning == nullptr ? text : *beginning, max / 2));
    text = std::move(quoted);
  } else {
    text = cut_text(text, max);
  }
}

std::size_t stored_bytes(const Message& message) {
  return encode_parts(message.parts).size() + plain_text(message).size();
}

}  // namespace

std::string_view role_name(Role role) { return kRoles[static_cast<std::size_t>(role)]; }

std::optional<Role> role_named(std::string_view name) {
  const auto found = std::find(kRoles.begin(), kRoles.end(), name);
  if (found == kRoles.end()) return std::nullopt;
  return static_cast<Role>(found - kRoles.begin());
}

std::string encode_parts(const std::vector<Part>& parts) {
  JsonArray array;
  for (const Part& part : parts) array.json(encode_part(part));
  return array.str();
}

std::string encode_message(const Message& message) {
  JsonObject object;
  object.text("id", message.id).number("idx", message.idx).text("role", role_name(message.role));
  object.json("parts", encode_parts(message.parts)).number("created_at", message.created_at);
  object.text_unless_empty("client_id", message.client_id);
  object.text_unless_empty("model", message.model);
  object.text_unless_empty("provider", message.provider);
  add_common(object, message);
  return object.str();
}

std::string encode_message_within(const Message& message, std::size_t max_bytes) {
  std::string whole = encode_message(message);
  if (whole.size() <= max_bytes) return whole;
  Message smaller = message;
  for (Part& part : smaller.parts) {
    if (part.type == Part::Type::image && part.data.size() >= 16 * 1024) cut(part, 0);
  }
  whole = encode_message(smaller);
  for (std::size_t room = max_bytes / 2; whole.size() > max_bytes && room > 64; room /= 2) {
    for (Part& part : smaller.parts) cut(part, room);
    for (Attempt& attempt : smaller.attempts) attempt.text = cut_text(attempt.text, room / 8);
    smaller.error = cut_text(smaller.error, room);
    if (room < 4096 && smaller.parts.size() > 64) smaller.parts.resize(64);
    whole = encode_message(smaller);
  }
  return whole;
}

const std::string& content_of(const Part& part) { return content(const_cast<Part&>(part)); }

void cut_for_storage(Message& message) {
  const auto keep_whole = [&message](Part& part, std::size_t max) {
    if (content(part).size() <= max) return;
    const bool known = part.whole_bytes != 0;  // cut before: the whole is elsewhere, or was put here already
    if (!known) message.wholes.push_back({part.id, content(part)});
    cut(part, max);
  };
  for (Part& part : message.parts) {
    if (part.type != Part::Type::image) keep_whole(part, kMaxStoredText);
  }
  // Many long parts, or long ones of control characters, which take six bytes each.
  for (std::size_t room = kMaxStoredText / 2; stored_bytes(message) > kMaxStoredMessage && room > 0; room /= 2) {
    for (Part& part : message.parts) keep_whole(part, room);
  }
}

std::string encode_metadata(const Message& message) {
  JsonObject object;
  add_common(object, message);
  return object.str();
}

Result<std::vector<Part>> decode_parts(std::string_view text) {
  const Json json = TRY(parse_json(text));
  const Json::Array* items = json.array();
  if (items == nullptr) return fail(Errc::bad_message, "stored parts are not an array");
  std::vector<Part> parts;
  for (const Json& item : *items) {
    auto part = decode_part(item);
    if (part) parts.push_back(std::move(*part));
  }
  return parts;
}

Status decode_metadata(std::string_view text, Message& into) {
  if (text.empty()) return {};
  const Json json = TRY(parse_json(text));
  into.stop_reason = json.text_at("stop_reason");
  into.error = json.text_at("error");
  into.tool_call_id = json.text_at("tool_call_id");
  into.tool_name = json.text_at("tool_name");
  if (const Json* flag = json.find("is_error")) into.is_error = flag->boolean();
  into.recovered = json.boolean_at("recovered");
  if (const Json* tries = json.find("attempts"); tries != nullptr && tries->array() != nullptr) {
    for (const Json& attempt : *tries->array()) {
      into.attempts.push_back({std::string(attempt.text_at("error")), std::string(attempt.text_at("text"))});
    }
  }
  if (const Json* usage = json.find("usage")) {
    const Json* cost = usage->find("cost_usd");
    into.usage = Usage{count_at(*usage, "input_tokens"), count_at(*usage, "output_tokens"),
                       count_at(*usage, "cache_read_tokens"),
                       count_at(*usage, "cache_write_tokens"),
                       cost == nullptr ? 0 : cost->number().value_or(0)};
  }
  return {};
}

std::string plain_text(const Message& message) {
  std::string text;
  for (const Part& part : message.parts) {
    if (part.type != Part::Type::text && part.type != Part::Type::tool_result) continue;
    if (!text.empty()) text += "\n\n";
    text += part.text;
  }
  return text;
}

std::size_t size_of(const Message& message) {
  std::size_t bytes = 256 + message.error.size();
  for (const Attempt& attempt : message.attempts) bytes += attempt.error.size() + attempt.text.size();
  for (const WholePart& whole : message.wholes) bytes += whole.bytes.size();
  for (const Part& part : message.parts) {
    bytes += 128 + part.text.size() + part.input.size() + part.data.size();
  }
  return bytes;
}

}  // namespace oqto::protocol
