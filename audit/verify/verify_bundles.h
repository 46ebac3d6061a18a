// The comparison of entry bundles with the segments.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "audit/verify/verify_state.h"

namespace oqto::audit {

// Entry bundles hold the bytes that the segments hold: comparing them costs less than hashing them
// again. What is not equal here is looked at more closely with the other tiles.
class BundleCheck {
 public:
  explicit BundleCheck(Verification& verification) : v_(verification) {}

  void add(std::uint64_t index, std::string_view entry) {
    if (index % kTileWidth == 0) begin(index);
    if (index != next_) return;
    if (!take(entry)) {
      next_ = kNone;
      return;
    }
    if (++next_ % kTileWidth == 0 && rest_.empty()) v_.bundles.insert(index / kTileWidth);
  }

 private:
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

  void begin(std::uint64_t index) {
    auto file = read_log_file(v_.dir, tile_path(kEntriesLevel, index / kTileWidth, kTileWidth),
                              kMaxTileBytes);
    next_ = file ? index : kNone;
    bundle_ = file ? std::move(*file) : std::string();
    rest_ = bundle_;
  }

  // One entry with its length before it, as append_entry() spells them.
  bool take(std::string_view entry) {
    if (rest_.size() < 2 + entry.size() ||
        static_cast<unsigned char>(rest_[0]) != entry.size() >> 8 ||
        static_cast<unsigned char>(rest_[1]) != (entry.size() & 0xff) ||
        rest_.substr(2, entry.size()) != entry) {
      return false;
    }
    rest_.remove_prefix(2 + entry.size());
    return true;
  }

  Verification& v_;
  std::string bundle_;
  std::string_view rest_;
  std::uint64_t next_ = kNone;  // the entry that stands at rest_
};

}  // namespace oqto::audit
