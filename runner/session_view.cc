// What a session tells about itself, and its settings.
#include <algorithm>

#include "base/log.h"
#include "protocol/json_writer.h"
#include "runner/session.h"

namespace oqto::runner {

using protocol::Code;
using protocol::Json;
using protocol::JsonArray;
using protocol::JsonObject;
using protocol::Message;
namespace events = protocol::events;

constexpr std::size_t kMaxPageBytes = 900 * 1024;  // of one answer, below the frame's bound

std::string Session::created_json(bool resumed) const {
  JsonObject object;
  object.text("session_id", record_.id).text("workspace_id", record_.workspace);
  object.text("profile", profile_name(record_.profile)).boolean("resumed", resumed);
  return object.str();
}

std::string Session::policy_json(const ipc::SessionStarted& started) {
  const auto list = [](const auto& items) {
    JsonArray array;
    for (const std::string& item : items.values) array.text(item);
    return array.str();
  };
  JsonObject object;
  object.text("network", started.network.view()).boolean("asks_unknown_hosts", started.asks_unknown_hosts != 0);
  object.json("domains", list(started.domains)).json("allow_read", list(started.allow_read));
  object.json("allow_write", list(started.allow_write)).json("ask", list(started.ask));
  if (started.memory_bytes != 0) object.number("memory_bytes", started.memory_bytes);
  if (started.cpu_percent != 0) object.number("cpu_percent", started.cpu_percent);
  object.number("max_processes", started.max_processes).number("tmp_bytes", started.tmp_bytes);
  return object.number("wall_clock_s", started.wall_clock_s).str();
}

std::string Session::state_json() const {
  JsonObject object;
  object.text("state", state_name(state()));
  if (phase_ && (state_ == State::working || state_ == State::starting)) {
    object.text("phase", protocol::phase_name(phase_->first));
    object.text_unless_empty("detail", phase_->second);
  }
  object.number("since", since_ms_).text_unless_empty("model", model_);
  object.text_unless_empty("provider", provider_);
  object.text_unless_empty("thinking_level", thinking_level_);
  object.text("profile", profile_name(record_.profile));
  if (!policy_.empty()) object.json("policy", policy_);
  object.json("pending_inputs", inputs_json()).json("queue", protocol::encode_queue(queue_.view()));
  return object.text("epoch", ring_.epoch()).number("seq", ring_.last_seq()).str();
}

std::string Session::inputs_json() const {
  JsonArray inputs;
  for (const auto& [id, input] : inputs_) inputs.json(protocol::encode_input_request(input.request));
  return inputs.str();
}

// --- figures -------------------------------------------------------------------------------------

UsageCount Session::usage() const {
  UsageCount all = usage_before_;
  all.calls += usage_now_.calls;
  all.tokens_in += usage_now_.tokens_in;
  all.tokens_out += usage_now_.tokens_out;
  all.cost_nanos += usage_now_.cost_nanos;
  all.estimated_calls += usage_now_.estimated_calls;
  return all;
}

// The gateway counts from nought for each sandbox, and after a restart of its own.
void Session::on_usage(const ipc::SessionUsage& counted) {
  if (counted.calls < usage_now_.calls) {
    usage_before_ = usage();
    usage_now_ = {};
  }
  usage_now_ = {counted.calls, counted.tokens_in, counted.tokens_out, counted.cost_nanos, counted.estimated_calls};
  outbox_.head_changed();
  if (!turn_open_) outbox_.write_head();
}

// As the history has it, from before this process.
void Session::take_summary(const ConversationSummary& summary) {
  record_.message_count = std::max(record_.message_count, summary.message_count);
  record_.last_activity = std::max(record_.last_activity, summary.updated_at);
  if (model_.empty()) {
    model_ = summary.model;
    provider_ = summary.provider;
  }
  if (std::exchange(summary_known_, true)) return;
  usage_before_ = summary.usage;
  host_.on_changed(*this);
}

std::string Session::stats_json() const {
  const UsageCount all = usage();
  JsonObject tokens;
  tokens.number("input", all.tokens_in).number("output", all.tokens_out);
  tokens.number("total", all.tokens_in + all.tokens_out);
  JsonObject object;
  object.json("tokens", tokens.str()).number("calls", all.calls);
  object.real("cost", static_cast<double>(all.cost_nanos) / 1e9).boolean("estimated", all.estimated_calls > 0);
  return object.str();
}

std::string Session::list_json() const {
  JsonObject object;
  object.text("session_id", record_.id).text("title", record_.title);
  object.text("workspace_id", record_.workspace).text("state", state_name(state()));
  object.text("profile", profile_name(record_.profile)).text("provider", provider_);
  object.text("model", model_).number("created_at", record_.created_at);
  object.number("last_activity", record_.last_activity);
  object.number("message_count", record_.message_count).number("subscriber_count", subscribers_.size());
  return object.json("pending_inputs", inputs_json()).number("queued", queue_.items().size()).str();
}

void Session::get_messages(const protocol::GetMessages& wanted, Reply reply) {
  const auto answer = [this, wanted, reply, alive = alive_](Result<Page> page) {
    if (!*alive) return reply(no(Code::not_found, "the session was deleted"));
    if (!page) return reply(no(Code::unavailable, "the history does not answer now: try again in a moment"));
    reply(page_json(std::move(*page), wanted));
  };
  if (!stored_ || wanted.limit == 0) return answer(Page{{}, wanted.limit == 0 && record_.message_count > 0});
  host_.history().page(record_.id, wanted.before_idx, wanted.limit, answer);
}

// The stored page, and after it what is not stored yet and what is being streamed. The live part is
// taken now, so it agrees with the events that this connection has had before this answer.
std::string Session::page_json(Page page, const protocol::GetMessages& wanted) const {
  const auto fits = [&](std::uint32_t idx) { return !wanted.before_idx || idx < *wanted.before_idx; };
  for (const Message& message : outbox_.waiting()) {
    const bool known = std::any_of(page.messages.begin(), page.messages.end(),
                                   [&](const Message& other) { return other.id == message.id; });
    if (!known && fits(message.idx)) page.messages.push_back(message);
  }
  if (left_ && left_->prompt && fits(outbox_.next_idx())) {  // of before this process, until it is compared
    const bool there = std::any_of(page.messages.begin(), page.messages.end(),
                                   [&](const Message& other) { return other.id == left_->prompt->id; });
    if (!there) page.messages.push_back(*left_->prompt);
  }
  auto partial = translator_.partial();
  if (!partial && left_) partial = left_->partial;
  const bool stored = partial && std::any_of(page.messages.begin(), page.messages.end(),
                                             [&](const Message& other) { return other.id == partial->id; });
  if (partial && !stored && fits(outbox_.next_idx())) {
    partial->idx = outbox_.next_idx();
    page.messages.push_back(std::move(*partial));
  }
  std::vector<std::string> newest_first;
  std::size_t bytes = 0;
  for (auto message = page.messages.rbegin(); message != page.messages.rend(); ++message) {
    std::string text = protocol::encode_message_within(*message, protocol::kMaxMessageFrame);
    if (newest_first.size() >= wanted.limit || bytes + text.size() > kMaxPageBytes) {
      page.has_more = true;
      break;
    }
    bytes += text.size() + 1;
    newest_first.push_back(std::move(text));
  }
  JsonArray messages;
  for (auto text = newest_first.rbegin(); text != newest_first.rend(); ++text) messages.json(*text);
  JsonObject object;
  object.json("messages", messages.str()).boolean("has_more", page.has_more);
  return object.text("epoch", ring_.epoch()).number("seq", ring_.last_seq()).str();
}

// --- pieces of long parts ------------------------------------------------------------------------

// Bytes of a text, cut at characters; `next`: where to go on.
static std::string piece_json(std::string_view bytes, std::uint64_t offset, std::uint64_t total) {
  std::string_view text = protocol::cut_text_at_end(bytes, offset + bytes.size() >= total);
  // Control characters take six bytes on the wire.
  std::string encoded;
  for (protocol::append_json_text(encoded, text); encoded.size() > kMaxPageBytes;
       protocol::append_json_text(encoded, text)) {
    text = protocol::cut_text(text, text.size() / 2);
    encoded.clear();
  }
  JsonObject object;
  object.json("text", encoded).number("offset", offset);
  const std::uint64_t next = offset + text.size();
  if (next < total && !text.empty()) {
    object.number("next", next);
  } else {
    object.json("next", "null");
  }
  return object.number("total", total).str();
}

static const protocol::Part* part_named(const Message& message, std::string_view id) {
  const auto part = std::find_if(message.parts.begin(), message.parts.end(), [&](const auto& p) { return p.id == id; });
  return part == message.parts.end() ? nullptr : &*part;
}

static std::string slice_json(std::string_view whole, const protocol::GetPart& wanted) {
  std::size_t from = std::min<std::size_t>(wanted.offset, whole.size());
  while (from < whole.size() && (static_cast<unsigned char>(whole[from]) & 0xc0) == 0x80) ++from;
  return piece_json(whole.substr(from, wanted.length), from, whole.size());
}

void Session::get_part(const protocol::GetPart& wanted, Reply reply) {
  const auto from_message = [this, wanted, reply](const Message& message) {
    const protocol::Part* part = part_named(message, wanted.part_id);
    if (part == nullptr) return reply(no(Code::not_found, "there is no such part"));
    for (const protocol::WholePart& whole : message.wholes) {
      if (whole.part_id == part->id) return reply(slice_json(whole.bytes, wanted));
    }
    if (part->whole_bytes == 0) return reply(slice_json(protocol::content_of(*part), wanted));
    host_.history().part(record_.id, message.id, part->id, wanted.offset, static_cast<std::uint32_t>(wanted.length),
                         [wanted, reply](const Result<Piece>& piece) {
                           if (piece) {
                             std::string_view bytes = piece->bytes;
                             while (!bytes.empty() && (static_cast<unsigned char>(bytes.front()) & 0xc0) == 0x80)
                               bytes.remove_prefix(1);
                             return reply(
                                 piece_json(bytes, wanted.offset + piece->bytes.size() - bytes.size(), piece->total));
                           }
                           const bool lost = piece.error().code == Errc::not_found;
                           reply(lost
                                     ? no(Code::not_found,
                                          "the rest of it was not kept: it went with the sandbox, or is not read yet")
                                     : no(Code::unavailable, "the history does not answer now: try again in a moment"));
                         });
  };
  for (const Message& message : outbox_.waiting()) {
    if (message.id == wanted.message_id) return from_message(message);
  }
  if (const auto partial = translator_.partial(); partial && partial->id == wanted.message_id)
    return from_message(*partial);
  host_.history().message(
      record_.id, wanted.message_id, [from_message, reply, alive = alive_](const Result<Page>& page) {
        if (!*alive) return reply(no(Code::not_found, "the session was deleted"));
        if (!page) return reply(no(Code::unavailable, "the history does not answer now: try again in a moment"));
        if (page->messages.empty()) return reply(no(Code::not_found, "there is no such message"));
        from_message(page->messages.front());
      });
}


}  // namespace oqto::runner
