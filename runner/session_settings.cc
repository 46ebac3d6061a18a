// A session's settings, and what can be done to its conversation: models, names, forks, compaction.
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

// What the harness chose by itself. Whoever subscribed while it started has not seen it yet.
void Session::take_settings(const Json& state) {
  const Json* model = state.find("model");
  if (model != nullptr && model->object() != nullptr) {
    const std::string_view id = model->text_at("id").substr(0, kMaxModelName);
    const std::string_view provider = model->text_at("provider").substr(0, kMaxModelName);
    const bool changed = id != model_ || provider != provider_;
    model_ = id;
    provider_ = provider;
    if (changed) emit(events::model_changed(provider_, model_));
  }
  const std::string_view level = state.text_at("thinkingLevel").substr(0, 64);
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

// With a sentence that says what there is.
std::optional<protocol::Failure> Session::unknown_model(const std::string& provider, const std::string& model) const {
  const auto& offered = host_.offered_models();
  const bool option = provider.starts_with('-') || model.starts_with('-');  // it would be one of the harness's
  const bool known = std::any_of(offered.begin(), offered.end(), [&](const protocol::ModelInfo& info) {
    return info.id == model && info.provider == provider;
  });
  if (!option && (known || offered.empty())) return std::nullopt;
  std::string names;
  for (const protocol::ModelInfo& info : offered) {
    if (names.size() < 400) names += (names.empty() ? "" : ", ") + info.provider + "/" + info.id;
  }
  return protocol::Failure{Code::refused, "this host does not offer the model " + provider + "/" + model +
                                              (names.empty() ? "" : "; it offers " + names)};
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
  host_.on_changed(*this);
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
    host_.on_changed(*this);
    JsonObject data;
    reply(data.text("provider", model.provider).text("model_id", model.model_id).str());
  };
  if (const auto unknown = unknown_model(model.provider, model.model_id)) return reply(std::unexpected(*unknown));
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

// --- the conversation ----------------------------------------------------------------------------

void Session::compact(const protocol::Compact& wanted, Reply reply) {
  when_ready([this, wanted, reply, alive = alive_](const Answer& ready) {
    if (!ready) return reply(ready);
    if (!*alive) return reply(no(Code::not_found, "the session was deleted"));
    if (turn_open_) return reply(no(Code::busy, "the agent is working: wait until it is done, or stop it first"));
    turn_open_ = true;
    const std::string id = new_request([this, reply](const Json* response) {
      translator_.over();
      if (turn_open_) on_settled();
      if (response == nullptr) return reply(no(Code::unavailable, "the harness did not answer in time"));
      if (!response->boolean_at("success")) return reply(no(Code::refused, std::string(response->text_at("error"))));
      const Json* data = response->find("data");
      JsonObject answer;
      answer.text("summary", protocol::cut_text(data == nullptr ? "" : data->text_at("summary"), 256 * 1024));
      reply(answer.number("tokens_before", data == nullptr ? 0 : data->integer_at("tokensBefore")).str());
    }, kCompactTimeoutMs);
    request(id, pi::compact(id, wanted.instructions));
  });
}

// What the user said and is part of the conversation, newest first.
static std::vector<const Message*> said(const std::vector<Message>& messages) {
  std::vector<const Message*> said;
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    if (message->role == protocol::Role::user) said.push_back(&*message);
  }
  return said;
}

void Session::get_fork_points(Reply reply) {
  when_ready([this, reply, alive = alive_](const Answer& ready) {
    if (!ready || !*alive) return reply(ready ? no(Code::not_found, "the session was deleted") : ready);
    const std::string id = new_request([this, reply](const Json* response) {
      const Json* data = response == nullptr ? nullptr : response->find("data");
      const Json* points = data == nullptr ? nullptr : data->find("messages");
      if (points == nullptr || points->array() == nullptr)
        return reply(no(Code::unavailable, "the harness did not answer"));
      JsonArray rows;
      for (const Json& point : *points->array()) {
        JsonObject row;
        row.text("entry_id", point.text_at("entryId")).text("role", "user");
        rows.json(row.text("preview", protocol::cut_text(point.text_at("text"), 200)).str());
        if (rows.bytes() > 512 * 1024) break;
      }
      reply(rows.str());
    });
    request(id, pi::plain(id, "get_fork_messages"));
  });
}

// The harness numbers what was said in its own way: the two lists are matched from their ends, by text.
void Session::find_fork_point(const protocol::Fork& wanted,
                              std::function<void(std::expected<ForkPoint, protocol::Failure>)> done) {
  const auto match = [this, wanted, done](const Json& points, const Page& page) {
    std::size_t at = points.array()->size();
    for (const Message* message : said(page.messages)) {
      const std::string text = plain_text(*message);
      std::size_t same = at;
      while (same > 0 && (*points.array())[same - 1].text_at("text") != text) --same;
      if (same == 0) continue;  // the harness never had it, or has folded it away
      at = same - 1;
      const std::string entry((*points.array())[at].text_at("entryId"));
      if (message->id == wanted.message_id || entry == wanted.entry_id)
        return done(ForkPoint{entry, message->idx, text});
    }
    done(no(Code::not_found, "the agent does not have that message: it was summarised, never reached it, or lies before the last 200 messages"));
  };
  when_ready([this, match, done, alive = alive_](const Answer& ready) {
    if (!ready) return done(std::unexpected(ready.error()));
    if (!*alive) return done(no(Code::not_found, "the session was deleted"));
    const std::string id = new_request([this, match, done](const Json* response) {
      const Json* data = response == nullptr ? nullptr : response->find("data");
      const Json* points = data == nullptr ? nullptr : data->find("messages");
      if (points == nullptr || points->array() == nullptr)
        return done(no(Code::unavailable, "the harness did not answer"));
      host_.history().page(
          record_.id, std::nullopt, Outbox::kLookBack,
          [match, done, points = *points, still = alive_](const Result<Page>& page) {
            if (!page || !*still)
              return done(no(Code::unavailable, "the history does not answer now: try again in a moment"));
            match(points, *page);
          });
    });
    request(id, pi::plain(id, "get_fork_messages"));
  });
}

}  // namespace oqto::runner
