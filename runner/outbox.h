// What one session has yet to store: messages in order, written as they come, again and again until
// the history has them. A message is in the outbox until it is durable. What the history will never take
// is replaced by a note that says so: it must not hold up what comes after it.
#pragma once
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "runner/history.h"

namespace oqto::runner {

class Outbox {
 public:
  struct Owner {
    virtual ~Owner() = default;
    virtual ConversationHead conversation() const = 0;
    virtual void on_opened(const Page& last) = 0;        // the end of what is stored already
    virtual void on_stored(const Written& written) = 0;  // something became durable
    virtual void on_history_trouble(const char* what) = 0;  // once per outage
    // A message that was taken back is in the history all the same.
    virtual void on_stored_after_all(const std::string& id) = 0;
  };
  Outbox(Reactor& reactor, History& history, Owner& owner)
      : reactor_(reactor), history_(history), owner_(owner) {}
  ~Outbox() { *alive_ = false; }
  Outbox(const Outbox&) = delete;

  // Learns the next idx of a conversation that may exist already; `done` is called once, with an
  // error after kPatienceMs.
  void open(bool may_exist, std::function<void(Status)> done);

  // Gives the message its idx. Before open() is answered that is not known: use ready() first.
  [[nodiscard]] bool ready() const { return ready_; }
  std::uint32_t add(protocol::Message& message);

  // Calls back once the message with this id is durable, or with an error after kPatienceMs; the
  // message is then taken back, unless it is to be kept.
  enum class Late { take_back, keep };
  void when_stored(std::string id, Late late, std::function<void(Status)> done);
  [[nodiscard]] bool troubled() const { return troubled_; }

  void head_changed() { head_sent_ = false; }
  void write_head();  // now, if it changed and nothing waits that will take it along
  [[nodiscard]] bool empty() const { return waiting_.empty(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] const std::deque<protocol::Message>& waiting() const { return waiting_; }
  [[nodiscard]] std::uint32_t next_idx() const { return next_idx_; }
  // When the history is there again.
  void retry_now();

  static constexpr std::uint64_t kPatienceMs = 20'000;  // below what a client waits for an answer
  static constexpr std::uint64_t kRetryMs = 1000;
  static constexpr std::size_t kMaxBatch = 64;
  static constexpr std::size_t kMaxBatchBytes = 24 * 1024 * 1024;
  static constexpr std::uint32_t kLookBack = 200;  // more than can be in doubt at once

 private:
  void learn();
  void flush();
  void on_written(std::size_t count, Result<Written> result);
  void replace_front(const char* why);
  void renumber();
  void take_back();
  void look_for_doubtful();
  void trouble(const char* what);
  void settle_waiter(Status status);
  template <class T>
  std::function<void(Result<T>)> guarded(std::function<void(Result<T>)> done) {
    return [alive = alive_, done = std::move(done)](Result<T> result) {
      if (*alive) done(std::move(result));
    };
  }

  Reactor& reactor_;
  History& history_;
  Owner& owner_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::deque<protocol::Message> waiting_;
  std::size_t bytes_ = 0;
  std::uint32_t next_idx_ = 0;
  bool ready_ = false;
  bool opening_ = false;
  bool head_sent_ = false;
  bool writing_ = false;
  bool troubled_ = false;
  bool singly_ = false;    // one message per call, to find the one that is refused
  bool replaced_ = false;  // the front is the note that stands for a refused one
  Timer retry_;
  std::function<void(Status)> opened_;
  Timer opening_patience_;
  struct Waiter {
    std::string id;
    std::function<void(Status)> done;
    Timer patience;
  };
  std::optional<Waiter> waiter_;
  struct Doubtful {
    std::string id;
    int looks = 0;  // that did not find it, once the history answered again
  };
  std::deque<Doubtful> doubtful_;  // taken back while they were being written
  Timer doubt_;
};

}  // namespace oqto::runner
