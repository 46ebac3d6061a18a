#include "mux/web_socket.h"

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>

#include "base/log.h"

namespace oqto::mux {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ws = boost::beast::websocket;
using Stream = ws::stream<asio::local::stream_protocol::socket, false>;  // false: no deflate at all
using boost::system::error_code;

namespace {
constexpr std::string_view kProtocol = "host.mux.v1";
constexpr std::uint32_t kMaxHead = 16 * 1024;
constexpr std::chrono::seconds kHandshakeTimeout{10};
constexpr std::chrono::seconds kCutTimeout{2};
constexpr std::chrono::seconds kIdleTimeout{90};  // pings go out at half of it

bool offers_protocol(std::string_view list) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    while (item.starts_with(' ') || item.starts_with('\t')) item.remove_prefix(1);
    while (item.ends_with(' ') || item.ends_with('\t')) item.remove_suffix(1);
    if (item == kProtocol) return true;
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
  return false;
}

std::string_view plain(beast::string_view text) { return {text.data(), text.size()}; }
}  // namespace

struct WebSocket::Impl : std::enable_shared_from_this<Impl> {
  Impl(Reactor& reactor, Fd stream, Owner& owner_, std::size_t max)
      : owner(&owner_),
        max_inbound(max),
        socket(asio::local::stream_protocol::socket(reactor.context(),
                                                    asio::local::stream_protocol(), stream.release())),
        handshake_timer(reactor.context()) {}

