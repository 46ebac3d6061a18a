// The part of the verification that needs no order: each batch by itself, on all processors.
#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "audit/format/epoch.h"
#include "audit/format/format.h"
#include "audit/format/hash.h"
#include "audit/format/note.h"

namespace oqto::audit {

// On an average: a body of fewer bytes per entry is not what anybody's log holds, and would cost far more
// memory than it has bytes.
constexpr std::size_t kMinEntry = 16;

struct ExaminedBatch {
  Batch batch;
  std::vector<Hash> leaves;            // one per entry
  std::vector<std::uint64_t> no_json;  // entries that are no canonical JSON with its index as seq
  std::vector<std::uint64_t> seals;    // entries that say that they are seals
  Result<Checkpoint> signed_tree = fail(Errc::not_found, "");  // of a complete batch
};

// Whose signatures are demanded: those of the epoch, or of the log's key alone where no epoch is known.
struct Signers {
  const VerifierKey& key;
  const KeyChain& chain;
};
Result<Checkpoint> verify_note(std::string_view note, const Signers& signers);

ExaminedBatch examine_batch(std::string_view rest, const Signers& signers);

// Examines the batches of a segment ahead of who takes them. `data` and what `signers` refers to must
// outlive it.
class SegmentExaminer {
 public:
  SegmentExaminer(std::string_view data, const Signers& signers, unsigned threads);
  ~SegmentExaminer();
  SegmentExaminer(const SegmentExaminer&) = delete;
  SegmentExaminer& operator=(const SegmentExaminer&) = delete;

  // What begins at `offset`. Offsets ascend from call to call.
  ExaminedBatch take(std::size_t offset);

 private:
  static constexpr std::size_t kAtOnce = 8;  // batches that a thread takes together
  struct Place {
    std::size_t offset = 0;
    ExaminedBatch examined = {};
    std::atomic<bool> done = false;
  };
  bool work();  // one turn; false: nothing is left to begin

  std::string_view data_;
  const Signers signers_;
  std::vector<Place> places_;  // one behind the other, by what they say of their length
  std::size_t next_place_ = 0;
  std::atomic<std::size_t> next_work_ = 0;
  std::vector<std::jthread> others_;
};

}  // namespace oqto::audit
