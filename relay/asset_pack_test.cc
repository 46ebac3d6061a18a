#include "relay/asset_pack.h"

#include <gtest/gtest.h>

#include "relay/response.h"
#include "relay/test_pack.h"

namespace oqto::relay {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST(AssetPack, FindsWhatWasPacked) {
  const std::string bytes = test_pack(kTestEntries);
  const auto pack = AssetPack::parse(bytes_of(bytes));
  ASSERT_TRUE(pack) << pack.error().what;
  ASSERT_NE(pack->find("/assets/app-1.js"), nullptr);
  EXPECT_EQ(pack->find("/assets/app-1.js")->bodies[1], "gzipped");
  EXPECT_EQ(pack->document().path, "/");
  EXPECT_EQ(pack->find("/assets"), nullptr);
  EXPECT_EQ(pack->find(""), nullptr);
}

TEST(AssetPack, RefusesEveryTruncation) {
  const std::string bytes = test_pack(kTestEntries);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(AssetPack::parse(bytes_of(bytes).first(size))) << size;
  }
}

TEST(AssetPack, RefusesAWeakOrMisplacedPolicy) {
  auto entries = kTestEntries;
  entries[0].csp =
      "default-src 'none'; script-src 'unsafe-inline'; require-trusted-types-for 'script'";
  EXPECT_FALSE(AssetPack::parse(bytes_of(test_pack(entries))));
  entries[0].csp = "script-src 'self'";
  EXPECT_FALSE(AssetPack::parse(bytes_of(test_pack(entries))));
  entries[0].csp = "";
  EXPECT_FALSE(AssetPack::parse(bytes_of(test_pack(entries))));
  entries = kTestEntries;
  entries[1].csp = entries[0].csp;
  EXPECT_FALSE(AssetPack::parse(bytes_of(test_pack(entries))));
}

TEST(AssetPack, RefusesHeaderInjectionThroughATypeOrPath) {
  auto entries = kTestEntries;
  entries[1].type = "text/javascript\r\nSet-Cookie: a=b";
  EXPECT_FALSE(AssetPack::parse(bytes_of(test_pack(entries))));
}

TEST(AssetPack, RefusesUnsortedDoubleAndRelativePaths) {
  auto entries = kTestEntries;
  std::swap(entries[0], entries[1]);
  EXPECT_FALSE(AssetPack::parse(bytes_of(test_pack(entries))));
  entries = kTestEntries;
  entries[2].path = entries[1].path;
  EXPECT_FALSE(AssetPack::parse(bytes_of(test_pack(entries))));
  entries = kTestEntries;
  entries[1].path = "assets/app-1.js";
  EXPECT_FALSE(AssetPack::parse(bytes_of(test_pack(entries))));
}

TEST(AssetPack, ChoosesTheEncodingThatTheClientTakes) {
  const std::string bytes = test_pack(kTestEntries);
  const auto pack = AssetPack::parse(bytes_of(bytes));
  ASSERT_TRUE(pack);
  const Asset& script = *pack->find("/assets/app-1.js");
  EXPECT_EQ(script.choose("gzip, deflate, br"), Encoding::br);
  EXPECT_EQ(script.choose("gzip;q=0.5"), Encoding::gzip);
  EXPECT_EQ(script.choose("br;q=0, gzip"), Encoding::gzip);
  EXPECT_EQ(script.choose("br;q=0.0"), Encoding::identity);
  EXPECT_EQ(script.choose("broccoli"), Encoding::identity);
  EXPECT_EQ(script.choose("br;"), Encoding::identity);
  EXPECT_EQ(script.choose(""), Encoding::identity);
  EXPECT_EQ(pack->find("/icon.png")->choose("br"), Encoding::identity);
}

}  // namespace
}  // namespace oqto::relay
