#include "audit/tests/corruptions.h"

#include <algorithm>
#include <filesystem>

#include "audit/format/tree.h"
#include "audit/tests/test_host.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;
using Batches = std::vector<RawBatch>;

std::string flipped(std::string text, std::size_t at, int bit = 0) {
  text.at(at) = static_cast<char>(text.at(at) ^ 1 << bit);
  return text;
}

// Edits the bytes of segment 1, which is neither the first nor the last.
Corruption segment_bytes(std::string name, std::function<std::string(std::string)> edit,
                         std::string expected = "segment/") {
  return {Where::segment, std::move(name),
          [edit](const Copy& copy) { edit_file(segment_path(copy, 1), edit); },
          std::move(expected)};
}

// Edits its batches and makes every digest fit again.
Corruption batches(std::string name, std::function<void(Batches&, const Copy&)> edit,
                   std::string expected = "segment/") {
  return {Where::segment, std::move(name),
          [edit](const Copy& copy) {
            edit_file(segment_path(copy, 1), [&](const std::string& text) {
              Batches all = read_batches(text);
              edit(all, copy);
              return write_batches(all);
            });
          },
          std::move(expected)};
}

// A batch with several entries.
RawBatch& large(Batches& all) {
  return *std::ranges::max_element(all, {}, [](const RawBatch& b) { return b.entries.size(); });
}

std::vector<Corruption> byte_corruptions() {
  const auto note_of_first = [](const std::string& text) { return text.find("\xffOC1"); };
  return {
      segment_bytes("a flipped bit in an entry",
                    [](const std::string& text) { return flipped(text, 150); }, "was altered"),
      segment_bytes("a flipped bit in a frame's mark",
                    [](const std::string& text) { return flipped(text, 1); }),
      segment_bytes("a flipped bit in a frame's count",
                    [](const std::string& text) { return flipped(text, 4, 3); }),
      segment_bytes("a flipped bit in a frame's first index",
                    [](const std::string& text) { return flipped(text, 8); }),
      segment_bytes("a flipped bit in a frame's length",
                    [](const std::string& text) { return flipped(text, 16); }),
      segment_bytes("a flipped bit in a frame's digest",
                    [=](const std::string& text) { return flipped(text, note_of_first(text) - 9); },
                    "damaged frame"),
      segment_bytes("a flipped bit in a batch's checkpoint",
                    [=](const std::string& text) { return flipped(text, note_of_first(text) + 60); },
                    "checkpoint of"),
      segment_bytes("a flipped bit in a batch's checkpoint's signature",
                    [=](const std::string& text) { return flipped(text, note_of_first(text) + 150); },
                    "checkpoint of"),
      segment_bytes("a flipped bit behind a batch's checkpoint",
                    [=](const std::string& text) { return flipped(text, note_of_first(text) + kNoteFrame - 40); },
                    "checkpoint of"),
      segment_bytes("a segment cut in the middle",
                    [](const std::string& text) { return text.substr(0, text.size() / 2); }),
      segment_bytes("a segment cut before its last checkpoint",
                    [](const std::string& text) { return text.substr(0, text.size() - kNoteFrame); }),
      segment_bytes("zeros at a segment's end",
                    [](const std::string& text) { return text + std::string(600, '\0'); }),
      segment_bytes("garbage at a segment's end",
                    [](const std::string& text) { return text + "garbage"; }),
      segment_bytes("an empty segment", [](const std::string&) { return std::string(); }),
  };
}

