#include "audit/read/proof_file.h"

#include <algorithm>
#include <charconv>

#include "base/encoding.h"

namespace oqto::audit {
namespace {

constexpr std::string_view kVersion = "c2sp.org/tlog-proof@v1";

std::string hash_lines(const std::vector<Hash>& hashes) {
  std::string lines;
  for (const Hash& hash : hashes) lines += to_base64(hash) + "\n";
  return lines;
}

class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  std::optional<std::string_view> next() {
    const std::size_t end = rest_.find('\n');
    if (end == rest_.npos) return std::nullopt;
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return line;
  }

  // "name value" with this name; the line is consumed only then.
  std::optional<std::string_view> value_of(std::string_view name) {
    if (!rest_.starts_with(name) || rest_.size() == name.size() || rest_[name.size()] != ' ') {
      return std::nullopt;
    }
    const auto line = next();
    if (!line) return std::nullopt;
    return line->substr(name.size() + 1);
  }

  // The hashes up to the empty line, which is consumed.
  std::optional<std::vector<Hash>> hashes() {
    std::vector<Hash> hashes;
    for (;;) {
      const auto line = next();
      if (!line) return std::nullopt;
      if (line->empty()) return hashes;
      const auto bytes = from_base64(*line);
      if (!bytes || bytes->size() != sizeof(Hash) || hashes.size() == kMaxProofHashes) {
        return std::nullopt;
      }
      std::ranges::copy(*bytes, hashes.emplace_back().begin());
    }
  }

  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// Decimal without leading zeros.
std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), value);
  if (std::to_string(value) != text) return std::nullopt;
  return value;
}

}  // namespace

std::string write_inclusion(const InclusionProof& proof) {
  std::string text = std::string(kVersion) + "\n";
  if (proof.extra) text += "extra " + to_base64(as_bytes(*proof.extra)) + "\n";
  text += "index " + std::to_string(proof.index) + "\n";
  return text + hash_lines(proof.hashes) + "\n" + proof.note;
}

std::optional<InclusionProof> read_inclusion(std::string_view text) {
  Lines lines(text);
  if (lines.next() != kVersion) return std::nullopt;
  InclusionProof proof;
  if (const auto extra = lines.value_of("extra")) {
    const auto bytes = from_base64(*extra);
    if (!bytes) return std::nullopt;
    proof.extra = as_text(*bytes);
  }
  const auto index = lines.value_of("index");
  const auto value = index ? number(*index) : std::nullopt;
  auto hashes = value ? lines.hashes() : std::nullopt;
  if (!hashes) return std::nullopt;
  proof.index = *value;
  proof.hashes = std::move(*hashes);
  proof.note = lines.rest();
  return proof;
}

std::string write_consistency(const ConsistencyProof& proof) {
  return "old " + std::to_string(proof.old_size) + "\n" + hash_lines(proof.hashes) + "\n" +
         proof.note;
}

std::optional<ConsistencyProof> read_consistency(std::string_view text) {
  Lines lines(text);
  const auto old = lines.value_of("old");
  const auto value = old ? number(*old) : std::nullopt;
  auto hashes = value ? lines.hashes() : std::nullopt;
  if (!hashes) return std::nullopt;
  return ConsistencyProof{*value, std::move(*hashes), std::string(lines.rest())};
}

}  // namespace oqto::audit
