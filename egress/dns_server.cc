// The DNS of a session, over UDP and TCP. Nothing that is asked here is passed on to another
// server.
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "egress/session_parts.h"

namespace oqto::egress {
namespace {

using tcp = asio::ip::tcp;
using udp = asio::ip::udp;
using boost::system::error_code;

constexpr std::size_t kMaxStreams = 16;
constexpr auto kStreamIdle = std::chrono::seconds(10);

std::vector<std::uint8_t> reply_with(const Query& query, const Verdict& verdict) {
  const bool address_asked = query.type == kTypeA && verdict.code == Rcode::no_error;
  return make_reply(query, verdict.code, address_asked ? verdict.address : std::nullopt);
}

}  // namespace

std::optional<std::vector<std::uint8_t>> Session::reply_now(const Query& query) {
  const Rcode wrong = check_query(query);
  if (wrong != Rcode::no_error) return make_reply(query, wrong);
  if (const auto verdict = verdict_now(query.name)) return reply_with(query, *verdict);
  // The name exists or may yet: of other types it has nothing, and nobody need wait to hear that.
  if (query.type != kTypeA) return make_reply(query, Rcode::no_error);
  return {};
}

asio::awaitable<std::vector<std::uint8_t>> Session::reply(Query query) {
  std::string name = query.name;
  const Verdict found = co_await verdict(std::move(name), query.port);
  co_return reply_with(query, found);
}

asio::awaitable<void> Session::receive_queries(std::shared_ptr<Session> self) {
  std::array<std::uint8_t, kMaxDnsQuery + 1> bytes;
  error_code ignored;
  dns_.non_blocking(true, ignored);
  while (!closed_ && dns_.is_open()) {
    udp::endpoint asker;
    auto [error, size] = co_await dns_.async_receive_from(asio::buffer(bytes), asker, kToken);
    if (closed_ || error == asio::error::operation_aborted) co_return;
    if (error) continue;  // an ICMP error about an earlier answer
    co_await wait_for(queries_);
    if (closed_) co_return;
    auto query = parse_query(std::span(bytes).first(size));
    if (!query) continue;
    query->port = asker.port();
    if (const auto answer = reply_now(*query)) {
      // An asker that takes no answer asks again: nothing waits for it.
      dns_.send_to(asio::buffer(*answer), asker, 0, ignored);
    } else if (slow_queries_ < kMaxSlowQueries) {
      ++slow_queries_;
      asio::co_spawn(shared_.io, answer_slowly(self, std::move(*query), asker), asio::detached);
    }
  }
}

asio::awaitable<void> Session::answer_slowly([[maybe_unused]] std::shared_ptr<Session> self,
                                             Query query, udp::endpoint asker) {
  const std::vector<std::uint8_t> answer = co_await reply(std::move(query));
  --slow_queries_;
  error_code ignored;
  if (!closed_) dns_.send_to(asio::buffer(answer), asker, 0, ignored);
}

asio::awaitable<void> Session::accept_queries([[maybe_unused]] std::shared_ptr<Session> self) {
  while (!closed_ && dns_tcp_.is_open()) {
    auto [error, stream] = co_await dns_tcp_.async_accept(kToken);
    if (closed_) co_return;
    co_await wait_for(queries_);
    if (error || dns_streams_.size() >= kMaxStreams) continue;
    asio::co_spawn(shared_.io, serve_stream(self, std::make_shared<tcp::socket>(std::move(stream))),
                   asio::detached);
  }
}

asio::awaitable<void> Session::serve_stream([[maybe_unused]] std::shared_ptr<Session> self,
                                            std::shared_ptr<tcp::socket> stream) {
  dns_streams_.insert(stream.get());
  asio::steady_timer idle(shared_.io);
  while (!closed_) {
    idle.expires_after(kStreamIdle);
    idle.async_wait([stream](const error_code& error) {
      error_code ignored;
      if (!error) stream->close(ignored);
    });
    std::array<std::uint8_t, 2> length;
    auto [length_error, n] = co_await asio::async_read(*stream, asio::buffer(length), kToken);
    const std::size_t size = static_cast<std::size_t>(length[0]) << 8 | length[1];
    if (length_error || size > kMaxDnsQuery) break;
    std::vector<std::uint8_t> bytes(size);
    auto [read_error, m] = co_await asio::async_read(*stream, asio::buffer(bytes), kToken);
    if (read_error) break;
    idle.cancel();
    co_await wait_for(queries_);
    auto query = parse_query(bytes);
    if (closed_ || !query) break;
    error_code ignored;
    query->port = stream->remote_endpoint(ignored).port();
    auto now = reply_now(*query);
    std::vector<std::uint8_t> answer;
    if (now) {
      answer = std::move(*now);
    } else {
      answer = co_await reply(std::move(*query));
    }
    if (closed_) break;
    answer.insert(answer.begin(), {static_cast<std::uint8_t>(answer.size() >> 8),
                                   static_cast<std::uint8_t>(answer.size())});
    auto [write_error, k] = co_await asio::async_write(*stream, asio::buffer(answer), kToken);
    if (write_error) break;
  }
  idle.cancel();
  dns_streams_.erase(stream.get());
}

}  // namespace oqto::egress
