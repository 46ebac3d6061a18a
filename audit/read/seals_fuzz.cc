// The seals of a log as a file that somebody else made. Whose key epoch 0 had is taken from the
// file itself, so that the walk goes on behind its first seal.
#include <cstdlib>

#include "audit/read/seals.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oqto::audit;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto seals = read_seals(text);
  if (!seals) return 0;
  if (write_seals(*seals) != text) std::abort();  // there is one spelling
  const auto note = seals->seals.empty() ? std::nullopt : seal_in_entry(seals->seals.front().entry);
  const auto first = note ? read_seal(*note) : std::nullopt;
  if (!first) return 0;
  for (const bool may_begin_late : {false, true}) {
    const auto followed = follow_seals(*seals, {first->log_key, first->epoch_key}, may_begin_late);
    if (followed && followed->chain.last() == nullptr) std::abort();
  }
  return 0;
}