std::vector<Corruption> batch_corruptions() {
  return {
      batches("a dropped batch", [](Batches& all, const Copy&) { all.erase(all.begin() + 2); },
              "are missing"),
      batches("the first batch dropped", [](Batches& all, const Copy&) { all.erase(all.begin()); },
              "are missing"),
      batches("two batches swapped",
              [](Batches& all, const Copy&) { std::swap(all[1], all[2]); }, "expected"),
      batches("a batch twice",
              [](Batches& all, const Copy&) { all.insert(all.begin() + 1, all[0]); }, "expected"),
      batches("an entry forged",
              [](Batches& all, const Copy&) {
                std::string& entry = all[1].entries[0];
                entry = replaced(entry, "\"outcome\":\"", "\"outcome\":\"x");
              },
              "was altered"),
      batches("an entry dropped",
              [](Batches& all, const Copy&) { large(all).entries.erase(large(all).entries.begin()); }),
      batches("an entry twice",
              [](Batches& all, const Copy&) {
                RawBatch& batch = large(all);
                batch.entries.insert(batch.entries.begin(), batch.entries[0]);
              }),
      batches("two entries swapped",
              [](Batches& all, const Copy&) {
                std::swap(large(all).entries[0], large(all).entries[1]);
              },
              "was altered"),
      batches("a byte moved from one entry to the next",
              [](Batches& all, const Copy&) {
                RawBatch& batch = large(all);
                batch.entries[1].insert(0, 1, batch.entries[0].back());
                batch.entries[0].pop_back();
              },
              "was altered"),
      batches("an empty entry inserted",
              [](Batches& all, const Copy&) {
                large(all).entries.insert(large(all).entries.begin(), "");
              }),
      batches("a batch's checkpoint from another batch",
              [](Batches& all, const Copy&) { all[1].note = all[0].note; }, "another size"),
      batches("a batch's checkpoint signed by another key of this name",
              [](Batches& all, const Copy& copy) {
                const auto forger = SigningKey::generate(copy.key.verifier().name);
                all[1].note = forger.sign(*read_checkpoint(all[1].note));
              },
              "not signed by this key"),
      batches("a batch's checkpoint with a second line of its key",
              [](Batches& all, const Copy&) {
                std::string& note = all[1].note;
                note += note.substr(note.find("\n\n") + 2);
              },
              "exactly once"),
      batches("a batch's checkpoint of another root, signed by the log's key",
              [](Batches& all, const Copy& copy) {
                auto checkpoint = *read_checkpoint(all[1].note);
                checkpoint.root[0] ^= 1;
                all[1].note = copy.sign(checkpoint);
              },
              "key of its epoch"),
      batches("two batches joined into one",
              [](Batches& all, const Copy&) {
                for (const std::string& entry : all[2].entries) all[1].entries.push_back(entry);
                all[1].note_size += all[2].entries.size();
                all.erase(all.begin() + 2);
              }),
      {Where::segment, "a segment missing",
       [](const Copy& copy) { fs::remove(segment_path(copy, 1)); }, "before it are missing"},
      {Where::segment, "the first segment missing",
       [](const Copy& copy) { fs::remove(segment_path(copy, 0)); }, "before it are missing"},
      {Where::segment, "the last segment missing",
       [](const Copy& copy) {
         const auto names = files_beneath(copy.log + "/segment");
         fs::remove(copy.log + "/segment/" + names.back());
       },
       "lacks"},
      {Where::segment, "a segment under another name",
       [](const Copy& copy) {
         fs::rename(segment_path(copy, 1), copy.log + "/segment/00000000000000000001");
       },
       "segment/"},
      {Where::segment, "two segments' names swapped",
       [](const Copy& copy) {
         const std::string one = segment_path(copy, 1);
         const std::string two = segment_path(copy, 2);
         fs::rename(one, copy.log + "/aside");
         fs::rename(two, one);
         fs::rename(copy.log + "/aside", two);
       },
       "expected"},
      {Where::segment, "an entry invented at the end, signed by another key",
       [](const Copy& copy) {
         const auto names = files_beneath(copy.log + "/segment");
         edit_file(copy.log + "/segment/" + names.back(), [&](const std::string& text) {
           Batches all = read_batches(text);
           const std::uint64_t size = all.back().note_size;
           RawBatch next{size, {"{\"seq\":" + std::to_string(size) + "}"}, "", size + 1};
           const auto forger = SigningKey::generate(copy.key.verifier().name);
           next.note = forger.sign({copy.key.verifier().name, size + 1, {}});
           all.push_back(next);
           return write_batches(all);
         });
       },
       "not signed by this key"},
  };
}

Corruption file(Where where, std::string path, std::string name,
                std::function<std::string(std::string)> edit, std::string expected) {
  return {where, std::move(name),
          [path, edit](const Copy& copy) {
            const std::string found = path.find('*') == path.npos ? path : "";
            if (!found.empty()) return edit_file(copy.log + "/" + found, edit);
            // The newest of a tile's partial ones: the widest.
            const std::string dir = copy.log + "/" + path.substr(0, path.find('*'));
            auto names = files_beneath(dir);
            std::ranges::sort(names, {}, [](const std::string& n) { return std::stoi(n); });
            edit_file(dir + "/" + names.back(), edit);
          },
          std::move(expected)};
}

constexpr const char* kRemove = "\x01remove";

std::vector<Corruption> bundle_corruptions() {
  const auto swap_first = [](const std::string& text) {
    const SplitBody body = split_body(text);
    std::string out;
    append_entry(out, body.entries[1]);
    append_entry(out, body.entries[0]);
    return out + text.substr(out.size());
  };
  const auto remove = [](const std::string&) { return std::string(kRemove); };
  const std::string full = "tile/entries/001";
  const std::string partial = "tile/entries/002.p/*";
  return {
      file(Where::entries, full, "a flipped bit in a bundle",
           [](const std::string& text) { return flipped(text, 1000); }, "differs"),
      file(Where::entries, full, "a flipped bit in a bundle's length",
           [](const std::string& text) { return flipped(text, 1); }, full),
      file(Where::entries, full, "a missing bundle", remove, "is missing"),
      file(Where::entries, full, "a bundle cut short",
           [](const std::string& text) { return text.substr(0, text.size() - 10); }, full),
      file(Where::entries, full, "an empty bundle", [](const std::string&) { return ""; }, full),
      file(Where::entries, full, "a byte behind a bundle",
           [](const std::string& text) { return text + "x"; }, full),
      file(Where::entries, full, "an entry too many in a bundle",
           [](const std::string& text) { return text + std::string("\0\2{}", 4); }, full),
      file(Where::entries, full, "a bundle's last entry twice",
           [](const std::string& text) {
             std::string out = text;
             append_entry(out, split_body(text).entries.back());
             return out;
           },
           full),
      file(Where::entries, full, "two entries of a bundle swapped", swap_first, "differs"),
      {Where::entries, "two bundles swapped",
       [](const Copy& copy) {
         const std::string dir = copy.log + "/tile/entries/";
         fs::rename(dir + "000", copy.log + "/aside");
         fs::rename(dir + "001", dir + "000");
         fs::rename(copy.log + "/aside", dir + "001");
       },
       "differs"},
      file(Where::entries, partial, "a flipped bit in a partial bundle",
           [](const std::string& text) { return flipped(text, 200); }, "tile/entries/002.p/"),
      file(Where::entries, partial, "a missing partial bundle", remove, "is missing"),
      file(Where::entries, partial, "an entry too few in a partial bundle",
           [](const std::string& text) {
             const SplitBody body = split_body(text);
             return text.substr(0, text.size() - 2 - body.entries.back().size());
           },
           "tile/entries/002.p/"),
  };
}

