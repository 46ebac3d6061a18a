// A provider whose every byte the test decides: for what the scripted one (tests/tools) cannot do.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace oqto::gateway::test {

struct AskedOf {
  int connection = 0;  // 1 is the first
  int request = 0;     // of all connections
  std::string head;
  std::string body;
  std::chrono::steady_clock::time_point at;
};

class FakeProvider {
 public:
  // Answers one request on `to`; false: the connection is closed then.
  using Serve = std::function<bool(const AskedOf& asked, const Fd& to)>;
  explicit FakeProvider(Serve serve);
  ~FakeProvider();
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] int connections() const { return connections_; }
  [[nodiscard]] std::vector<AskedOf> asked() const;
  void hang_up();  // on everybody who is connected

 private:
  void accept_all();
  void serve_one(const Fd& connection, int number);

  Serve serve_;
  Fd listener_;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_ = 0;
  mutable std::mutex mutex_;
  std::vector<AskedOf> asked_;
  std::vector<std::shared_ptr<Fd>> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

void say(const Fd& to, std::string_view bytes);
// A whole answer, with its length.
std::string whole_answer(int status, const std::string& body, const std::string& headers = "",
                         const std::string& type = "application/json");
// The same as chunks of an event stream, one a frame.
std::string stream_answer(const std::vector<std::string>& frames);

}  // namespace oqto::gateway::test
