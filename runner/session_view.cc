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
  JsonArray inputs;
  for (const auto& [id, input] : inputs_) inputs.json(protocol::encode_input_request(input.request));
  return object.json("pending_inputs", inputs.str()).number("seq", ring_.last_seq()).str();
}

std::string Session::stats_json() const {
  JsonObject tokens;
  tokens.number("input", usage_.tokens_in).number("output", usage_.tokens_out);
  tokens.number("total", usage_.tokens_in + usage_.tokens_out);
  JsonObject object;
  return object.json("tokens", tokens.str()).number("calls", usage_.calls).real("cost", cost_).str();
}

std::string Session::list_json() const {
  JsonObject object;
  object.text("session_id", record_.id).text("title", record_.title);
  object.text("workspace_id", record_.workspace).text("state", state_name(state()));
  object.text("profile", profile_name(record_.profile)).text("provider", provider_);
  object.text("model", model_).number("created_at", record_.created_at);
  object.number("last_activity", record_.last_activity);
  object.number("message_count", record_.message_count);
  return object.number("subscriber_count", subscribers_.size()).str();
}

void Session::get_messages(const protocol::GetMessages& wanted, Reply reply) {
  const auto answer = [this, wanted, reply, alive = alive_](Result<Page> page) {
    if (!*alive) return reply(no(Code::not_found, "the session was deleted"));
    if (!page) return reply(no(Code::unavailable, "the history does not answer now: try again in a moment"));
    reply(page_json(std::move(*page), wanted));
  };
  if (!stored_) return answer(Page{});
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
  if (auto partial = translator_.partial(); partial && fits(outbox_.next_idx())) {
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
  return object.number("seq", ring_.last_seq()).str();
}

// --- settings ------------------------------------------------------------------------------------

// What the harness chose by itself. Whoever subscribed while it started has not seen it yet.
void Session::take_settings(const Json& state) {
  const Json* model = state.find("model");
  if (model != nullptr && model->object() != nullptr) {
    const bool changed = model->text_at("id") != model_ || model->text_at("provider") != provider_;
    model_ = model->text_at("id");
    provider_ = model->text_at("provider");
    if (changed) emit(events::model_changed(provider_, model_));
  }
  const std::string_view level = state.text_at("thinkingLevel");
  if (level == thinking_level_) return;
  on_thinking_level(level);
}

void Session::take_models(const Json& data) {
  constexpr std::size_t kMaxModels = 200;
  const Json* list = data.find("models");
  if (list == nullptr || list->array() == nullptr) return;
  models_.clear();
  for (const Json& model : *list->array()) {
    if (models_.size() >= kMaxModels) break;
    protocol::ModelInfo info{.id = std::string(model.text_at("id")),
                             .name = std::string(model.text_at("name")),
                             .provider = std::string(model.text_at("provider")),
                             .reasoning = model.boolean_at("reasoning")};
    if (info.name.empty()) info.name = info.id;
    if (const Json* input = model.find("input"); input != nullptr && input->array() != nullptr) {
      info.images = std::any_of(input->array()->begin(), input->array()->end(), [](const Json& kind) {
        return kind.text() != nullptr && *kind.text() == "image";
      });
    }
    models_.push_back(std::move(info));
  }
  host_.on_models(models_);
}

// The harness drops pictures without a word when the model takes none. Of a model that is not listed
// nothing is known, so it is asked.
bool Session::takes_images() const {
  const auto found = std::find_if(models_.begin(), models_.end(), [this](const auto& model) {
    return model.id == model_ && model.provider == provider_;
  });
  return found == models_.end() || found->images;
}

void Session::set_name(std::string_view name, Reply reply) {
  const auto before = std::pair{record_.title, record_.titled};
  record_.title = name;
  record_.titled = true;
  if (!host_.save_registry()) {
    std::tie(record_.title, record_.titled) = before;
    return reply(no(Code::unavailable, "the name could not be stored: try again"));
  }
  outbox_.head_changed();
  if (stored_) {
    host_.history().set_title(record_.id, record_.title, [](Status status) {
      if (!status) log::warn("a title waits for the next message to reach the history");
    });
  }
  emit(events::title_changed(record_.title));
  reply("");
}

void Session::set_model(const protocol::SetModel& model, Reply reply) {
  const auto keep = [this, model, reply, alive = alive_] {
    if (!*alive) return;
    record_.provider = provider_ = model.provider;
    record_.model = model_ = model.model_id;
    outbox_.head_changed();
    if (!host_.save_registry()) log::warn("the registry was not written");
    emit(events::model_changed(model.provider, model.model_id));
    JsonObject data;
    reply(data.text("provider", model.provider).text("model_id", model.model_id).str());
  };
  if (model.provider.starts_with('-') || model.model_id.starts_with('-')) {
    return reply(no(Code::bad_request, "no such model"));
  }
  if (!pi_ || closing_) return keep();  // it is chosen at the next start
  const std::string id = new_request([keep, reply](const Json* response) {
    if (response == nullptr) return reply(no(Code::unavailable, "the harness did not answer in time"));
    if (response->boolean_at("success")) return keep();
    reply(no(Code::refused, std::string(response->text_at("error"))));
  });
  request(id, pi::set_model(id, model));
}

void Session::set_thinking_level(std::string_view level, Reply reply) {
  if (!pi_ || closing_) {
    return reply(no(Code::unavailable, "the session is stopped: session.create starts it again"));
  }
  const std::string id =
      new_request([this, reply, level = std::string(level)](const Json* response) {
        if (response == nullptr || !response->boolean_at("success")) {
          return reply(no(Code::unavailable, "the harness did not take the level"));
        }
        if (thinking_level_.empty()) thinking_level_ = level;
        // A model that cannot think that hard settles on another level, and says so by an event.
        JsonObject data;
        reply(data.text("level", thinking_level_).str());
      });
  request(id, pi::set_thinking_level(id, level));
}

}  // namespace oqto::runner
