// The real process, between a sandbox's network that an unprivileged user made, and an outer
// network with servers and a name server of this test's.
#include <poll.h>

#include "egress/test_process.h"

namespace oqto::egress::test {
namespace {

constexpr std::uint32_t kMetadata = 0xa9fea9fe;  // 169.254.169.254

TEST_F(EgressProcess, PassesBytesBothWaysAndTheEndOfEach) {
  const Server server(7000);
  Egress egress({.domains = kRules});
  const auto client = egress.connect("good.test", 7000);
  ASSERT_TRUE(client);
  const Fd upstream = server.accept();
  send_all(*client, "hello");
  EXPECT_EQ(read_up_to(upstream, 5), "hello");
  ::shutdown(client->get(), SHUT_WR);
  EXPECT_EQ(read_up_to(upstream, 1), "");
  const std::string much(3 << 20, 'x');
  std::thread sender([&] {
    send_all(upstream, much);
    ::shutdown(upstream.get(), SHUT_WR);
  });
  EXPECT_EQ(read_up_to(*client, much.size() + 1), much);
  sender.join();
  const std::string record = egress.record_with({R"("phase":"outcome")", R"("host":"good.test")"});
  EXPECT_NE(record.find(R"("bytes_out":"5")"), std::string::npos) << record;
  EXPECT_NE(record.find(R"("bytes_in":"3145728")"), std::string::npos) << record;
  EXPECT_NE(record.find(R"("address":"127.0.0.2")"), std::string::npos) << record;
}

TEST_F(EgressProcess, AServerMaySpeakFirst) {
  const Server server(7000);
  Egress egress({.domains = kRules});
  const auto client = egress.connect("good.test", 7000);
  ASSERT_TRUE(client);
  const Fd upstream = server.accept();
  send_all(upstream, "220 ready\r\n");
  EXPECT_EQ(read_up_to(*client, 11), "220 ready\r\n");
}

TEST_F(EgressProcess, OtherNamesDoNotExistAndOtherPortsAreClosed) {
  Egress egress({.domains = kRules});
  EXPECT_EQ(egress.look_up("evil.test").code, 3);
  EXPECT_EQ(egress.look_up("a.b.wild.test").code, 3);
  EXPECT_EQ(egress.look_up("good.test", 28).code, 0);
  EXPECT_FALSE(egress.look_up("good.test", 65).address) << "HTTPS records would carry other keys";
  const auto address = egress.look_up("good.test").address;
  ASSERT_TRUE(address);
  EXPECT_EQ(egress.connect(*address, 22).error().sys, ECONNREFUSED);
  EXPECT_EQ(egress.connect(0x01010101, 443).error().sys, ENETUNREACH);
  EXPECT_EQ(egress.connect(kServer, 7000).error().sys, ECONNREFUSED) << "the host's loopback";
}

TEST_F(EgressProcess, AnswersOverStreamsToo) {
  Egress egress({.domains = kRules});
  EXPECT_EQ(egress.look_up_by_stream("good.test").address, egress.look_up("good.test").address);
  EXPECT_EQ(egress.look_up_by_stream("evil.test").code, 3);
}

TEST_F(EgressProcess, AttackLabelsOfNamesNeverReachANameServer) {
  Egress egress({.domains = kRules});
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(egress.look_up("secret" + std::to_string(i) + ".evil.test").code, 3);
    EXPECT_EQ(egress.look_up("secret" + std::to_string(i) + ".wild.test", 28).code, 0);
  }
  EXPECT_EQ(egress.look_up("leak.wild.test").code, 0) << "allowed, but not connected to";
  EXPECT_TRUE(names_->asked().empty()) << names_->asked().front();
}

TEST_F(EgressProcess, LooksANameUpOnlyAsItIsAndOnlyWhenConnecting) {
  Egress egress({.domains = {"gone.test:7000"}});
  const auto client = egress.connect("gone.test", 7000);
  ASSERT_TRUE(client);
  EXPECT_EQ(read_up_to(*client, 1), "(reset)");
  for (const std::string& name : names_->asked()) EXPECT_EQ(name, "gone.test");
  EXPECT_FALSE(names_->asked().empty());
  EXPECT_NE(egress.record_with({R"("phase":"outcome")", "the name has no address"}), "");
}

// --- whom the client means ---

TEST_F(EgressProcess, PassesAHelloThatNamesTheHost) {
  const Server server(443);
  Egress egress({.domains = kRules});
  for (const bool encrypted : {false, true}) {
    const auto client = egress.connect("x.wild.test", 443);
    ASSERT_TRUE(client);
    const std::string hello = client_hello("X.Wild.test", encrypted);
    for (const char c : hello) send_all(*client, {&c, 1});
    const Fd upstream = server.accept();
    EXPECT_EQ(read_up_to(upstream, hello.size()), hello);
    send_all(upstream, "\x15\3\3");
    EXPECT_EQ(read_up_to(*client, 3), "\x15\3\3");
  }
}

TEST_F(EgressProcess, AttackAHelloForAnotherHostGetsAnAlertAndNoConnection) {
  const Server server(443);
  Egress egress({.domains = kRules});
  const std::string alert("\x15\x03\x03\x00\x02\x02\x70", 7);
  for (const std::string& hello :
       {client_hello("evil.test"), client_hello(""), client_hello("evil.test", true),
        client_hello("good.test.evil.test"), client_hello(std::string("good.test\0.evil", 15)),
        client_hello("169.254.169.254"), "\x16\3\1" + std::string(2, '\0')}) {
    const auto client = egress.connect("good.test", 443);
    ASSERT_TRUE(client);
    send_all(*client, hello);
    EXPECT_EQ(read_up_to(*client, 100), alert);
  }
  EXPECT_FALSE(server.has_visitor(0));
  EXPECT_TRUE(names_->asked().empty());
  EXPECT_NE(egress.record_with({"names another host: evil.test", R"("host":"good.test")"}), "");
}

TEST_F(EgressProcess, AttackPlainTextOnATlsPortIsReset) {
  const Server server(443);
  Egress egress({.domains = kRules});
  const auto client = egress.connect("good.test", 443);
  ASSERT_TRUE(client);
  send_all(*client, "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n");
  EXPECT_EQ(read_up_to(*client, 100), "(reset)");
  EXPECT_FALSE(server.has_visitor(0));
}

TEST_F(EgressProcess, AttackTlsForAnotherHostOnAnyPortIsCut) {
  const Server server(7000);
  Egress egress({.domains = kRules});
  const auto client = egress.connect("good.test", 7000);
  ASSERT_TRUE(client);
  const Fd upstream = server.accept();
  send_all(*client, client_hello("evil.test"));
  EXPECT_EQ(read_up_to(*client, 7)[0], '\x15');
  EXPECT_EQ(read_up_to(upstream, 1).substr(0, 1), "(") << "nothing was passed on";
}

// A retry request lets a client say its hello once more, with another name.
TEST_F(EgressProcess, AttackASecondHelloForAnotherHostIsCut) {
  const Server server(443);
  Egress egress({.domains = kRules});
  const std::string random =
      "\xCF\x21\xAD\x74\xE5\x9A\x61\x11\xBE\x1D\x8C\x02\x1E\x65\xB8\x91"
      "\xC2\xA2\x11\x16\x7A\xBB\x8C\x5E\x07\x9E\x09\xE2\xC8\xA8\x33\x9C";
  const std::string retry =
      std::string("\x16\3\3\0\x3c\2\0\0\x38\3\3", 11) + random + "0123456789abcd";
  const std::string change("\x14\3\3\0\1\1", 6);
  for (const std::string& second : {std::string("good.test"), std::string("evil.test")}) {
    const auto client = egress.connect("good.test", 443);
    ASSERT_TRUE(client);
    // At once, as one who knows what will be asked for.
    send_all(*client, client_hello("good.test") + change + client_hello(second));
    const Fd upstream = server.accept();
    EXPECT_EQ(read_up_to(upstream, client_hello("good.test").size()), client_hello("good.test"));
    send_all(upstream, retry);
    const std::string rest = read_up_to(upstream, change.size() + client_hello(second).size());
    if (second == "good.test") {
      EXPECT_EQ(rest, change + client_hello(second));
      EXPECT_EQ(read_up_to(*client, retry.size()), retry);
    } else {
      EXPECT_EQ(rest.substr(0, change.size()), change);
      EXPECT_EQ(rest.find("evil"), std::string::npos);
    }
  }
}

TEST_F(EgressProcess, ARequestOnPort80MustNameTheHost) {
  const Server server(80);
  Egress egress({.domains = kRules});
  const auto fine = egress.connect("good.test", 80);
  ASSERT_TRUE(fine);
  const std::string request = "GET / HTTP/1.1\r\nHost: good.test\r\n\r\n";
  send_all(*fine, request);
  EXPECT_EQ(read_up_to(server.accept(), request.size()), request);
  for (const char* other :
       {"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        "GET http://evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n",
        "CONNECT evil.test:443 HTTP/1.1\r\nHost: good.test\r\n\r\n", "SSH-2.0-x\r\n\r\n"}) {
    const auto client = egress.connect("good.test", 80);
    ASSERT_TRUE(client);
    send_all(*client, other);
    EXPECT_TRUE(read_up_to(*client, 1000).starts_with("HTTP/1.1 403 ")) << other;
  }
  EXPECT_FALSE(server.has_visitor(0));
}

// --- where the name leads ---

TEST_F(EgressProcess, AttackARebindingNameReachesNoPrivateAddress) {
  const Server loopback(7000, 0x7f000001);
  names_->set("a.wild.test", {kMetadata});
  names_->set("b.wild.test", {0x7f000001});
  names_->set("c.wild.test", {0x0a000001, 0xc0a80001, 0xc6120002, 0x00000000});
  Egress egress({.domains = kRules});
  for (const char* name : {"a.wild.test", "b.wild.test", "c.wild.test"}) {
    const auto client = egress.connect(name, 7000);
    ASSERT_TRUE(client);
    EXPECT_EQ(read_up_to(*client, 1), "(reset)") << name;
  }
  EXPECT_FALSE(loopback.has_visitor(0));
  Egress naive({.domains = kRules, .arguments = {"--allow-private", "0.0.0.0/0"}});
  EXPECT_TRUE(naive.connect("b.wild.test", 7000));
  EXPECT_TRUE(loopback.has_visitor(kPatienceMs)) << "the control: nothing else was in the way";
  EXPECT_NE(egress.record_with({"link-local address: 169.254.169.254", "outcome"}), "");
}

TEST_F(EgressProcess, OfSeveralAddressesOnlyThoseThatMayAreDialled) {
  const Server server(7000);
  names_->set("x.wild.test", {kMetadata, kServer});
  Egress egress({.domains = kRules});
  const auto client = egress.connect("x.wild.test", 7000);
  ASSERT_TRUE(client);
  EXPECT_TRUE(server.accept());
}

TEST_F(EgressProcess, AttackANameThatLeadsToTheHostItselfIsNotDialled) {
  ASSERT_EQ(std::system("ip addr add 93.184.216.34/32 dev lo"), 0);
  const Server server(7000, 0x5db8d822);
  names_->set("x.wild.test", {0x5db8d822});
  Egress egress({.domains = kRules});
  const auto client = egress.connect("x.wild.test", 7000);
  ASSERT_TRUE(client);
  EXPECT_EQ(read_up_to(*client, 1), "(reset)");
  EXPECT_FALSE(server.has_visitor(0));
  EXPECT_NE(egress.record_with({"an address of this host: 93.184.216.34"}), "");
}

TEST_F(EgressProcess, AHostThatIsNotThereIsResetAndThenRefused) {
  Egress egress({.domains = kRules});
  const auto address = egress.look_up("good.test").address;
  const auto first = egress.connect(*address, 7000);
  ASSERT_TRUE(first);
  EXPECT_EQ(read_up_to(*first, 1), "(reset)");
  EXPECT_EQ(egress.connect(*address, 7000).error().sys, ECONNREFUSED);
  const Server server(7000);
  Result<Fd> again = fail(Errc::io, "");
  for (int i = 0; i < 1000 && !again; ++i) {
    again = egress.connect(*address, 7000);
    if (!again) ::poll(nullptr, 0, 10);
  }
  ASSERT_TRUE(again) << "it listens again after a while";
  EXPECT_TRUE(server.accept());
}

TEST_F(EgressProcess, AResetFromTheHostIsAResetInside) {
  const Server server(7000);
  Egress egress({.domains = kRules});
  const auto client = egress.connect("good.test", 7000);
  ASSERT_TRUE(client);
  {
    const Fd upstream = server.accept();
    ASSERT_EQ(::write(upstream.get(), "x", 1), 1);
    ASSERT_EQ(read_up_to(*client, 1), "x");  // it is being passed on
    const linger at_once{1, 0};
    (void)::setsockopt(upstream.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  EXPECT_EQ(read_up_to(*client, 1), "(reset)");
}

}  // namespace
}  // namespace oqto::egress::test
