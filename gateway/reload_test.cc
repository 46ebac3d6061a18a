// Another configuration while the real process serves. This test is the guard, which has opened the file.
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/sys.h"
#include "gateway/gateway_rig.h"

namespace oqto::gateway::test {
namespace {

std::string provider(const std::string& url, const std::string& key) {
  return "[[provider]]\nname = \"o\"\nkind = \"openai\"\nbase_url = \"" + url + "\"\nkey = \"" + key +
         "\"\n[[provider.model]]\nid = \"gpt\"\n";
}
const std::string kCall = "/o/v1/chat/completions";
const std::string kBody = R"({"model":"gpt","messages":[{"role":"user","content":"hi"}],"stream":true})";

// The answer; what came before it is a new list of models, if any.
ipc::Reloaded offer(Rig& rig, const std::string& toml, std::string* models = nullptr) {
  EXPECT_TRUE(rig.guard.send(ipc::Reload{ipc::ReloadPart::gateway, 77}, *sys::sealed_memfd("gateway.toml", toml)));
  for (;;) {
    const auto received = rig.guard.wait(kPatienceMs);
    if (!received) break;
    if (received->tag == ipc::Tag::models_file) {
      const std::string text = sys::read_all(received->fd, 1 << 20).value_or("");
      if (models != nullptr) *models = text;
    } else if (const auto answer = received->as<ipc::Reloaded>()) {
      EXPECT_EQ(answer->request, 77U);
      return *answer;
    }
  }
  ADD_FAILURE() << "no answer";
  return {};
}

TEST(GatewayReload, ASessionThatIsThereCallsWithTheNewKeyAndTheNewPlace) {
  Mock one("sk-first-0123456789"), two("sk-second-0123456789");
  Rig rig(provider(one.url() + "/v1", "sk-first-0123456789"));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kCall, kBody).status, 200);
  (void)rig.usage();
  std::string models;
  const ipc::Reloaded answer = offer(rig, provider(two.url() + "/v1", "sk-second-0123456789") + "name = \"New\"\n", &models);
  EXPECT_EQ(answer.part, ipc::ReloadPart::gateway);
  EXPECT_EQ(answer.ok, 1) << answer.what.view();
  EXPECT_EQ(answer.changed, 1);
  EXPECT_EQ(answer.what.view(), "o; default o/gpt");
  EXPECT_NE(models.find(R"("name": "New")"), std::string::npos) << "runners are told: " << models;
  EXPECT_EQ(pi.post(kCall, kBody).status, 200);
  (void)rig.usage();
  Pi later(rig);
  EXPECT_NE(later.models_json.find(R"("name": "New")"), std::string::npos);
}

TEST(GatewayReload, ACallThatIsUnderWayEndsAsItBegan) {
  Rig rig("");
  Pi pi(rig);
  const Fd call = pi.begin("/demo/v1/chat/completions",
                           R"({"model":"demo","stream":true,"messages":[{"role":"user","content":"hello"}]})");
  (void)pi.read_until(call, "data: ");
  EXPECT_EQ(offer(rig, provider("http://127.0.0.1:1/v1", "k")).changed, 1);
  EXPECT_NE(pi.read_until(call, "[DONE]").find("[DONE]"), std::string::npos);
  EXPECT_EQ(pi.post("/demo/v1/chat/completions", R"({"model":"demo","messages":[]})").status, 404)
      << "the demo is not configured any more";
}

TEST(GatewayReload, SaysThatNothingHasChanged) {
  Rig rig(provider("http://127.0.0.1:1/v1", "k"));
  const ipc::Reloaded answer = offer(rig, provider("http://127.0.0.1:1/v1", "k"));
  EXPECT_EQ(answer.ok, 1);
  EXPECT_EQ(answer.changed, 0);
}

TEST(GatewayReload, AttackABrokenFileIsRefusedWithItsLineAndTheOldOneServes) {
  Mock mock("sk-first-0123456789");
  const std::string good = provider(mock.url() + "/v1", "sk-first-0123456789");
  Rig rig(good);
  Pi pi(rig);
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {good + "nonsense\n", "gateway.toml:8: this is not valid TOML"},
           {"\n\nkey = \"sk-secret-9876543210\"\n", "gateway.toml:3: "},
           {good + good, "gateway.toml:8: this provider is listed twice"},
           {std::string(300'000, '#'), "gateway.toml: cannot be read"}}) {
    const ipc::Reloaded answer = offer(rig, text);
    EXPECT_EQ(answer.ok, 0) << text;
    EXPECT_NE(answer.what.view().find(why), std::string_view::npos) << answer.what.view();
    EXPECT_EQ(answer.what.view().find("9876543210"), std::string_view::npos) << "a key is in the answer";
    EXPECT_EQ(pi.post(kCall, kBody).status, 200);
    (void)rig.usage();
  }
}

TEST(GatewayReload, AGuardThatDoesNotReadYetGetsEachAnswerInItsOrder) {
  constexpr std::uint64_t kMany = 1000;  // more answers than a channel holds
  Rig rig("");
  for (std::uint64_t i = 1; i <= kMany;) {
    const Status sent = rig.guard.send(ipc::Reload{ipc::ReloadPart::gateway, i}, *sys::sealed_memfd("gateway.toml", "nonsense\n"));
    ASSERT_TRUE(sent || sent.error().code == Errc::limit);
    sent ? (void)++i : (void)::usleep(1000);
  }
  for (std::uint64_t i = 1; i <= kMany;) {
    const auto received = rig.guard.wait(kPatienceMs);
    ASSERT_TRUE(received) << i;
    const auto answer = received->as<ipc::Reloaded>();
    if (!answer) continue;  // the models
    ASSERT_EQ(answer->request, i++);
  }
}

TEST(GatewayReload, AProviderWithHttpsAfterAStartWithoutOneIsVerified) {
  Mock mock;
  const TlsFront front(mock.port());
  Rig rig("", front.ca_file());
  EXPECT_EQ(offer(rig, provider(front.url(), "k")).ok, 1);
  Pi pi(rig);
  EXPECT_EQ(pi.post(kCall, kBody).status, 200);
  Rig wary("");
  EXPECT_EQ(offer(wary, provider(front.url(), "k")).ok, 1);
  Pi other(wary);
  EXPECT_EQ(other.post(kCall, kBody).status, 502);
}

TEST(GatewayReload, WithoutAuthoritiesHttpsIsRefusedAndTheWayOutSaid) {
  Rig rig("", "/nonexistent/ca.pem");
  const ipc::Reloaded answer = offer(rig, provider("https://127.0.0.1:1/v1", "k"));
  EXPECT_EQ(answer.ok, 0);
  EXPECT_NE(answer.what.view().find("install ca-certificates"), std::string_view::npos) << answer.what.view();
  EXPECT_EQ(offer(rig, provider("http://127.0.0.1:1/v1", "k")).ok, 1);
}

}  // namespace
}  // namespace oqto::gateway::test
