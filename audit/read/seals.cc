#include "audit/read/seals.h"

#include <algorithm>
#include <charconv>

#include "audit/format/tree.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

constexpr std::string_view kTitle = "oqto-audit-seals/v1";
constexpr std::string_view kSealLine = "seal ";
constexpr std::size_t kMaxGrowth = 128;  // subtrees between two places: two per level of a tree

std::string hash_lines(const std::vector<Hash>& hashes) {
  std::string lines;
  for (const Hash& hash : hashes) lines += to_base64(hash) + "\n";
  return lines;
}

bool add_hash(std::vector<Hash>& hashes, std::string_view line) {
  const auto bytes = from_base64(line);
  if (!bytes || bytes->size() != sizeof(Hash) || hashes.size() == kMaxGrowth) return false;
  std::ranges::copy(*bytes, hashes.emplace_back().begin());
  return true;
}

// "<index> <entry>".
std::optional<PlacedSeal> read_placed(std::string_view line) {
  PlacedSeal seal;
  const std::string_view digits = line.substr(0, line.find(' '));
  (void)std::from_chars(digits.data(), digits.data() + digits.size(), seal.index);
  if (std::to_string(seal.index) != digits || digits.size() == line.size()) return std::nullopt;
  const auto entry = from_base64(line.substr(digits.size() + 1));
  if (!entry) return std::nullopt;
  seal.entry = as_text(*entry);
  return seal;
}

}  // namespace

std::string write_seals(const Seals& seals) {
  std::string text = std::string(kTitle) + "\n";
  for (const PlacedSeal& seal : seals.seals) {
    text += hash_lines(seal.hashes) + std::string(kSealLine) + std::to_string(seal.index) + " " +
            to_base64(as_bytes(seal.entry)) + "\n";
  }
  return text + hash_lines(seals.hashes) + "\n" + seals.note;
}

std::optional<Seals> read_seals(std::string_view text) {
  Seals seals;
  std::vector<Hash> hashes;
  for (bool is_first = true;; is_first = false) {
    const std::size_t end = text.find('\n');
    if (end == text.npos) return std::nullopt;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (is_first) {
      if (line != kTitle) return std::nullopt;
    } else if (line.empty()) {
      break;
    } else if (line.starts_with(kSealLine)) {
      auto seal = read_placed(line.substr(kSealLine.size()));
      if (!seal) return std::nullopt;
      seal->hashes = std::exchange(hashes, {});
      seals.seals.push_back(std::move(*seal));
    } else if (!add_hash(hashes, line)) {
      return std::nullopt;
    }
  }
  seals.hashes = std::move(hashes);
  seals.note = text;
  return seals;
}

// --- following ---

namespace {

using Wrong = std::unexpected<std::string>;

class Walk {
 public:
  Walk(const Pin& pin, bool may_begin_late) : pin_(pin), may_begin_late_(may_begin_late) {}

  // What is wrong with it; empty: nothing.
  std::string take(const PlacedSeal& placed) {
    const std::string what = "the seal in entry " + std::to_string(placed.index) + " ";
    const auto note = seal_in_entry(placed.entry);
    const auto seal = note ? read_seal(*note) : std::nullopt;
    if (!seal) return what + "is no seal";
    if (seal->log_key.name != pin_.log.name) return what + "is of another log";
    const bool is_behind_gap = keys_.last() == nullptr && seal->epoch > 0;
    if (is_behind_gap && !may_begin_late_) {
      return what + "begins epoch " + std::to_string(seal->epoch) +
             ", and those before it are not there; of a pruned log they are in its archive";
    }
    const Status status =
        is_behind_gap ? begin_late(*note, *seal) : verify_seal(*note, keys_.last());
    if (!status) return what + status.error().what;
    if (seal->size != placed.index)
      return what + "seals " + std::to_string(seal->size) + " entries";
    if (seal->epoch == 0 && pin_.first_epoch && *pin_.first_epoch != seal->epoch_key) {
      return what + "begins epoch 0 with another key than you were given: a history of its own";
    }
    if (!edge_.grow(placed.index, placed.hashes)) return what + "is not led to by its hashes";
    if (edge_.root() != seal->root) return what + "seals another tree";
    edge_.append(leaf_hash(placed.entry));
    is_ours_ = is_ours_ || seal->log_key == pin_.log;
    keys_.add({seal->epoch, placed.index, seal->log_key, seal->epoch_key});
    return {};
  }

  std::expected<FollowedSeals, std::string> end(const Seals& seals) && {
    const auto claimed = read_checkpoint(seals.note);
    const EpochKeys* keys = claimed ? keys_.of_size(claimed->size) : nullptr;
    if (keys == nullptr || keys != keys_.last()) {
      return Wrong("the seals do not lead to a checkpoint behind them");
    }
    const auto checkpoint = verify_in_epoch(seals.note, *keys);
    const std::string what = "the checkpoint of " + std::to_string(claimed->size) + " entries ";
    if (!checkpoint) return Wrong(what + "is " + checkpoint.error().what);
    if (!edge_.grow(checkpoint->size, seals.hashes))
      return Wrong(what + "is not led to by its hashes");
    if (edge_.root() != checkpoint->root) return Wrong(what + "does not continue what was sealed");
    if (!is_ours_) {
      return Wrong("the log never had this key" +
                   std::string(since_ > 0 ? ", as far as its seals are there" : ""));
    }
    return FollowedSeals{std::move(keys_), since_, *checkpoint};
  }

 private:
  // Its own log key must have signed it; that one is believed once the pinned key turns up.
  Status begin_late(const std::string& note, const Seal& seal) {
    const auto opened = read_note(note);
    if (!opened || !verify_signature(*opened, seal.log_key)) {
      return fail(Errc::denied, "is not signed with the log's key that it names");
    }
    is_ours_ = verify_signature(*opened, pin_.log).has_value();
    since_ = seal.size;
    return {};
  }

  const Pin& pin_;
  const bool may_begin_late_;
  Tree edge_;
  KeyChain keys_;
  bool is_ours_ = false;
  std::uint64_t since_ = 0;
};

}  // namespace

std::expected<FollowedSeals, std::string> follow_seals(const Seals& seals, const Pin& pin,
                                                       bool may_begin_late) {
  Walk walk(pin, may_begin_late);
  for (const PlacedSeal& seal : seals.seals) {
    if (auto wrong = walk.take(seal); !wrong.empty()) return Wrong(std::move(wrong));
  }
  return std::move(walk).end(seals);
}

}  // namespace oqto::audit
