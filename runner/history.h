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

// What the model gateway counted for a conversation, since it began.
struct UsageCount {
  std::uint64_t calls = 0;
  std::uint64_t tokens_in = 0;
  std::uint64_t tokens_out = 0;
  std::uint64_t cost_nanos = 0;       // 1e-9 of the unit that the prices are in
  std::uint64_t estimated_calls = 0;  // those without a count of the provider's
  bool operator==(const UsageCount&) const = default;
};

struct ConversationHead {
  std::string session_id;
  std::string workspace;
  std::string title;
  std::string model;
  std::string provider;
  std::uint64_t created_at = 0;
  UsageCount usage = {};
};
struct ConversationSummary {
  std::string session_id;
  std::string model;
  std::string provider;
  std::uint64_t updated_at = 0;
  std::uint64_t message_count = 0;
  UsageCount usage;
};
struct Written {
  std::uint64_t version = 0;
  std::uint64_t message_count = 0;
};
struct Page {
  std::vector<protocol::Message> messages;
  bool has_more = false;
};
struct Piece {
  std::string bytes;
  std::uint64_t total = 0;
};

class History {
 public:
  virtual ~History() = default;
  template <class T>
  using Done = std::function<void(Result<T>)>;

  // The channel to hstry; replaces one whose other end died.
  virtual void attach(Fd stream) = 0;

  // Messages become durable in order, the whole of their cut parts before them. With a head the
  // conversation is made first, or its head replaced. Errc::not_found: no such conversation (send a
  // head); Errc::denied: another message has that idx; Errc::invalid, Errc::limit: it will never be taken;
  // Errc::unavailable: not known to be stored, try again.
  virtual void append(std::string session_id, std::optional<ConversationHead> head,
                      std::vector<protocol::Message> messages, Done<Written> done) = 0;
  virtual void set_title(std::string session_id, std::string title, Done<void> done) = 0;
  virtual void remove(std::string session_id, Done<void> done) = 0;
  // The last `limit` messages with idx below `before_idx`.
  virtual void page(std::string session_id, std::optional<std::uint32_t> before_idx,
                    std::uint32_t limit, Done<Page> done) = 0;
  virtual void list(Done<std::vector<ConversationSummary>> done) = 0;
  // The messages with this id of their own, or of their client.
  virtual void message(std::string session_id, std::string message_id, Done<Page> done) = 0;
  virtual void of_client(std::string session_id, std::string client_id, Done<Page> done) = 0;
  // A part that is cut in its message. Errc::not_found: nobody put the whole of it.
  virtual void put_part(std::string session_id, std::string message_id, protocol::WholePart whole, Done<void> done) = 0;
  virtual void part(std::string session_id, std::string message_id, std::string part_id, std::uint64_t offset,
                    std::uint32_t length, Done<Piece> done) = 0;
  // A new conversation that begins with copies of another one's messages below `before_idx`; their ids
  // end with `suffix`.
  virtual void fork(ConversationHead head, std::string from_session, std::uint32_t before_idx, std::string suffix,
                    Done<void> done) = 0;
};

std::unique_ptr<History> make_history_client(Reactor& reactor);

}  // namespace oqto::runner
