// Connections that a session's network refuses, seen in a real one.
#include "sandbox/monitor/refused_watch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "sandbox/loopback.h"
#include "sandbox/monitor/test_monitored.h"

namespace oqto::sandbox {
namespace {

using ipc::FieldKey;

// Runs `body` in a child with a session's network; a failed expectation there is its exit status.
void in_network(const std::function<void(const Fd& packets)>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNET) != 0 || !raise_loopback() || !route_all_to_lo()) ::_exit(90);
    auto packets = open_refused_packets();
    if (!packets) ::_exit(91);
    body(*packets);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

Fd socket_of(int type, const char* address, std::uint16_t port, bool& refused) {
  const bool six = std::string_view(address).find(':') != std::string_view::npos;
  Fd fd = Fd::adopt(::socket(six ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in four{.sin_family = AF_INET, .sin_port = ::htons(port), .sin_addr = {}, .sin_zero = {}};
  sockaddr_in6 to_six{};
  to_six.sin6_family = AF_INET6;
  to_six.sin6_port = ::htons(port);
  (void)::inet_pton(AF_INET, address, &four.sin_addr);
  (void)::inet_pton(AF_INET6, address, &to_six.sin6_addr);
  const auto* const to = six ? reinterpret_cast<const sockaddr*>(&to_six) : reinterpret_cast<const sockaddr*>(&four);
  const socklen_t size = six ? sizeof to_six : sizeof four;
  if (type == SOCK_STREAM) {
    refused = ::connect(fd.get(), to, size) != 0 && errno == ECONNREFUSED;
  } else {
    refused = ::sendto(fd.get(), "question", 8, 0, to, size) == 8;
  }
  return fd;
}

void expect_refused(int type, const char* address, std::uint16_t port) {
  bool refused = false;
  (void)socket_of(type, address, port, refused);
  EXPECT_TRUE(refused) << address;
}

std::vector<std::string> seen(const Fd& packets) {
  std::vector<std::string> all;
  char packet[1024];
  for (ssize_t n = 0; (n = ::recv(packets.get(), packet, sizeof packet, MSG_DONTWAIT)) > 0;) {
    const auto refused = parse_refused({packet, static_cast<std::size_t>(n)});
    if (!refused) continue;
    all.push_back((refused->udp ? "udp " : "tcp ") + refused->address + ' ' + std::to_string(refused->port));
  }
  return all;
}

TEST(RefusedPackets, ShowEveryAddressAndPortThatNobodyAnswers) {
  in_network([](const Fd& packets) {
    const auto listener = bound_socket(SOCK_STREAM, kPool + 0x105, 443);
    ASSERT_TRUE(listener);
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      expect_refused(type, "8.8.8.8", 53);
      expect_refused(type, "169.254.169.254", 80);
      expect_refused(type, "198.18.1.5", 9999);
      expect_refused(type, "2001:db8::1", 80);
      expect_refused(type, "::ffff:9.9.9.9", 80);
    }
    const std::vector<std::string> expected = {
        "tcp 8.8.8.8 53", "tcp 169.254.169.254 80", "tcp 198.18.1.5 9999", "tcp 2001:db8::1 80", "tcp 9.9.9.9 80",
        "udp 8.8.8.8 53", "udp 169.254.169.254 80", "udp 198.18.1.5 9999", "udp 2001:db8::1 80", "udp 9.9.9.9 80"};
    EXPECT_EQ(seen(packets), expected);
  });
}

TEST(RefusedPackets, ShowNothingOfLoopbackAndOfQuestionsToTheResolver) {
  in_network([](const Fd& packets) {
    const auto resolver = bound_socket(SOCK_DGRAM, kResolver, 53);
    ASSERT_TRUE(resolver);
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      expect_refused(type, "127.0.0.1", 9);
      expect_refused(type, "127.1.2.3", 9);
      expect_refused(type, "::1", 9);
    }
    expect_refused(SOCK_DGRAM, "198.18.0.1", 53);
    EXPECT_TRUE(seen(packets).empty());
  });
}

TEST(RefusedPackets, AttackAFilterCannotBeTakenOffOrChanged) {
  in_network([](const Fd& packets) {
    constexpr int kAny = 0;
    EXPECT_EQ(::setsockopt(packets.get(), SOL_SOCKET, SO_DETACH_FILTER, &kAny, sizeof kAny), -1);
    EXPECT_EQ(errno, EPERM);
  });
}

TEST(RefusedPackets, AttackAnyBytesAreParsedWithinTheirBounds) {
  for (unsigned seed = 0; seed < 20'000; ++seed) {
    std::string packet(seed % 90, '\0');
    for (std::size_t i = 0; i < packet.size(); ++i) packet[i] = static_cast<char>((seed * 2654435761U >> (i % 24)) + i * seed);
    if (seed % 3 == 0 && packet.size() > 30) packet.replace(0, 20, std::string("\x45\0\0\0\0\0\0\0\x40\x11\0\0\xc6\x12\0\x01\x7f\0\0\x01", 20));
    (void)parse_refused(packet);
    (void)parse_answer(packet);
  }
}

// --- records -----------------------------------------------------------------------------------

TEST(RefusedWatch, JoinsAlikeRefusalsWithTheirCountTimeAndProgram) {
  in_network([](const Fd& packets) {
    KeptRecords recorder;
    RefusedWatch watch(recorder, Fd::adopt(::dup(packets.get())), ::getpid());
    for (int i = 0; i < 3; ++i) expect_refused(SOCK_STREAM, "169.254.169.254", 80);
    bool sent = false;
    const Fd open = socket_of(SOCK_DGRAM, "8.8.8.8", 53, sent);
    EXPECT_TRUE(sent);
    watch.flush();
    ASSERT_EQ(recorder.records.size(), 2U);
    const auto tcp = recorder.of(ipc::Event::network, "169.254.169.254");
    ASSERT_EQ(tcp.size(), 1U);
    EXPECT_EQ(tcp[0].outcome, ipc::Outcome::failure);
    EXPECT_EQ(value(tcp[0], FieldKey::port), "80");
    EXPECT_EQ(value(tcp[0], FieldKey::protocol), "tcp");
    EXPECT_EQ(value(tcp[0], FieldKey::count), "3");
    EXPECT_TRUE(value(tcp[0], FieldKey::at).ends_with("Z"));
    const auto udp = recorder.of(ipc::Event::network, "8.8.8.8");
    ASSERT_EQ(udp.size(), 1U);
    EXPECT_EQ(value(udp[0], FieldKey::protocol), "udp");
    EXPECT_EQ(value(udp[0], FieldKey::pid), std::to_string(::getpid()));
    EXPECT_FALSE(value(udp[0], FieldKey::exe).empty());
  });
}

// As the kernel answers a SYN to a port that nobody listens at.
std::string refusal_from(std::uint8_t last, std::uint16_t port) {
  std::string packet("\x45\0\0\x28\0\0\0\0\x40\x06\0\0\xc6\x12\x01\0\x7f\0\0\x01", 20);
  packet[15] = static_cast<char>(last);
  packet += static_cast<char>(port >> 8);
  packet += static_cast<char>(port & 0xff);
  return packet + std::string(16, '\0');
}

TEST(RefusedWatch, CallsAnAddressByTheNameThatItStandsFor) {
  KeptRecords recorder;
  RefusedWatch watch(recorder, Fd(), -1);
  const std::string answer("\x45\0\0\0\0\0\0\0\x40\x11\0\0\xc6\x12\0\x01\x7f\0\0\x01" "\0\x35\x0f\xa0\0\0\0\0"
                           "\0\x01\x81\x80\0\x01\0\x01\0\0\0\0\x03pkg\x04test\0\0\x01\0\x01"
                           "\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x12\x01\x05", 28 + 12 + 14 + 16);
  watch.take(answer, 0);
  watch.take(refusal_from(5, 9999), 0);
  watch.tick(kRefusedJoinMs);
  ASSERT_EQ(recorder.records.size(), 1U);
  EXPECT_EQ(value(recorder.records[0], FieldKey::host), "pkg.test");
  EXPECT_EQ(value(recorder.records[0], FieldKey::port), "9999");
  EXPECT_EQ(value(recorder.records[0], FieldKey::address), "");
}

TEST(RefusedWatch, AttackAFloodOfRefusalsIsRationedAndEveryOneIsCounted) {
  KeptRecords recorder;
  RefusedWatch watch(recorder, Fd(), -1);
  constexpr unsigned kPackets = 5000;
  for (unsigned i = 0; i < kPackets; ++i) watch.take(refusal_from(5, static_cast<std::uint16_t>(i)), 0);
  watch.tick(kRefusedJoinMs);
  EXPECT_LE(recorder.records.size(), kRefusedBurst);
  watch.flush();
  EXPECT_LE(recorder.records.size(), kMaxRefusedKinds + 1);
  std::uint64_t counted = 0;
  for (const auto& record : recorder.records) counted += std::stoull(value(record, FieldKey::count));
  EXPECT_EQ(counted, kPackets);
}

}  // namespace
}  // namespace oqto::sandbox
