// HTTP/1.1 messages, without a connection: bytes in, messages out. Boost.Beast parses; nothing of it
// is seen outside http.cc.
#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace oqto::audit {

constexpr std::size_t kMaxHttpHeader = 8 * 1024;
constexpr std::size_t kMaxHttpBody = 64 * 1024;

struct HttpRequest {
  std::string method;
  std::string target;
  std::string body;
  bool keep_alive = false;
};
struct HttpResponse {
  unsigned status = 0;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body = {};
};

// Requests of one connection, in the order in which they came.
class HttpRequestReader {
 public:
  HttpRequestReader();
  ~HttpRequestReader();
  HttpRequestReader(const HttpRequestReader&) = delete;
  HttpRequestReader& operator=(const HttpRequestReader&) = delete;

  void feed(std::string_view bytes);
  // nullopt: not all of the next one is there. Errc::limit: header or body are too long.
  // Errc::bad_message: no HTTP. After an error the connection is of no use.
  Result<std::optional<HttpRequest>> next();
  // The client waits to be told to send the body; true once.
  bool wants_continue();
  [[nodiscard]] bool has_more() const;  // bytes that next() has not looked at

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

std::string http_response(const HttpResponse& response, bool keep_alive);
std::string http_post(std::string_view host, std::string_view target, std::string_view body);
std::string http_get(std::string_view host, std::string_view target);

// A whole response, as it came until the server closed. `complete`: no more can come.
Result<std::optional<HttpResponse>> read_http_response(std::string_view bytes, bool complete);

}  // namespace oqto::audit
