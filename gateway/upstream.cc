// The provider's side of a call: the only place that dials out and the only one that sees a key.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>

#include "gateway/backend.h"
#include "gateway/request.h"

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

http::request<http::string_body> make_request(const Call& call) {
  const Provider& provider = call.provider;
  const bool anthropic = provider.kind == ProviderKind::anthropic;
  http::request<http::string_body> request;
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
  request.set(http::field::connection, "close");
  if (anthropic) {
    const bool given = !call.anthropic_version.empty();
    request.set("anthropic-version", given ? call.anthropic_version : "2023-06-01");
    if (!call.anthropic_beta.empty()) request.set("anthropic-beta", call.anthropic_beta);
    if (!provider.key.empty()) request.set("x-api-key", provider.key);
  } else if (!provider.key.empty()) {
    request.set(http::field::authorization, "Bearer " + provider.key);
  }
  request.body() = call.body;
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
    if (value.empty() || (!key.empty() && value.find(key) != std::string::npos)) continue;
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

class Upstream final : public Backend {
 public:
  Upstream() : tls_(ssl::context::tls_client) {}

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
    const auto executor = co_await asio::this_coro::executor;
    tcp::resolver resolver(executor);
    abort.act_with([&resolver] { resolver.cancel(); });
    auto [resolve_error, addresses] = co_await resolver.async_resolve(
        call.provider.endpoint.host, call.provider.endpoint.port, tcp::resolver::numeric_service,
        kToken);
    abort.act_with({});
    if (abort.requested() || resolve_error) {
      co_return ended(abort, about(call, "has no address", resolve_error));
    }
    beast::tcp_stream socket(executor);
    abort.act_with([&socket] { socket.close(); });
    Ending ending = co_await connected(call, sink, abort, socket, addresses);
    abort.act_with({});
    co_return ending;
  }

 private:
  asio::awaitable<Ending> connected(const Call& call, Sink& sink, Abort& abort,
                                    beast::tcp_stream& socket,
                                    const tcp::resolver::results_type& addresses) {
    socket.expires_after(kDialTime);
    auto [connect_error, peer] = co_await socket.async_connect(addresses, kToken);
    if (connect_error) co_return ended(abort, about(call, "cannot be reached", connect_error));
    error_code ignored;
    socket.socket().set_option(tcp::no_delay(true), ignored);
    if (!call.provider.endpoint.tls) co_return co_await exchange(call, sink, abort, socket, socket);

    beast::ssl_stream<beast::tcp_stream&> tls(socket, tls_);
    const std::string& host = call.provider.endpoint.host;
    SSL_set_tlsext_host_name(tls.native_handle(), host.c_str());
    tls.set_verify_callback(ssl::host_name_verification(host), ignored);
    auto [tls_error] = co_await tls.async_handshake(ssl::stream_base::client, kToken);
    if (tls_error) co_return ended(abort, about(call, "did not prove who it is", tls_error));
    co_return co_await exchange(call, sink, abort, socket, tls);
  }

  template <class Stream>
  asio::awaitable<Ending> exchange(const Call& call, Sink& sink, Abort& abort,
                                   beast::tcp_stream& socket, Stream& stream) {
    const auto request = make_request(call);
    socket.expires_after(kSilenceTime);
    auto [write_error, written] = co_await http::async_write(stream, request, kToken);
    if (write_error) co_return ended(abort, about(call, "took no request", write_error));

    http::response_parser<http::buffer_body> parser;
    parser.body_limit(kMaxAnswerBytes);
    parser.header_limit(kMaxAnswerHeader);
    beast::flat_buffer buffer(kMaxAnswerHeader + kPiece);
    auto [read_error, read] = co_await http::async_read_header(stream, buffer, parser, kToken);
    if (read_error) co_return cut(abort, about(call, "gave no answer", read_error));

    const auto& header = parser.get();
    const std::string_view coding = header[http::field::content_encoding];
    if (header.result_int() < 200 || header.result_int() / 100 == 3 ||
        (!coding.empty() && coding != "identity")) {
      co_return cut(abort, "the model provider \"" + call.provider.name +
                                 "\" redirects or compresses, which was not asked for");
    }
    AnswerHead head = make_head(header, call.provider.key);
    const bool taken = co_await sink.head(std::move(head));
    if (!taken) co_return cut(abort, "the session does not read the answer");

    Redactor redactor(call.provider.key);
    std::array<char, kPiece> piece;
    while (!parser.is_done()) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      socket.expires_after(kSilenceTime);
      auto [error, n] = co_await http::async_read_some(stream, buffer, parser, kToken);
      const std::size_t got = piece.size() - parser.get().body().size;
      const std::string out = redactor.feed({piece.data(), got});
      const bool passed = out.empty() || co_await sink.data(out);
      if (!passed) co_return cut(abort, "the session does not read the answer");
      if (error && error != http::error::need_buffer) {
        co_return cut(abort, about(call, "broke off", error));
      }
    }
    const std::string rest = redactor.finish();
    const bool passed = rest.empty() || co_await sink.data(rest);
    if (!passed) co_return cut(abort, "the session does not read the answer");
    co_return Ending{true, "", true};
  }

  ssl::context tls_;
};

}  // namespace

Result<std::unique_ptr<Backend>> make_upstream(const Config& config, const char* ca_file) {
  auto upstream = std::make_unique<Upstream>();
  for (const Provider& provider : config.providers) {
    if (provider.kind == ProviderKind::demo || !provider.endpoint.tls) continue;
    TRY(upstream->load(ca_file));
    break;
  }
  return upstream;
}

}  // namespace oqto::gateway
