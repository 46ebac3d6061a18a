#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>

#include "gateway/dns.h"
#include "gateway/session.h"

namespace oqto::gateway {

asio::awaitable<void> serve_dns(std::shared_ptr<Session> session) {
  constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
  std::array<std::uint8_t, kMaxDnsQuery + 1> query;
  boost::system::error_code ignored;
  session->dns.non_blocking(true, ignored);
  while (session->dns.is_open()) {
    asio::ip::udp::endpoint asker;
    auto [error, size] =
        co_await session->dns.async_receive_from(asio::buffer(query), asker, kToken);
    if (error == asio::error::operation_aborted) co_return;
    if (error) continue;  // an ICMP error about an earlier answer
    const auto reply = answer_dns(std::span(query).first(size));
    // An asker that takes no answer asks again: nothing waits for it.
    if (reply) session->dns.send_to(asio::buffer(*reply), asker, 0, ignored);
  }
}

}  // namespace oqto::gateway
