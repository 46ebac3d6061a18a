// A filtered session of the real gateway, with this test as guard, auditd and sandbox, in a network
// of its own where the sandbox's addresses are local.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>

#include "egress/test_network.h"
#include "gateway/gateway_rig.h"

namespace oqto::gateway::test {
namespace {

using egress::test::bind_at;
using egress::test::connect_to;

constexpr std::uint32_t kServer = 0x7f000002;  // 127.0.0.2
constexpr std::uint16_t kPort = 7000;
const std::string kConfig =
    "[egress]\nallow_private = [\"127.0.0.2\"]\n"
    "resolve = {\"good.test\" = \"127.0.0.2\", \"new.example.test\" = [\"127.0.0.2\"]}\n";

Fd listening(std::uint32_t address, std::uint16_t port) {
  Fd fd = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  EXPECT_TRUE(bind_at(fd, address, port));
  EXPECT_EQ(::listen(fd.get(), 64), 0);
  return fd;
}

bool has_visitor(const Fd& listener, int within_ms) {
  pollfd entry{listener.get(), POLLIN, 0};
  return ::poll(&entry, 1, within_ms) == 1;
}

std::string read_some(const Fd& from) {
  char bytes[256];
  const ssize_t n = ::recv(from.get(), bytes, sizeof bytes, 0);
  if (n < 0) return errno == ECONNRESET ? "(reset)" : "(timeout)";
  return {bytes, static_cast<std::size_t>(n)};
}

// The guard's and the sandbox's side of one session.
std::uint16_t port_of(const Fd& socket) {
  sockaddr_in at{};
  socklen_t size = sizeof at;
  EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
  return ntohs(at.sin_port);
}

class Filtered {
 public:
  Filtered(Rig& rig, std::vector<std::string> domains, bool ask = false) : rig_(rig) {
    ipc::GateRules rules;
    rules.session = session;
    rules.domains.values = std::move(domains);
    rules.ask_unknown = ask ? 1 : 0;
    rules.ask_timeout_s = 20;
    const Fd udp = Fd::adopt(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_TRUE(bind_at(udp, 0x7f000001, 0));
    sockaddr_storage at{};
    socklen_t size = sizeof at;
    EXPECT_EQ(::getsockname(udp.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
    resolver_ = at;
    EXPECT_TRUE(rig.guard.send(ipc::OpenGate{session, 7, 0, 0, 0, 0, 0, session}));
    EXPECT_TRUE(rig.guard.send(rules));
    EXPECT_TRUE(rig.guard.send(ipc::GateSocket{session, ipc::GateSocketKind::dns}, udp));
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(next().tag == ipc::Tag::gate_file);
  }
  ipc::Received next(int within_ms = kPatienceMs) {
    auto received = rig_.guard.wait(within_ms);
    return received ? std::move(*received) : ipc::Received{};
  }
  ipc::GateListen wanted() {
    const auto wish = next().as<ipc::GateListen>();
    EXPECT_TRUE(wish);
    return wish.value_or(ipc::GateListen{});
  }
  void give(const ipc::GateListen& wish) {
    EXPECT_TRUE(rig_.guard.send(ipc::GateListener{session, wish.address, wish.port},
                                listening(wish.address, wish.port)));
  }
  Fd send_query(const std::string& name) const {
    Fd socket = Fd::adopt(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const timeval patience{kPatienceMs / 1000, 0};
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&resolver_), 16), 0);
    const std::string query = dns_query(name, 1);
    EXPECT_EQ(::send(socket.get(), query.data(), query.size(), 0),
              static_cast<ssize_t>(query.size()));
    return socket;
  }
  static int code(const Fd& query) {
    const std::string reply = read_some(query);
    return reply.size() > 12 ? reply[3] & 0x0f : -1;
  }
  Fd connect(std::uint32_t address, std::uint16_t port) const {
    Fd socket = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{kPatienceMs / 1000, 0};
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return connect_to(socket, address, port) ? std::move(socket) : Fd();
  }

  const Uuid session = Uuid::random();

 private:
  Rig& rig_;
  sockaddr_storage resolver_{};
};

class GatewayNetwork : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_TRUE(egress::test::enter_own_world("127.0.0.53"));
    ASSERT_TRUE(egress::test::furnish_network(true));
  }
  const Fd server_ = listening(kServer, kPort);
};

TEST_F(GatewayNetwork, AFilteredSessionReachesItsNamesByTheGuardsListeners) {
  Rig rig(kConfig);
  Filtered session(rig, {"good.test:7000"});
  const ipc::GateListen wish = session.wanted();
  EXPECT_EQ(wish.session, session.session);
  EXPECT_EQ(wish.port, kPort);
  EXPECT_GE(wish.address, 0xc6120100U);
  session.give(wish);
  EXPECT_EQ(Filtered::code(session.send_query("good.test")), 0);
  EXPECT_EQ(Filtered::code(session.send_query("models.oqto")), 0);
  EXPECT_EQ(Filtered::code(session.send_query("evil.test")), 3);
  const Fd client = session.connect(wish.address, kPort);
  ASSERT_TRUE(has_visitor(server_, kPatienceMs));
  const auto intent = rig.audit.wait_record(ipc::Phase::intent);
  EXPECT_EQ(intent.event, ipc::Event::network);
  EXPECT_EQ(field(intent, ipc::FieldKey::session), session.session.text());
  EXPECT_EQ(field(intent, ipc::FieldKey::account), "7");
  EXPECT_EQ(field(intent, ipc::FieldKey::host), "good.test");
  EXPECT_EQ(field(intent, ipc::FieldKey::rule), "good.test:7000");
}

TEST_F(GatewayNetwork, RecordsWhatItDenied) {
  Rig rig(kConfig);
  Filtered session(rig, {});
  EXPECT_EQ(Filtered::code(session.send_query("evil.test")), 3);
  const auto record = rig.audit.wait_record(ipc::Phase::event);
  EXPECT_EQ(record.event, ipc::Event::denial);
  EXPECT_EQ(field(record, ipc::FieldKey::host), "evil.test");
  EXPECT_EQ(field(record, ipc::FieldKey::session), session.session.text());
}

TEST_F(GatewayNetwork, NothingIsDialledBeforeTheLogHasIt) {
  Rig rig(kConfig);
  Filtered session(rig, {"good.test:7000"});
  const ipc::GateListen wish = session.wanted();
  session.give(wish);
  EXPECT_EQ(Filtered::code(session.send_query("good.test")), 0);
  rig.audit.hold(true);
  const Fd client = session.connect(wish.address, kPort);
  (void)rig.audit.wait_record(ipc::Phase::intent);
  EXPECT_FALSE(has_visitor(server_, 100));
  rig.audit.hold(false);
  EXPECT_TRUE(has_visitor(server_, kPatienceMs));
}

TEST_F(GatewayNetwork, AConnectionThatCannotBeRecordedIsReset) {
  Rig rig(kConfig);
  Filtered session(rig, {"good.test:7000"});
  const ipc::GateListen wish = session.wanted();
  session.give(wish);
  EXPECT_EQ(Filtered::code(session.send_query("good.test")), 0);
  rig.audit.refuse(true);
  EXPECT_EQ(read_some(session.connect(wish.address, kPort)), "(reset)");
  rig.audit.refuse(false);
  rig.drop_audit();
  EXPECT_EQ(read_some(session.connect(wish.address, kPort)), "(reset)");
  EXPECT_FALSE(has_visitor(server_, 0));
  rig.rewire_audit();
  Fd client;
  for (int i = 0; i < 200 && !has_visitor(server_, 100);
       ++i) {  // until the gateway has its log again
    client = session.connect(wish.address, kPort);
  }
  EXPECT_TRUE(has_visitor(server_, 0));
}

TEST_F(GatewayNetwork, ANameWithoutItsListenerIsAFailureNotALie) {
  Rig rig(kConfig);
  Filtered session(rig, {"*.wild.test:7000"});
  const Fd failing = session.send_query("a.wild.test");
  const ipc::GateListen first = session.wanted();
  EXPECT_TRUE(
      rig.guard.send(ipc::GateListenFailed{session.session, first.address, first.port, 98}));
  EXPECT_EQ(Filtered::code(failing), 2);
  const Fd wrong = session.send_query("b.wild.test");
  const ipc::GateListen second = session.wanted();
  EXPECT_NE(second.address, first.address);
  EXPECT_TRUE(rig.guard.send(ipc::GateListener{session.session, second.address, second.port},
                             listening(second.address, 7001)));
  EXPECT_EQ(Filtered::code(wrong), 2);
}

TEST_F(GatewayNetwork, AttackTheNamesOfOneSessionMeanNothingInAnother) {
  Rig rig(kConfig);
  Filtered first(rig, {"good.test:7000"});
  first.give(first.wanted());
  Filtered second(rig, {});
  EXPECT_EQ(Filtered::code(second.send_query("good.test")), 3);
  EXPECT_EQ(Filtered::code(first.send_query("good.test")), 0);
}

TEST_F(GatewayNetwork, ClosingTheGateEndsItsConnectionsAndListeners) {
  Rig rig(kConfig);
  Filtered session(rig, {"good.test:7000"});
  const ipc::GateListen wish = session.wanted();
  session.give(wish);
  EXPECT_EQ(Filtered::code(session.send_query("good.test")), 0);
  const Fd client = session.connect(wish.address, kPort);
  ASSERT_TRUE(has_visitor(server_, kPatienceMs));
  EXPECT_TRUE(rig.guard.send(ipc::CloseGate{session.session}));
  EXPECT_EQ(read_some(client), "(reset)");
  EXPECT_FALSE(session.connect(wish.address, kPort));
  EXPECT_EQ(rig.audit.wait_outcome(), ipc::Outcome::failure) << "cut off";
}

TEST_F(GatewayNetwork, AsksTheUserByTheGuardAndRecordsTheAnswer) {
  Rig rig(kConfig);
  Filtered session(rig, {}, true);
  const Fd waiting = session.send_query("new.example.test");
  const auto ask = session.next().as<ipc::ApprovalAsk>();
  ASSERT_TRUE(ask);
  EXPECT_EQ(ask->session, session.session);
  EXPECT_EQ(ask->what.view(), "new.example.test");
  EXPECT_EQ(ask->port, port_of(waiting)) << "by which the asking process is found";
  EXPECT_TRUE(rig.guard.send(
      ipc::ApprovalAnswer{ask->session, ask->kind, ask->question, ipc::ApprovalChoice::once}));
  const auto record = rig.audit.wait_record(ipc::Phase::intent);
  EXPECT_EQ(record.event, ipc::Event::approval);
  EXPECT_EQ(field(record, ipc::FieldKey::choice), "once");
  const ipc::GateListen plain = session.wanted();
  session.give(plain);
  const ipc::GateListen tls = session.wanted();
  session.give(tls);
  EXPECT_EQ(plain.port, 80);
  EXPECT_EQ(tls.port, 443);
  EXPECT_EQ(Filtered::code(waiting), 0);
}

TEST_F(GatewayNetwork, AttackAnAnswerThatWasNotRecordedAllowsNothing) {
  Rig rig(kConfig);
  Filtered session(rig, {}, true);
  const Fd waiting = session.send_query("new.example.test");
  const auto ask = session.next().as<ipc::ApprovalAsk>();
  ASSERT_TRUE(ask);
  rig.audit.refuse(true);
  EXPECT_TRUE(rig.guard.send(
      ipc::ApprovalAnswer{ask->session, ask->kind, ask->question, ipc::ApprovalChoice::session}));
  EXPECT_EQ(Filtered::code(waiting), 3);
}

TEST_F(GatewayNetwork, RefusesASettingThatCannotBe) {
  std::string errors;
  for (const char* bad : {"[egress]\nallow_private = [\"10.0.0.1/8\"]\n",
                          "[egress]\nallow_private = \"everything\"\n", "[egress]\nallow = 1\n",
                          "[egress]\nresolve = {\"10.0.0.1\" = \"1.1.1.1\"}\n",
                          "[egress]\nresolve = {\"a.test\" = \"b.test\"}\n", "egress = 1\n"}) {
    EXPECT_EQ(Rig::exit_status_with(bad, errors), 1) << bad;
    EXPECT_NE(errors.find("gateway.toml:"), std::string::npos) << errors;
  }
}

}  // namespace
}  // namespace oqto::gateway::test