  void start() {
    parser.header_limit(kMaxHead);
    parser.body_limit(0);
    handshake_timer.expires_after(kHandshakeTimeout);
    handshake_timer.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error && !self->open) self->gone("no upgrade request came in time");
    });
    http::async_read_header(socket.next_layer(), buffer, parser,
                            [self = shared_from_this()](const error_code& error, std::size_t) {
                              if (error) return self->gone("no valid upgrade request");
                              self->accept();
                            });
  }

  void accept() {
    if (owner == nullptr) return;
    const auto& request = parser.get();
    const std::string_view target = plain(request.target());
    const bool known = target == "/ws/mux" || target == "/api/ws/mux";
    // Bytes after the head, before our answer: no WebSocket client sends them.
    if (!known || buffer.size() != 0 || !ws::is_upgrade(request) ||
        !offers_protocol(plain(request[http::field::sec_websocket_protocol]))) {
      return refuse();
    }
    socket.read_message_max(max_inbound);
    socket.auto_fragment(false);
    socket.set_option(ws::stream_base::timeout{kHandshakeTimeout, kIdleTimeout, true});
    socket.set_option(ws::stream_base::decorator([](ws::response_type& response) {
      response.set(http::field::sec_websocket_protocol, beast::string_view(kProtocol.data(), kProtocol.size()));
    }));
    socket.control_callback([this](ws::frame_type kind, beast::string_view) {
      if (kind == ws::frame_type::close) answer_close();
    });
    socket.async_accept(request, [self = shared_from_this()](const error_code& error) {
      if (self->owner == nullptr) return;
      if (error) return self->gone("the upgrade failed");
      self->open = true;
      if (!self->closing) self->handshake_timer.cancel();
      self->owner->on_open();
      self->read();
      self->write();
    });
  }

  void refuse() {
    auto response = std::make_shared<http::response<http::string_body>>(http::status::bad_request, 11);
    response->set(http::field::content_type, "text/plain");
    response->keep_alive(false);
    response->body() = "This address speaks WebSocket with the subprotocol host.mux.v1.\n";
    response->prepare_payload();
    http::async_write(socket.next_layer(), *response,
                      [self = shared_from_this(), response](const error_code&, std::size_t) {
                        self->gone("the request was no upgrade to host.mux.v1");
                      });
  }

  void read() {
    if (reading || paused || closing || owner == nullptr || !open) return;
    reading = true;
    socket.async_read(buffer, [self = shared_from_this()](const error_code& error, std::size_t) {
      if (self->owner == nullptr) return;
      if (error == ws::error::message_too_big) return self->gone("a message was longer than allowed");
      if (error) return self->gone("the connection ended");
      if (self->closing) return;
      std::string text = beast::buffers_to_string(self->buffer.data());
      self->buffer.consume(self->buffer.size());
      if (self->buffer.capacity() > 256 * 1024) self->buffer.shrink_to_fit();
      self->reading = false;  // from here on the owner may pause() and so read on
      if (self->socket.got_text()) {
        self->owner->on_text(std::move(text));
      } else {
        self->owner->on_binary();
      }
      self->read();
    });
  }

  void write() {
    if (writing || !open || owner == nullptr) return;
    if (queue.empty()) {
      if (closing) finish();
      return;
    }
    writing = true;
    socket.text(true);
    socket.async_write(asio::buffer(*queue.front()),
                       [self = shared_from_this()](const error_code& error, std::size_t) {
                         self->writing = false;
                         if (self->owner == nullptr) return;
                         if (error) return self->gone("the connection ended");
                         self->bytes -= self->queue.front()->size();
                         self->queue.pop_front();
                         self->owner->on_written();
                         self->write();
                       });
  }

  void finish() {
    if (std::exchange(finished, true)) return;
    writing = true;
    socket.async_close(static_cast<ws::close_code>(closing_with),
                       [self = shared_from_this()](const error_code&) { self->gone("closed"); });
  }

  // A close frame came. The library echoes its code, also one that is in no registry, and goes on after this call:
  // one that we have no use for is answered here, before that.
  void answer_close() {
    constexpr std::uint16_t kFirstPrivate = 3000, kEnd = 5000;
    const std::uint16_t code = socket.reason().code;
    if (code < kFirstPrivate || std::exchange(finished, true)) return;
    socket.async_close(code < kEnd ? ws::close_code::normal : ws::close_code::protocol_error,
                       [self = shared_from_this()](const error_code&) {});
  }

  void gone(const char* why) {
    Owner* told = std::exchange(owner, nullptr);
    error_code ignored;
    (void)socket.next_layer().close(ignored);
    handshake_timer.cancel();
    if (told != nullptr) told->on_closed(why);
  }

  Owner* owner;  // null: nobody is told any more
  std::size_t max_inbound;
  Stream socket;
  asio::steady_timer handshake_timer;
  beast::flat_buffer buffer;
  http::request_parser<http::empty_body> parser;
  std::deque<std::shared_ptr<const std::string>> queue;
  std::size_t bytes = 0;
  bool open = false;
  bool reading = false;
  bool writing = false;
  bool paused = false;
  bool closing = false;
  bool finished = false;  // our close frame was handed to the library
  Closing closing_with{};
};

WebSocket::WebSocket(Reactor& reactor, Fd stream, Owner& owner, std::size_t max_inbound)
    : impl_(std::make_shared<Impl>(reactor, std::move(stream), owner, max_inbound)) {
  impl_->start();
}

WebSocket::~WebSocket() {
  impl_->owner = nullptr;
  impl_->gone("dropped");
}

void WebSocket::send(std::shared_ptr<const std::string> text) {
  if (impl_->closing || impl_->owner == nullptr) return;
  impl_->bytes += text->size();
  impl_->queue.push_back(std::move(text));
  impl_->write();
}

std::size_t WebSocket::queued_bytes() const { return impl_->bytes; }

void WebSocket::pause(bool on) {
  impl_->paused = on;
  if (!on) impl_->read();
}

void WebSocket::close(Closing why) {
  if (std::exchange(impl_->closing, true)) return;
  impl_->closing_with = why;
  impl_->write();
}

void WebSocket::cut(Closing why) {
  while (impl_->queue.size() > (impl_->writing ? 1U : 0U)) {
    impl_->bytes -= impl_->queue.back()->size();
    impl_->queue.pop_back();
  }
  impl_->handshake_timer.expires_after(kCutTimeout);
  impl_->handshake_timer.async_wait([impl = impl_](const error_code& error) {
    if (!error) impl->gone("it did not close in time");
  });
  close(why);
}

}  // namespace oqto::mux
