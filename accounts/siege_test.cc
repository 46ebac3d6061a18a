// Sign-in while others try to keep people out of it: what is asserted is who gets in, never how fast.
#include <algorithm>
#include <functional>
#include <iterator>
#include <map>

#include "accounts/test_host.h"

namespace oqto::accounts {
namespace {

using ipc::AuthEndpoint;

// Strangers who each send their next wrong guess as soon as the last one is answered.
class Siege {
 public:
  using Next = std::function<std::string(int)>;
  Siege(TestHost& host, std::size_t clients, Next address, Next username)
      : host_(host), address_(std::move(address)), username_(std::move(username)) {
    for (std::size_t i = 0; i < clients; ++i) clients_.push_back(guess());
  }
  void turn() {
    for (ipc::Channel& client : clients_) {
      const auto reply = client.wait(0);
      if (!reply) continue;
      ++answered_;
      client = guess();
    }
  }
  [[nodiscard]] int answered() const { return answered_; }

  // One person signs in, once, while the siege goes on; with the cookie of a known device, or without.
  ipc::AuthReply sign_in(const std::string& username, const std::string& remote,
                         const std::optional<ipc::Token>& device = std::nullopt,
                         const std::string& password = kPassword) {
    auto call = auth_call(AuthEndpoint::login,
                          "{\"username\":" + quoted(username) + ",\"password\":" + quoted(password) + "}");
    call.has_device = device ? 1 : 0;
    call.device = device.value_or(ipc::Token{});
    ipc::Channel connection = host_.connect(remote);
    EXPECT_TRUE(connection.send(call));
    for (;;) {
      turn();
      const auto received = connection.wait(1);
      if (received) return received->as<ipc::AuthReply>().value_or(ipc::AuthReply{});
      if (received.error().code != Errc::limit) return {};
    }
  }

