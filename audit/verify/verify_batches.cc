#include "audit/verify/verify_batches.h"

#include <algorithm>

#include "audit/format/json.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kMaxTiny = 65536;  // entries of any size, in one batch

bool is_json_with_seq(std::string_view entry, std::uint64_t index) {
  const std::string start = R"({"seq":)" + std::to_string(index);
  if (!entry.starts_with(start) || entry.size() == start.size()) return false;
  const char next = entry[start.size()];
  return (next == ',' || next == '}') && is_canonical_object(entry);
}

}  // namespace

Result<Checkpoint> verify_note(std::string_view note, const Signers& signers) {
  const auto claimed = read_checkpoint(note);
  const EpochKeys* keys = claimed ? signers.chain.of_size(claimed->size) : nullptr;
  return keys != nullptr ? verify_in_epoch(note, *keys) : verify_checkpoint(note, signers.key);
}

ExaminedBatch examine_batch(std::string_view rest, const Signers& signers) {
  ExaminedBatch examined;
  examined.batch = read_batch(rest);
  if (examined.batch.entries.size() > kMaxTiny && examined.batch.entries.size() > examined.batch.length / kMinEntry) {
    examined.batch = Batch();
    examined.batch.state = BatchState::damaged;
  }
  const Batch& batch = examined.batch;
  if (!batch.has_entries) return examined;
  examined.leaves.reserve(batch.entries.size());
  std::uint64_t index = batch.first;
  for (const std::string_view entry : batch.entries) {
    examined.leaves.push_back(leaf_hash(entry));
    if (!is_json_with_seq(entry, index)) examined.no_json.push_back(index);
    if (is_seal_entry(entry)) examined.seals.push_back(index);
    ++index;
  }
  if (batch.state == BatchState::complete) {
    examined.signed_tree = verify_note(batch.note, signers);
  }
  return examined;
}

SegmentExaminer::SegmentExaminer(std::string_view data, const Signers& signers, unsigned threads)
    : data_(data), signers_(signers) {
  std::vector<std::size_t> offsets;
  for (std::size_t at = 0; at < data.size();) {
    const std::size_t length = claimed_length(data.substr(at));
    if (length == 0) break;
    offsets.push_back(at);
    at += length;
  }
  places_ = std::vector<Place>(offsets.size());
  for (std::size_t i = 0; i < offsets.size(); ++i) places_[i].offset = offsets[i];
  const std::size_t wanted = std::min<std::size_t>(threads, places_.size() / kAtOnce + 1);
  while (others_.size() + 1 < wanted) {
    others_.emplace_back([this] {
      while (work()) {
      }
    });
  }
}

SegmentExaminer::~SegmentExaminer() {
  next_work_ = places_.size();
  others_.clear();  // joins
}

bool SegmentExaminer::work() {
  const std::size_t first = next_work_.fetch_add(kAtOnce);
  if (first >= places_.size()) return false;
  const std::size_t end = std::min(first + kAtOnce, places_.size());
  for (std::size_t i = first; i < end; ++i) {
    places_[i].examined = examine_batch(data_.substr(places_[i].offset), signers_);
    places_[i].done = true;
    places_[i].done.notify_one();
  }
  return true;
}

ExaminedBatch SegmentExaminer::take(std::size_t offset) {
  while (next_place_ < places_.size() && places_[next_place_].offset < offset) ++next_place_;
  if (next_place_ == places_.size() || places_[next_place_].offset != offset) {
    return examine_batch(data_.substr(offset), signers_);
  }
  Place& place = places_[next_place_++];
  while (!place.done) {
    if (!work()) place.done.wait(false);
  }
  return std::move(place.examined);
}

}  // namespace oqto::audit
