// The provider's side of a call: the only place that dials out and the only one that sees a key.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

#include "gateway/backend.h"
#include "gateway/provider_pool.h"
#include "gateway/redactor.h"

namespace oqto::gateway {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr auto kDialTime = std::chrono::seconds(15);
constexpr auto kSilenceTime = std::chrono::seconds(600);  // reasoning can be silent for minutes
constexpr std::size_t kMaxAnswerBytes = std::size_t{512} * 1024 * 1024;
constexpr std::uint32_t kMaxAnswerHeader = 64 * 1024;
constexpr std::size_t kPiece = 16 * 1024;

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

// The body is looked at where it lies.
http::request<http::span_body<const char>> make_request(const Call& call) {
  const Provider& provider = call.provider;
  const bool anthropic = provider.kind == ProviderKind::anthropic;
  http::request<http::span_body<const char>> request;
  request.version(11);
  request.method(http::verb::post);
  request.target(provider.endpoint.prefix + (anthropic ? "/v1/messages" : "/chat/completions") +
                 call.query);
  const bool v6 = provider.endpoint.host.find(':') != std::string::npos;
  std::string host = v6 ? '[' + provider.endpoint.host + ']' : provider.endpoint.host;
  const std::string_view usual = provider.endpoint.tls ? "443" : "80";
  if (provider.endpoint.port != usual) host += ':' + provider.endpoint.port;
  request.set(http::field::host, host);
  request.set(http::field::user_agent, "oqto");
  request.set(http::field::content_type, "application/json");
  request.set(http::field::accept, call.stream ? "text/event-stream" : "application/json");
  request.set(http::field::accept_encoding, "identity");
  if (anthropic) {
    const bool given = !call.anthropic_version.empty();
    request.set("anthropic-version", given ? call.anthropic_version : "2023-06-01");
    if (!call.anthropic_beta.empty()) request.set("anthropic-beta", call.anthropic_beta);
    if (!provider.key.empty()) request.set("x-api-key", provider.key);
  } else if (!provider.key.empty()) {
    request.set(http::field::authorization, "Bearer " + provider.key);
  }
  request.body() = {call.body.data(), call.body.size()};
  request.prepare_payload();
  return request;
}

AnswerHead make_head(const http::response_header<>& header, const std::string& key) {
  AnswerHead head;
  head.status = header.result_int();
  const std::string_view type = header[http::field::content_type];
  head.sse = type.starts_with("text/event-stream");
  for (const std::string_view name : {"content-type", "retry-after", "retry-after-ms",
                                      "x-should-retry", "request-id", "x-request-id"}) {
    const std::string value(header[std::string(name)]);
    Redactor redactor(key);
    if (value.empty() || redactor.feed(value) + redactor.finish() != value) continue;
    head.headers.emplace_back(name, value);
  }
  return head;
}

// Before the provider had the request, and after.
Ending ended(const Abort& abort, std::string reason) {
  return {false, abort.requested() ? "the session gave the call up" : std::move(reason), false};
}
Ending cut(const Abort& abort, std::string reason) {
  Ending ending = ended(abort, std::move(reason));
  ending.sent = true;
  return ending;
}

std::string about(const Call& call, std::string_view what, const error_code& error) {
  return "the model provider \"" + call.provider.name + "\" " + std::string(what) + ": " +
         error.message();
}

// What became of one request on one connection.
struct Exchange {
  Ending ending;
  bool silent = false;    // it failed before any byte of an answer, and not since time ran out
  bool reusable = false;  // the answer was whole, and the provider keeps the connection
};

class Upstream final : public Backend {
 public:
  explicit Upstream(asio::io_context& io) : tls_(ssl::context::tls_client), pool_(io) {}

  Status load(const char* ca_file) {
    error_code error;
    tls_.set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                         ssl::context::no_tlsv1_1, error);
    if (!error) tls_.set_verify_mode(ssl::verify_peer, error);
    if (!error) tls_.load_verify_file(ca_file, error);
    if (error) {
      return fail(Errc::invalid, "the certificates of the authorities cannot be read (--ca-file)");
    }
    return {};
  }

  asio::awaitable<Ending> answer(const Call& call, Sink& sink, Abort& abort) override {
    std::unique_ptr<ProviderConnection> connection = pool_.take(call.provider);
    if (connection) {
      Exchange kept;
      co_await exchange_on(*connection, call, sink, abort, kept);
      if (!kept.silent || abort.requested()) co_return settle(call, std::move(connection), abort, kept);
      connection.reset();  // the provider was closing it: once more, on a fresh one
    }
    connection = std::make_unique<ProviderConnection>(co_await asio::this_coro::executor);
    Exchange fresh;
    co_await dial(*connection, call, abort, fresh.ending);
    if (fresh.ending.reason.empty()) co_await exchange_on(*connection, call, sink, abort, fresh);
    co_return settle(call, std::move(connection), abort, fresh);
  }

 private:
  Ending settle(const Call& call, std::unique_ptr<ProviderConnection> connection, const Abort& abort,
                Exchange& done) {
    if (done.reusable && !abort.requested()) pool_.give_back(call.provider, std::move(connection));
    return std::move(done.ending);
  }

