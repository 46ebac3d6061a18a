#include "gateway/audit_link.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>

#include "base/encoding.h"
#include "base/log.h"
#include "base/sys.h"
#include "ipc/audit_refusal.h"

namespace oqto::gateway {

AuditLink::AuditLink(asio::io_context& io, ipc::Channel channel, std::vector<std::string> secrets,
                     std::chrono::milliseconds store_patience, std::chrono::milliseconds lost_patience)
    : io_(io),
      secrets_(std::move(secrets)),
      store_patience_(store_patience),
      lost_patience_(lost_patience),
      channel_(std::move(channel)),
      again_(io),
      lost_(io) {
  listen();
}

// A log that cannot be altered is the wrong place for a key that a provider's answer repeats.
void AuditLink::redact(ipc::AuditAppend& record) const {
  constexpr std::string_view kInstead = "[redacted]";
  for (ipc::AuditField& field : record.list) {
    for (const std::string& secret : secrets_) {
      if (secret.empty()) continue;
      for (std::size_t at = field.value.find(secret); at != std::string::npos;
           at = field.value.find(secret, at + kInstead.size())) {
        field.value.replace(at, secret.size(), kInstead);
      }
    }
  }
}

void AuditLink::add_secrets(std::vector<std::string> secrets) {
  for (std::string& secret : secrets) {
    if (std::ranges::find(secrets_, secret) == secrets_.end()) secrets_.push_back(std::move(secret));
  }
}

void AuditLink::listen() {
  readable_ = std::make_shared<Readable>(io_, channel_.fd());
  asio::co_spawn(io_, receive_from(readable_), asio::detached);
}

asio::awaitable<void> AuditLink::receive_from(std::shared_ptr<Readable> readable) {
  while (readable == readable_) {
    const bool ready = co_await readable->wait();
    if (!ready || readable != readable_) co_return;
    if (!receive_all()) {
      lost();
      co_return;
    }
  }
}

// False: the channel is of no more use.
bool AuditLink::receive_all() {
  for (;;) {
    const auto received = channel_.receive();
    if (!received) {
      send_kept();  // there may be room now
      return received.error().code == Errc::limit;
    }
    handle(*received);
  }
}

void AuditLink::handle(const ipc::Received& received) {
  if (const auto done = received.as<ipc::AuditBlobStored>()) return stored(done->request, to_hex(done->sha256));
  if (received.tag == ipc::Tag::audit_appended) {
    const auto done = received.as<ipc::AuditAppended>();
    if (done) done->each([this](std::uint64_t request, std::uint64_t index) { answer(request, index); });
    return;
  }
  const auto refused = received.as<ipc::AuditRefused>();
  if (!refused) {
    log::error("auditd sent what this process does not know", refused.error());
    return;
  }
  if (storing_.contains(refused->request)) return stored(refused->request, std::unexpected(refused->why.str()));
  if (kept_.refused(refused->request, refused->reason, sys::monotonic_ms())) return send_kept();
  answer(refused->request, std::unexpected(ipc::refusal_error(*refused)));
}

void AuditLink::answer(std::uint64_t request, Result<std::uint64_t> with) {
  if (kept_.settle(request)) return;
  if (auto late = given_up_.extract(request); late && with) {
    late.mapped().intent = *with;
    return kept_.keep(std::move(late.mapped()));
  }
  const auto found = waiting_.find(request);
  if (found == waiting_.end()) return;
  found->second->is_answered = true;
  found->second->answer = with;
  found->second->timer.cancel();
  waiting_.erase(found);
}

void AuditLink::stored(std::uint64_t request, std::expected<std::string, std::string> with) {
  kept_.blob_answered();
  const auto found = storing_.find(request);
  if (found == storing_.end()) return;
  found->second->answer = std::move(with);
  found->second->timer.cancel();
  storing_.erase(found);
}

void AuditLink::give_up_waiting() {
  given_up_.clear();  // whether they are recorded nobody says any more
  for (auto& [request, waiting] : waiting_) {
    waiting->is_answered = true;
    waiting->timer.cancel();
  }
  waiting_.clear();
  for (auto& [request, storing] : storing_) storing->timer.cancel();
  storing_.clear();
}

void AuditLink::lost() {
  log::warn("the audit log is gone: model calls and connections are refused until it is back");
  readable_.reset();
  channel_ = ipc::Channel();
  ++epoch_;
  give_up_waiting();
  lost_.expires_after(lost_patience_);
  lost_.async_wait([this](const boost::system::error_code& error) {
    if (error || channel_ || !given_up_for_good_) return;
    log::error("no other channel to the audit log came", {{"records_that_are_lost", kept_.size()}});
    given_up_for_good_();
  });
}

void AuditLink::replace(ipc::Channel channel) {
  if (readable_) readable_->cancel();
  give_up_waiting();
  channel_ = std::move(channel);
  ++epoch_;
  lost_.cancel();
  listen();
  kept_.begin_anew();
  send_kept();
}

asio::awaitable<Result<std::uint64_t>> AuditLink::intent(ipc::AuditAppend record) {
  if (!kept_.has_room_for_an_act()) co_return fail(Errc::unavailable, "too many outcomes wait for the audit log");
  redact(record);
  const std::uint64_t request = record.request = next_request_++;
  if (!channel_ || !channel_.send(record)) {
    co_return fail(Errc::unavailable, "the audit log cannot be reached");
  }
  auto waiting = std::make_shared<Waiting>(io_);
  waiting_.emplace(request, waiting);
  waiting->timer.expires_after(std::chrono::milliseconds(kAuditPatienceMs));
  boost::system::error_code error;
  co_await waiting->timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  if (!waiting->is_answered) give_up(request, record);
  co_return waiting->answer;
}

bool AuditLink::may_store(std::uint32_t account) const {
  const auto own = std::ranges::count_if(storing_, [&](const auto& each) { return each.second->account == account; });
  if (own == 0) return storing_.size() < kMaxStoringInAll;
  return static_cast<std::size_t>(own) < kMaxStoringOfOne && storing_.size() < kMaxStoring;
}

// When nobody waits any more auditd may still have the text: its room is free when it answers, or is gone.
asio::awaitable<std::expected<std::string, std::string>> AuditLink::store(KeptText text, std::uint32_t account) {
  if (!may_store(account)) co_return std::unexpected("too much waits to be stored");
  const std::uint64_t request = next_request_++;
  if (!channel_ || !channel_.send(ipc::AuditBlob{request, account}, text.file)) {
    co_return std::unexpected("the audit log cannot be reached");
  }
  kept_.blob_sent();
  const std::uint64_t epoch = epoch_;
  text.file.reset();
  const auto storing = std::make_shared<Storing>(io_, account, std::move(text.room));
  storing_.emplace(request, storing);
  storing->timer.expires_after(store_patience_);
  boost::system::error_code error;
  co_await storing->timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  if (epoch != epoch_) co_return std::unexpected("the audit log was started anew");
  co_return storing->answer;
}

// It may be written all the same.
void AuditLink::give_up(std::uint64_t request, const ipc::AuditAppend& intent) {
  waiting_.erase(request);
  if (given_up_.size() >= kMaxGivenUp) given_up_.erase(given_up_.begin());
  given_up_.emplace(request, ipc::given_up_outcome(intent));
}

void AuditLink::outcome(ipc::AuditAppend record) {
  redact(record);
  kept_.keep(std::move(record));
  send_kept();
}

void AuditLink::send_kept() {
  if (!channel_) return;  // replace() goes on
  const std::uint64_t ms = kept_.send(sys::monotonic_ms(), [this](const ipc::AuditAppend& record) {
    return static_cast<bool>(channel_.send(record));
  });
  if (ms != 0) send_kept_after(ms);
}

void AuditLink::send_kept_after(std::uint64_t ms) {
  const auto at = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  if (is_again_due_ && again_.expiry() <= at) return;
  is_again_due_ = true;
  again_.expires_at(at);  // instead of what was later
  again_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    is_again_due_ = false;
    send_kept();
  });
}

}  // namespace oqto::gateway
