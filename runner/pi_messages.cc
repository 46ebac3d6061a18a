#include "runner/pi_messages.h"

#include <algorithm>
#include <cmath>

#include "base/sys.h"
#include "runner/pi_commands.h"

namespace oqto::runner {
namespace {

using protocol::Json;
using protocol::Message;
using protocol::Part;

std::uint64_t count_at(const Json& object, std::string_view key) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, object.integer_at(key)));
}

std::uint64_t time_of(const Json& pi) {
  const auto stamp = count_at(pi, "timestamp");
  return stamp == 0 ? sys::now_ms() : stamp;
}

std::optional<protocol::Usage> usage_of(const Json& pi) {
  const Json* usage = pi.find("usage");
  if (usage == nullptr || usage->object() == nullptr) return std::nullopt;
  protocol::Usage result{count_at(*usage, "input"), count_at(*usage, "output"),
                         count_at(*usage, "cacheRead"), count_at(*usage, "cacheWrite"), 0};
  const Json* cost = usage->find("cost");
  const Json* total = cost == nullptr ? nullptr : cost->find("total");
  if (total != nullptr) result.cost = total->number().value_or(0);
  return result;
}

std::optional<Part> assistant_part(const Json& block) {
  const std::string_view type = block.text_at("type");
  Part part;
  if (type == "text") {
    part.type = Part::Type::text;
    part.text = block.text_at("text");
  } else if (type == "thinking") {
    part.type = Part::Type::thinking;
    part.text = block.text_at("thinking");
  } else if (type == "toolCall") {
    part.type = Part::Type::tool_call;
    part.tool_call_id = block.text_at("id");
    part.name = block.text_at("name");
    const Json* arguments = block.find("arguments");
    part.input = input_json(arguments);
  } else if (type == "image") {
    part.type = Part::Type::image;
    part.data = block.text_at("data");
    part.mime_type = block.text_at("mimeType");
  } else {
    return std::nullopt;
  }
  return part;
}

}  // namespace

// How deep an input may be nested for every reader of it: browsers, the history, other clients.
static constexpr std::size_t kMaxInputDepth = 32;

static bool deeper_than(const Json& json, std::size_t depth) {
  const auto deeper = [&](const Json& child) { return depth == 0 || deeper_than(child, depth - 1); };
  if (json.array() != nullptr) return depth == 0 || std::any_of(json.array()->begin(), json.array()->end(), deeper);
  if (json.object() == nullptr) return false;
  return depth == 0 || std::any_of(json.object()->begin(), json.object()->end(),
                                   [&](const protocol::JsonMember& member) { return deeper(member.value); });
}

std::string input_json(const Json* arguments) {
  if (arguments == nullptr) return "{}";
  std::string text = arguments->dump();
  return deeper_than(*arguments, kMaxInputDepth) ? Json(Json::Value(std::move(text))).dump() : text;
}

std::string canonical_stop_reason(std::string_view pi) {
  if (pi == "toolUse") return "tool_use";
  if (pi == "length" || pi == "error" || pi == "aborted") return std::string(pi);
  return "stop";
}

std::string part_id(std::string_view message_id, std::size_t index) {
  return std::string(message_id) + "." + std::to_string(index);
}

std::string content_text(const Json* content) {
  if (content == nullptr) return {};
  if (content->text() != nullptr) return *content->text();
  std::string text;
  if (content->array() == nullptr) return text;
  for (const Json& block : *content->array()) {
    const std::string_view type = block.text_at("type");
    if (type != "text" && type != "image") continue;
    if (!text.empty() && !text.ends_with('\n')) text += '\n';
    if (type == "text") {
      text += block.text_at("text");
    } else {
      text += "[image " + std::string(block.text_at("mimeType")) + "]";
    }
  }
  return text;
}

bool is_text(const Json* content) {
  if (content == nullptr || content->array() == nullptr) return true;
  return std::ranges::all_of(*content->array(), [](const Json& block) { return block.text_at("type") == "text"; });
}

Message assistant_message(const Json& pi, std::string id) {
  Message message{.id = std::move(id), .role = protocol::Role::assistant, .created_at = time_of(pi)};
  message.model = pi.text_at("model");
  message.provider = pi.text_at("provider");
  message.stop_reason = canonical_stop_reason(pi.text_at("stopReason"));
  message.error = pi.text_at("errorMessage");
  message.usage = usage_of(pi);
  const Json* content = pi.find("content");
  if (content == nullptr || content->array() == nullptr) return message;
  for (std::size_t i = 0; i < content->array()->size(); ++i) {
    auto part = assistant_part((*content->array())[i]);
    if (!part) continue;
    part->id = part_id(message.id, i);
    message.parts.push_back(std::move(*part));
  }
  return message;
}

Message user_message(const Json& pi, std::string id) {
  Message message{.id = std::move(id), .role = protocol::Role::user, .created_at = time_of(pi)};
  const Json* content = pi.find("content");
  if (content == nullptr) return message;
  std::string text;
  if (content->text() != nullptr) text = *content->text();
  std::vector<Part> images;
  for (const Json& block : content->array() == nullptr ? Json::Array() : *content->array()) {
    if (block.text_at("type") == "text") text += block.text_at("text");
    if (block.text_at("type") != "image") continue;
    images.push_back({.type = Part::Type::image, .data = std::string(block.text_at("data")),
                      .mime_type = std::string(block.text_at("mimeType"))});
  }
  message.parts.push_back({.type = Part::Type::text, .id = part_id(message.id, 0), .text = std::move(text)});
  for (Part& image : images) {
    image.id = part_id(message.id, message.parts.size());
    message.parts.push_back(std::move(image));
  }
  return message;
}

Message tool_message(const Json& pi, std::string id) {
  Message message{.id = std::move(id), .role = protocol::Role::tool, .created_at = time_of(pi)};
  message.tool_call_id = pi.text_at("toolCallId");
  message.tool_name = pi.text_at("toolName");
  message.is_error = pi.boolean_at("isError");
  Part part{.type = Part::Type::tool_result, .id = part_id(message.id, 0)};
  part.tool_call_id = message.tool_call_id;
  part.name = message.tool_name;
  part.text = content_text(pi.find("content"));
  part.is_error = *message.is_error;
  if (pi.find("durationMs") != nullptr) part.duration_ms = count_at(pi, "durationMs");
  const Json* details = pi.find("details");
  const Json* truncation = details == nullptr ? nullptr : details->find("truncation");
  const bool kept = truncation != nullptr && !pi::full_output_path(pi).empty();  // else nobody has the rest
  if (kept && truncation->boolean_at("truncated")) part.whole_bytes = count_at(*truncation, "totalBytes");
  message.parts.push_back(std::move(part));
  return message;
}

}  // namespace oqto::runner
