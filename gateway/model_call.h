// One model call of a session, from its record to its outcome: waits for its provider's pauses, has a backend
// answer it, counts it, and passes the answer to the harness.
#pragma once
#include <boost/beast/core/tcp_stream.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/memory_budget.h"
#include "gateway/call_contents.h"
#include "gateway/request.h"
#include "gateway/session.h"

namespace oqto::gateway {

// An error of ours instead of an answer.
struct CallRefusal {
  unsigned status = 0;
  std::string_view type;  // the provider's term
  std::string message;
  std::uint64_t retry_after_s = 0;
};

class ModelCall final : public Sink {
 public:
  // `stream` and `room`, in which the body is accounted, outlive it.
  ModelCall(std::shared_ptr<Session> session, boost::beast::tcp_stream& stream, MemoryBudget::Hold& room, Call call,
            std::unique_ptr<Contents> sent);

  // What the request wanted and did not get.
  // What was taken out of the request: recorded once the call itself is.
  void note_removed(std::vector<Removed> removed) { removed_ = std::move(removed); }
  // True: the whole answer was passed on. Otherwise refusal() says what to answer, if anything can be.
  asio::awaitable<bool> perform(Abort& abort);
  [[nodiscard]] const std::optional<CallRefusal>& refusal() const { return refusal_; }

  asio::awaitable<bool> head(AnswerHead head) override;
  asio::awaitable<bool> data(std::string_view bytes) override;

 private:
  [[nodiscard]] ipc::AuditAppend record_of(ipc::Event event, ipc::Phase phase) const;
  void record_removed();
  asio::awaitable<void> name_contents(ipc::AuditAppend& record, Contents& contents, ipc::FieldKey blob);
  asio::awaitable<std::uint64_t> wait_for_provider(Abort& abort);
  asio::awaitable<bool> answer(Abort& abort, std::uint64_t intent);
  asio::awaitable<void> account(const Ending& ending, std::uint64_t intent);
  void hold(const AnswerHead& head);
  void refuse(unsigned status, std::string_view type, std::string message, std::uint64_t retry_after_s = 0);

  std::shared_ptr<Session> session_;
  boost::beast::tcp_stream& stream_;
  MemoryBudget::Hold& room_;
  Call call_;
  std::vector<Removed> removed_;
  const std::unique_ptr<Contents> sent_;
  Contents got_;
  const std::uint64_t began_;
  unsigned status_ = 0;  // of the answer that was begun, 0: none yet
  UsageReader usage_;
  std::optional<CallRefusal> refusal_;
};

}  // namespace oqto::gateway
