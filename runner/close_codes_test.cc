// What a WebSocket is closed with: nothing that the registry does not have (RFC 6455, section 7.4). Raw frames, since
// no client library sends what is tried here.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.h"
#include "mux/web_socket.h"
#include "runner/test_host.h"

namespace oqto::runner::test {
namespace {

constexpr int kWaitMs = 20'000;

class RawSocket {
 public:
  explicit RawSocket(Host& host) : stream_(host.open_stream()) {
    EXPECT_TRUE(sys::write_all(stream_, std::string_view(
        "GET /ws/mux HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: host.mux.v1\r\nOrigin: https://localhost\r\n\r\n")));
    while (!head_.ends_with("\r\n\r\n") && more(head_, 1)) {
    }
    EXPECT_TRUE(head_.starts_with("HTTP/1.1 101 ")) << head_;
  }

  // A whole frame, masked with zeros.
  void send(unsigned char first, const std::string& payload) {
    std::string frame{static_cast<char>(first)};
    if (payload.size() < 126) {
      frame += static_cast<char>(0x80 | payload.size());
    } else {
      frame += static_cast<char>(0x80 | 127);
      for (int shift = 56; shift >= 0; shift -= 8) frame += static_cast<char>(payload.size() >> shift);
    }
    send_raw(frame + std::string(4, '\0') + payload);
  }
  void send_raw(const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t n = ::send(stream_.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) {
        pollfd room{stream_.get(), POLLOUT, 0};
        if (::poll(&room, 1, kWaitMs) <= 0) return;
      } else if (n <= 0) {
        return;  // it has closed: what it said is read
      } else {
        at += static_cast<std::size_t>(n);
      }
    }
  }
  void send_close(unsigned code) {
    send(0x88, {static_cast<char>(code >> 8), static_cast<char>(code)});
  }

  // The code of the close frame that comes; 0: the stream ended without one, 1: a close frame without a code.
  unsigned closed_with() {
    for (;;) {
      std::string head;
      if (!read(head, 2)) return 0;
      std::uint64_t size = static_cast<unsigned char>(head[1]) & 0x7f;
      std::string longer;
      if (size >= 126 && !read(longer, size == 126 ? 2 : 8)) return 0;
      if (size >= 126) size = 0;
      for (const char c : longer) size = size << 8 | static_cast<unsigned char>(c);
      std::string payload;
      if (!read(payload, size)) return 0;
      if ((head[0] & 0x0f) != 8) continue;
      if (payload.size() < 2) return 1;
      return static_cast<unsigned char>(payload[0]) << 8 | static_cast<unsigned char>(payload[1]);
    }
  }
  bool ended() {
    std::string rest;
    return !more(rest, 1);
  }

 private:
  bool more(std::string& into, std::size_t bytes) {
    pollfd entry{stream_.get(), POLLIN, 0};
    if (::poll(&entry, 1, kWaitMs) <= 0) return false;
    std::string buffer(bytes, '\0');
    const ssize_t n = ::read(stream_.get(), buffer.data(), bytes);
    if (n > 0) into.append(buffer, 0, static_cast<std::size_t>(n));
    return n > 0 || (n < 0 && errno == EAGAIN);
  }
  bool read(std::string& into, std::size_t bytes) {
    while (into.size() < bytes && more(into, bytes - into.size())) {
    }
    return into.size() == bytes;
  }

  Fd stream_;
  std::string head_;
};

TEST(CloseCodes, AttackCodesThatNoRegistryHasAreNotSentBack) {
  Host host;
  for (const auto& [sent, answer] : std::vector<std::pair<unsigned, unsigned>>{
           {1000, 1000}, {1001, 1001}, {1003, 1003}, {1008, 1008}, {1011, 1011}, {1012, 1012}, {1013, 1013},
           {3000, 1000}, {3999, 1000}, {4000, 1000}, {4999, 1000},                      // valid, and nothing to us
           {0, 1002}, {999, 1002}, {1004, 1002}, {1005, 1002}, {1006, 1002}, {1015, 1002}, {1016, 1002},
           {2999, 1002}, {5000, 1002}, {65535, 1002}}) {
    RawSocket socket(host);
    socket.send_close(sent);
    EXPECT_EQ(socket.closed_with(), answer) << sent;
    EXPECT_TRUE(socket.ended()) << sent;
  }
}

TEST(CloseCodes, AttackManyCloseFramesAreAnsweredOnce) {
  Host host;
  RawSocket socket(host);
  std::string frames;
  for (int i = 0; i < 100; ++i) frames += std::string("\x88\x82\0\0\0\0\x13\x88", 8);  // 5000
  socket.send_raw(frames);
  EXPECT_EQ(socket.closed_with(), 1002U);
  EXPECT_TRUE(socket.ended());
}

TEST(CloseCodes, WhatBreaksTheProtocolIsClosedWithItsCode) {
  Host host;
  const auto code = [&](unsigned char first, const std::string& payload) {
    RawSocket socket(host);
    socket.send(first, payload);
    return socket.closed_with();
  };
  EXPECT_EQ(code(0x82, "binary"), 1003U);
  EXPECT_EQ(code(0x81, "\xff\xfe"), 1007U) << "no UTF-8";
  EXPECT_EQ(code(0xc1, "{}"), 1002U) << "a reserved bit";
  EXPECT_EQ(code(0x83, "{}"), 1002U) << "a reserved opcode";
  EXPECT_EQ(code(0x80, "{}"), 1002U) << "a continuation of nothing";
  EXPECT_EQ(code(0x88, "x"), 1002U) << "half a code";
  EXPECT_EQ(code(0x89, std::string(200, 'x')), 1002U) << "a long ping";
  EXPECT_EQ(code(0x81, std::string(mux::WebSocket::kMaxInbound + 1, ' ')), 1009U);
  RawSocket unmasked(host);
  unmasked.send_raw(std::string("\x81\x02{}", 4));
  EXPECT_EQ(unmasked.closed_with(), 1002U);
}

// As a relay that was taken over: it has been told to end, and does not.
TEST(CloseCodes, AttackWhoIsCutOffAndStaysIsHeardNoMoreAndEnds) {
  Host host;
  RawSocket first(host);
  host.disconnect(1);
  EXPECT_EQ(first.closed_with(), 1001U);
  const std::size_t before = host.audited().size();
  first.send(0x81, R"({"channel":"agent","id":"1","session_id":"_system","cmd":"create_workspace","name":"mine"})");
  EXPECT_TRUE(first.ended());
  EXPECT_EQ(host.audited().size(), before) << "a command was carried out";
}

TEST(CloseCodes, TheEndOfTheHostAndOfAnAccessIsGoingAway) {
  Host host;
  RawSocket first(host), second(host);
  host.disconnect(1);
  EXPECT_EQ(first.closed_with(), 1001U);
  host.stop_runner();
  EXPECT_EQ(second.closed_with(), 1001U);
}

}  // namespace
}  // namespace oqto::runner::test
