// Trees, proofs and their files.
#include "audit/format/proof.h"

#include <gtest/gtest.h>

#include "audit/format/tree.h"
#include "audit/read/log_tree.h"
#include "audit/read/proof_file.h"

namespace oqto::audit {
namespace {

std::vector<Hash> numbered_leaves(std::size_t count) {
  std::vector<Hash> leaves;
  for (std::size_t i = 0; i < count; ++i) leaves.push_back(leaf_hash("entry " + std::to_string(i)));
  return leaves;
}

LogTree tree_of(std::span<const Hash> leaves) {
  LogTree tree;
  for (const Hash& leaf : leaves) tree.append(leaf);
  return tree;
}

NodeSource nodes_of(const LogTree& tree) {
  return [&tree](unsigned height, std::uint64_t index) { return tree.node(height, index); };
}

TEST(LogTree, HasTheRootsOfTheWritersTreeAtEverySize) {
  const auto leaves = numbered_leaves(700);
  LogTree tree;
  Tree writer;
  std::vector<Hash> roots = {tree.root()};
  for (const Hash& leaf : leaves) {
    tree.append(leaf);
    writer.append(leaf);
    ASSERT_EQ(tree.root(), writer.root()) << tree.size();
    roots.push_back(tree.root());
  }
  for (std::size_t size = 0; size <= leaves.size(); ++size) {
    ASSERT_EQ(tree.root_at(size), roots[size]) << size;
  }
  EXPECT_EQ(tree.level(1).size(), 2U);
  EXPECT_EQ(tree.level(1)[1], root_of(std::span(leaves).subspan(256, 256)));
  for (const std::size_t size : {600U, 513U, 512U, 300U, 1U, 0U}) {
    tree.truncate(size);
    EXPECT_EQ(tree.size(), size);
    EXPECT_EQ(tree.root(), roots[size]);
  }
  for (const Hash& leaf : leaves) tree.append(leaf);
  EXPECT_EQ(tree.root(), roots.back());
}

TEST(Proof, TheEdgeGrowsFromEverySizeToEveryLargerOneAndByNothingElse) {
  const auto leaves = numbered_leaves(70);
  const LogTree whole = tree_of(leaves);
  for (std::uint64_t from = 0; from <= leaves.size(); ++from) {
    for (std::uint64_t to = from; to <= leaves.size(); ++to) {
      Tree edge;
      ASSERT_TRUE(edge.grow(from, *prove_growth(0, from, nodes_of(whole))));
      auto hashes = *prove_growth(from, to, nodes_of(whole));
      Tree grown = edge;
      ASSERT_TRUE(grown.grow(to, hashes)) << from << " to " << to;
      EXPECT_EQ(grown.size(), to);
      EXPECT_EQ(grown.root(), whole.root_at(to));
      hashes.push_back(leaves[0]);
      EXPECT_FALSE(edge.grow(to, hashes)) << "a hash too many";
      hashes.pop_back();
      if (hashes.empty()) continue;
      hashes.pop_back();
      EXPECT_FALSE(edge.grow(to, hashes)) << "a hash too few";
      EXPECT_EQ(edge.root(), whole.root_at(from)) << "and nothing changed";
    }
  }
}

TEST(Proof, EveryEntryIsProvenInEverySizeAndNothingElseIs) {
  const auto leaves = numbered_leaves(40);
  const LogTree whole = tree_of(leaves);
  for (std::uint64_t size = 1; size <= leaves.size(); ++size) {
    const Hash root = whole.root_at(size);
    for (std::uint64_t index = 0; index < size; ++index) {
      auto proof = *prove_inclusion(index, size, nodes_of(whole));
      ASSERT_TRUE(verify_inclusion(index, size, leaves[index], root, proof)) << index << "/" << size;
      const Hash& other = leaves[(index + 1) % leaves.size()];
      EXPECT_FALSE(verify_inclusion(index, size, other, root, proof));
      EXPECT_FALSE(verify_inclusion(size, size, leaves[index], root, proof));
      EXPECT_FALSE(verify_inclusion(index, 0, leaves[index], root, proof));
      EXPECT_FALSE(verify_inclusion(index ^ 1, size, leaves[index], root, proof));
      proof.push_back(root);
      EXPECT_FALSE(verify_inclusion(index, size, leaves[index], root, proof)) << "a hash too many";
      proof.pop_back();
      if (proof.empty()) continue;
      proof.pop_back();
      EXPECT_FALSE(verify_inclusion(index, size, leaves[index], root, proof)) << "a hash too few";
    }
  }
}

TEST(Proof, TheAuditorsConsistencyProofsAreTheWriters) {
  const auto leaves = numbered_leaves(70);
  const LogTree whole = tree_of(leaves);
  for (std::uint64_t size = 0; size <= leaves.size(); ++size) {
    for (std::uint64_t old = 0; old <= size; ++old) {
      Tree writer;
      for (std::uint64_t i = 0; i < old; ++i) writer.append(leaves[i]);
      const auto expected = writer.prove_prefix(std::span(leaves).subspan(old, size - old));
      const auto proof = *prove_consistency(old, size, nodes_of(whole));
      ASSERT_EQ(proof, expected) << old << " of " << size;
      ASSERT_TRUE(verify_prefix(old, whole.root_at(old), size, whole.root_at(size), proof));
    }
  }
}

TEST(Proof, MissingNodesMakeNoProof) {
  const NodeSource none = [](unsigned, std::uint64_t) { return std::optional<Hash>(); };
  EXPECT_FALSE(prove_inclusion(3, 9, none));
  EXPECT_FALSE(prove_consistency(3, 9, none));
  EXPECT_FALSE(tree_root(9, none));
  EXPECT_TRUE(prove_inclusion(0, 1, none)) << "the only leaf is its own root";
}

// --- files ---

TEST(ProofFile, InclusionSurvivesItsText) {
  for (const auto& extra : {std::optional<std::string>(), std::optional<std::string>("{\"seq\":7}")}) {
    const InclusionProof proof{extra, 7, numbered_leaves(3), "the note\n"};
    const std::string text = write_inclusion(proof);
    const auto back = read_inclusion(text);
    ASSERT_TRUE(back) << text;
    EXPECT_EQ(back->extra, extra);
    EXPECT_EQ(back->index, 7U);
    EXPECT_EQ(back->hashes, proof.hashes);
    EXPECT_EQ(back->note, proof.note);
  }
}

TEST(ProofFile, RefusesEverySecondSpelling) {
  const std::string text = write_inclusion({"x", 7, numbered_leaves(2), "note\n"});
  const auto replaced = [&text](std::string_view what, std::string_view with) {
    std::string copy = text;
    return copy.replace(copy.find(what), what.size(), with);
  };
  for (const std::string& bad :
       {replaced("@v1", "@v2"), replaced("index 7", "index 07"), replaced("index 7", "index +7"),
        replaced("index 7", "index  7"), replaced("index 7\n", ""), replaced("index 7", "index "),
        replaced("index 7", "index 18446744073709551616"), replaced("extra eA==", "extra eA="),
        replaced("extra eA==", "extra eB=="), replaced("=\n\n", "\n\n"), replaced("\n", "\r\n"),
        text.substr(0, text.find("\n\n") + 1)}) {
    EXPECT_FALSE(read_inclusion(bad)) << bad;
  }
  const std::string old = write_consistency({5, numbered_leaves(1), "note\n"});
  EXPECT_TRUE(read_consistency(old));
  EXPECT_FALSE(read_inclusion(old));
  EXPECT_FALSE(read_consistency(text));
  EXPECT_FALSE(read_consistency("old 05\n\nnote\n"));
  EXPECT_FALSE(read_consistency(write_consistency({5, numbered_leaves(64), "note\n"})));
}

}  // namespace
}  // namespace oqto::audit
