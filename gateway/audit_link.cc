#include "gateway/audit_link.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <chrono>

#include "base/log.h"
#include "ipc/audit_refusal.h"

namespace oqto::gateway {

AuditLink::AuditLink(asio::io_context& io, ipc::Channel channel, std::vector<std::string> secrets)
    : io_(io), secrets_(std::move(secrets)), channel_(std::move(channel)) {
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
    if (!received) return received.error().code == Errc::limit;
    handle(*received);
  }
}

void AuditLink::handle(const ipc::Received& received) {
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
  if (outcomes_.contains(refused->request)) {
    log::error("auditd refused an outcome", {{"why", refused->why.view()}});
  }
  answer(refused->request, std::unexpected(ipc::refusal_error(*refused)));
}

void AuditLink::answer(std::uint64_t request, Result<std::uint64_t> with) {
  outcomes_.erase(request);
  const auto found = waiting_.find(request);
  if (found == waiting_.end()) return;
  found->second->answer = with;
  found->second->timer.cancel();
  waiting_.erase(found);
}

void AuditLink::lost() {
  log::warn("the audit log is gone: model calls and connections are refused until it is back");
  readable_.reset();
  channel_ = ipc::Channel();
  for (auto& [request, waiting] : waiting_) waiting->timer.cancel();
  waiting_.clear();
}

void AuditLink::replace(ipc::Channel channel) {
  if (readable_) readable_->cancel();
  for (auto& [request, waiting] : waiting_) waiting->timer.cancel();
  waiting_.clear();
  channel_ = std::move(channel);
  listen();
  for (const auto& [request, record] : outcomes_) (void)channel_.send(record);
}

asio::awaitable<Result<std::uint64_t>> AuditLink::intent(ipc::AuditAppend record) {
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
  waiting_.erase(request);
  co_return waiting->answer;
}

void AuditLink::outcome(ipc::AuditAppend record) {
  redact(record);
  record.request = next_request_++;
  if (outcomes_.size() >= kMaxKeptOutcomes) {
    log::error("too many outcomes wait for the audit log: the oldest is given up");
    outcomes_.erase(outcomes_.begin());
  }
  if (channel_) (void)channel_.send(record);
  const std::uint64_t request = record.request;
  outcomes_.emplace(request, std::move(record));
}

}  // namespace oqto::gateway
