// Runs the real oqto-relay on a loopback port. The test holds the other ends of its channels: it is
// the guard, accounts and auditd.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "ipc/channel.h"

struct ssl_st;
struct ssl_ctx_st;

namespace oqto::relay {

constexpr int kTestWaitMs = 20'000;

struct Certificate {
  std::string chain, key;  // PEM
};
// Self-signed, of a new P-256 key; valid between these two, in seconds from now.
Certificate make_certificate(const char* name = "localhost", long from = -60, long until = 3600);

// What the guard and accounts were given for one connection.
struct Announced {
  std::uint64_t connection = 0;
  std::string remote;
  ipc::Channel control;
  ipc::Channel accounts;
};

class RunningRelay {
 public:
  explicit RunningRelay(std::vector<std::string> options = {}, std::string pack = {},
                        Certificate of = make_certificate());
  ~RunningRelay();
  RunningRelay(const RunningRelay&) = delete;

  Announced next_connection();
  [[nodiscard]] std::string authority() const { return "localhost:" + std::to_string(port); }
  [[nodiscard]] std::string origin() const { return "https://" + authority(); }
  [[nodiscard]] std::vector<pid_t> children() const;
  int wait_for_exit();  // exit status of the listener

  std::uint16_t port = 0;
  pid_t pid = 0;
  Certificate certificate;
  ipc::Channel guard, audit, accounts;
  ipc::CertificateFacts facts;  // what it said before it was ready
};

struct Response {
  int status = 0;
  std::string head;  // with the status line
  std::string body;
  [[nodiscard]] bool has(std::string_view line) const;  // one whole header line
};

// A blocking client; every read gives up after kTestWaitMs.
class Client {
 public:
  struct Options {
    int max_version = 0;  // 0: the library's own
    std::string alpn = "http/1.1";
  };
  explicit Client(const RunningRelay& relay);
  explicit Client(Fd tcp);
  Client(const RunningRelay& relay, const Options& options);
  Client(Client&&) noexcept;
  ~Client();

  [[nodiscard]] bool connected() const { return connected_; }
  void send(std::string_view bytes);
  Response read_response(bool head_only = false);
  Response ask(std::string_view request) {
    send(request);
    return read_response();
  }
  std::string read(std::size_t bytes);  // less at the end of the stream
  bool ended();                         // the stream ends now, with no further byte
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] std::string certificate() const;  // the server's own, PEM
  void close_notify();

 private:
  struct Free {
    void operator()(ssl_st* ssl) const;
    void operator()(ssl_ctx_st* context) const;
  };
  std::unique_ptr<ssl_ctx_st, Free> context_;
  Fd socket_;
  std::unique_ptr<ssl_st, Free> ssl_;
  std::string unread_;
  bool connected_ = false;
  Client(Fd tcp, const Options& options);
  bool fill();
};

Fd text_file(std::string_view text);

Fd plain_connection(const RunningRelay& relay);             // TCP only
std::string read_exactly(const Fd& fd, std::size_t bytes);  // waits; less at the end

}  // namespace oqto::relay
