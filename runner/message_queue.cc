#include "runner/message_queue.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "protocol/json.h"
#include "protocol/json_writer.h"
#include "runner/state_file.h"

namespace oqto::runner {
namespace {

using protocol::Json;
using protocol::JsonArray;
using protocol::JsonObject;

constexpr std::size_t kMaxFileBytes = 8 * MessageQueue::kMaxBytes;  // control characters take six bytes

std::string encode(const QueuedMessage& item) {
  JsonArray images;
  for (const protocol::Image& image : item.prompt.images) {
    images.json(JsonObject().text("data", image.data).text("media_type", image.media_type).str());
  }
  JsonObject object;
  object.text("id", item.id).boolean("steer", item.steer).boolean("returned", item.returned);
  object.text("reason", item.reason).text("message", item.prompt.message);
  object.text("client_id", item.prompt.client_id).json("images", images.str());
  return object.number("created_at", item.created_at).str();
}

QueuedMessage decode(const Json& row) {
  QueuedMessage item{.id = std::string(row.text_at("id")), .steer = row.boolean_at("steer")};
  item.returned = row.boolean_at("returned");
  item.reason = row.text_at("reason");
  item.prompt.message = row.text_at("message");
  item.prompt.client_id = row.text_at("client_id");
  item.created_at = static_cast<std::uint64_t>(std::max<std::int64_t>(0, row.integer_at("created_at")));
  const Json* images = row.find("images");
  if (images == nullptr || images->array() == nullptr) return item;
  for (const Json& image : *images->array()) {
    item.prompt.images.push_back({std::string(image.text_at("data")), std::string(image.text_at("media_type"))});
  }
  return item;
}

}  // namespace

MessageQueue::MessageQueue(const Fd& state_dir, const Uuid& session)
    : state_dir_(state_dir), file_("queue-" + session.text() + ".json") {}

Status MessageQueue::load(std::string_view reason) {
  const auto file = sys::open_beneath(state_dir_, file_.c_str(), O_RDONLY);
  if (!file && file.error().sys == ENOENT) return {};
  if (!file) return std::unexpected(file.error());
  const std::string text = TRY(sys::read_all(*file, kMaxFileBytes));
  const Json json = TRY(protocol::parse_json(text));
  if (json.array() == nullptr) return fail(Errc::bad_message, "a queue's file is no list");
  for (const Json& row : *json.array()) items_.push_back(decode(row));
  (void)return_all(reason);
  return {};
}

static std::size_t size_of(const protocol::Prompt& prompt) {
  std::size_t bytes = prompt.message.size();
  for (const protocol::Image& image : prompt.images) bytes += image.data.size();
  return bytes;
}

bool MessageQueue::full_for(const protocol::Prompt& prompt) const {
  std::size_t bytes = size_of(prompt);
  for (const QueuedMessage& item : items_) bytes += size_of(item.prompt);
  return items_.size() >= protocol::kMaxQueued || bytes > kMaxBytes;
}

std::vector<protocol::QueueItem> MessageQueue::view() const {
  std::vector<protocol::QueueItem> view;
  for (const QueuedMessage& item : items_) {
    view.push_back({.id = item.id, .steer = item.steer, .returned = item.returned, .reason = item.reason,
                    .message = item.prompt.message, .images = item.prompt.images.size(),
                    .client_id = item.prompt.client_id, .created_at = item.created_at});
  }
  return view;
}

QueuedMessage* MessageQueue::find(std::string_view id) {
  const auto found = std::find_if(items_.begin(), items_.end(), [&](const auto& item) { return item.id == id; });
  return found == items_.end() ? nullptr : &*found;
}

bool MessageQueue::has_client_id(std::string_view client_id) const {
  return std::any_of(items_.begin(), items_.end(),
                     [&](const QueuedMessage& item) { return item.prompt.client_id == client_id; });
}

QueuedMessage* MessageQueue::next(bool steer) {
  const auto found = std::find_if(items_.begin(), items_.end(), [&](const QueuedMessage& item) {
    return item.steer == steer && !item.returned && !item.handed;
  });
  return found == items_.end() ? nullptr : &*found;
}

QueuedMessage* MessageQueue::handed(std::string_view text) {
  const auto found = std::find_if(items_.begin(), items_.end(), [&](const QueuedMessage& item) {
    return item.handed && item.prompt.message == text;
  });
  return found == items_.end() ? nullptr : &*found;
}

Status MessageQueue::add(QueuedMessage item) {
  auto items = items_;
  items.push_back(std::move(item));
  TRY(save(items));
  items_ = std::move(items);
  return {};
}

Status MessageQueue::edit(std::string_view id, std::string message) {
  auto items = items_;
  for (QueuedMessage& item : items) {
    if (item.id == id) item.prompt.message = message;
  }
  TRY(save(items));
  items_ = std::move(items);
  return {};
}

void MessageQueue::remove(std::string_view id) {
  std::erase_if(items_, [name = std::string(id)](const QueuedMessage& item) { return item.id == name; });
  if (const Status saved = save(items_); !saved) log::warn("a queue was not written", {{"why", saved.error().what}});
}

void MessageQueue::take_back_handed() {
  for (QueuedMessage& item : items_) item.handed = false;
}

bool MessageQueue::return_all(std::string_view reason) {
  bool any = false;
  for (QueuedMessage& item : items_) {
    if (item.returned) continue;
    item.returned = any = true;
    item.handed = false;
    item.reason = reason;
  }
  if (!any) return false;
  if (const Status saved = save(items_); !saved) log::warn("a queue was not written", {{"why", saved.error().what}});
  return true;
}

void MessageQueue::erase_file() { (void)::unlinkat(state_dir_.get(), file_.c_str(), 0); }

Status MessageQueue::save(const std::vector<QueuedMessage>& items) const {
  if (items.empty()) {
    if (::unlinkat(state_dir_.get(), file_.c_str(), 0) != 0 && errno != ENOENT) return fail_errno("unlinkat");
    return {};
  }
  JsonArray rows;
  for (const QueuedMessage& item : items) rows.json(encode(item));
  return replace_file(state_dir_, file_, rows.str());
}

}  // namespace oqto::runner
