#include "audit/verify/verify_blobs.h"

#include <fcntl.h>
#include <string.h>

#include <map>

#include "audit/format/json.h"
#include "audit/format/segment_file.h"
#include "audit/read/entry_reader.h"
#include "audit/verify/verify_state.h"
#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kHexName = 64;

// string_view would stop at each quote, of which an entry is full; this is asked of every entry.
bool has(std::string_view entry, std::string_view part) {
  return ::memmem(entry.data(), entry.size(), part.data(), part.size()) != nullptr;
}

// Hashes and directories as they are spelled, and the unfinished blob of a writer that was stopped.
void check_names(Verification& v) {
  const auto dir = sys::open_beneath(v.dir, kBlobDir, O_RDONLY | O_DIRECTORY);
  if (!dir && is_unreadable(dir.error())) v.cannot_read(kBlobDir, dir.error());
  if (!dir) return;
  const auto names = list_directory(*dir);
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    if (name == "new") continue;
    const auto inner = sys::open_beneath(*dir, name.c_str(), O_RDONLY | O_DIRECTORY);
    if (!inner && is_unreadable(inner.error())) {
      v.cannot_read(std::string(kBlobDir) + "/" + printable(name), inner.error());
      continue;
    }
    const auto blobs = inner ? list_directory(*inner) : std::vector<std::string>{name};
    for (const std::string& blob : blobs.value_or(std::vector<std::string>())) {
      const bool is_blob = inner && blob.size() == kHexName && from_hex(blob) &&
                           blob.starts_with(name) && name.size() == 2;
      if (is_blob) continue;
      v.find(std::string(kBlobDir) + "/" + (inner ? printable(name) + "/" : "") + printable(blob),
             "does not belong to the log");
    }
  }
}

}  // namespace

void BlobNotes::add(std::uint64_t index, std::string_view entry) {
  if (has(entry, "_blob\":{")) {
    for (BlobReference& blob : blobs_of(entry)) named.push_back({index, std::move(blob)});
  }
  if (event_of(entry) != "log.prune") return;
  const auto parsed = ReadEntry::parse(entry);
  // Anybody's record can be of that event; only auditd's own means anything.
  if (!parsed || parsed->text("event") != "log.prune" || parsed->text("actor.process") != "auditd") {
    return;
  }
  const std::uint64_t minimum = parsed->number("fields.minimum_index");
  if (minimum <= index && (!prune || minimum >= prune->minimum)) prune = {index, minimum};
}

void verify_blobs(Verification& v) {
  check_names(v);
  std::uint64_t checked = 0;
  std::map<std::pair<std::string, std::uint64_t>, BlobState> known;  // by name and length
  for (const BlobNotes::Named& named : v.blobs.named) {
    const auto [at, is_new] = known.try_emplace({named.blob.sha256, named.blob.bytes});
    if (is_new) at->second = check_stored_blob(v.dir, named.blob);
    const BlobState state = at->second;
    if (state == BlobState::unreadable) {
      v.cannot_read(blob_path(named.blob.sha256), Error{Errc::io, "no permission, or a bad disk", 0}, named.entry);
      continue;
    }
    if (state == BlobState::opened) {
      ++v.report.files;
      ++checked;
      continue;
    }
    v.find(blob_path(named.blob.sha256),
           std::string(blob_state_text(state)) + "; entry " + std::to_string(named.entry) +
               " names it as its " + named.blob.field + " of " + std::to_string(named.blob.bytes) +
               " bytes",
           named.entry);
  }
  if (checked > 0) v.report.remarks.push_back(std::to_string(checked) + " blobs are as their entries name them");
}

void verify_pruned(Verification& v) {
  if (v.pruned == 0) return;
  const std::string range = entry_range(0, v.pruned);
  const auto& prune = v.blobs.prune;
  if (prune && prune->minimum >= v.pruned) {
    v.report.remarks.push_back(range + " are pruned, as entry " + std::to_string(prune->entry) +
                               " permits; their hashes are in the tiles");
    return;
  }
  v.find(std::string(kSegmentDir) + "/" + segment_name(v.pruned), range + " before it are missing" +
                          (prune ? ": the log permits to prune only those before entry " +
                                       std::to_string(prune->minimum)
                                 : std::string()),
         0);
}

}  // namespace oqto::audit
