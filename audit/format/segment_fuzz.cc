// The auditor's decoders, on whatever a log directory may hold.
#include "audit/format/format.h"
#include "audit/format/json.h"
#include "audit/format/note.h"
#include "audit/read/entry_view.h"
#include "base/encoding.h"
#include "base/result.h"

using namespace oqto::audit;  // NOLINT: a fuzz target

namespace {

void check_shown(std::string_view entry) {
  for (const std::string& text : {entry_line(entry), entry_json(entry)}) {
    for (const char c : text) CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
    CHECK(oqto::is_valid_utf8(text));
  }
  CHECK(!entry_page(entry).empty());
}

void check_batch(std::string_view rest, const Batch& batch) {
  std::string body;
  for (const std::string_view entry : batch.entries) append_entry(body, entry);
  const std::string frame =
      encode_batch(batch.first, static_cast<std::uint32_t>(batch.entries.size()), body);
  CHECK(rest.starts_with(std::string_view(frame).substr(0, frame.size() - kNoteFrame)));
  CHECK(rest.substr(frame.size() - kNoteFrame)
            .starts_with(encode_note_frame(batch.first + batch.entries.size(), batch.note)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string_view rest = input;
  for (Batch batch = read_batch(rest); batch.state == BatchState::complete;
       batch = read_batch(rest)) {
    check_batch(rest, batch);
    for (const std::string_view entry : batch.entries) check_shown(entry);
    rest.remove_prefix(batch.length);
  }
  std::size_t budget = 1 << 20;
  (void)find_note_frame(input, find_entries_frame(input, 1) == input.npos ? 0 : 1, budget);
  for (const std::string_view entry : salvage_entries(input).entries) check_shown(entry);
  check_shown(input);
  (void)read_checkpoint(input);
  if (const auto key = VerifierKey::parse(input)) CHECK(key->text() == input);
  if (const auto name = parse_tile_path(input)) {
    CHECK(tile_path(name->level, name->index, name->width) == input);
  }
  return 0;
}
