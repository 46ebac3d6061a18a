// Proofs as an auditor makes and checks them with the program.
#include <gtest/gtest.h>

#include <filesystem>

#include "audit/cli/test_cli.h"
#include "audit/read/open_entry.h"
#include "audit/read/proof_file.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;
using CliProof = CliTest;

TEST_F(CliProof, ProvesEveryKindOfPlaceInTheTree) {
  const std::uint64_t last = log_->size() - 1;
  for (const std::uint64_t index : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{255},
                                    std::uint64_t{256}, last}) {
    const std::string file = dir_.path() + "/proof";
    const Output made =
        audit("prove " + std::to_string(index) + key_option() + " --out " + file);
    ASSERT_EQ(made.status, 0) << made.out;
    EXPECT_TRUE(read_file(file).starts_with("c2sp.org/tlog-proof@v1\nextra "));
    const Output checked = run(oqto_audit("check-proof " + file + key_option()));
    EXPECT_EQ(checked.status, 0) << checked.out;
    EXPECT_TRUE(contains(checked.out, "ok: entry " + std::to_string(index) + " is in the log"));
  }
  EXPECT_EQ(audit("prove " + std::to_string(last + 1) + key_option()).status, 2);
}

TEST_F(CliProof, EveryChangedByteOfAProofIsRefused) {
  const std::string proof = audit("prove 200" + key_option()).out;
  const std::string file = dir_.path() + "/proof";
  // The last line is that of the epoch's key, which only the whole log can judge.
  for (std::size_t i = 0; i < proof.rfind("\xe2\x80\x94 "); i += 7) {
    std::string changed = proof;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    write_file(file, changed);
    EXPECT_EQ(run(oqto_audit("check-proof " + file + key_option())).status, 1) << "byte " << i;
  }
  for (const std::string& changed :
       {proof.substr(0, proof.size() - 1), proof + "\n", proof.substr(proof.find('\n') + 1),
        std::string(), proof.substr(0, proof.find("\n\n") + 2) + proof}) {
    write_file(file, changed);
    EXPECT_EQ(run(oqto_audit("check-proof " + file + key_option())).status, 1) << changed;
  }
  EXPECT_EQ(run(oqto_audit("check-proof /nonexistent" + key_option())).status, 2);
}

TEST_F(CliProof, AProofIsGoodForItsOwnEntryAndLogOnly) {
  const std::string file = dir_.path() + "/proof";
  write_file(file, audit("prove 20" + key_option()).out);
  write_file(dir_.path() + "/entry", audit("show 20 --json").out);
  write_file(dir_.path() + "/other", audit("show 21 --json").out);
  const std::string check = oqto_audit("check-proof " + file + key_option() + " --entry ");
  EXPECT_EQ(run(check + dir_.path() + "/entry").status, 0);
  EXPECT_EQ(run(check + dir_.path() + "/other").status, 1);
  const auto foreign = SigningKey::generate("audit.example/test").verifier().text();
  EXPECT_EQ(run(oqto_audit("check-proof " + file + " --vkey " + foreign)).status, 1);
  EXPECT_EQ(run(oqto_audit("check-proof " + file + " --vkey " + log_->vkey().text())).status, 0);
}

TEST_F(CliProof, ProvesThatTheLogContinuesAnOlderCheckpoint) {
  const std::string older = log_->older_dir() + "/checkpoint";
  const std::string file = dir_.path() + "/consistency";
  const Output made = audit("prove --consistency " + older + key_option() + " --out " + file);
  ASSERT_EQ(made.status, 0) << made.out;
  const std::string check = oqto_audit("check-proof " + file + key_option() + " --old ");
  EXPECT_EQ(run(check + older).status, 0) << run(check + older).out;
  EXPECT_EQ(run(check + log_->dir() + "/checkpoint").status, 1);
  // The other way round there is nothing to prove: the older log lacks entries.
  EXPECT_EQ(run(oqto_audit("prove --log " + log_->older_dir() + key_option() + " --consistency " +
                           log_->dir() + "/checkpoint"))
                .status,
            1);
}

TEST_F(CliProof, AttackAForkIsPrintedAsTwoContradictingNotes) {
  auto forged = *read_checkpoint(read_file(log_->older_dir() + "/checkpoint"));
  forged.root[0] ^= 1;
  const std::string file = dir_.path() + "/forged";
  write_file(file, log_->key().sign(forged));
  const Output proof = audit("prove --consistency " + file + key_option());
  EXPECT_EQ(proof.status, 1) << proof.out;
  EXPECT_EQ(audit("verify --since " + file + key_option()).status, 1);
  for (const std::string& out : {proof.out, audit("verify --known " + file + key_option()).out}) {
    std::size_t notes = 0;
    for (std::size_t at = 0; (at = out.find("  | audit.example/test\n", at)) != out.npos; ++at) {
      ++notes;
    }
    EXPECT_EQ(notes, 2U) << out;
  }
}

