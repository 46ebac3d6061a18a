// What is said to a working agent: it waits in the queue, and becomes a message where the agent takes it.
#include "base/log.h"
#include "base/sys.h"
#include "protocol/json_writer.h"
#include "runner/pi_messages.h"
#include "runner/session.h"

namespace oqto::runner {

using protocol::Code;
using protocol::Json;
using protocol::JsonObject;
using protocol::Message;
using protocol::Part;
namespace events = protocol::events;

void Session::queue_changed() {
  emit(events::queue_changed(queue_.view()));
  host_.on_changed(*this);
}

void Session::enqueue(const protocol::Prompt& prompt, bool steer, const Reply& reply) {
  if (queue_.full_for(prompt)) {
    return reply(no(Code::limit, "too much waits for this agent already (" + std::to_string(protocol::kMaxQueued) +
                                     " messages, or 24 MiB): let it read some, or take some back"));
  }
  QueuedMessage item{.id = new_message_id().substr(4), .steer = steer, .prompt = prompt, .created_at = sys::now_ms()};
  const std::string id = item.id;
  if (const Status kept = queue_.add(std::move(item)); !kept) {
    log::error("what waits for an agent cannot be kept", kept.error());
    return reply(no(Code::unavailable, "the message could not be stored; nothing was sent. Try again."));
  }
  queue_changed();
  reply(JsonObject().text("item_id", id).str());
  hand_over_steering();
}

// A steering message lies in the harness's own queue, since only it knows the moment between two steps.
void Session::hand_over_steering() {
  if (!pi_ || !turn_open_ || !ready_ || !aborts_.empty()) return;
  while (QueuedMessage* item = queue_.next(true)) {
    item->handed = true;
    const std::string id = new_request([this](const Json* response) {
      if (response != nullptr && response->boolean_at("success")) return;
      if (response != nullptr) queue_.take_back_handed();  // it goes with the next turn, then
    });
    requests_[id].timeout.cancel();  // a slow harness has it all the same
    request(id, pi::prompt(id, item->prompt, pi::Delivery::steer));
  }
}

// The harness forgets what it has not read; what it had read by then has come, or comes, as a message.
void Session::take_back_steering() {
  request("", pi::plain("clear", "clear_queue"));
}

// The harness reads a message: if it waited here, this is its place in the conversation.
void Session::on_user_message(const std::string& text) {
  const QueuedMessage* item = queue_.handed(text);
  if (item == nullptr) return;
  Message message{.id = "msg_" + item->id, .role = protocol::Role::user, .created_at = sys::now_ms()};
  message.client_id = item->prompt.client_id;
  message.parts.push_back({.type = Part::Type::text, .id = part_id(message.id, 0), .text = text});
  for (const protocol::Image& image : item->prompt.images) {
    message.parts.push_back({.type = Part::Type::image, .id = part_id(message.id, message.parts.size()),
                             .data = image.data, .mime_type = image.media_type});
  }
  remember_client_id(message.client_id);
  if (!journal_.open()) journal_.begin_turn(message);
  outbox_.add(message);
  emit(events::user_message(message));
  queue_.remove(item->id);
  queue_changed();
}

// The turn is over: what waits begins the next one. True: something did.
bool Session::deliver_next() {
  if (!pi_ || closing_) return false;
  bool handed = false;
  for (const QueuedMessage& item : queue_.items()) handed = handed || item.handed;
  if (handed) take_back_steering();  // the agent was done before it read them
  queue_.take_back_handed();
  QueuedMessage* item = queue_.next(true);
  if (item == nullptr) item = queue_.next(false);
  if (item == nullptr) return false;
  const QueuedMessage next = *item;
  journal_.end_turn();  // what it has is in the harness's file too; the next turn begins one
  item->handed = true;  // so that on_user_message() would find it …
  on_user_message(next.prompt.message);  // … and this gives it its place
  deliveries_ = 0;
  deliver(next.prompt);
  hand_over_steering();
  return true;
}

void Session::queue_edit(const protocol::QueueEdit& edit, const Reply& reply) {
  const QueuedMessage* item = queue_.find(edit.item_id);
  if (item == nullptr) return reply(no(Code::not_found, "no such message waits: the agent may have it already"));
  const bool handed = item->handed;
  if (!handed) {
    if (!queue_.edit(edit.item_id, edit.message))
      return reply(no(Code::unavailable, "the change could not be stored: try again"));
    queue_changed();
    return reply("");
  }
  // The harness has it: it gives back what it has not read, and what is left is handed over again.
  const std::string id = new_request([this, edit, reply](const Json* response) {
    if (response == nullptr) return reply(no(Code::unavailable, "the agent does not answer now: it may have read the message"));
    queue_.take_back_handed();
    const QueuedMessage* still = queue_.find(edit.item_id);
    const bool changed = still != nullptr && queue_.edit(edit.item_id, edit.message);
    hand_over_steering();
    if (!changed) return reply(no(Code::not_found, "no such message waits: the agent may have it already"));
    queue_changed();
    reply("");
  });
  request(id, pi::plain(id, "clear_queue"));
}

static std::string taken_back(const QueuedMessage& item) {
  protocol::JsonArray images;
  for (const protocol::Image& image : item.prompt.images) {
    images.json(JsonObject().text("data", image.data).text("media_type", image.media_type).str());
  }
  JsonObject data;
  data.text("message", item.prompt.message).json("images", images.str());
  return data.text("delivery", item.steer ? "steer" : "follow_up").str();
}

void Session::queue_remove(const protocol::QueueRemove& wanted, const Reply& reply) {
  const auto remove = [this, wanted, reply] {
    const QueuedMessage* item = queue_.find(wanted.item_id);
    if (item == nullptr) return reply(no(Code::not_found, "no such message waits: the agent may have it already"));
    const std::string data = taken_back(*item);
    queue_.remove(wanted.item_id);
    queue_changed();
    reply(data);
  };
  const QueuedMessage* item = queue_.find(wanted.item_id);
  if (item == nullptr || !item->handed) return remove();
  const std::string id = new_request([this, remove, reply](const Json* response) {
    if (response == nullptr) return reply(no(Code::unavailable, "the agent does not answer now: it may have read the message"));
    queue_.take_back_handed();
    remove();
    hand_over_steering();
  });
  request(id, pi::plain(id, "clear_queue"));
}

}  // namespace oqto::runner
