// An entry of a foreign log, opened with keys that happen to be there: whatever it holds, what comes
// out is an entry or what came in.
#include <cstdlib>

#include "audit/read/entry_reader.h"
#include "audit/read/entry_view.h"
#include "audit/read/open_entry.h"
#include "base/sys.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oqto::audit;
  static const oqto::Fd log = *oqto::sys::open_dir("/");
  static KeyReader keys(log);
  const std::string_view entry(reinterpret_cast<const char*>(data), size);
  const std::string opened = open_entry(entry, keys);
  if (ReadEntry::parse(entry) && !ReadEntry::parse(opened)) std::abort();
  for (const char c : entry_line(opened)) {
    if (static_cast<unsigned char>(c) < 0x20) std::abort();
  }
  for (const BlobReference& blob : blobs_of(entry)) (void)check_stored_blob(log, blob);
  return 0;
}
