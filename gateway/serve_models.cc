// The harness's side: HTTP/1.1 on the session's own socket. What leaves for the provider is built
// anew from the checked parts, so nothing of this side's framing or headers gets out.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

#include "base/log.h"
#include "base/sys.h"
#include "gateway/request.h"
#include "gateway/retry_after.h"
#include "gateway/route.h"
#include "gateway/session.h"
#include "ipc/audit_refusal.h"

namespace oqto::gateway {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr auto kIdleTime = std::chrono::seconds(300);   // between two requests
constexpr auto kBodyTime = std::chrono::seconds(120);
constexpr auto kStallTime = std::chrono::seconds(120);  // the harness takes no bytes
constexpr std::uint32_t kMaxHeader = 16 * 1024;
constexpr std::string_view kNoAudit = "the audit log does not accept records now";

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
using Request = http::request<http::string_body>;

// A part of a bounded number, given back at the end.
template <class Number>
class Share {
 public:
  Share(Number& total, Number amount, Number most) : total_(total), amount_(amount) {
    granted_ = total_ + amount_ <= most;
    if (granted_) total_ += amount_;
  }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;
  ~Share() {
    if (granted_) total_ -= amount_;
  }
  [[nodiscard]] bool granted() const { return granted_; }

 private:
  Number& total_;
  Number amount_;
  bool granted_ = false;
};

ipc::AuditAppend record_of(const Session& session, const Call& call, ipc::Phase phase) {
  ipc::AuditAppend record;
  record.event = ipc::Event::model_call;
  record.phase = phase;
  record.add(ipc::FieldKey::session, session.id.text());
  record.add(ipc::FieldKey::account, std::to_string(session.account));
  record.add(ipc::FieldKey::provider, call.provider.name);
  record.add(ipc::FieldKey::model, call.model.id);
  return record;
}

class Connection final : public Sink, public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Session> session, tcp::socket socket)
      : session_(std::move(session)), stream_(std::move(socket)) {
    session_->connections.insert(&stream_.socket());
  }
  ~Connection() override { session_->connections.erase(&stream_.socket()); }

  asio::awaitable<void> run() {
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    beast::flat_buffer buffer(kMaxHeader + 64 * 1024);
    bool more = true;
    while (more) more = co_await serve_one(buffer);
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
  }

  // --- Sink: the answer on its way in ---
  asio::awaitable<bool> head(AnswerHead head) override {
    status_ = head.status;
    usage_ = UsageReader(head.sse);
    hold(head);
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
  asio::awaitable<bool> data(std::string_view bytes) override {
    usage_.feed(bytes);
    const auto chunk = http::make_chunk(asio::buffer(bytes));
    stream_.expires_after(kStallTime);
    auto [error, n] = co_await asio::async_write(stream_, chunk, kToken);
    co_return !error;
  }

 private:
  // False: the connection is done.
  asio::awaitable<bool> serve_one(beast::flat_buffer& buffer) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(kMaxHeader);
    parser.body_limit(kMaxBodyBytes);
    stream_.expires_after(kIdleTime);
    auto [header_error, n] = co_await http::async_read_header(stream_, buffer, parser, kToken);
    if (header_error == http::error::body_limit) {
      co_return co_await refuse(http::status::payload_too_large, ProviderKind::openai,
                                "invalid_request_error", "the request has more than 32 MiB");
    }
    if (header_error) co_return false;
    const Request& request = parser.get();
    const auto route =
        find_route(session_->shared.config, request.method_string(), request.target());
    if (!route) {
      co_return co_await refuse(http::status::not_found, ProviderKind::openai, "not_found_error",
                                "there is nothing here but the configured models");
    }
    const ProviderKind kind = route->provider->kind;
    const auto length = parser.content_length();
    if (request.version() != 11 || !length) {
      co_return co_await refuse(http::status::length_required, kind, "invalid_request_error",
                                "HTTP/1.1 with a Content-Length is needed");
    }
    Shared& shared = session_->shared;
    const auto bytes = static_cast<std::size_t>(*length);
    const Share own(shared.account_bodies_bytes[session_->account], bytes, kMaxAccountBodiesBytes);
    const Share bodies(shared.bodies_bytes, own.granted() ? bytes : 0, kMaxBodiesBytes);
    if (!own.granted() || !bodies.granted()) {
      co_return co_await refuse(http::status::service_unavailable, kind, "overloaded_error",
                                "too many large requests are in progress");
    }
    stream_.expires_after(kBodyTime);
    auto [body_error, m] = co_await http::async_read(stream_, buffer, parser, kToken);
    if (body_error) co_return false;
    co_return co_await check_and_perform(*route, parser.release());
  }

  asio::awaitable<bool> check_and_perform(Route route, Request request) {
    const Provider& provider = *route.provider;
    const auto facts = read_body(request.body());
    if (!facts) {
      co_return co_await refuse(http::status::bad_request, provider.kind, "invalid_request_error",
                                facts.error());
    }
    const Model* model = provider.model(facts->model);
    if (model == nullptr) {
      const std::string why = "this model is not configured for \"" + provider.name + '"';
      co_return co_await refuse(http::status::not_found, provider.kind, "not_found_error", why);
    }
    const Share calls(session_->calls_now, 1, kMaxCalls);
    if (!calls.granted()) {
      co_return co_await refuse(http::status::too_many_requests, provider.kind,
                                "rate_limit_error", "this session has 8 calls in progress");
    }
    const Call call{.provider = provider,
                    .model = *model,
                    .body = std::move(request.body()),
                    .stream = facts->stream,
                    .query = route.query,
                    .anthropic_version = checked_header(request["anthropic-version"]),
                    .anthropic_beta = checked_header(request["anthropic-beta"])};
    const bool whole = co_await perform(call);
    co_return whole && request.keep_alive();
  }

  asio::awaitable<bool> perform(const Call& call) {
    const auto abort = std::make_shared<Abort>();
    const auto done = std::make_shared<bool>(false);
    asio::co_spawn(stream_.get_executor(), watch(shared_from_this(), abort, done), asio::detached);
    const std::uint64_t began = sys::monotonic_ms();
    auto wanted = record_of(*session_, call, ipc::Phase::intent);
    wanted.add(ipc::FieldKey::args_bytes, std::to_string(call.body.size()));
    const auto index = co_await session_->shared.audit.intent(std::move(wanted));
    bool whole = false;
    if (!index) {
      whole = co_await refuse(http::status::service_unavailable, call.provider.kind,
                              "overloaded_error", ipc::is_over_budget(index.error())
                                                      ? std::string_view(index.error().what)
                                                      : kNoAudit);
    } else {
      whole = co_await answer(call, *abort, *index, began);
    }
    *done = true;
    stream_.cancel();  // the watcher's wait
    co_return whole && stream_.socket().is_open();
  }

  asio::awaitable<bool> answer(const Call& call, Abort& abort, std::uint64_t intent,
                               std::uint64_t began) {
    status_ = 0;
    usage_ = UsageReader();
    provider_ = &call.provider;
    Shared& shared = session_->shared;
    Backend& backend = call.provider.kind == ProviderKind::demo ? shared.demo : shared.upstream;
    Ending ending{false, "the session gave the call up"};
    const std::uint64_t left_ms = co_await wait_for_provider(abort);
    if (left_ms != 0) {
      co_return co_await refuse_held(call, left_ms, intent, began);
    }
    if (!abort.requested()) ending = co_await backend.answer(call, *this, abort);
    account(call, ending, intent, began);
    if (ending.complete) {
      const auto last = http::make_chunk_last();
      stream_.expires_after(kStallTime);
      auto [error, n] = co_await asio::async_write(stream_, last, kToken);
      co_return !error;
    }
    if (status_ != 0 || abort.requested()) co_return false;  // a cut answer shows as a cut one
    co_return co_await refuse(http::status::bad_gateway, call.provider.kind, "api_error",
                              ending.reason);
  }

  // A provider that is asked too often asks for a pause: what this session wants of it waits here.
  void hold(const AnswerHead& head) {
    if (head.status != 429 && head.status != 503) return;
    for (const auto& [name, value] : head.headers) {
      if (name != "retry-after") continue;
      const auto ms = retry_after_ms(value, sys::now_ms());
      if (ms) session_->holds[provider_] = {head.status, sys::monotonic_ms() + *ms};
    }
  }

  // Returns how much longer it is than a call may wait here; 0: go on, or it was given up.
  asio::awaitable<std::uint64_t> wait_for_provider(Abort& abort) {
    const std::uint64_t give_up = sys::monotonic_ms() + kMaxHeldMs;
    asio::steady_timer timer(stream_.get_executor());
    abort.act_with([&timer] { timer.cancel(); });
    std::uint64_t left = 0;
    while (!abort.requested()) {
      const std::uint64_t until = session_->holds[provider_].until;
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

  asio::awaitable<bool> refuse_held(const Call& call, std::uint64_t left_ms, std::uint64_t intent,
                                    std::uint64_t began) {
    const std::uint64_t seconds = (left_ms + 999) / 1000;
    const std::string why = "the model provider \"" + call.provider.name + "\" asked for a pause; it takes calls in " +
                            std::to_string(seconds) + " s";
    status_ = session_->holds[provider_].status;
    account(call, Ending{false, why, false}, intent, began);
    const std::string_view type = status_ == 429 ? "rate_limit_error" : "overloaded_error";
    co_return co_await refuse(static_cast<http::status>(status_), call.provider.kind, type, why, seconds);
  }

  // The outcome, before the last byte goes in.
  void account(const Call& call, const Ending& ending, std::uint64_t intent, std::uint64_t began) {
    // A provider that refuses a call does not charge for it; one that says nothing may.
    const bool may_cost = ending.sent && (status_ == 0 || status_ / 100 == 2);
    const Counted used = count_call(usage_, call.model, call.body.size(), may_cost);
    ipc::OpenGate& total = session_->total;
    total.calls += 1;
    total.tokens_in += used.tokens_in;
    total.tokens_out += used.tokens_out;
    total.cost_nanos += used.cost_nanos;
    total.estimated_calls += used.estimated ? 1 : 0;
    auto record = record_of(*session_, call, ipc::Phase::outcome);
    const bool success = ending.complete && status_ / 100 == 2;
    record.outcome = success ? ipc::Outcome::success : ipc::Outcome::failure;
    record.intent = intent;
    record.add(ipc::FieldKey::http_status, std::to_string(status_));
    record.add(ipc::FieldKey::tokens_in, std::to_string(used.tokens_in));
    record.add(ipc::FieldKey::tokens_out, std::to_string(used.tokens_out));
    if (used.cost_nanos != 0) record.add(ipc::FieldKey::cost_nanos, std::to_string(used.cost_nanos));
    if (used.estimated) record.add(ipc::FieldKey::estimated, "true");
    record.add(ipc::FieldKey::duration_ms, std::to_string(sys::monotonic_ms() - began));
    if (!ending.complete) record.add(ipc::FieldKey::reason, ending.reason);
    session_->shared.audit.outcome(std::move(record));
    if (session_->report) session_->report(*session_);
  }

  // Whatever arrives during a call ends it: the harness closed, or speaks out of turn.
  static asio::awaitable<void> watch(std::shared_ptr<Connection> self, std::shared_ptr<Abort> abort,
                                     std::shared_ptr<bool> done) {
    (void)co_await self->stream_.socket().async_wait(tcp::socket::wait_read, kToken);
    if (!*done) abort->request();
  }

  // A refusal in the provider's own shape. (The arguments are views on purpose: g++ 12 destroys an
  // aggregate that is built inside a co_await expression twice.)
  asio::awaitable<bool> refuse(http::status status, ProviderKind kind, std::string_view type,
                               std::string_view message, std::uint64_t retry_after_s = 0) {
    http::response<http::string_body> response(status, 11);
    response.set(http::field::content_type, "application/json");
    if (status == http::status::too_many_requests && retry_after_s == 0) retry_after_s = 1;
    if (retry_after_s != 0) response.set("retry-after", std::to_string(retry_after_s));
    response.keep_alive(false);  // what may follow was not read
    response.body() = error_json(kind, type, message);
    response.prepare_payload();
    stream_.expires_after(kStallTime);
    (void)co_await http::async_write(stream_, response, kToken);
    co_return false;
  }

  std::shared_ptr<Session> session_;
  beast::tcp_stream stream_;
  unsigned status_ = 0;  // of the answer that was begun, 0: none yet
  UsageReader usage_;
  const Provider* provider_ = nullptr;  // of the call in progress
};

asio::awaitable<void> serve_connection(std::shared_ptr<Connection> connection) {
  co_await connection->run();
}

}  // namespace

asio::awaitable<void> serve_models(std::shared_ptr<Session> session) {
  const auto executor = co_await asio::this_coro::executor;
  while (session->model.is_open()) {
    auto [error, socket] = co_await session->model.async_accept(kToken);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // out of descriptors, most likely: let some be given back
      asio::steady_timer pause(executor, std::chrono::milliseconds(50));
      (void)co_await pause.async_wait(kToken);
      continue;
    }
    if (session->connections.size() >= kMaxConnections) continue;
    auto connection = std::make_shared<Connection>(session, std::move(socket));
    asio::co_spawn(executor, serve_connection(std::move(connection)),
                   [](std::exception_ptr failed) {
                     if (failed) log::error("a model connection ended by an exception");
                   });
  }
}

}  // namespace oqto::gateway
