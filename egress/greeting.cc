// Whom the client means, by its own words, before anything of them is passed on.
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include "egress/client_hello.h"
#include "egress/connection.h"
#include "egress/host_name.h"
#include "egress/http_head.h"
#include "egress/session_parts.h"

namespace oqto::egress {
namespace {

using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kRead = 4096;  // at a time, whatever length the client announces
constexpr auto kLastWords = std::chrono::seconds(1);
constexpr std::size_t kMaxBetweenHellos = 64;  // records
constexpr std::size_t kRecordHeader = 5;

// Alert, fatal, unrecognized_name (RFC 6066 §3).
constexpr std::string_view kUnrecognizedName("\x15\x03\x03\x00\x02\x02\x70", 7);
constexpr std::string_view kForbidden =
    "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    "Content-Length: 68\r\n\r\nThis sandbox reaches a host only under the name that it looked "
    "up.\r\n";

}  // namespace

PortKind port_kind(std::uint16_t port) {
  switch (port) {
    case 443:
    case 465:
    case 636:
    case 853:
    case 993:
    case 995:
    case 8443:
      return PortKind::tls;
    case 80:
      return PortKind::http;
    default:
      return PortKind::other;
  }
}

void Connection::set_deadline() {
  deadline_.expires_after(kGreetingTime);
  deadline_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) self->close();
  });
}
void Connection::clear_deadline() {
  deadline_.cancel();
}

// Appends to `head_`. False: the client has no more, or there would be more than `most`.
asio::awaitable<bool> Connection::read_more(std::size_t most) {
  if (head_.size() >= most) co_return false;
  if (!rest_.empty()) {
    head_.insert(head_.end(), rest_.begin(), rest_.end());
    rest_.clear();
    co_return true;
  }
  const std::size_t had = head_.size();
  head_.resize(had + kRead);
  auto [error, size] =
      co_await client_.async_read_some(asio::buffer(head_.data() + had, kRead), kToken);
  head_.resize(had + size);
  co_return !error && !closed_;
}

asio::awaitable<bool> Connection::read_exactly(std::size_t size) {
  while (head_.size() < size) {
    const bool came = co_await read_more(size);
    if (!came) co_return false;
  }
  keep_for_later(size);
  co_return true;
}

void Connection::keep_for_later(std::size_t from) {
  rest_.insert(rest_.begin(), head_.begin() + static_cast<std::ptrdiff_t>(from), head_.end());
  head_.resize(from);
}

asio::awaitable<bool> Connection::greeted() {
  const PortKind kind = port_kind(target.port);
  if (kind == PortKind::other) co_return true;
  set_deadline();
  const bool any = co_await read_more(kRead);
  if (!any) {
    if (!closed_) reset(client_);  // it came and went, which is nobody's business
    co_return false;
  }
  bool good = false;
  if (begins_like_tls(head_[0])) {
    good = co_await check_hello();
  } else if (kind == PortKind::http) {
    good = co_await check_http();
  } else {
    std::string reason = "not TLS on a port for TLS";
    co_await refuse(std::move(reason), {});
  }
  clear_deadline();
  co_return good;
}

// Of what `head_` begins with.
asio::awaitable<bool> Connection::check_hello() {
  tls_ = true;
  ClientHello hello = read_client_hello(head_);
  while (hello.state == ClientHello::State::more) {
    const bool came = co_await read_more(kMaxClientHello);
    if (closed_) co_return false;
    if (!came) break;
    if (head_.size() >= hello.need) hello = read_client_hello(head_);
  }
  std::string reason;
  if (hello.state != ClientHello::State::complete) {
    reason = "the TLS client's hello is malformed";
  } else if (hello.server_name.empty()) {
    reason = "the TLS client names no host";
  } else {
    const auto named = host_name(hello.server_name);
    if (named == target.host) {
      keep_for_later(hello.size);  // a second hello may stand there
      co_return true;
    }
    reason = "the TLS client names another host: " + named.value_or("(not a name)");
  }
  // In the middle of what the server says, an alert would be read as part of it.
  const std::string_view alert = server_spoke_ ? std::string_view() : kUnrecognizedName;
  co_await refuse(std::move(reason), alert);
  co_return false;
}

// After a HelloRetryRequest: the records up to the second hello, which must name the same host.
asio::awaitable<bool> Connection::check_second_hello() {
  set_deadline();
  for (std::size_t records = 0; records < kMaxBetweenHellos; ++records) {
    head_.clear();
    const bool header = co_await read_exactly(kRecordHeader);
    if (!header) co_return false;
    if (begins_like_tls(head_[0])) {
      const bool good = co_await check_hello();
      clear_deadline();
      if (!good) co_return false;
      co_return co_await write(upstream_, head_, bytes_out_);
    }
    const std::size_t size = static_cast<std::size_t>(head_[3]) << 8 | head_[4];
    const bool record = co_await read_exactly(kRecordHeader + size);
    if (!record) co_return false;
    const bool written = co_await write(upstream_, head_, bytes_out_);
    if (!written) co_return false;
  }
  std::string reason = "the TLS client's hello is malformed";
  co_await refuse(std::move(reason), {});
  co_return false;
}

asio::awaitable<bool> Connection::check_http() {
  const auto text = [this] {
    return std::string_view(reinterpret_cast<const char*>(head_.data()), head_.size());
  };
  HttpHead head = read_http_head(text());
  while (head.state == HttpHead::State::more) {
    const bool came = co_await read_more(kMaxHttpHead);
    if (closed_) co_return false;
    if (!came) break;
    head = read_http_head(text());
  }
  std::string reason;
  if (head.state != HttpHead::State::complete) {
    reason = "not a plain HTTP request on a port for HTTP";
  } else if (head.host == target.host) {
    co_return true;
  } else {
    reason = "the HTTP request names another host: " + (head.host.empty() ? "(none)" : head.host);
  }
  co_await refuse(std::move(reason), kForbidden);
  co_return false;
}

// Says why in the protocol's own words, and closes without a reset, which would take them back.
asio::awaitable<void> Connection::refuse(std::string reason, std::string_view last_words) {
  failure_ = reason;
  session_->refuse(target.host, target.port, std::move(reason));
  if (last_words.empty()) {
    reset(client_);
    co_return;
  }
  deadline_.expires_after(kLastWords);
  deadline_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) self->close();
  });
  auto [error, size] = co_await asio::async_write(client_, asio::buffer(last_words), kToken);
  error_code ignored;
  if (!error) client_.shutdown(tcp::socket::shutdown_send, ignored);
  for (std::size_t read = 0; !error && !closed_ && read < kMaxClientHello;) {
    head_.clear();
    const bool more = co_await read_more(kRead);
    if (!more) break;
    read += head_.size();
  }
  deadline_.cancel();
}

}  // namespace oqto::egress
