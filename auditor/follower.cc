#include "auditor/follower.h"

#include "base/log.h"
#include "base/sys.h"

namespace oqto::auditor {
namespace {

constexpr const char* kForeign = "it is of another log";
constexpr const char* kDamaged = "it is damaged";
constexpr std::string_view kReadEvent = R"("event":"audit.read")";

}  // namespace

Follower::Follower(std::string log_dir, std::string state_dir, OnGrowth on_growth)
    : log_dir_(std::move(log_dir)),
      state_dir_(std::move(state_dir)),
      on_growth_(std::move(on_growth)),
      thread_([this] { run(); }) {}

Follower::~Follower() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

Follower::State Follower::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::optional<std::string> Follower::recent(std::uint64_t index) const {
  const std::lock_guard lock(mutex_);
  if (index < recent_first_ || index - recent_first_ >= recent_.size()) return std::nullopt;
  return recent_[index - recent_first_];
}

void Follower::make_again() {
  remake_ = true;
}

bool Follower::wait(std::uint64_t ms) {
  std::unique_lock lock(mutex_);
  return wake_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return stop_; });
}

void Follower::run() {
  std::string told;
  for (;;) {
    const Status status = follow();
    if (wait(0)) return;
    // No entry yet, and none that was: a host at its first start has begun no log.
    const bool is_unbegun = status.error().code == Errc::not_found && index_ &&
                            index_->coverage().next == index_->coverage().first;
    std::string trouble = is_unbegun ? "" : status.error().what;
    if (status.error().code == Errc::bad_message && reader_) trouble += ": " + reader_->where();
    index_.reset();
    reader_.reset();
    if (std::exchange(is_useless_, false)) {
      log::warn("the index of the audit log is made again", {{"why", trouble}});
      if (const Status removed = remove_index(state_dir_); !removed) {
        log::error("the old index stays", removed.error());
      }
    } else if (std::exchange(told, trouble) != trouble && !is_unbegun) {
      log::error("the audit log is not followed", {{"why", trouble}});
    }
    {
      const std::lock_guard lock(mutex_);
      state_.trouble = trouble;
    }
    // A log that is about to be begun is there in a moment.
    if (wait(status.error().code == Errc::not_found ? kPollMs : kRetryMs)) return;
  }
}

Status Follower::useless(const char* why) {
  is_useless_ = true;
  return fail(Errc::invalid, why);
}

Status Follower::open_index() {
  const std::lock_guard lock(mutex_);
  auto index = IndexWriter::open(state_dir_);
  if (!index) {
    if (index.error().code == Errc::limit) return std::unexpected(index.error());
    return useless(kDamaged);
  }
  index_ = std::move(*index);
  const Coverage& coverage = index_->coverage();
  anchored_ = coverage.next == coverage.first;
  state_.first = coverage.first;
  state_.next = coverage.next;
  ++state_.generation;
  recent_.clear();
  recent_bytes_ = 0;
  recent_first_ = coverage.next;
  return {};
}

Status Follower::follow() {
  uncommitted_ = 0;
  waiting_since_ms_ = 0;
  TRY(open_index());
  view_ = TRY(LogView::open(log_dir_));
  reader_ = TRY(audit::LogReader::open(log_dir_));
  reader_->only_durable();
  relations_.emplace([this](std::uint64_t index) { return earlier(index); });
  const Coverage coverage = index_->coverage();
  if (!anchored_) TRY(reader_->seek(coverage.next - 1));
  for (;;) {
    if (const auto published = view_->published()) published_ = published->checkpoint.size;
    forget_published();
    TRY(reader_->read_new(
        [this](std::uint64_t at, std::string_view entry) { return take(at, entry); }));
    TRY(commit());
    TRY(check_gone());
    {
      const std::lock_guard lock(mutex_);
      state_.trouble.clear();
    }
    if (remake_.exchange(false)) return useless(kDamaged);
    if (wait(kPollMs)) return {};
  }
}

// The last entry that was indexed must still be the one that it was.
Status Follower::check_anchor(std::uint64_t index, std::string_view entry) {
  const Coverage& coverage = index_->coverage();
  const auto leaf = audit::leaf_hash(entry);
  if (index == coverage.first && leaf != coverage.first_leaf) return useless(kForeign);
  if (index + 1 < coverage.next) return {};
  if (index >= coverage.next || leaf != coverage.last_leaf) return useless(kForeign);
  anchored_ = true;
  return {};
}

Status Follower::check_gone() {
  if (anchored_) return {};
  const std::uint64_t now = sys::monotonic_ms();
  if (waiting_since_ms_ == 0) waiting_since_ms_ = now;
  if (now - waiting_since_ms_ < kGoneMs) return {};
  return useless(kForeign);
}

std::optional<std::string> Follower::earlier(std::uint64_t index) {
  if (auto entry = recent(index)) return entry;
  auto entry = view_->entry(index, published_);
  return entry ? std::optional(std::move(*entry)) : std::nullopt;
}

Status Follower::take(std::uint64_t index, std::string_view entry) {
  if (!anchored_) return check_anchor(index, entry);
  if (index < index_->coverage().next && index_->coverage().next != index_->coverage().first)
    return {};
  const auto related = relations_->of(index, entry);
  const Status added =
      index_->add(index, entry, related ? std::string_view(related->entry) : std::string_view());
  if (!added) return added.error().code == Errc::limit ? added : useless(kDamaged);
  if (!entry.contains(kReadEvent)) ++acts_;
  TRY(keep_recent(index, entry));
  if (++uncommitted_ >= kBatch) TRY(commit());
  return {};
}

// Waits when the tiles do not keep up: what is not in them must be kept here.
Status Follower::keep_recent(std::uint64_t index, std::string_view entry) {
  if (index < published_) return {};
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (recent_bytes_ < kMaxRecentBytes) {
        if (recent_.empty()) recent_first_ = index;
        recent_.emplace_back(entry);
        recent_bytes_ += entry.size();
        return {};
      }
    }
    if (wait(kPollMs)) return fail(Errc::unavailable, "stopping");
    if (const auto published = view_->published()) published_ = published->checkpoint.size;
    forget_published();
  }
}

void Follower::forget_published() {
  const std::lock_guard lock(mutex_);
  while (!recent_.empty() && recent_first_ < published_) {
    recent_bytes_ -= recent_.front().size();
    recent_.pop_front();
    ++recent_first_;
  }
}

Status Follower::commit() {
  if (uncommitted_ == 0) return {};
  const Status committed = index_->commit();
  if (!committed) return committed.error().code == Errc::limit ? committed : useless(kDamaged);
  uncommitted_ = 0;
  {
    const std::lock_guard lock(mutex_);
    state_.first = index_->coverage().first;
    state_.next = index_->coverage().next;
  }
  if (acts_ > 0) on_growth_(std::exchange(acts_, 0));
  return {};
}

}  // namespace oqto::auditor