TEST_F(CliProof, AProofIsNotMadeFromDamagedTiles) {
  const std::string copy = dir_.path() + "/log";
  copy_directory(log_->dir(), copy);
  const std::string tile = copy + "/tile/0/000";
  std::string hashes = read_file(tile);
  hashes[40] = static_cast<char>(hashes[40] ^ 1);
  write_file(tile, hashes);
  EXPECT_EQ(run(oqto_audit("prove 3 --log " + copy + key_option())).status, 1);
  fs::remove(tile);
  EXPECT_EQ(run(oqto_audit("prove 3 --log " + copy + key_option())).status, 2);
}

// --- what a third party sees of an entry with sealed fields ---

class CliDisclosure : public CliProof {
 protected:
  // The entry with this in its fields, which are sealed.
  std::string entry_of_rm() {
    const auto entries = entries_of(log_->host());
    const Fd dir = *sys::open_dir(log_->dir().c_str());
    KeyReader keys(dir);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (contains(open_entry(entries[i], keys), "/usr/bin/rm")) return std::to_string(i);
    }
    return "none";
  }
  // With the public key alone: nothing of the log is where he is.
  Output check(const std::string& file, const std::string& more = "") {
    return run(oqto_audit("check-proof " + file + " --vkey " + log_->vkey().text() + more));
  }
  std::string file_ = dir_.path() + "/proof";
};

TEST_F(CliDisclosure, AThirdPartySeesTheCommandWithNothingButTheLogsKey) {
  const std::string index = entry_of_rm();
  ASSERT_EQ(audit("prove " + index + key_option() + " --out " + file_).status, 0);
  EXPECT_FALSE(contains(check(file_).out, "/usr/bin/rm"));
  const Output made = audit("prove " + index + " --open" + key_option() + " --out " + file_);
  ASSERT_EQ(made.status, 0) << made.out;
  const Output checked = check(file_);
  EXPECT_EQ(checked.status, 0) << checked.out;
  EXPECT_TRUE(contains(checked.out, "/usr/bin/rm")) << checked.out;
  EXPECT_TRUE(contains(checked.out, "are disclosed, as it committed to them")) << checked.out;
  const Output json = check(file_, " --json");
  EXPECT_TRUE(contains(json.out, R"("argv":["/usr/bin/rm","-rf","/tmp/x"])")) << json.out;
  EXPECT_FALSE(contains(json.out, "salt")) << json.out;
}

TEST_F(CliDisclosure, AttackWhatTheEntryDidNotCommitToIsRefused) {
  ASSERT_EQ(audit("prove " + entry_of_rm() + " --open" + key_option() + " --out " + file_).status, 0);
  const auto proof = *read_inclusion(read_file(file_));
  const std::size_t end = proof.extra->find('\n');
  const std::string entry = proof.extra->substr(0, end);
  const std::string opened = proof.extra->substr(end + 1);
  ASSERT_TRUE(contains(opened, "/tmp/x"));
  std::string other = opened;
  other.replace(other.find("/tmp/x"), 6, "/tmp/y");
  for (const std::string& forged : {other, std::string(), std::string("{}"), opened + "\n", opened + " ",
                                    opened + "\n" + opened}) {
    InclusionProof changed = proof;
    changed.extra = entry + "\n" + forged;
    write_file(file_, write_inclusion(changed));
    const Output checked = check(file_);
    EXPECT_EQ(checked.status, 1) << forged << checked.out;
    EXPECT_TRUE(contains(checked.out, "is not what entry ")) << checked.out;
  }
  // Nor is another entry's plaintext, which is good by itself.
  InclusionProof moved = *read_inclusion(audit("prove 1" + key_option()).out);
  *moved.extra += "\n" + opened;
  write_file(file_, write_inclusion(moved));
  EXPECT_EQ(check(file_).status, 1);
}

TEST_F(CliDisclosure, NothingIsDisclosedWithoutTheKeyOrOfWhatIsNotSealed) {
  const std::string index = entry_of_rm();
  const std::string copy = dir_.path() + "/copy";
  TestLog::copy_in_order(log_->dir(), copy);
  const Output sealed = run(oqto_audit("prove " + index + " --open --log " + copy + key_option()));
  EXPECT_EQ(sealed.status, 2);
  EXPECT_TRUE(contains(sealed.out, "its fields are (sealed)")) << sealed.out;
  const Output open = audit("prove 0 --open" + key_option());
  EXPECT_EQ(open.status, 2);
  EXPECT_TRUE(contains(open.out, "has no sealed fields")) << open.out;
}

}  // namespace
}  // namespace oqto::audit
