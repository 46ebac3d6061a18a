// The seals that an auditor is shown, followed as a browser follows them, from a log that the real
// auditd and signer write.
#include <gtest/gtest.h>
#include <unistd.h>

#include "audit/format/epoch.h"
#include "auditor/test_served.h"

namespace oqto::auditor {
namespace {

using audit::Hash;
using audit::TestHost;
using audit::Tree;

std::vector<Hash> hashes_at(const protocol::Json& json) {
  const auto bytes = from_base64(json.text_at("hashes"));
  EXPECT_TRUE(bytes && bytes->size() % sizeof(Hash) == 0);
  return bytes ? audit::split_hashes(audit::as_text(*bytes)) : std::vector<Hash>();
}

// An auditor's state: the tree's edge, and the keys of the newest epoch.
struct Walk {
  Tree edge;
  audit::KeyChain chain;

  void take(const protocol::Json& shown) {
    const auto index = static_cast<std::uint64_t>(*shown.find("index")->integer());
    const std::string entry(shown.text_at("entry"));
    ASSERT_TRUE(edge.grow(index, hashes_at(shown)));
    const auto note = audit::seal_in_entry(entry);
    const auto seal = note ? audit::read_seal(*note) : std::nullopt;
    ASSERT_TRUE(seal) << entry;
    EXPECT_TRUE(audit::verify_seal(*note, chain.last()));
    EXPECT_EQ(seal->size, index);
    EXPECT_EQ(seal->root, edge.root());
    edge.append(audit::leaf_hash(entry));
    chain.add({seal->epoch, index, seal->log_key, seal->epoch_key});
  }
  // False: there is more.
  bool take_page(const protocol::Json& page) {
    for (const protocol::Json& seal : *page.find("seals")->array()) take(seal);
    if (!page.find("next")->is_null()) {
      EXPECT_EQ(page.find("next")->integer(), static_cast<std::int64_t>(edge.size()));
      return false;
    }
    const auto checkpoint = audit::verify_in_epoch(page.text_at("note"), *chain.last());
    EXPECT_TRUE(checkpoint);
    Tree whole = edge;
    EXPECT_TRUE(whole.grow(checkpoint->size, hashes_at(page)));
    EXPECT_EQ(whole.root(), checkpoint->root);
    return true;
  }
};

std::string from(std::uint64_t index) {
  return R"("from":)" + std::to_string(index);
}

TEST(Seals, LeadFromEpochZeroToTheCheckpointInPages) {
  TestHost host;
  host.signer_arguments = {"--epoch-seconds", "0.01"};
  ASSERT_TRUE(host.start());
  auto client = host.client();
  while (audit::count_events(audit::entries_of(host), "epoch.seal") < 300) {
    ASSERT_TRUE(client.append(audit::record(ipc::Event::exec)));
    ::usleep(5000);
  }
  host.stop();
  Served served(host);
  ASSERT_TRUE(served.covers(audit::entries_of(host).size() - 1));
  Walk walk;
  int pages = 1;
  while (!walk.take_page(served.ask("audit.seals", from(walk.edge.size())))) ++pages;
  EXPECT_GE(pages, 2);
  EXPECT_GE(walk.chain.last()->epoch, 299U);
  // A later visit goes on from there, and there may be nothing new.
  EXPECT_TRUE(walk.take_page(served.ask("audit.seals", from(walk.edge.size()))));
}

TEST(Seals, OfARotatedLogLeadToItsNewKey) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ASSERT_TRUE(host.client().append(audit::record(ipc::Event::exec)));
  host.stop();
  ASSERT_EQ(audit::run(audit::program("oqto-audit") + " rotate --key-dir " + host.key_dir()).status,
            0);
  ASSERT_TRUE(host.start());
  ASSERT_TRUE(host.client().append(audit::record(ipc::Event::exec)));
  host.stop();
  Served served(host);
  ASSERT_TRUE(served.covers(audit::entries_of(host).size() - 1));
  Walk walk;
  EXPECT_TRUE(walk.take_page(served.ask("audit.seals", R"("old_size":2,"from":0)")));
  EXPECT_NE(walk.chain.links().front().log, walk.chain.last()->log);
}

TEST(Seals, OfALogThatIsShorterThanWhatIsKnownAreNoneAndTheCheckpointSaysSo) {
  TestHost host;
  ASSERT_TRUE(host.start());
  Served served(host);
  ASSERT_TRUE(served.covers(0));
  const auto page = served.ask("audit.seals", R"("old_size":1000000,"from":1000000)");
  EXPECT_TRUE(page.find("seals")->array()->empty() && page.find("next")->is_null());
  EXPECT_TRUE(page.find("consistency")->is_null());
  EXPECT_EQ(page.text_at("note"), served.view.published()->note);
}

}  // namespace
}  // namespace oqto::auditor
