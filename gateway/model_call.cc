#include "gateway/model_call.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

#include "base/sys.h"
#include "gateway/retry_after.h"
#include "ipc/audit_refusal.h"

namespace oqto::gateway {
namespace {

namespace http = boost::beast::http;
using ipc::FieldKey;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr const char* kNoAudit = "the audit log does not accept records now";

}  // namespace

ModelCall::ModelCall(std::shared_ptr<Session> session, boost::beast::tcp_stream& stream, MemoryBudget::Hold& room,
                     Call call, std::unique_ptr<Contents> sent)
    : session_(std::move(session)),
      stream_(stream),
      room_(room),
      call_(std::move(call)),
      sent_(std::move(sent)),
      got_(room_to_keep(*session_)),
      began_(sys::monotonic_ms()) {}

void ModelCall::refuse(unsigned status, std::string_view type, std::string message, std::uint64_t retry_after_s) {
  refusal_.emplace(CallRefusal{status, type, std::move(message), retry_after_s});
}

ipc::AuditAppend ModelCall::record_of(ipc::Event event, ipc::Phase phase) const {
  ipc::AuditAppend record;
  record.event = event;
  record.phase = phase;
  record.add(FieldKey::session, session_->id.text());
  record.add(FieldKey::account, std::to_string(session_->account));
  record.add(FieldKey::provider, call_.provider.name);
  record.add(FieldKey::model, call_.model.id);
  return record;
}

// After the intent, which the log refuses a tenant that has used up its share: these it takes always.
void ModelCall::record_removed() {
  for (const Removed& one : removed_) {
    ipc::AuditAppend record = record_of(ipc::Event::denial, ipc::Phase::event);
    record.outcome = ipc::Outcome::failure;
    record.add(FieldKey::capability, one.capability).add(FieldKey::member, one.member);
    if (!one.host.empty()) record.add(FieldKey::host, one.host);
    if (one.count > 1) record.add(FieldKey::count, std::to_string(one.count));
    record.add(FieldKey::rule, "network.delegated_fetch");
    session_->shared.audit.outcome(std::move(record));
  }
}

// The hash, and the text itself where it is to be kept; a text that cannot be says why.
asio::awaitable<void> ModelCall::name_contents(ipc::AuditAppend& record, Contents& contents, FieldKey blob) {
  const bool request = blob == FieldKey::request_blob;
  record.add(request ? FieldKey::request_sha256 : FieldKey::response_sha256, contents.sha256());
  std::string why = contents.why_not();
  if (KeptText text = contents.take(); text.file) {
    auto stored = co_await session_->shared.audit.store(std::move(text), session_->account);
    if (stored) {
      record.add(blob, *stored);
    } else {
      why = stored.error();
    }
  }
  if (!why.empty()) {
    record.add(FieldKey::reason, std::string(request ? "the request" : "the response") + " was not kept: " + why);
  }
}

asio::awaitable<bool> ModelCall::perform(Abort& abort) {
  auto wanted = record_of(ipc::Event::model_call, ipc::Phase::intent);
  wanted.add(FieldKey::args_bytes, std::to_string(call_.body_bytes));
  co_await name_contents(wanted, *sent_, FieldKey::request_blob);
  const auto index = co_await session_->shared.audit.intent(std::move(wanted));
  if (!index) {
    refuse(503, "overloaded_error", ipc::is_over_budget(index.error()) ? index.error().what : kNoAudit);
    co_return false;
  }
  record_removed();
  co_return co_await answer(abort, *index);
}

asio::awaitable<bool> ModelCall::answer(Abort& abort, std::uint64_t intent) {
  Shared& shared = session_->shared;
  Backend& backend = call_.provider.kind == ProviderKind::demo ? shared.demo : shared.upstream;
  Ending ending{false, "the session gave the call up"};
  const std::uint64_t left_ms = co_await wait_for_provider(abort);
  if (left_ms != 0) {
    const std::uint64_t seconds = (left_ms + 999) / 1000;
    status_ = session_->holds[call_.provider.name].status;
    ending.reason = "the model provider \"" + call_.provider.name + "\" asked for a pause; it takes calls in " +
                    std::to_string(seconds) + " s";
    co_await account(ending, intent);
    refuse(status_, status_ == 429 ? "rate_limit_error" : "overloaded_error", ending.reason, seconds);
    co_return false;
  }
  if (!abort.requested()) ending = co_await backend.answer(call_, *this, abort);
  co_await account(ending, intent);
  if (ending.complete) {
    const auto last = http::make_chunk_last();
    stream_.expires_after(kStallTime);
    auto [error, n] = co_await asio::async_write(stream_, last, kToken);
    co_return !error;
  }
  // A cut answer shows as a cut one.
  if (status_ == 0 && !abort.requested()) refuse(502, "api_error", ending.reason);
  co_return false;
}

// --- Sink: the answer on its way in ---

asio::awaitable<bool> ModelCall::head(AnswerHead head) {
  status_ = head.status;
  usage_ = UsageReader(head.sse);
  hold(head);
  call_.body = {};  // the provider has it
  room_.release();
  http::response<http::empty_body> response;
  response.version(11);
  response.result(head.status);
  for (const auto& [name, value] : head.headers) response.set(name, value);
  response.set(http::field::cache_control, "no-cache");
  response.chunked(true);
  http::response_serializer<http::empty_body> serializer(response);
  stream_.expires_after(kStallTime);
  auto [error, n] = co_await http::async_write_header(stream_, serializer, kToken);
  co_return !error;
}

asio::awaitable<bool> ModelCall::data(std::string_view bytes) {
  usage_.feed(bytes);
  got_.feed(bytes);
  const auto chunk = http::make_chunk(asio::buffer(bytes));
  stream_.expires_after(kStallTime);
  auto [error, n] = co_await asio::async_write(stream_, chunk, kToken);
  co_return !error;
}

// A provider that is asked too often asks for a pause: what this session wants of it waits here.
void ModelCall::hold(const AnswerHead& head) {
  if (head.status != 429 && head.status != 503) return;
  for (const auto& [name, value] : head.headers) {
    if (name != "retry-after") continue;
    const auto ms = retry_after_ms(value, sys::now_ms());
    if (ms) session_->holds[call_.provider.name] = {head.status, sys::monotonic_ms() + *ms};
  }
}

// Returns how much longer it is than a call may wait here; 0: go on, or it was given up.
asio::awaitable<std::uint64_t> ModelCall::wait_for_provider(Abort& abort) {
  const std::uint64_t give_up = sys::monotonic_ms() + kMaxHeldMs;
  asio::steady_timer timer(stream_.get_executor());
  abort.act_with([&timer] { timer.cancel(); });
  std::uint64_t left = 0;
  while (!abort.requested()) {
    const std::uint64_t until = session_->holds[call_.provider.name].until;
    const std::uint64_t now = sys::monotonic_ms();
    if (until <= now) break;
    if (until > give_up) {
      left = until - now;
      break;
    }
    timer.expires_after(std::chrono::milliseconds(until - now));
    (void)co_await timer.async_wait(kToken);
  }
  abort.act_with({});
  co_return left;
}

// The outcome, before the last byte goes in.
asio::awaitable<void> ModelCall::account(const Ending& ending, std::uint64_t intent) {
  // A provider that refuses a call does not charge for it; one that says nothing may.
  const bool may_cost = ending.sent && (status_ == 0 || status_ / 100 == 2);
  const Counted used = count_call(usage_, call_.model, call_.body_bytes, may_cost);
  ipc::OpenGate& total = session_->total;
  total.calls += 1;
  total.tokens_in += used.tokens_in;
  total.tokens_out += used.tokens_out;
  total.cost_nanos += used.cost_nanos;
  total.estimated_calls += used.estimated ? 1 : 0;
  auto record = record_of(ipc::Event::model_call, ipc::Phase::outcome);
  const bool success = ending.complete && status_ / 100 == 2;
  record.outcome = success ? ipc::Outcome::success : ipc::Outcome::failure;
  record.intent = intent;
  record.add(FieldKey::http_status, std::to_string(status_));
  record.add(FieldKey::tokens_in, std::to_string(used.tokens_in));
  record.add(FieldKey::tokens_out, std::to_string(used.tokens_out));
  if (used.cost_nanos != 0) record.add(FieldKey::cost_nanos, std::to_string(used.cost_nanos));
  if (used.estimated) record.add(FieldKey::estimated, "true");
  record.add(FieldKey::duration_ms, std::to_string(sys::monotonic_ms() - began_));
  if (!ending.complete) record.add(FieldKey::reason, ending.reason);
  record.add(FieldKey::request_sha256, sent_->sha256());
  got_.finish();
  co_await name_contents(record, got_, FieldKey::response_blob);
  session_->shared.audit.outcome(std::move(record));
  if (session_->report) session_->report(*session_);
}

}  // namespace oqto::gateway
