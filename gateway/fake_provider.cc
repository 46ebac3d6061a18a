#include "gateway/fake_provider.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <charconv>

namespace oqto::gateway::test {

FakeProvider::FakeProvider(Serve serve) : serve_(std::move(serve)) {
  listener_ = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(listener_.get(), 64), 0);
  EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

FakeProvider::~FakeProvider() {
  (void)::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  hang_up();
  for (std::thread& thread : threads_) thread.join();
}

std::vector<AskedOf> FakeProvider::asked() const {
  const std::scoped_lock lock(mutex_);
  return asked_;
}

void FakeProvider::hang_up() {
  const std::scoped_lock lock(mutex_);
  for (const auto& connection : open_) (void)::shutdown(connection->get(), SHUT_RDWR);
}

void FakeProvider::accept_all() {
  for (;;) {
    Fd accepted = Fd::adopt(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!accepted) return;
    const int number = ++connections_;
    const std::scoped_lock lock(mutex_);
    open_.push_back(std::make_shared<Fd>(std::move(accepted)));
    threads_.emplace_back([this, number, connection = open_.back()] {
      serve_one(*connection, number);
      (void)::shutdown(connection->get(), SHUT_RDWR);
    });
  }
}

void FakeProvider::serve_one(const Fd& connection, int number) {
  std::string got;
  for (;;) {
    std::size_t end = std::string::npos;
    std::size_t length = 0;
    while (end == std::string::npos || got.size() < end + 4 + length) {
      char piece[4096];
      const ssize_t n = ::recv(connection.get(), piece, sizeof piece, 0);
      if (n <= 0) return;
      got.append(piece, static_cast<std::size_t>(n));
      end = got.find("\r\n\r\n");
      const std::size_t field = got.find("Content-Length: ");
      if (field != std::string::npos) (void)std::from_chars(&got[field + 16], got.data() + got.size(), length);
    }
    AskedOf asked{number, 0, got.substr(0, end), got.substr(end + 4, length), std::chrono::steady_clock::now()};
    got.erase(0, end + 4 + length);
    {
      const std::scoped_lock lock(mutex_);
      asked.request = static_cast<int>(asked_.size()) + 1;
      asked_.push_back(asked);
    }
    if (!serve_(asked, connection)) return;
  }
}

void say(const Fd& to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string whole_answer(int status, const std::string& body, const std::string& headers,
                         const std::string& type) {
  return "HTTP/1.1 " + std::to_string(status) + " Said\r\nContent-Type: " + type + "\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string stream_answer(const std::vector<std::string>& frames) {
  std::string text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& frame : frames) {
    char size[16];
    const auto end = std::to_chars(size, size + sizeof size, frame.size(), 16).ptr;
    text.append(size, end).append("\r\n").append(frame).append("\r\n");
  }
  return text + "0\r\n\r\n";
}

}  // namespace oqto::gateway::test