  // Without a reason in `failed` the connection stands.
  asio::awaitable<void> dial(ProviderConnection& to, const Call& call, Abort& abort, Ending& failed) {
    const Endpoint& endpoint = call.provider.endpoint;
    tcp::resolver resolver(to.socket.get_executor());
    abort.act_with([&resolver] { resolver.cancel(); });
    auto [resolve_error, addresses] = co_await resolver.async_resolve(
        endpoint.host, endpoint.port, tcp::resolver::numeric_service, kToken);
    abort.act_with({});
    if (abort.requested() || resolve_error) {
      failed = ended(abort, about(call, "has no address", resolve_error));
      co_return;
    }
    abort.act_with([&to] { to.socket.close(); });
    to.socket.expires_after(kDialTime);
    auto [connect_error, peer] = co_await to.socket.async_connect(addresses, kToken);
    if (connect_error) {
      failed = ended(abort, about(call, "cannot be reached", connect_error));
    } else if (endpoint.tls) {
      co_await prove(to, call, abort, failed);
    }
    abort.act_with({});
    if (abort.requested() && failed.reason.empty()) failed = ended(abort, "");
  }

  asio::awaitable<void> prove(ProviderConnection& to, const Call& call, const Abort& abort, Ending& failed) {
    error_code ignored;
    const std::string& host = call.provider.endpoint.host;
    to.tls = std::make_unique<beast::ssl_stream<beast::tcp_stream&>>(to.socket, tls_);
    SSL_set_tlsext_host_name(to.tls->native_handle(), host.c_str());
    to.tls->set_verify_callback(ssl::host_name_verification(host), ignored);
    auto [tls_error] = co_await to.tls->async_handshake(ssl::stream_base::client, kToken);
    if (tls_error) failed = ended(abort, about(call, "did not prove who it is", tls_error));
  }

  asio::awaitable<void> exchange_on(ProviderConnection& on, const Call& call, Sink& sink, Abort& abort,
                                    Exchange& done) {
    error_code ignored;
    on.socket.socket().set_option(tcp::no_delay(true), ignored);
    abort.act_with([&on] { on.socket.close(); });
    if (on.tls) {
      co_await exchange(call, sink, abort, on.socket, *on.tls, done);
    } else {
      co_await exchange(call, sink, abort, on.socket, on.socket, done);
    }
    abort.act_with({});
  }

  template <class Stream>
  asio::awaitable<void> exchange(const Call& call, Sink& sink, const Abort& abort, beast::tcp_stream& socket,
                                 Stream& stream, Exchange& done) {
    const auto request = make_request(call);
    socket.expires_after(kSilenceTime);
    auto [write_error, written] = co_await http::async_write(stream, request, kToken);
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(kMaxAnswerBytes);
    parser.header_limit(kMaxAnswerHeader);
    beast::flat_buffer buffer(kMaxAnswerHeader + kPiece);
    if (write_error) {
      done.silent = write_error != beast::error::timeout;
      done.ending = ended(abort, about(call, "took no request", write_error));
      co_return;
    }
    auto [read_error, read] = co_await http::async_read_header(stream, buffer, parser, kToken);
    if (read_error) {
      done.silent = read_error != beast::error::timeout && buffer.size() == 0 && !parser.got_some();
      done.ending = cut(abort, about(call, "gave no answer", read_error));
      co_return;
    }
    const auto& header = parser.get();
    const std::string_view coding = header[http::field::content_encoding];
    if (header.result_int() < 200 || header.result_int() / 100 == 3 ||
        (!coding.empty() && coding != "identity")) {
      done.ending = cut(abort, "the model provider \"" + call.provider.name +
                                   "\" redirects or compresses, which was not asked for");
      co_return;
    }
    AnswerHead head = make_head(header, call.provider.key);
    Redactor redactor(call.provider.key, head.sse);
    const bool taken = co_await sink.head(std::move(head));
    if (taken) {
      co_await pass_on(call, sink, abort, socket, stream, buffer, parser, redactor, done.ending);
    } else {
      done.ending = cut(abort, "the session does not read the answer");
    }
    done.reusable = done.ending.complete && parser.keep_alive() && buffer.size() == 0;
  }

  template <class Stream>
  asio::awaitable<void> pass_on(const Call& call, Sink& sink, const Abort& abort, beast::tcp_stream& socket,
                                Stream& stream, beast::flat_buffer& buffer,
                                http::response_parser<http::buffer_body>& parser, Redactor& redactor, Ending& ending) {
    std::array<char, kPiece> piece;
    bool passed = true;
    while (passed && !parser.is_done()) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      socket.expires_after(kSilenceTime);
      auto [error, n] = co_await http::async_read_some(stream, buffer, parser, kToken);
      const std::size_t got = piece.size() - parser.get().body().size;
      const std::string out = redactor.feed({piece.data(), got});
      passed = out.empty() || co_await sink.data(out);
      if (passed && error && error != http::error::need_buffer) {
        ending = cut(abort, about(call, "broke off", error));
        co_return;
      }
    }
    const std::string rest = passed ? redactor.finish() : "";
    passed = passed && (rest.empty() || co_await sink.data(rest));
    ending = passed ? Ending{true, "", true} : cut(abort, "the session does not read the answer");
  }

  ssl::context tls_;
  ProviderPool pool_;
};

}  // namespace

Result<MadeUpstream> make_upstream(asio::io_context& io, bool needs_authorities, const char* ca_file) {
  auto upstream = std::make_unique<Upstream>(io);
  const Status loaded = upstream->load(ca_file);
  if (!loaded && needs_authorities) return std::unexpected(loaded.error());
  return MadeUpstream{std::move(upstream), loaded.has_value()};
}

}  // namespace oqto::gateway
