// What was said to a working agent and waits until it takes it. The queue is kept in one small file per
// session, replaced as a whole, so that it outlives any process.
#pragma once
#include <string>
#include <vector>

#include "base/encoding.h"
#include "base/fd.h"
#include "base/result.h"
#include "protocol/command.h"
#include "protocol/event.h"

namespace oqto::runner {

struct QueuedMessage {
  std::string id = {};
  bool steer = false;     // the agent takes it between two steps; else when its turn is over
  bool handed = false;    // a steering message that lies in the harness's own queue; not kept
  bool returned = false;  // nobody will deliver it: it waits for a person
  std::string reason = {};
  protocol::Prompt prompt = {};
  std::uint64_t created_at = 0;
};

class MessageQueue {
 public:
  MessageQueue(const Fd& state_dir, const Uuid& session);

  // What an earlier process left; what was pending is then returned, with the reason.
  Status load(std::string_view reason);

  [[nodiscard]] const std::vector<QueuedMessage>& items() const { return items_; }
  [[nodiscard]] bool empty() const { return items_.empty(); }
  // No room for this one more, in number or in bytes.
  [[nodiscard]] bool full_for(const protocol::Prompt& prompt) const;
  static constexpr std::size_t kMaxBytes = 24 * 1024 * 1024;
  [[nodiscard]] std::vector<protocol::QueueItem> view() const;
  [[nodiscard]] QueuedMessage* find(std::string_view id);
  [[nodiscard]] bool has_client_id(std::string_view client_id) const;
  // The first that waits and is, or is not, for steering; null: none.
  [[nodiscard]] QueuedMessage* next(bool steer);
  // The steering message with this text that the harness has; null: none.
  [[nodiscard]] QueuedMessage* handed(std::string_view text);

  // On the disk when it answers without error; with one nothing has changed.
  Status add(QueuedMessage item);
  Status edit(std::string_view id, std::string message);
  // It never fails: a message that was taken must not be taken twice because a disk is full. The file
  // follows with the next change that can be written; whoever loads it drops what is in the history.
  void remove(std::string_view id);
  // The harness forgets its own queue; nothing of that lies on the disk.
  void take_back_handed();
  // Everything that is pending becomes returned; false: nothing was.
  bool return_all(std::string_view reason);
  void erase_file();

 private:
  Status save(const std::vector<QueuedMessage>& items) const;

  const Fd& state_dir_;
  std::string file_;
  std::vector<QueuedMessage> items_;
};

}  // namespace oqto::runner
