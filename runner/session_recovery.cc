// After a crash: the history and the harness's own file are compared, and what died is said.
#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "protocol/json_writer.h"
#include "runner/pi_messages.h"
#include "runner/session.h"

namespace oqto::runner {

using protocol::Code;
using protocol::Json;
using protocol::Message;
using protocol::Part;
namespace events = protocol::events;

// Each prompt has an answer, or this: an answer that says why there is none.
void Session::add_marker(const std::string& why) {
  Message marker{.id = new_message_id(), .role = protocol::Role::assistant, .created_at = sys::now_ms()};
  marker.model = model_;
  marker.provider = provider_;
  marker.stop_reason = "error";
  marker.error = why;
  outbox_.add(marker);
  emit(events::message_start(marker.id, marker.role));
  emit(events::message_end(marker));
}

// The end of the history, with what is on its way there; then the harness's file.
void Session::compare() {
  host_.history().page(record_.id, std::nullopt, Outbox::kLookBack, [this, alive = alive_](Result<Page> page) {
    if (!*alive || !pi_ || ready_) return;
    if (!page) return on_ended("the history does not answer, and there is a crash to be made good");
    for (const Message& message : outbox_.waiting()) {
      const bool known = std::any_of(page->messages.begin(), page->messages.end(),
                                     [&](const Message& other) { return other.id == message.id; });
      if (!known) page->messages.push_back(message);
    }
    take_prompt_of_before(std::move(*page));
  });
}

void Session::compare_with_harness(const Page& last) {
  const std::string id = new_request([this, last](const Json* response) { reconcile_with(last, response); });
  request(id, pi::plain(id, "get_entries"));
}

// Accepted by an earlier process, which ended before the history had it. In a long turn it lies before the
// page, so the history is asked.
void Session::take_prompt_of_before(Page last) {
  const bool none = !left_ || !left_->prompt ||
                    std::any_of(last.messages.begin(), last.messages.end(),
                                [&](const Message& other) { return other.id == left_->prompt->id; });
  if (none) return compare_with_harness(last);
  const auto go_on = [this, alive = alive_, last = std::move(last)](const Result<Page>& stored) mutable {
    if (!*alive || !pi_ || ready_) return;
    if (!stored) return on_ended("the history does not answer, and there is a crash to be made good");
    if (stored->messages.empty() && left_ && left_->prompt) {
      Message prompt = *left_->prompt;
      remember_client_id(prompt.client_id);
      outbox_.add(prompt);
      emit(events::user_message(prompt));
      last.messages.push_back(std::move(prompt));
    }
    compare_with_harness(last);
  };
  host_.history().message(record_.id, left_->prompt->id, go_on);
}

void Session::reconcile_with(const Page& page, const Json* response) {
  if (!pi_) return;
  const Json* data = response == nullptr ? nullptr : response->find("data");
  const bool readable = data != nullptr && response->boolean_at("success");
  const std::optional<Message> partial = left_ ? left_->partial : std::nullopt;
  deliveries_ = left_ ? left_->deliveries : kMaxDeliveries;
  left_.reset();
  Reconciled found;
  found.comparable = false;
  if (readable) {
    found = reconcile(page.messages, !page.has_more, *data, partial ? &*partial : nullptr, new_message_id);
  }
  if (!found.comparable)
    log::warn("a conversation cannot be compared with the agent's own file", {{"session", record_.id}});
  const bool unanswered = !page.messages.empty() && !ends_turn(page.messages.back());
  import_missing(found, partial);
  const bool cut = partial && !found.partial_known;  // it is the answer, then, and says why it ended
  if (found.comparable && found.prompt_unknown && !cut && deliveries_ < kMaxDeliveries) {
    queued_ = protocol::Prompt{};  // accepted, and never read: it is now
    for (const Part& part : page.messages.back().parts) {
      if (part.type == Part::Type::text) queued_->message += part.text;
      if (part.type == Part::Type::image) queued_->images.push_back({part.data, part.mime_type});
    }
    turn_open_ = true;
    journal_.begin_turn(page.messages.back());
  } else if (const bool open = found.comparable ? !found.answered : unanswered; open && !cut) {
    add_marker("the agent ended in the middle of this turn, and was started again: it does not go on by itself");
  }
  if (!turn_open_) journal_.end_turn();
  unfinished_ = false;
  on_ready();
}

void Session::import_missing(Reconciled& found, const std::optional<Message>& partial) {
  static constexpr const char* kCut = "cut here: this part of the host ended while the answer was being written";
  for (Message& message : found.missing) {
    if (message.stop_reason == "aborted") {  // nobody stopped it: the harness lost whom it spoke to
      message.stop_reason = "error";
      message.error = kCut;
    }
    const auto waiting = std::find_if(queue_.items().begin(), queue_.items().end(), [&](const QueuedMessage& item) {
      return message.role == protocol::Role::user && item.prompt.message == plain_text(message);
    });
    if (waiting != queue_.items().end()) {  // it had been read
      message.client_id = waiting->prompt.client_id;
      remember_client_id(message.client_id);
      queue_.remove(waiting->id);
      queue_changed();
    }
    outbox_.add(message);
    emit(message.role == protocol::Role::user ? events::user_message(message) : events::message_end(message));
  }
  if (!partial || found.partial_known) return;
  Message cut = *partial;
  cut.stop_reason = "error";
  cut.error = kCut;
  outbox_.add(cut);
  emit(events::message_end(cut));
}

// --- forks ---------------------------------------------------------------------------------------

// The harness has another session's conversation open, and makes its own of what came before the entry.
void Session::fork_conversation() {
  const auto failed = [this](std::string_view why) {
    on_ended("the conversation could not be forked: " + std::string(why));
  };
  const std::string id = new_request([this, failed](const Json* response) {
    const Json* data = response == nullptr ? nullptr : response->find("data");
    const bool good =
        response != nullptr && response->boolean_at("success") && !(data != nullptr && data->boolean_at("cancelled"));
    if (!good) return failed(response == nullptr ? "no answer" : response->text_at("error"));
    const std::string state = new_request([this, failed](const Json* answer) {
      const Json* now = answer == nullptr ? nullptr : answer->find("data");
      const std::string own(now == nullptr ? "" : now->text_at("sessionId"));
      const bool plain = !own.empty() && own.size() <= 64 &&
                         own.find_first_not_of("0123456789abcdefABCDEF-") == std::string::npos;
      if (!plain || own == record_.conversation) return failed("it names no conversation of its own");
      record_.conversation = own;
      record_.fork_entry.clear();
      if (!host_.save_registry()) return failed("the registry was not written");
      unfinished_ = false;
      on_ready();
    });
    request(state, pi::plain(state, "get_state"));
  });
  request(id, pi::fork(id, record_.fork_entry));
}

// --- deleting ------------------------------------------------------------------------------------

// From inside, since the file is the agent's: nothing of ours opens a path of a tenant.
void Session::erase_conversation(Reply reply) {
  queue_.erase_file();
  journal_.end_turn();
  const bool empty = outbox_.ready() && outbox_.next_idx() == 0;  // nothing was ever said
  const bool none = !stored_ || empty || !record_.fork_entry.empty();
  if (none) return reply("");
  const auto stays = [reply](const std::string& why) {
    protocol::JsonObject data;
    reply(data.text("remains", "the agent's own file of this conversation, in its workspace's home: " + why).str());
  };
  host_.make_room(*this, [this, reply, stays, alive = alive_](bool room) {
    if (!*alive) return reply(no(Code::not_found, "the session was deleted"));
    if (!room) return stays("too many sessions work now");
    host_.guard().start_session(
        session_uuid(record_.id), *Uuid::parse(record_.workspace), record_.profile,
        [this, reply, stays, alive](std::expected<GuardLink::Started, GuardRefusal> started) {
          if (!*alive) return;
          if (!started) return stays(started.error().why);
          sandbox_alive_ = true;
          sandbox_ = std::make_unique<SandboxLink>(host_.reactor(), ipc::Channel(std::move(started->init)));
          inside_.push_back(std::make_unique<InsideProgram>(
              host_.reactor(), *sandbox_, pi::remove_conversation(conversation_id()), InsideProgram::Bounds{},
              [this, reply, stays, alive](const Result<InsideProgram::Said>& said) {
                if (!*alive) return reply("");
                const std::string rest = !said                  ? said.error().what
                                         : said->output.empty() ? ""
                                                                : "it could not be removed";
                when_sandbox_gone([reply, stays, rest](bool) { rest.empty() ? reply("") : stays(rest); });
                end_sandbox();
              }));
        });
  });
}

}  // namespace oqto::runner
