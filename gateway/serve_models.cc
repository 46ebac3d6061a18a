// The harness's side: HTTP/1.1 on the session's own socket. What leaves for the provider is built
// anew from the checked parts, so nothing of this side's framing or headers gets out.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

#include "base/log.h"
#include "gateway/demo.h"
#include "gateway/model_call.h"
#include "gateway/route.h"

namespace oqto::gateway {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr auto kIdleTime = std::chrono::seconds(300);  // between two requests
// A body may pause for so long in all, beside what it needs at this rate.
constexpr auto kBodyGrace = std::chrono::seconds(20);
constexpr std::size_t kBodyBytesPerMs = 1024;
constexpr std::size_t kFirstRoom = 64 * 1024;  // of a body that has yet to come
constexpr std::uint32_t kMaxHeader = 16 * 1024;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
using Parser = http::request_parser<http::buffer_body>;

// What is done with a body off the loop.
struct BodyCheck {
  BodyCheck(std::string text, BodyRules by, std::unique_ptr<MemoryBudget::Hold> room)
      : body(std::move(text)), rules(by), contents(new Contents(std::move(room))) {}
  void run() {
    result = check_body(body, rules);
    body = {};
    if (!result) return;
    contents->feed(result->text);
    contents->finish();
    if (rules.kind == ProviderKind::demo) demo = std::make_shared<DemoAnswer>(demo_answer(result->text));
  }

  std::string body;
  const BodyRules rules;
  std::unique_ptr<Contents> contents;
  std::expected<CheckedBody, std::string> result = std::unexpected("");
  std::shared_ptr<const DemoAnswer> demo;
};

// A part of a bounded number, given back at the end.
class Share {
 public:
  Share(int& total, int most) : total_(total), granted_(total < most) {
    if (granted_) ++total_;
  }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;
  ~Share() {
    if (granted_) --total_;
  }
  [[nodiscard]] bool granted() const { return granted_; }

 private:
  int& total_;
  const bool granted_;
};

class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Session> session, tcp::socket socket)
      : session_(std::move(session)), stream_(std::move(socket)) {
    session_->connections.insert(&stream_.socket());
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { session_->connections.erase(&stream_.socket()); }

  asio::awaitable<void> run() {
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    beast::flat_buffer buffer(kMaxHeader + 64 * 1024);
    bool more = true;
    while (more) more = co_await serve_one(buffer);
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
  }

 private:
  // False: the connection is done.
  asio::awaitable<bool> serve_one(beast::flat_buffer& buffer) {
    Parser parser;
    parser.header_limit(kMaxHeader);
    parser.body_limit(kMaxBodyBytes);
    stream_.expires_after(kIdleTime);
    auto [header_error, n] = co_await http::async_read_header(stream_, buffer, parser, kToken);
    if (header_error == http::error::body_limit) {
      co_return co_await refuse(http::status::payload_too_large, ProviderKind::openai,
                                "invalid_request_error", "the request has more than 32 MiB");
    }
    if (header_error) co_return false;
    const auto& request = parser.get();
    const std::shared_ptr<const Config> config = session_->shared.config;  // the route is a part of it
    const auto route = find_route(*config, request.method_string(), request.target());
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
    if (kind == ProviderKind::demo && *length > kMaxDemoBytes) {
      co_return co_await refuse(http::status::payload_too_large, kind, "invalid_request_error",
                                "the demo takes no request of more than 8 MiB");
    }
    MemoryBudget::Hold room(session_->shared.bodies, session_->account);
    std::string body;
    const Body came = co_await read_body(buffer, parser, static_cast<std::size_t>(*length), room, body);
    if (came == Body::cut) co_return false;
    if (came == Body::no_room) {
      co_return co_await refuse(http::status::service_unavailable, kind, "overloaded_error",
                                "too many large requests are in progress");
    }
    co_return co_await check_and_perform(*route, parser, std::move(body), room);
  }

  // Only what has come takes room, and what comes too slowly is cut.
  enum class Body : std::uint8_t { whole, cut, no_room };
  asio::awaitable<Body> read_body(beast::flat_buffer& buffer, Parser& parser, std::size_t length,
                                  MemoryBudget::Hold& room, std::string& body) {
    const auto began = std::chrono::steady_clock::now();
    std::size_t got = 0;
    while (!parser.is_done()) {
      if (got == body.size()) {
        const std::size_t size = std::min(length, std::max(kFirstRoom, 2 * got));
        if (!room.resize(size)) co_return Body::no_room;
        body.resize(size);
      }
      auto& into = parser.get().body();
      into.data = body.data() + got;
      into.size = body.size() - got;
      stream_.expires_at(began + kBodyGrace + std::chrono::milliseconds(got / kBodyBytesPerMs));
      auto [error, n] = co_await http::async_read_some(stream_, buffer, parser, kToken);
      got = body.size() - into.size;
      if (error && error != http::error::need_buffer) co_return Body::cut;
    }
    body.resize(got);
    co_return Body::whole;
  }

  asio::awaitable<bool> check_and_perform(Route route, const Parser& parser, std::string body,
                                          MemoryBudget::Hold& room) {
    const Provider& provider = *route.provider;
    const std::size_t bytes = body.size();
    const BodyRules rules{provider.kind, session_->total.delegated_fetch};
    const auto check = std::make_shared<BodyCheck>(std::move(body), rules, room_to_keep(*session_));
    std::function<void()> job = [check] { check->run(); };
    const bool read = co_await session_->shared.workers.run(session_->account, bytes, std::move(job));
    if (!read) {
      co_return co_await refuse(http::status::service_unavailable, provider.kind, "overloaded_error",
                                "there is no memory for this request now");
    }
    if (!check->result) {
      co_return co_await refuse(http::status::bad_request, provider.kind, "invalid_request_error",
                                check->result.error());
    }
    CheckedBody& checked = *check->result;
    const Model* model = provider.model(checked.model);
    if (model == nullptr) {
      const std::string why = "this model is not configured for \"" + provider.name + '"';
      co_return co_await refuse(http::status::not_found, provider.kind, "not_found_error", why);
    }
    const Share calls(session_->calls_now, kMaxCalls);
    if (!calls.granted()) {
      co_return co_await refuse(http::status::too_many_requests, provider.kind,
                                "rate_limit_error", "this session has 8 calls in progress");
    }
    (void)room.resize(checked.text.size());
    const auto& request = parser.get();
    Call call{.provider = provider,
              .model = *model,
              .body_bytes = checked.text.size(),
              .body = std::move(checked.text),
              .stream = checked.stream,
              .query = route.query,
              .anthropic_version = checked_header(request["anthropic-version"]),
              .anthropic_beta = checked_header(request["anthropic-beta"]),
              .demo = check->demo};
    ModelCall performed(session_, stream_, room, std::move(call), std::move(check->contents));
    performed.note_removed(std::move(checked.removed));
    const bool whole = co_await perform(performed, provider.kind);
    co_return whole && request.keep_alive();
  }

  asio::awaitable<bool> perform(ModelCall& call, ProviderKind kind) {
    const auto abort = std::make_shared<Abort>();
    const auto done = std::make_shared<bool>(false);
    asio::co_spawn(stream_.get_executor(), watch(shared_from_this(), abort, done), asio::detached);
    const bool whole = co_await call.perform(*abort);
    if (const auto& refusal = call.refusal()) {
      co_await refuse(static_cast<http::status>(refusal->status), kind, refusal->type, refusal->message,
                      refusal->retry_after_s);
    }
    *done = true;
    stream_.cancel();  // the watcher's wait
    co_return whole && stream_.socket().is_open();
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
