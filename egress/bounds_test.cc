// What one sandbox can take of oqto-egress, what it asks the user, and how the process ends.
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <fstream>

#include "egress/session.h"
#include "egress/test_process.h"

namespace oqto::egress::test {
namespace {

using EgressBounds = EgressProcess;

// --- too much of everything ---

TEST_F(EgressBounds, AttackFiveThousandNamesTakeNothingFromThoseInThePolicy) {
  Egress egress({.domains = kRules});
  int given = 0;
  for (int i = 0; i < 5000; ++i) {
    given += egress.look_up("n" + std::to_string(i) + ".wild.test").address ? 1 : 0;
  }
  EXPECT_GT(given, 0);
  EXPECT_LE(given, 64) << "no more than there are sockets";
  const Server server(7000);
  const auto client = egress.connect("good.test", 7000);
  ASSERT_TRUE(client);
  EXPECT_TRUE(server.accept());
  EXPECT_LT(std::ranges::count(egress.records(), '\n'), 200) << "alike refusals are joined";
}

TEST_F(EgressBounds, AttackAFloodOfConnectionsIsBounded) {
  const Server server(7000);
  Egress egress({.domains = kRules});
  const auto address = egress.look_up("good.test").address;
  const std::size_t before = egress.descriptors();
  std::vector<Fd> held;
  for (int i = 0; i < 600; ++i) {
    if (auto client = egress.connect(*address, 7000)) held.push_back(std::move(*client));
  }
  EXPECT_NE(egress.record_with({"too many connections"}), "");
  EXPECT_LE(egress.descriptors(), before + 2 * kMaxConnections + 8);
  held.clear();
  while (server.has_visitor(100)) (void)server.accept();
  for (int i = 0; i < kPatienceMs / 10 && egress.descriptors() > before; ++i)
    ::poll(nullptr, 0, 10);
  EXPECT_LE(egress.descriptors(), before) << "all is given back";
  const auto client = egress.connect(*address, 7000);
  ASSERT_TRUE(client);
  EXPECT_TRUE(server.accept());
}

TEST_F(EgressBounds, AttackASlowReaderHoldsTheSenderBack) {
  const Server server(7000);
  Egress egress({.domains = kRules});
  const auto client = egress.connect("good.test", 7000);
  ASSERT_TRUE(client);
  const Fd upstream = server.accept();
  const std::string piece(1 << 20, 'x');
  const long before = egress.resident_kib();
  std::size_t sent = 0;
  for (int idle = 0; idle < 20;) {  // until it takes no more
    const ssize_t n =
        ::send(upstream.get(), piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    idle = n > 0 ? 0 : idle + 1;
    if (n > 0) sent += static_cast<std::size_t>(n);
    if (n <= 0) ::poll(nullptr, 0, 10);
  }
  EXPECT_LT(sent, 64U << 20);
  EXPECT_LT(egress.resident_kib(), before + 2048);
}

// --- the user ---

TEST_F(EgressBounds, AnUnknownNameWaitsForTheUser) {
  const Server server(443);
  names_->set("new.example.test", {kServer});
  Egress egress({.domains = kRules, .ask = true});
  const Fd first = egress.send_query("new.example.test");
  const auto asked = egress.question();
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->what.view(), "new.example.test");
  const Fd again = egress.send_query("new.example.test");
  EXPECT_FALSE(egress.question(200)) << "one question for all who wait";
  egress.answer(*asked, ipc::ApprovalChoice::session);
  char reply[512];
  EXPECT_GT(::recv(first.get(), reply, sizeof reply, 0), 40);
  EXPECT_GT(::recv(again.get(), reply, sizeof reply, 0), 40);
  const auto client = egress.connect("new.example.test", 443);
  ASSERT_TRUE(client);
  send_all(*client, client_hello("new.example.test"));
  EXPECT_TRUE(server.accept());
  EXPECT_NE(egress.record_with({"approval", R"("choice":"session")"}), "");
  EXPECT_NE(egress.record_with({R"("rule":"approved by the user")"}), "");
  EXPECT_EQ(egress.connect("new.example.test", 22).error().sys, ECONNREFUSED);
}

TEST_F(EgressBounds, ANoHoldsForTheSessionAndSilenceIsANo) {
  Egress egress({.domains = kRules, .ask = true, .ask_timeout_s = 1});
  const Fd refused = egress.send_query("no.example.test");
  const auto asked = egress.question();
  ASSERT_TRUE(asked);
  egress.answer(*asked, ipc::ApprovalChoice::deny);
  char reply[512];
  ASSERT_GT(::recv(refused.get(), reply, sizeof reply, 0), 12);
  EXPECT_EQ(reply[3] & 0x0f, 3);
  EXPECT_EQ(egress.look_up("no.example.test").code, 3);
  EXPECT_EQ(egress.look_up("silence.example.test").code, 3);
  EXPECT_TRUE(egress.question()) << "about the second name; none about the first";
  EXPECT_FALSE(egress.question(100));
  EXPECT_TRUE(names_->asked().empty());
}

TEST_F(EgressBounds, AttackQuestionsAreFewAndOnlyAboutNames) {
  Egress egress({.domains = kRules, .ask = true});
  std::vector<Fd> waiting;
  for (int i = 0; i < 40; ++i)
    waiting.push_back(egress.send_query("q" + std::to_string(i) + ".a.test"));
  int questions = 0;
  while (egress.question(300)) ++questions;
  EXPECT_EQ(questions, static_cast<int>(kMaxQuestions));
  EXPECT_EQ(egress.look_up("single").code, 3);
  EXPECT_EQ(egress.look_up("1.2.3.4").code, 3);
  EXPECT_FALSE(egress.question(100));
}

// --- the process ---

TEST_F(EgressBounds, EndsWithTheToolAndOnSigterm) {
  const Server server(7000);
  Egress one({.domains = kRules});
  const auto client = one.connect("good.test", 7000);
  ASSERT_TRUE(client);
  const Fd upstream = server.accept();
  EXPECT_EQ(one.end(), 0);
  EXPECT_EQ(read_up_to(*client, 1), "(reset)");
  Egress two({.domains = kRules});
  EXPECT_EQ(two.end(SIGTERM), 0);
}

TEST_F(EgressBounds, RunsWithoutAnyCapabilityAndSealed) {
  Egress egress({.domains = kRules});
  std::string status;
  const int pid = egress.pid();
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) status += line + '\n';
  EXPECT_NE(status.find("CapEff:\t0000000000000000"), std::string::npos) << status;
  EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos);
  EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos);
  EXPECT_NE(status.find("Uid:\t65533"), std::string::npos);
}

}  // namespace
}  // namespace oqto::egress::test
