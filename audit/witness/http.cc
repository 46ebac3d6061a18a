#include "audit/witness/http.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>
#include <sstream>

namespace oqto::audit {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

Error error_of(const error_code& error) {
  if (error == http::error::header_limit || error == http::error::body_limit) {
    return {Errc::limit, "a message longer than is taken", 0};
  }
  return {Errc::bad_message, "no HTTP message", 0};
}

template <class Message>
std::string spelled(const Message& message) {
  std::ostringstream out;
  out << message;
  return out.str();
}

}  // namespace

struct HttpRequestReader::Parser {
  using Type = http::request_parser<http::string_body>;
  std::optional<Type> parser;
  std::string bytes;
  bool continued = false;
  bool stuck = false;  // the bytes are the beginning of something

  void begin() {
    parser.emplace();
    parser->eager(true);
    parser->header_limit(kMaxHttpHeader);
    parser->body_limit(kMaxHttpBody);
    continued = false;
  }
};

HttpRequestReader::HttpRequestReader() : parser_(std::make_unique<Parser>()) {
  parser_->begin();
}
HttpRequestReader::~HttpRequestReader() = default;

void HttpRequestReader::feed(std::string_view bytes) {
  parser_->bytes += bytes;
  parser_->stuck = false;
}

bool HttpRequestReader::has_more() const {
  return !parser_->stuck && !parser_->bytes.empty();
}

bool HttpRequestReader::wants_continue() {
  const auto& parser = *parser_->parser;
  if (parser_->continued || !parser.is_header_done() || parser.is_done()) return false;
  parser_->continued = boost::beast::iequals(parser.get()[http::field::expect], "100-continue");
  return parser_->continued;
}

Result<std::optional<HttpRequest>> HttpRequestReader::next() try {
  auto& parser = *parser_->parser;
  while (!parser.is_done() && !parser_->bytes.empty()) {
    error_code error;
    const std::size_t used = parser.put(boost::asio::buffer(parser_->bytes), error);
    parser_->bytes.erase(0, used);
    if (error && error != http::error::need_more) return std::unexpected(error_of(error));
    parser_->stuck = error == http::error::need_more && used == 0;
    if (parser_->stuck) break;
  }
  if (!parser.is_done()) return std::nullopt;
  http::request<http::string_body> message = parser.release();
  parser_->begin();
  return HttpRequest{std::string(message.method_string()), std::string(message.target()),
                     std::move(message.body()), message.keep_alive()};
} catch (const std::exception&) {
  return fail(Errc::bad_message, "no HTTP message");
}

std::string http_response(const HttpResponse& response, bool keep_alive) {
  http::response<http::string_body> message(http::int_to_status(response.status), 11);
  message.set(http::field::content_type, response.content_type);
  message.set(http::field::cache_control, "no-store");
  message.keep_alive(keep_alive);
  message.body() = response.body;
  message.prepare_payload();
  return spelled(message);
}

std::string http_post(std::string_view host, std::string_view target, std::string_view body) {
  http::request<http::string_body> message(http::verb::post, {target.data(), target.size()}, 11);
  message.set(http::field::host, {host.data(), host.size()});
  message.set(http::field::user_agent, "oqto-audit");
  message.set(http::field::content_type, "text/plain; charset=utf-8");
  message.set(http::field::connection, "close");
  message.body() = std::string(body);
  message.prepare_payload();
  return spelled(message);
}

std::string http_get(std::string_view host, std::string_view target) {
  http::request<http::empty_body> message(http::verb::get, {target.data(), target.size()}, 11);
  message.set(http::field::host, {host.data(), host.size()});
  message.set(http::field::user_agent, "oqto-audit");
  message.set(http::field::connection, "close");
  return spelled(message);
}

Result<std::optional<HttpResponse>> read_http_response(std::string_view bytes, bool complete) try {
  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.header_limit(kMaxHttpHeader);
  parser.body_limit(kMaxHttpBody);
  error_code error;
  while (!bytes.empty() && !parser.is_done()) {
    const std::size_t used = parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    bytes.remove_prefix(used);
    if (error == http::error::need_more && used == 0) break;
    if (error && error != http::error::need_more) return std::unexpected(error_of(error));
    error = {};
  }
  if (!parser.is_done() && complete) {
    error = {};
    if (parser.got_some()) parser.put_eof(error);
    if (error || !parser.is_done()) return fail(Errc::bad_message, "the answer was cut short");
  }
  if (!parser.is_done()) return std::nullopt;
  auto message = parser.release();
  return HttpResponse{message.result_int(), std::string(message[http::field::content_type]),
                      std::move(message.body())};
} catch (const std::exception&) {
  return fail(Errc::bad_message, "no HTTP message");
}

}  // namespace oqto::audit
