#include "audit/format/tree.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace oqto::audit {
namespace {

std::string unhex(std::string_view hex) {
  return std::string(as_text(*from_hex(hex)));
}

std::vector<Hash> numbered_leaves(std::size_t count) {
  std::vector<Hash> leaves;
  for (std::size_t i = 0; i < count; ++i) leaves.push_back(leaf_hash("entry " + std::to_string(i)));
  return leaves;
}

// The eight leaves and roots that Certificate Transparency's implementations share.
TEST(Tree, HasTheRootsOfTheClassicVectors) {
  const std::string leaves[] = {"",
                                "00",
                                "10",
                                "2021",
                                "3031",
                                "40414243",
                                "5051525354555657",
                                "606162636465666768696a6b6c6d6e6f"};
  const std::string roots[] = {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                               "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                               "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                               "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                               "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                               "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                               "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                               "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  Tree tree;
  EXPECT_EQ(to_hex(tree.root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (std::size_t i = 0; i < std::size(leaves); ++i) {
    tree.append(leaf_hash(unhex(leaves[i])));
    EXPECT_EQ(to_hex(tree.root()), roots[i]) << "size " << i + 1;
  }
}

TEST(Tree, ProvesEverySizeAPrefixOfEveryLaterOne) {
  const auto leaves = numbered_leaves(67);
  for (std::size_t old = 0; old <= leaves.size(); ++old) {
    Tree before;
    for (std::size_t i = 0; i < old; ++i) before.append(leaves[i]);
    for (std::size_t size = old; size <= leaves.size(); ++size) {
      const auto added = std::span(leaves).subspan(old, size - old);
      const auto proof = before.prove_prefix(added);
      const Hash root = root_of(std::span(leaves).first(size));
      ASSERT_TRUE(verify_prefix(old, before.root(), size, root, proof)) << old << " of " << size;
    }
  }
}

TEST(Tree, RefusesAProofThatIsLongerShorterOrFlipped) {
  const auto leaves = numbered_leaves(50);
  for (std::size_t old = 1; old < 50; ++old) {
    Tree before;
    for (std::size_t i = 0; i < old; ++i) before.append(leaves[i]);
    const auto proof = before.prove_prefix(std::span(leaves).subspan(old));
    const Hash root = root_of(leaves);
    auto longer = proof;
    longer.push_back(root);
    EXPECT_FALSE(verify_prefix(old, before.root(), 50, root, longer));
    EXPECT_FALSE(
        verify_prefix(old, before.root(), 50, root, std::span(proof).first(proof.size() - 1)));
    for (std::size_t i = 0; i < proof.size(); ++i) {
      auto flipped = proof;
      flipped[i][7] ^= 1;
      EXPECT_FALSE(verify_prefix(old, before.root(), 50, root, flipped));
    }
  }
}

TEST(Tree, AttackRewritingAnOldEntryHasNoProof) {
  auto leaves = numbered_leaves(20);
  Tree before;
  for (std::size_t i = 0; i < 10; ++i) before.append(leaves[i]);
  leaves[3] = leaf_hash("rewritten");
  Tree forged;
  for (std::size_t i = 0; i < 10; ++i) forged.append(leaves[i]);
  const auto added = std::span(leaves).subspan(10);
  EXPECT_FALSE(verify_prefix(10, before.root(), 20, root_of(leaves), forged.prove_prefix(added)));
}

TEST(Tree, RefusesToGoBackAndToChangeWithoutGrowing) {
  const auto leaves = numbered_leaves(9);
  const Hash small = root_of(std::span(leaves).first(5));
  const Hash large = root_of(leaves);
  EXPECT_FALSE(verify_prefix(9, large, 5, small, {}));
  EXPECT_FALSE(verify_prefix(9, large, 9, small, {}));
  EXPECT_TRUE(verify_prefix(9, large, 9, large, {}));
}

}  // namespace
}  // namespace oqto::audit
