// One connection out of a sandbox: whom the client means is checked, then the host is looked up
// once, its address is checked and dialled, and bytes are passed on both ways.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <vector>

#include "egress/dial.h"
#include "egress/session.h"

namespace oqto::egress {

constexpr auto kGreetingTime = std::chrono::seconds(15);
constexpr auto kIdleTime = std::chrono::hours(2);  // no byte in either direction
constexpr std::size_t kPiece = 64 * 1024;          // bytes in memory per direction, while they move

// What a client must say first on a port before anything is dialled. On other ports it may begin
// with TLS too, and is then checked in the same way before its first byte is passed on.
enum class PortKind : std::uint8_t { tls, http, other };
PortKind port_kind(std::uint16_t port);

struct Target {
  std::string host;
  std::uint32_t address = 0;  // of the pool
  std::uint16_t port = 0;
  std::string rule;
};

// Ends a connection so that the peer sees a reset at once, whatever is buffered.
void reset(asio::ip::tcp::socket& socket);

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Session> session, asio::ip::tcp::socket client, Target target);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  asio::awaitable<void> run(std::shared_ptr<Connection> self);
  void close();  // at once; run() notices and ends
  void close_if_idle(Time now);

  const Target target;

 private:
  // connection.cc
  asio::awaitable<bool> admitted();
  asio::awaitable<bool> dialled();
  asio::awaitable<void> passed();
  asio::awaitable<void> upward();
  asio::awaitable<void> downward(std::shared_ptr<Connection> self);
  asio::awaitable<void> pump(asio::ip::tcp::socket& from, asio::ip::tcp::socket& to,
                             std::uint64_t& count);
  asio::awaitable<bool> write(asio::ip::tcp::socket& to, std::vector<std::uint8_t>& bytes,
                              std::uint64_t& count);
  void record_outcome();
  [[nodiscard]] bool is_allowed_by_operator(const Address& address) const;

  // greeting.cc: each is false when the client was refused or has gone.
  asio::awaitable<bool> greeted();
  asio::awaitable<bool> check_hello();
  asio::awaitable<bool> check_second_hello();
  asio::awaitable<bool> check_http();
  asio::awaitable<bool> read_more(std::size_t most);
  asio::awaitable<bool> read_exactly(std::size_t size);
  void keep_for_later(std::size_t from);
  asio::awaitable<void> refuse(std::string reason, std::string_view last_words);
  void set_deadline();
  void clear_deadline();

  std::shared_ptr<Session> session_;
  asio::ip::tcp::socket client_;
  asio::ip::tcp::socket upstream_;
  asio::steady_timer deadline_;
  Signal changed_;
  DialControl dial_;
  std::vector<std::uint8_t> head_;  // of the client: looked at, not passed on yet
  std::vector<std::uint8_t> rest_;  // of the client: read behind it, not looked at yet
  bool tls_ = false;
  bool server_spoke_ = false;
  bool second_hello_ = false;
  bool down_ended_ = false;
  bool closed_ = false;
  std::uint64_t intent_ = ipc::kNoIndex;
  Address address_;
  std::string failure_;
  std::uint64_t bytes_in_ = 0;  // into the sandbox
  std::uint64_t bytes_out_ = 0;
  Time begun_, active_;
};

}  // namespace oqto::egress