std::vector<Corruption> tile_corruptions() {
  const auto remove = [](const std::string&) { return std::string(kRemove); };
  const auto flip = [](const std::string& text) { return flipped(text, 40); };
  const auto swap = [](const std::string& text) {
    return text.substr(32, 32) + text.substr(0, 32) + text.substr(64);
  };
  const std::string full = "tile/0/000";
  const std::string partial = "tile/0/002.p/*";
  const std::string top = "tile/1/000.p/*";
  return {
      file(Where::hashes, full, "a flipped bit in a hash tile", flip, "hash 1 differs"),
      file(Where::hashes, full, "two hashes of a tile swapped", swap, "hash 0 differs"),
      file(Where::hashes, full, "a missing hash tile", remove, "is missing"),
      file(Where::hashes, full, "a hash tile cut short",
           [](const std::string& text) { return text.substr(0, text.size() - 32); },
           "bytes, expected"),
      file(Where::hashes, full, "a hash too many in a tile",
           [](const std::string& text) { return text + text.substr(0, 32); }, "is longer than a tile"),
      file(Where::hashes, full, "a hash tile of zeros",
           [](const std::string& text) { return std::string(text.size(), '\0'); },
           "hash 0 differs"),
      {Where::hashes, "two hash tiles swapped",
       [](const Copy& copy) {
         const std::string dir = copy.log + "/tile/0/";
         fs::rename(dir + "000", copy.log + "/aside");
         fs::rename(dir + "001", dir + "000");
         fs::rename(copy.log + "/aside", dir + "001");
       },
       "hash 0 differs"},
      file(Where::hashes, partial, "a flipped bit in a partial hash tile", flip, "hash 1 differs"),
      file(Where::hashes, partial, "a missing partial hash tile", remove, "is missing"),
      file(Where::hashes, partial, "a partial hash tile cut short",
           [](const std::string& text) { return text.substr(0, text.size() - 1); },
           "bytes, expected"),
      file(Where::hashes, top, "a flipped bit in the upper hash tile", flip, "hash 1 differs"),
      file(Where::hashes, top, "a missing upper hash tile", remove, "is missing"),
      file(Where::hashes, top, "two hashes of the upper tile swapped", swap, "hash 0 differs"),
  };
}

}  // namespace

// --- tools ---

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  const std::size_t at = text.find(what);
  CHECK(at != text.npos);
  return text.replace(at, what.size(), with);
}

void edit_file(const std::string& path, const std::function<std::string(std::string)>& edit) {
  const std::string before = read_file(path);
  CHECK(!before.empty());
  const std::string after = edit(before);
  CHECK(after != before);
  if (after == kRemove) {
    fs::remove(path);
  } else {
    write_file(path, after);
  }
}

std::string segment_path(const Copy& copy, std::size_t number) {
  return copy.log + "/segment/" + files_beneath(copy.log + "/segment").at(number);
}

std::vector<RawBatch> read_batches(const std::string& segment) {
  Batches all;
  for (std::string_view rest = segment; !rest.empty();) {
    const Batch batch = read_batch(rest);
    CHECK(batch.state == BatchState::complete);
    RawBatch& raw = all.emplace_back();
    raw.first = batch.first;
    raw.entries.assign(batch.entries.begin(), batch.entries.end());
    raw.note = batch.note;
    raw.note_size = batch.first + batch.entries.size();
    rest.remove_prefix(batch.length);
  }
  return all;
}

std::string write_batches(const std::vector<RawBatch>& all) {
  std::string text;
  for (const RawBatch& batch : all) {
    std::string body;
    for (const std::string& entry : batch.entries) append_entry(body, entry);
    std::string frame =
        encode_batch(batch.first, static_cast<std::uint32_t>(batch.entries.size()), body);
    frame.resize(frame.size() - kNoteFrame);
    text += frame + encode_note_frame(batch.note_size, batch.note);
  }
  return text;
}

std::vector<Corruption> file_corruptions() {
  std::vector<Corruption> all = byte_corruptions();
  for (const auto& more : {batch_corruptions(), bundle_corruptions(), tile_corruptions()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace oqto::audit
