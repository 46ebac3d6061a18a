// Connections to the providers, kept open between two calls: a handshake costs more than most answers.
#pragma once
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "gateway/config.h"

namespace oqto::gateway {

namespace asio = boost::asio;

struct ProviderConnection {
  explicit ProviderConnection(const asio::any_io_executor& executor) : socket(executor) {}
  boost::beast::tcp_stream socket;
  std::unique_ptr<boost::beast::ssl_stream<boost::beast::tcp_stream&>> tls;  // verified; or none
  std::chrono::steady_clock::time_point idle_since;
};

// Only connections whose last answer was whole: after an abort or a cut answer nobody knows what is still
// under way on one.
class ProviderPool {
 public:
  static constexpr std::size_t kMaxIdle = 16;  // of one provider
  static constexpr auto kIdleTime = std::chrono::seconds(60);

  explicit ProviderPool(asio::io_context& io) : sweep_(io) {}
  // Null: there is none on which all is quiet.
  std::unique_ptr<ProviderConnection> take(const Provider& provider);
  void give_back(const Provider& provider, std::unique_ptr<ProviderConnection> connection);

 private:
  void sweep();

  // By name and place, so that another configuration never meets what an earlier one opened elsewhere.
  std::map<std::string, std::deque<std::unique_ptr<ProviderConnection>>> idle_;  // oldest first
  asio::steady_timer sweep_;
  bool sweeping_ = false;
};

}  // namespace oqto::gateway
