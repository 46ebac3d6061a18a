#include "runner/outbox.h"

#include <algorithm>

#include "base/log.h"

namespace oqto::runner {

using protocol::Message;

static constexpr Error kAway{Errc::unavailable, "the history does not answer now", 0};

void Outbox::open(bool may_exist, std::function<void(Status)> done) {
  if (!may_exist) ready_ = true;
  if (ready_) return done({});
  opened_ = std::move(done);
  opening_patience_ = reactor_.after(kPatienceMs, [this] {
    if (const auto waiting = std::exchange(opened_, nullptr)) waiting(std::unexpected(kAway));
  });
  if (!opening_) learn();
}

void Outbox::learn() {
  opening_ = true;
  history_.page(owner_.conversation().session_id, std::nullopt, kLookBack,
                guarded<Page>([this](Result<Page> page) {
                  opening_ = false;
                  if (!page) return trouble(page.error().what);
                  if (!page->messages.empty()) next_idx_ = page->messages.back().idx + 1;
                  ready_ = true;
                  troubled_ = false;
                  owner_.on_opened(*page);
                  owner_.on_stored({0, next_idx_});
                  if (const auto waiting = std::exchange(opened_, nullptr)) waiting({});
                }));
}

std::uint32_t Outbox::add(Message& message) {
  message.idx = next_idx_++;
  protocol::cut_for_storage(message);
  bytes_ += protocol::size_of(message);
  waiting_.push_back(message);
  message.wholes.clear();
  flush();
  return message.idx;
}

void Outbox::when_stored(std::string id, Late late, std::function<void(Status)> done) {
  waiter_ = Waiter{std::move(id), std::move(done), {}};
  waiter_->patience = reactor_.after(kPatienceMs, [this, late] {
    if (late == Late::take_back) take_back();
    settle_waiter(fail(Errc::unavailable, "the history does not accept messages now"));
  });
}

// Whether it was stored is not known. Should it turn up in the history all the same, renumber() steps over
// it, and its owner is told.
void Outbox::take_back() {
  if (waiting_.empty() || waiting_.back().id != waiter_->id) return;
  bytes_ -= protocol::size_of(waiting_.back());
  waiting_.pop_back();
  --next_idx_;
  doubtful_.push_back({waiter_->id});
  doubt_ = reactor_.after(kRetryMs, [this] { look_for_doubtful(); });
}

// A call that was given up may still be done: it is looked for twice, once the history answers.
void Outbox::look_for_doubtful() {
  if (doubtful_.empty()) return;
  history_.message(owner_.conversation().session_id, doubtful_.front().id, guarded<Page>([this](Result<Page> page) {
                     doubt_ = reactor_.after(kRetryMs, [this] { look_for_doubtful(); });
                     if (!page || doubtful_.empty()) return;
                     const bool found = !page->messages.empty();
                     if (!found && ++doubtful_.front().looks < 2) return;
                     const std::string id = doubtful_.front().id;
                     doubtful_.pop_front();
                     if (!found) return;
                     if (waiting_.empty()) next_idx_ = std::max(next_idx_, page->messages.back().idx + 1);
                     owner_.on_stored_after_all(id);
                   }));
}

void Outbox::write_head() {
  if (!head_sent_ && ready_ && waiting_.empty()) flush();
}

void Outbox::settle_waiter(Status status) {
  if (!waiter_) return;
  const auto done = std::move(waiter_->done);
  waiter_.reset();
  done(std::move(status));
}

void Outbox::retry_now() {
  retry_.cancel();
  if (ready_) {
    flush();
  } else if (opened_ && !opening_) {
    learn();
  }
}

void Outbox::flush() {
  if (writing_ || (waiting_.empty() && head_sent_) || retry_.armed()) return;
  std::vector<Message> batch;
  std::size_t bytes = 0;
  for (const Message& message : waiting_) {
    bytes += protocol::size_of(message);
    if (!batch.empty() && (singly_ || batch.size() >= kMaxBatch || bytes > kMaxBatchBytes)) break;
    batch.push_back(message);
  }
  std::optional<ConversationHead> head;
  if (!head_sent_) head = owner_.conversation();
  writing_ = true;
  head_sent_ = true;
  const std::size_t count = batch.size();
  const std::string first = waiting_.empty() ? "" : waiting_.front().id;
  history_.append(owner_.conversation().session_id, std::move(head), std::move(batch),
                  guarded<Written>([this, count, first](Result<Written> result) {
                    writing_ = false;
                    // The front was taken back while it was being written.
                    const bool same = !waiting_.empty() && waiting_.front().id == first;
                    on_written(same ? count : 0, std::move(result));
                  }));
}

void Outbox::on_written(std::size_t count, Result<Written> result) {
  if (!result) {
    head_sent_ = false;
    if (result.error().code == Errc::denied) return renumber();
    const bool never = result.error().code == Errc::invalid || result.error().code == Errc::limit;
    if (never && count == 1) return replace_front(result.error().what);
    if (waiting_.empty()) {  // nothing waits: the next message finds out how the history is
      troubled_ = singly_ = false;
      return;
    }
    singly_ = never;
    if (never && count > 1) return flush();
    return trouble(result.error().what);
  }
  troubled_ = singly_ = replaced_ = false;
  bool waited_for = false;
  for (std::size_t i = 0; i < count && !waiting_.empty(); ++i) {
    waited_for = waited_for || (waiter_ && waiter_->id == waiting_.front().id);
    bytes_ -= protocol::size_of(waiting_.front());
    waiting_.pop_front();
  }
  if (waited_for) settle_waiter({});
  const auto alive = alive_;
  if (count == 0) result->version = 0;  // a head alone, or what was taken back: nothing to tell
  owner_.on_stored(*result);
  if (*alive) flush();
}

// It will never be taken as it is: a note keeps its place. If even that is refused, nothing does.
void Outbox::replace_front(const char* why) {
  Message& front = waiting_.front();
  log::error("the history refuses a message", {{"id", front.id}, {"why", why}});
  bytes_ -= protocol::size_of(front);
  if (replaced_) {
    const bool waited_for = waiter_ && waiter_->id == front.id;
    waiting_.pop_front();
    replaced_ = singly_ = false;
    if (waited_for) settle_waiter(fail(Errc::limit, why));
    return renumber();
  }
  front.wholes.clear();
  front.attempts.clear();
  const protocol::Part note{.type = protocol::Part::Type::text, .id = front.id + ".0",
                            .text = "[This could not be stored: " + std::string(why) + "]"};
  front.parts = {note};
  bytes_ += protocol::size_of(front);
  replaced_ = singly_ = true;
  owner_.on_history_trouble(why);
  flush();
}

// Another message has our idx: one of ours whose answer was lost, or one that was taken back.
void Outbox::renumber() {
  writing_ = true;
  history_.page(owner_.conversation().session_id, std::nullopt, kLookBack,
                guarded<Page>([this](Result<Page> page) {
                  writing_ = false;
                  if (!page) return trouble(page.error().what);
                  log::warn("renumbering messages after a doubtful write");
                  std::uint32_t next = page->messages.empty() ? 0 : page->messages.back().idx + 1;
                  std::erase_if(waiting_, [&](const Message& message) {
                    const bool stored = std::any_of(
                        page->messages.begin(), page->messages.end(),
                        [&](const Message& other) { return other.id == message.id; });
                    if (stored) bytes_ -= protocol::size_of(message);
                    return stored;
                  });
                  const bool moved = !waiting_.empty() && waiting_.front().idx != next;
                  for (Message& message : waiting_) message.idx = next++;
                  next_idx_ = next;
                  // Nothing of it explains the refusal: not at once again, then.
                  if (!waiting_.empty() && !moved) return trouble("the history refuses a message at a free place");
                  const bool waits = waiter_ && std::any_of(waiting_.begin(), waiting_.end(),
                                                            [this](const Message& message) {
                                                              return message.id == waiter_->id;
                                                            });
                  if (!waits) settle_waiter({});
                  const auto alive = alive_;
                  if (waiting_.empty()) owner_.on_stored({0, next_idx_});
                  if (*alive) flush();
                }));
}

void Outbox::trouble(const char* what) {
  retry_ = reactor_.after(kRetryMs, [this] { retry_now(); });
  if (troubled_) return;
  troubled_ = true;
  owner_.on_history_trouble(what);
}

}  // namespace oqto::runner
