// The tenant's history service (hstry) as the runner uses it: asynchronous, one call after another.
// Every answer arrives later, on the reactor.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "protocol/message.h"
#include "runner/reactor.h"

namespace oqto::runner {

struct ConversationHead {
  std::string session_id;
  std::string workspace;
  std::string title;
  std::string model;
  std::string provider;
  std::uint64_t created_at = 0;
};
struct ConversationSummary {
  std::string session_id;
  std::uint64_t updated_at = 0;
  std::uint64_t message_count = 0;
};
struct Written {
  std::uint64_t version = 0;
  std::uint64_t message_count = 0;
};
struct Page {
  std::vector<protocol::Message> messages;
  bool has_more = false;
};

class History {
 public:
  virtual ~History() = default;
  template <class T>
  using Done = std::function<void(Result<T>)>;

  // The channel to hstry; replaces one whose other end died.
  virtual void attach(Fd stream) = 0;

  // Messages become durable in order. With a head the conversation is made first, or its head
  // replaced. Errc::not_found: no such conversation (send a head); Errc::denied: another message
  // has that idx; Errc::unavailable: not known to be stored, try again.
  virtual void append(std::string session_id, std::optional<ConversationHead> head,
                      std::vector<protocol::Message> messages, Done<Written> done) = 0;
  virtual void set_title(std::string session_id, std::string title, Done<void> done) = 0;
  virtual void set_model(std::string session_id, std::string provider, std::string model,
                         Done<void> done) = 0;
  virtual void remove(std::string session_id, Done<void> done) = 0;
  // The last `limit` messages with idx below `before_idx`.
  virtual void page(std::string session_id, std::optional<std::uint32_t> before_idx,
                    std::uint32_t limit, Done<Page> done) = 0;
  virtual void list(Done<std::vector<ConversationSummary>> done) = 0;
};

std::unique_ptr<History> make_history_client(Reactor& reactor);

}  // namespace oqto::runner
