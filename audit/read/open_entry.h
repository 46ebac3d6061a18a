// Entries and blobs as far as their tenant's keys are there to open them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/format/tenant_keys.h"

namespace oqto::audit {

// What stands in the place of `sealed`, and why it cannot be opened.
constexpr std::string_view kIsSealed = "(sealed)";                // no key here
constexpr std::string_view kIsErased = "(erased)";                // the key was destroyed
constexpr std::string_view kIsForged = "(not what was committed)";  // opens to nothing, or to another

// The entry with its sealed fields among `fields`, where they were before, or with a text of the above
// as `sealed`. Entries without sealed fields, and what is no entry, come back as they are. Only for
// eyes and searches: proofs are over the entry itself.
std::string open_entry(std::string_view entry, KeyReader& keys);

// Why its sealed fields cannot be opened, as one of the above; empty: they can, or it has none.
std::string_view why_sealed(std::string_view entry, KeyReader& keys);

// The plaintext that an entry's `sealed.h` commits to, which begins with a salt; nullopt: there is none
// that could be opened.
std::optional<std::string> open_sealed_text(std::string_view entry, KeyReader& keys);
// Whether that is what the entry committed to. No key is needed.
bool is_committed(std::string_view entry, std::string_view plaintext);
// The entry with such a plaintext in place of `sealed`; as it is, if it is not what was committed to.
std::string with_plaintext(std::string_view entry, std::string_view plaintext);

// A blob as an entry names it.
struct BlobReference {
  std::string field;  // "args_blob"
  std::string sha256;
  std::uint64_t bytes = 0;
  std::string commitment;
  std::uint32_t tenant = 0;
  std::string day;
};
// Those that auditd named in the entry; what is not spelled as it does is none.
std::vector<BlobReference> blobs_of(std::string_view entry);

enum class BlobState : std::uint8_t { opened, missing, altered, sealed, erased, forged, unreadable };
std::string_view blob_state_text(BlobState state);
struct OpenedBlob {
  BlobState state{};
  std::string content;
};
// Checks the stored bytes against the name, then opens them.
OpenedBlob open_stored_blob(const Fd& log, const BlobReference& blob, KeyReader& keys);

// Whether the stored bytes are those that the name promises. No key is needed.
BlobState check_stored_blob(const Fd& log, const BlobReference& blob);

}  // namespace oqto::audit
