// Another certificate while the real oqto-relay serves. The test is the guard, which has opened the files.
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/sys.h"
#include "relay/relay_fixture.h"

namespace oqto::relay {
namespace {

ipc::Reloaded offer(RunningRelay& relay, const std::string& chain, const std::string& key) {
  EXPECT_TRUE(relay.guard.send(ipc::Reload{ipc::ReloadPart::certificate}, text_file(chain)));
  EXPECT_TRUE(relay.guard.send(ipc::Reload{ipc::ReloadPart::key}, text_file(key)));
  const auto facts = relay.guard.wait(kTestWaitMs);
  EXPECT_TRUE(facts && facts->as<ipc::CertificateFacts>()) << "the guard is not told what is in force";
  const auto answer = relay.guard.wait(kTestWaitMs);
  EXPECT_TRUE(answer && answer->as<ipc::Reloaded>()) << "the relay does not answer";
  return answer ? answer->as<ipc::Reloaded>().value_or(ipc::Reloaded{}) : ipc::Reloaded{};
}

std::string get(const RunningRelay& relay) {
  return "GET / HTTP/1.1\r\nHost: " + relay.authority() + "\r\n\r\n";
}

// What a new connection is shown, once it has been answered.
std::string served(RunningRelay& relay) {
  Client client(relay);
  const Announced peers = relay.next_connection();
  EXPECT_EQ(client.ask(get(relay)).status, 200);
  return client.certificate();
}

TEST(RelayReload, ServesNewConnectionsWithTheNewCertificateAndKeepsTheOldOnes) {
  RunningRelay relay;
  Client before(relay);
  const Announced peers = relay.next_connection();
  EXPECT_EQ(before.ask(get(relay)).status, 200);
  const Certificate renewed = make_certificate("renewed.example", -60, 7200);
  const ipc::Reloaded answer = offer(relay, renewed.chain, renewed.key);
  EXPECT_EQ(answer.part, ipc::ReloadPart::certificate);
  EXPECT_EQ(answer.ok, 1);
  EXPECT_EQ(answer.changed, 1);
  EXPECT_EQ(answer.what.view(), "CN=renewed.example");
  EXPECT_GT(answer.expires_ms, sys::now_ms() + 7000'000);
  EXPECT_LT(answer.expires_ms, sys::now_ms() + 7200'000);
  EXPECT_EQ(served(relay), renewed.chain);
  EXPECT_EQ(before.ask(get(relay)).status, 200) << "the connection that was there goes on";
  EXPECT_EQ(before.certificate(), relay.certificate.chain);
}

TEST(RelayReload, SaysThatNothingHasChanged) {
  RunningRelay relay;
  const ipc::Reloaded answer = offer(relay, relay.certificate.chain, relay.certificate.key);
  EXPECT_EQ(answer.ok, 1);
  EXPECT_EQ(answer.changed, 0);
  EXPECT_EQ(served(relay), relay.certificate.chain);
}

TEST(RelayReload, AttackWhatDoesNotHoldTogetherIsRefusedAndTheOldOneServes) {
  RunningRelay relay;
  const Certificate good = make_certificate("other.example");
  const Certificate expired = make_certificate("late.example", -7200, -3600);
  const Certificate early = make_certificate("early.example", 3600, 7200);
  const std::string cut = good.chain.substr(0, good.chain.size() / 2);
  const struct {
    std::string chain, key, why;
  } all[] = {
      {good.chain, relay.certificate.key, "does not belong"},
      {relay.certificate.chain, good.key, "does not belong"},
      {expired.chain, expired.key, "has expired on "},
      {early.chain, early.key, "not valid before "},
      {cut, good.key, "no PEM certificate"},
      {"", "", "no PEM certificate"},
      {good.key, good.chain, "no PEM certificate"},
      {good.chain, "", "no unencrypted PEM private key"},
      {std::string(200'000, 'x'), good.key, "no PEM certificate"},
      {std::string(300'000, 'x'), good.key, ""},
  };
  for (const auto& [chain, key, why] : all) {
    const ipc::Reloaded answer = offer(relay, chain, key);
    EXPECT_EQ(answer.ok, 0) << why;
    EXPECT_EQ(answer.changed, 0) << why;
    EXPECT_NE(answer.what.view().find(why), std::string_view::npos) << answer.what.view();
    EXPECT_EQ(served(relay), relay.certificate.chain) << why;
  }
  EXPECT_EQ(offer(relay, good.chain, good.key).ok, 1) << "and then a good one";
  EXPECT_EQ(served(relay), good.chain);
}

TEST(RelayReload, AGuardThatDoesNotReadYetGetsEachAnswerLaterAndTheRelayServesOn) {
  constexpr std::uint64_t kMany = 1000;  // more answers than a channel holds
  RunningRelay relay;
  for (std::uint64_t i = 1; i <= kMany;) {
    const Status sent = relay.guard.send(ipc::Reload{ipc::ReloadPart::key, i}, text_file("none"));
    ASSERT_TRUE(sent || sent.error().code == Errc::limit);
    sent ? (void)++i : (void)::usleep(1000);
  }
  for (std::uint64_t i = 1; i <= kMany;) {
    const auto received = relay.guard.wait(kTestWaitMs);
    ASSERT_TRUE(received) << i;
    if (received->as<ipc::CertificateFacts>()) continue;
    const auto answer = received->as<ipc::Reloaded>();
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->request, i++) << "each says which one it answers";
    EXPECT_EQ(answer->ok, 0);
  }
  EXPECT_EQ(served(relay), relay.certificate.chain);
}

TEST(RelayReload, ServesAsBeforeAfterManyOfThem) {
  RunningRelay relay;
  Certificate last;
  for (int i = 0; i < 50; ++i) {
    last = make_certificate("again.example");
    ASSERT_EQ(offer(relay, last.chain, last.key).ok, 1) << i;
    ASSERT_EQ(offer(relay, last.chain, relay.certificate.key).ok, 0) << i;
  }
  EXPECT_EQ(served(relay), last.chain);
}

}  // namespace
}  // namespace oqto::relay
