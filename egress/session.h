// The network of one session: its names, its listeners, its connections. Everything of it runs on
// the io_context's one thread, and ends with close().
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "egress/dns.h"
#include "egress/listeners.h"
#include "egress/name_table.h"
#include "egress/pace.h"
#include "egress/records.h"
#include "egress/shared.h"
#include "egress/signal.h"
#include "ipc/session_messages.h"

namespace oqto::egress {

constexpr std::size_t kMaxQuestions = 4;                   // to the user, at a time
constexpr std::size_t kMaxRemembered = 1024;               // names that the user decided about
constexpr std::size_t kMaxSlowQueries = 128;               // that wait for a listener or the user
constexpr auto kOnce = std::chrono::seconds(60);           // how long "once" allows new connections
constexpr auto kNotAskedAgain = std::chrono::seconds(60);  // after a question that nobody answered
constexpr auto kPause = std::chrono::seconds(2);  // of a listener whose host could not be reached
constexpr double kQueriesPerSecond = 1000, kQueryBurst = 1000;
constexpr double kConnectionsPerSecond = 200, kConnectionBurst = 256;

class Connection;

struct SessionSetup {
  Uuid id;
  std::uint32_t owner = 0;
  Rules rules;
  std::map<std::string, std::uint32_t, std::less<>> own_names;  // that are served elsewhere
  bool ask_unknown = false;
  std::uint32_t ask_timeout_s = 0;
  std::shared_ptr<ListenerSource> listeners;
  std::shared_ptr<Records> records;
  std::function<Status(const ipc::ApprovalAsk&)> ask;
};

struct Verdict {
  Rcode code = Rcode::server_failure;
  std::optional<std::uint32_t> address;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  // `shared` outlives the session.
  Session(Shared& shared, SessionSetup setup);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Reserves addresses and listeners for the names that are written out.
  void start();
  // Returns when each of them is ready or has failed: false if one has.
  asio::awaitable<bool> reserved();
  // Errc::denied: it is not the socket that it should be, or there is one already.
  Status serve_udp(Fd socket);
  Status serve_tcp(Fd listener);
  void answered(const ipc::ApprovalAnswer& answer);
  void close();

  // --- for Connection ---
  [[nodiscard]] Shared& shared() { return shared_; }
  [[nodiscard]] const SessionSetup& setup() const { return setup_; }
  void refuse(std::string host, std::uint16_t port, std::string reason);
  // Clients see the port closed for a while, which is what a host that is not there looks like.
  void pause(std::uint32_t address, std::uint16_t port);
  void ended(Connection& connection);

 private:
  struct Listener;
  struct Opening;
  struct Question;
  struct Decision {
    bool allow = false;
    Time until = Time::max();
  };

  // session.cc
  asio::awaitable<void> open(std::shared_ptr<Session> self, std::uint32_t address);
  asio::awaitable<Status> listen_on(std::uint32_t address, Ports ports);
  asio::awaitable<void> accept_from(std::shared_ptr<Session> self, std::shared_ptr<Listener> from);
  asio::awaitable<void> sweep(std::shared_ptr<Session> self);
  asio::awaitable<void> wait_for(Pace& pace);
  void admit(asio::ip::tcp::socket socket, const Listener& from);

  // lookup.cc
  std::optional<Verdict> verdict_now(const std::string& name);
  asio::awaitable<Verdict> verdict(std::string name, std::uint16_t asked_from);
  asio::awaitable<Verdict> opened(std::string name);
  std::shared_ptr<Question> question_about(const std::string& name,
                                           std::uint16_t asked_from);
  asio::awaitable<bool> approved(std::string name, std::uint16_t asked_from);
  asio::awaitable<void> decide(std::shared_ptr<Session> self, std::string name,
                               std::shared_ptr<Question> question, ipc::ApprovalChoice choice);
  bool begin(const std::string& name, const Ports& ports, bool by_user, Time ends);
  Verdict denied(const std::string& name, std::string reason);

  // dns_server.cc
  asio::awaitable<void> receive_queries(std::shared_ptr<Session> self);
  asio::awaitable<void> answer_slowly(std::shared_ptr<Session> self, Query query,
                                      asio::ip::udp::endpoint asker);
  asio::awaitable<void> accept_queries(std::shared_ptr<Session> self);
  asio::awaitable<void> serve_stream(std::shared_ptr<Session> self,
                                     std::shared_ptr<asio::ip::tcp::socket> stream);
  std::optional<std::vector<std::uint8_t>> reply_now(const Query& query);
  asio::awaitable<std::vector<std::uint8_t>> reply(Query query);

  Shared& shared_;
  const SessionSetup setup_;
  Refusals refusals_;
  NameTable names_;
  Pace queries_{kQueriesPerSecond, kQueryBurst};
  Pace accepts_{kConnectionsPerSecond, kConnectionBurst};
  asio::steady_timer timer_;
  asio::ip::udp::socket dns_;
  asio::ip::tcp::acceptor dns_tcp_;
  std::set<asio::ip::tcp::socket*> dns_streams_;
  std::size_t slow_queries_ = 0;
  std::map<std::uint32_t, std::shared_ptr<Opening>> opening_;          // by address
  std::multimap<std::uint32_t, std::shared_ptr<Listener>> listeners_;  // by address
  std::set<Connection*> connections_;
  std::map<std::string, std::shared_ptr<Question>> questions_;
  std::map<std::string, Decision> decided_;  // by the user
  std::uint64_t next_question_ = 1;
  bool closed_ = false;
};

}  // namespace oqto::egress
