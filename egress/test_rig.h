// What the tests of oqto-egress stand on: the process, the sandbox's end of its network, servers
// and a name server in the outer network. Call enter_own_world() first.
#pragma once
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "egress/dns.h"
#include "egress/test_network.h"
#include "ipc/channel.h"

namespace oqto::egress::test {

constexpr int kPatienceMs = 20'000;
constexpr const char* kNameServer = "127.0.0.53";
constexpr std::uint32_t kServer = 0x7f000002;  // 127.0.0.2, which the rig's processes may dial

// Answers from a table, and remembers what it was asked.
class NameServer {
 public:
  NameServer();
  ~NameServer();
  void set(const std::string& name, std::vector<std::uint32_t> addresses);
  [[nodiscard]] std::vector<std::string> asked();

 private:
  void serve();
  Fd socket_;
  std::mutex mutex_;
  std::map<std::string, std::vector<std::uint32_t>> names_;
  std::vector<std::string> asked_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

// Listens on an address of the outer network.
class Server {
 public:
  explicit Server(std::uint16_t port, std::uint32_t address = kServer);
  // Fails the test when nobody comes.
  [[nodiscard]] Fd accept() const;
  [[nodiscard]] bool has_visitor(int within_ms) const;

 private:
  Fd listener_;
};

struct DnsAnswer {
  int code = -1;
  std::optional<std::uint32_t> address;
};

class Egress {
 public:
  struct Options {
    std::vector<std::string> domains;
    bool ask = false;
    unsigned ask_timeout_s = 20;
    std::vector<std::string> arguments = {"--allow-private", "127.0.0.2/32"};
    int sockets = 64;
  };
  explicit Egress(Options options);
  ~Egress();

  // --- as a program inside ---
  [[nodiscard]] DnsAnswer look_up(const std::string& name, std::uint16_t type = kTypeA) const;
  [[nodiscard]] DnsAnswer look_up_by_stream(const std::string& name) const;
  [[nodiscard]] Fd send_query(const std::string& name) const;
  // Error::sys says why not.
  [[nodiscard]] Result<Fd> connect(std::uint32_t address, std::uint16_t port) const;
  [[nodiscard]] Result<Fd> connect(const std::string& name, std::uint16_t port) const;

  // --- as the tool ---
  [[nodiscard]] std::optional<ipc::ApprovalAsk> question(int within_ms = kPatienceMs);
  void answer(const ipc::ApprovalAsk& question, ipc::ApprovalChoice choice);
  // Until a line has all of these, which is returned; empty when none comes.
  [[nodiscard]] std::string record_with(const std::vector<std::string>& parts);
  [[nodiscard]] std::string records() const;
  [[nodiscard]] int end();  // closes the channel; the exit status
  [[nodiscard]] int end(int signal);
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] long resident_kib() const;
  [[nodiscard]] std::size_t descriptors() const;

  const Inner inner;
  ipc::Channel tool;

 private:
  Fd sink_;
  pid_t pid_ = -1;
};

std::string query_text(const std::string& name, std::uint16_t type);
void send_all(const Fd& to, std::string_view bytes);
// Up to `size` bytes, or to the end; "(reset)" when the peer reset the connection.
std::string read_up_to(const Fd& from, std::size_t size);
std::string client_hello(const std::string& server_name, bool encrypted_name = false);

}  // namespace oqto::egress::test
