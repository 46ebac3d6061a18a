// The gateway's channel to auditd, for many calls at a time. An intent is awaited; an outcome is
// kept until auditd has it, over a restart of auditd too (then it may be recorded twice). If outcomes
// have to wait no act begins whose outcome would find no room.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "egress/readable.h"
#include "gateway/call_contents.h"
#include "ipc/audit.h"
#include "ipc/kept_records.h"

namespace oqto::gateway {

namespace asio = boost::asio;

constexpr int kAuditPatienceMs = 5000;
constexpr std::size_t kMaxKeptOutcomes = 4096;
constexpr std::size_t kMaxGivenUp = 1024;  // intents that may be recorded though nobody waits any more
constexpr auto kStorePatience = std::chrono::seconds(10);
// The guard brings a channel to each auditd that it starts, within five seconds. None after this long: auditd lives on
// and has cut us off.
constexpr auto kLostPatience = std::chrono::seconds(10);
// auditd remembers the newest 64 of a source: none that waits is among the forgotten. An account of which nothing
// is being stored finds room beyond the first bound, which others may fill.
constexpr std::size_t kMaxStoring = 32;
constexpr std::size_t kMaxStoringInAll = 60;
constexpr std::size_t kMaxStoringOfOne = 8;

using egress::Readable;

class AuditLink {
 public:
  // `secrets` never leave in a record, wherever they turn up in it.
  AuditLink(asio::io_context& io, ipc::Channel channel, std::vector<std::string> secrets = {},
            std::chrono::milliseconds store_patience = kStorePatience,
            std::chrono::milliseconds lost_patience = kLostPatience);
  AuditLink(const AuditLink&) = delete;
  AuditLink& operator=(const AuditLink&) = delete;

  // The index, once the record is durable. Errc::unavailable: do not act; if it is recorded all the same,
  // later, an outcome says that nothing was done.
  asio::awaitable<Result<std::uint64_t>> intent(ipc::AuditAppend record);
  void outcome(ipc::AuditAppend record);  // or an event
  // Stores a text of this account's; what a record's field `…_blob` then names it by, if it is sent at once. The
  // error is a text for the record that does without. The text keeps its room for as long as auditd has it.
  asio::awaitable<std::expected<std::string, std::string>> store(KeptText text, std::uint32_t account);

  // Of another configuration. Earlier ones stay: calls may still be under way with them.
  void add_secrets(std::vector<std::string> secrets);

  // What to do when the channel is lost and no other one comes: nothing could be recorded any more.
  void when_given_up(std::function<void()> what) { given_up_for_good_ = std::move(what); }

  // auditd was restarted: those who wait are refused, kept outcomes are sent again.
  void replace(ipc::Channel channel);

 private:
  struct Waiting {
    explicit Waiting(asio::io_context& io) : timer(io) {}
    asio::steady_timer timer;
    bool is_answered = false;  // or nobody will
    Result<std::uint64_t> answer = fail(Errc::unavailable, "the audit log does not answer");
  };

  struct Storing {
    Storing(asio::io_context& io, std::uint32_t of, std::unique_ptr<MemoryBudget::Hold> held)
        : timer(io), account(of), room(std::move(held)) {}
    asio::steady_timer timer;
    const std::uint32_t account;
    std::unique_ptr<MemoryBudget::Hold> room;
    std::expected<std::string, std::string> answer = std::unexpected("the audit log does not answer");
  };

  asio::awaitable<void> receive_from(std::shared_ptr<Readable> readable);
  bool receive_all();
  void handle(const ipc::Received& received);
  void answer(std::uint64_t request, Result<std::uint64_t> with);
  void stored(std::uint64_t request, std::expected<std::string, std::string> with);
  [[nodiscard]] bool may_store(std::uint32_t account) const;
  void give_up_waiting();
  void give_up(std::uint64_t request, const ipc::AuditAppend& intent);
  void send_kept();
  void send_kept_after(std::uint64_t ms);
  void lost();
  void listen();

  void redact(ipc::AuditAppend& record) const;

  asio::io_context& io_;
  std::vector<std::string> secrets_;
  const std::chrono::milliseconds store_patience_;
  const std::chrono::milliseconds lost_patience_;
  ipc::Channel channel_;
  std::uint64_t epoch_ = 0;  // of the channel: what one auditd stored the next may not know
  std::shared_ptr<Readable> readable_;  // of the present channel
  std::uint64_t next_request_ = 1;
  std::map<std::uint64_t, std::shared_ptr<Waiting>> waiting_;
  std::map<std::uint64_t, std::shared_ptr<Storing>> storing_;  // until auditd answers, whoever waits for it
  std::map<std::uint64_t, ipc::AuditAppend> given_up_;  // by the intent's request: what came of it
  ipc::KeptRecords kept_{next_request_, kMaxKeptOutcomes};
  asio::steady_timer again_;
  bool is_again_due_ = false;
  asio::steady_timer lost_;
  std::function<void()> given_up_for_good_;
};

}  // namespace oqto::gateway
