// What the host says of itself before any session has run.
#include "runner/host_facts.h"

#include <gtest/gtest.h>

#include "base/sys.h"
#include "runner/test_host.h"

namespace oqto::runner::test {
namespace {

constexpr const char* kModels =
    R"({"providers":{"anthropic":{"baseUrl":"http://models.oqto/anthropic","apiKey":"oqto","models":[
      {"id":"claude","name":"Claude","reasoning":true,"input":["text","image"],"maxTokens":1}]},
      "local":{"models":[{"id":"small","reasoning":false,"input":["text"]},{"name":"no id"},7]},
      "odd":"text"}})";

Result<TakenFacts> take(const std::string& models, std::vector<std::string> unavailable = {}) {
  return take_host_facts(ipc::HostFacts{{std::move(unavailable)}}, *sys::sealed_memfd("models.json", models));
}

TEST(HostFacts, NameEachModelOfEachProvider) {
  const auto taken = take(kModels);
  ASSERT_TRUE(taken.has_value());
  ASSERT_EQ(taken->models.size(), 2U);
  EXPECT_EQ(protocol::encode_models(taken->models),
            protocol::encode_models({{"claude", "Claude", "anthropic", true, true},
                                     {"small", "small", "local", false, false}}));
}

TEST(HostFacts, SayWhichProfilesAreThereAndWhyOthersAreNot) {
  const auto taken = take(kModels, {"strict: no cgroup controller memory", "other: x"});
  ASSERT_TRUE(taken.has_value());
  ASSERT_EQ(taken->profiles.size(), 3U);
  EXPECT_EQ(taken->profiles[0].name, "minimal");
  EXPECT_TRUE(taken->profiles[0].available);
  EXPECT_TRUE(taken->profiles[1].available);
  EXPECT_EQ(taken->profiles[2].name, "strict");
  EXPECT_FALSE(taken->profiles[2].available);
  EXPECT_EQ(taken->profiles[2].why, "no cgroup controller memory");
}

TEST(HostFacts, AreRefusedWhenTheFileIsNoListOfModels) {
  for (const char* bad : {"", "{", "[]", "{}", R"({"providers":[]})"}) {
    EXPECT_FALSE(take(bad).has_value()) << bad;
  }
}

TEST(HostFacts, AreThereForABrowserBeforeAnySessionHasRun) {
  Host host;
  host.tell_facts(kModels, {});
  const auto browser = host.connect();
  const auto models = browser->ask("_system", R"("cmd":"get_models")");
  const protocol::Json* list = models.find("data");
  ASSERT_NE(list, nullptr) << models.dump();
  ASSERT_NE(list->array(), nullptr) << models.dump();
  ASSERT_EQ(list->array()->size(), 2U) << models.dump();
  EXPECT_EQ((*list->array())[0].text_at("id"), "claude");
  EXPECT_EQ(host.sandboxes_started(), 0);
}

}  // namespace
}  // namespace oqto::runner::test