 private:
  ipc::Channel guess() {
    const int n = guesses_++;
    ipc::Channel connection = host_.connect(address_(n));
    EXPECT_TRUE(connection.send(auth_call(
        AuthEndpoint::login, "{\"username\":" + quoted(username_(n)) + R"(,"password":"wrong password"})")));
    return connection;
  }
  TestHost& host_;
  Next address_, username_;
  std::vector<ipc::Channel> clients_;
  int guesses_ = 0;
  int answered_ = 0;
};

// Twenty networks, each address of each used once.
std::string rotating(int n) {
  return "10." + std::to_string(n % 20) + "." + std::to_string(n / 20 % 250) + "." + std::to_string(n / 5000 + 1) + ":1";
}
// One /48 of ever new /64s.
std::string one_network(int n) {
  char address[64] = {};
  (void)std::snprintf(address, sizeof address, "[2001:db8:1:%x::1]:1", static_cast<unsigned>(n % 65'536));
  return address;
}
std::string names(int n) { return "u" + std::to_string(n); }
constexpr std::size_t kClients = 20;
constexpr int kPeople = 15;

// So that what is measured is a siege and not its beginning.
void wait_until_busy(Siege& siege) {
  while (siege.answered() < 40) siege.turn();
}

// Signs the people in one after the other; how many got in at the first try.
int let_in(Siege& siege, std::map<std::string, std::optional<ipc::Token>>& people, int from_network) {
  int in = 0;
  for (int i = 0; i < kPeople; ++i) {
    auto person = people.begin();
    std::advance(person, i % static_cast<int>(people.size()));
    const std::string remote = "203." + std::to_string(from_network) + "." + std::to_string(i) + ".7:1";
    const auto reply = siege.sign_in(person->first, remote, person->second);
    in += reply.status == 200 ? 1 : 0;
    if (person->second) person->second = reply.device;
    EXPECT_EQ(reply.status, 200) << person->first << ' ' << i << ' ' << reply.body.value;
  }
  return in;
}

class SiegeOf : public ::testing::Test {
 protected:
  void SetUp() override {
    host.set_up();
    for (const char* const name : {"ann", "bob", "cid"}) {
      host.join(name);
      devices[name] = host.login(name, kPassword).device;
      strangers[name] = std::nullopt;
    }
  }
  TestHost host;
  std::map<std::string, std::optional<ipc::Token>> devices, strangers;
};

TEST_F(SiegeOf, AttackTwentyRotatingClientsKeepNoKnownDeviceOut) {
  Siege siege(host, kClients, rotating, names);
  wait_until_busy(siege);
  EXPECT_EQ(let_in(siege, devices, 1), kPeople);
  RecordProperty("guesses_answered", siege.answered());
}

TEST_F(SiegeOf, AttackOneNetworkOfManyAddressesKeepsNobodyElseOut) {
  Siege siege(host, kClients, one_network, names);
  wait_until_busy(siege);
  EXPECT_EQ(let_in(siege, strangers, 2), kPeople) << "without a known device, from other networks";
  EXPECT_EQ(let_in(siege, devices, 3), kPeople);
}

TEST_F(SiegeOf, AttackGuessingAtOneAccountFromEverywhereLocksItsKnownDeviceNeverOut) {
  Siege siege(host, kClients, rotating, [](int) { return "ann"; });
  while (siege.sign_in("ann", rotating(siege.answered() + 7), std::nullopt, "wrong password").status != 429) {
  }
  // All strangers together have used up their guesses at her account: they wait, she does not.
  EXPECT_EQ(siege.sign_in("ann", "203.0.113.7:1").status, 429) << "she herself, from elsewhere";
  for (int i = 0; i < kPeople; ++i) {
    const auto reply = siege.sign_in("ann", "203.0.113.7:1", devices["ann"]);
    ASSERT_EQ(reply.status, 200);
    devices["ann"] = reply.device;
  }
}

TEST_F(SiegeOf, AttackOneWrongGuessPerPeriodFromElsewhereDoesNotKeepAPersonOut) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(host.login("bob", "wrong password", "198.51.100.9:1").status, 401);
  EXPECT_EQ(host.login("bob", kPassword, "198.51.100.200:1").status, 429) << "that network waits";
  EXPECT_EQ(host.login("bob", kPassword, "203.0.113.7:1").status, 200) << "another one does not";
  host.device = devices["bob"];
  EXPECT_EQ(host.login("bob", kPassword, "198.51.100.9:1").status, 200) << "nor a known device in the same one";
}

TEST_F(SiegeOf, AttackANeighbourBehindTheSameAddressBlocksNoKnownDeviceAndNoInvitation) {
  const std::string shared = "198.51.100.9:1";
  const std::string code = host.invite();
  int tried = 0;
  while (host.login(names(tried), "wrong password", shared).status != 429) ASSERT_LT(++tried, 100);
  EXPECT_EQ(host.login("ann", kPassword, shared).status, 429) << "strangers behind it wait";
  EXPECT_EQ(host.call(AuthEndpoint::register_user, R"({"invite_code":")" + code + R"(","username":"dan","password":)" +
                                                       quoted(kPassword) + "}", std::nullopt, shared).status, 201);
  host.device = devices["ann"];
  EXPECT_EQ(host.login("ann", kPassword, shared).status, 200);
}

TEST_F(SiegeOf, AttackGuessingFromAKnownDeviceIsSlowedDownAlone) {
  host.device = devices["ann"];
  for (int i = 0; i < 5; ++i) EXPECT_EQ(host.login("ann", "wrong password").status, 401);
  EXPECT_EQ(host.login("ann", kPassword).status, 429);
  host.device.reset();
  EXPECT_EQ(host.login("ann", kPassword, "203.0.113.7:1").status, 200);
}

TEST_F(SiegeOf, AttackADeviceOfAnotherAccountOrOfNobodyIsNoneAndIsReplaced) {
  host.device = devices["bob"];
  for (int i = 0; i < 5; ++i) EXPECT_EQ(host.login("ann", "wrong password", "198.51.100.9:1").status, 401);
  host.device = ipc::Token{1, 2, 3};
  EXPECT_EQ(host.login("ann", kPassword, "198.51.100.9:1").status, 429) << "one network, whatever it shows";
  const auto planted = host.login("bob", kPassword, "203.0.113.7:1");
  ASSERT_EQ(planted.status, 200);
  EXPECT_NE(planted.device, *host.device) << "only what this host gave out is a device";
  host.device = devices["bob"];
  host.device = host.login("ann", kPassword, "203.0.113.7:1").device;
  EXPECT_EQ(host.login("bob", kPassword, "198.51.100.9:1").status, 200) << "one browser, two people";
}

}  // namespace
}  // namespace oqto::accounts
