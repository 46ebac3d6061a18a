#include "runner/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/log.h"
#include "base/sys.h"
#include "protocol/json.h"
#include "protocol/json_writer.h"

namespace oqto::runner {

using protocol::Json;
using protocol::JsonObject;
using protocol::Message;
using protocol::Part;

static constexpr std::size_t kMaxStreamed = 16 * 1024 * 1024;
static constexpr std::size_t kMaxBytes = 8 * kMaxStreamed;  // control characters take six bytes

Journal::Journal(const Fd& state_dir, const Uuid& session)
    : state_dir_(state_dir), name_("turn-" + session.text() + ".jsonl") {}

static void add_part(Message& message, std::map<std::int64_t, std::size_t>& places, const Json& line) {
  const std::int64_t index = line.integer_at("i");
  const auto [place, fresh] = places.try_emplace(index, message.parts.size());
  if (fresh) {
    const bool thinking = line.text_at("k") == "thinking";
    message.parts.push_back({.type = thinking ? Part::Type::thinking : Part::Type::text,
                             .id = message.id + "." + std::to_string(index)});
  }
  message.parts[place->second].text += line.text_at("t");
}

static std::uint64_t time_at(const Json& json) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, json.integer_at("created_at")));
}

static std::optional<Message> prompt_of(const Json& json) {
  const Json* parts = json.find("parts");
  auto decoded = parts == nullptr ? fail(Errc::bad_message, "") : protocol::decode_parts(parts->dump());
  if (!decoded) return std::nullopt;
  Message message{.id = std::string(json.text_at("id")), .role = protocol::Role::user, .created_at = time_at(json)};
  message.client_id = json.text_at("client_id");
  message.parts = std::move(*decoded);
  return message;
}

std::optional<Journal::Left> Journal::left() const {
  const auto file = sys::open_beneath(state_dir_, name_.c_str(), O_RDONLY);
  if (!file) return std::nullopt;
  const auto text = sys::read_all(*file, kMaxBytes);
  Left left;
  if (!text) return left;
  std::map<std::int64_t, std::size_t> places;
  for (std::string_view rest = *text; !rest.empty();) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) break;  // cut in the middle of a write
    const auto line = protocol::parse_json(rest.substr(0, end));
    rest.remove_prefix(end + 1);
    if (!line) continue;
    if (const Json* prompt = line->find("prompt")) {
      left.prompt = prompt_of(*prompt);
    } else if (line->find("deliveries") != nullptr) {
      left.deliveries = static_cast<unsigned>(std::clamp<std::int64_t>(line->integer_at("deliveries"), 0, 100));
    } else if (line->find("id") != nullptr) {
      left.partial = Message{.id = std::string(line->text_at("id")), .role = protocol::Role::assistant};
      left.partial->created_at = time_at(*line);
      left.partial->model = line->text_at("model");
      left.partial->provider = line->text_at("provider");
      places.clear();
    } else if (left.partial) {
      add_part(*left.partial, places, *line);
    }
  }
  return left;
}

void Journal::begin_turn(const Message& prompt) {
  auto file = sys::open_beneath(state_dir_, name_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  if (!file) return log::warn("a turn's journal cannot be written", {{"why", file.error().what}});
  file_ = std::move(*file);
  head_ = 0;
  write_head(JsonObject().json("prompt", protocol::encode_message(prompt)).str() + '\n');
}

void Journal::delivered(unsigned times) {
  if (file_) write_head(JsonObject().number("deliveries", times).str() + '\n');
}

void Journal::write_head(const std::string& line) {
  head_ += static_cast<std::int64_t>(line.size());
  write(line);
}

void Journal::begin_message(const Message& head) {
  if (!file_) return;
  end_message();
  JsonObject line;
  line.text("id", head.id).number("created_at", head.created_at);
  write(line.text("model", head.model).text("provider", head.provider).str() + '\n');
}

void Journal::add(Part::Type type, std::int64_t index, std::string_view text) {
  if (!file_ || bytes_ > kMaxStreamed) return;  // the translator keeps no more of it either
  bytes_ += text.size();
  JsonObject line;
  line.text("k", type == Part::Type::thinking ? "thinking" : "text").number("i", index);
  write(line.text("t", text).str() + '\n');
}

void Journal::end_message() {
  bytes_ = 0;
  if (file_ && ::ftruncate(file_.get(), head_) != 0) log::warn("a turn's journal cannot be cut", {{"errno", errno}});
}

void Journal::end_turn() {
  file_.reset();
  (void)::unlinkat(state_dir_.get(), name_.c_str(), 0);
}

void Journal::write(const std::string& line) {
  if (const Status written = sys::write_all(file_, line); !written) {
    log::warn("a turn's journal cannot be written", {{"why", written.error().what}});
    file_.reset();
  }
}

}  // namespace oqto::runner
