// What a thief of today's keys can do to the whole log: every file is written again, and fits.
#include <fcntl.h>

#include <algorithm>
#include <filesystem>

#include "audit/auditd/derived.h"
#include "audit/format/epoch.h"
#include "audit/format/json.h"
#include "audit/format/tree.h"
#include "audit/read/log_tree.h"
#include "audit/tests/corruptions.h"
#include "audit/tests/test_host.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;
using Batches = std::vector<RawBatch>;

Batches all_batches(const Copy& copy) {
  Batches all;
  for (const std::string& name : files_beneath(copy.log + "/segment")) {
    for (RawBatch& batch : read_batches(read_file(copy.log + "/segment/" + name))) {
      all.push_back(std::move(batch));
    }
  }
  return all;
}

std::string with_seq(const std::string& entry, std::uint64_t seq) {
  return "{\"seq\":" + std::to_string(seq) + entry.substr(entry.find(','));
}

// Notes that still fit are kept; the others are signed with what a thief has.
void write_again(const Copy& copy, Batches all) {
  for (const char* part : {"segment", "tile"}) fs::remove_all(copy.log + "/" + part);
  fs::create_directory(copy.log + "/segment");
  fs::create_directory(copy.log + "/tile");
  Tree tree;
  Tiles tiles;
  for (RawBatch& batch : all) {
    batch.first = tree.size();
    for (std::string& entry : batch.entries) {
      entry = with_seq(entry, tree.size());
      tree.append(leaf_hash(entry));
      tiles.append(entry, leaf_hash(entry));
    }
    batch.note_size = tree.size();
    const Checkpoint now{copy.key.verifier().name, tree.size(), tree.root()};
    if (read_checkpoint(batch.note) != now) batch.note = copy.sign(now);
  }
  write_file(copy.log + "/segment/" + segment_name(0), write_batches(all));
  DerivedFiles files(*sys::open_dir(copy.log.c_str()));
  for (const TileFile& file : tiles.take_full()) CHECK(files.write_full(file));
  CHECK(files.write_checkpoint(tiles.partials(), all.back().note));
}

std::vector<std::string*> seals_in(Batches& all) {
  std::vector<std::string*> seals;
  for (RawBatch& batch : all) {
    for (std::string& entry : batch.entries) {
      if (is_seal_entry(entry)) seals.push_back(&entry);
    }
  }
  return seals;
}

void set_note(std::string& entry, const std::string& note) {
  const std::size_t start = entry.find("\"note\":\"") + 7;
  const std::size_t end = entry.find('"', start + 1) + 1;
  std::string spelled;
  append_json(spelled, note);
  entry.replace(start, end - start, spelled);
}

void edit_note(std::string& entry, const std::function<std::string(std::string)>& edit) {
  set_note(entry, edit(*seal_in_entry(entry)));
}

std::string without_line(const std::string& note, std::string_view of) {
  const std::string mark = "\xe2\x80\x94 " + std::string(of) + " ";
  const std::size_t at = note.find(mark);
  CHECK(at != note.npos);
  return note.substr(0, at) + note.substr(note.find('\n', at) + 1);
}

std::string signed_by(const Seal& seal, std::initializer_list<const SigningKey*> keys) {
  const std::string body = seal_body(seal);
  std::string note = body + "\n";
  for (const SigningKey* key : keys) note += key->sign_line(body);
  return note;
}

Hash root_before(const Batches& all, const std::string& seal) {
  LogTree tree;
  for (const RawBatch& batch : all) {
    for (const std::string& entry : batch.entries) {
      if (&entry == &seal) return tree.root();
      tree.append(leaf_hash(with_seq(entry, tree.size())));
    }
  }
  return tree.root();
}

Corruption forged(std::string name, std::function<void(Batches&, const Copy&)> edit,
                  std::string expected) {
  return {Where::epochs, std::move(name),
          [edit](const Copy& copy) {
            Batches all = all_batches(copy);
            edit(all, copy);
            write_again(copy, std::move(all));
          },
          std::move(expected)};
}

// A last batch with one entry: a seal as the thief of the current keys would write it.
void add_seal(Batches& all, const Copy& copy, const std::function<std::string(Seal)>& make) {
  const auto seals = seals_in(all);
  std::string entry = *seals.back();
  Seal seal = *read_seal(*seal_in_entry(entry));
  seal.epoch += 1;
  seal.size = all.back().note_size;
  seal.root = read_checkpoint(all.back().note)->root;
  seal.epoch_key = copy.thief.verifier();
  seal.epoch_key.name = epoch_key_name(seal.log_key.name, seal.epoch);
  set_note(entry, make(seal));
  all.push_back({0, {entry}, "", 0});
}

// An entry of epoch 0 is not what it was; the roots in all seals behind it are made to fit.
void change_past(Batches& all) {
  std::string& entry = all.at(2).entries.at(0);
  entry = replaced(entry, "\"outcome\":\"", "\"outcome\":\"x");
}

std::vector<Corruption> past_corruptions() {
  return {
      forged("the past rewritten, and signed with today's keys",
             [](Batches& all, const Copy&) { change_past(all); }, "key of its epoch"),
      forged("the past rewritten, its seals signed with today's epoch key",
             [](Batches& all, const Copy& copy) {
               change_past(all);
               for (std::string* entry : seals_in(all)) {
                 Seal seal = *read_seal(*seal_in_entry(*entry));
                 if (seal.epoch == 0) continue;
                 seal.root = root_before(all, *entry);
                 set_note(*entry, signed_by(seal, {&copy.key, &copy.epoch_key}));
               }
             },
             "is not signed with the key of the epoch that it ends"),
      forged("the past rewritten, with a chain of epochs of its own",
             [](Batches& all, const Copy& copy) {
               change_past(all);
               const SigningKey* before = nullptr;
               std::vector<SigningKey> keys;
               keys.reserve(16);
               for (std::string* entry : seals_in(all)) {
                 Seal seal = *read_seal(*seal_in_entry(*entry));
                 seal.root = seal.epoch == 0 ? seal.root : root_before(all, *entry);
                 keys.push_back(SigningKey::generate(seal.epoch_key.name));
                 seal.epoch_key = keys.back().verifier();
                 set_note(*entry, before == nullptr ? signed_by(seal, {&copy.key})
                                                    : signed_by(seal, {&copy.key, before}));
                 before = &keys.back();
               }
             },
             "epoch 0"),
      forged("the log cut back into an earlier epoch, and continued",
             [](Batches& all, const Copy&) {
               all.resize(all.size() / 4);
               all.back().entries.push_back(all.back().entries.back());
             },
             "key of its epoch"),
  };
}

std::vector<Corruption> chain_corruptions() {
  return {
      forged("a seal missing",
             [](Batches& all, const Copy&) {
               for (RawBatch& batch : all) {
                 if (batch.first > 0) std::erase_if(batch.entries, is_seal_entry);
               }
               std::erase_if(all, [](const RawBatch& batch) { return batch.entries.empty(); });
             },
             "key of its epoch"),
      forged("the first seal missing",
             [](Batches& all, const Copy&) { all[0].entries.erase(all[0].entries.begin()); },
             "entry 0 is not the seal of epoch 0"),
      forged("a seal twice",
             [](Batches& all, const Copy&) {
               all.push_back({0, {*seals_in(all).back()}, "", 0});
             },
             "does not follow the epoch before it"),
      forged("two seals swapped",
             [](Batches& all, const Copy&) {
               const auto seals = seals_in(all);
               std::swap(*seals[1], *seals[2]);
             },
             "the seal in entry"),
      forged("an empty seal",
             [](Batches& all, const Copy&) { set_note(*seals_in(all)[1], ""); }, "is no seal"),
      forged("a seal without the signature of its epoch's key",
             [](Batches& all, const Copy& copy) {
               edit_note(*seals_in(all)[1], [&](const std::string& note) {
                 return without_line(note, epoch_key_name(copy.key.verifier().name, 0));
               });
             },
             "is not signed with the key of the epoch that it ends"),
      forged("a seal without the signature of the log's key",
             [](Batches& all, const Copy& copy) {
               edit_note(*seals_in(all)[1], [&](const std::string& note) {
                 return without_line(note, copy.key.verifier().name);
               });
             },
             "is not signed with the log's key"),
      forged("a seal of another time",
             [](Batches& all, const Copy&) {
               edit_note(*seals_in(all)[1], [](const std::string& note) {
                 std::string changed = note;
                 const std::size_t at = changed.find("\n17") + 5;
                 changed[at] = changed[at] == '1' ? '2' : '1';
                 return changed;
               });
             },
             "is not signed with"),
  };
}

std::vector<Corruption> next_seal_corruptions() {
  const auto add = [](std::string name, std::function<void(Seal&)> edit, std::string expected) {
    return forged(std::move(name),
                  [edit](Batches& all, const Copy& copy) {
                    add_seal(all, copy, [&](Seal seal) {
                      edit(seal);
                      return signed_by(seal, {&copy.key, &copy.epoch_key});
                    });
                  },
                  std::move(expected));
  };
  return {
      add("an epoch skipped",
          [](Seal& seal) {
            ++seal.epoch;
            seal.epoch_key.name = epoch_key_name(seal.log_key.name, seal.epoch);
          },
          "does not follow the epoch before it"),
      add("an epoch begun again",
          [](Seal& seal) {
            --seal.epoch;
            seal.epoch_key.name = epoch_key_name(seal.log_key.name, seal.epoch);
          },
          "does not follow the epoch before it"),
      add("a seal of another size", [](Seal& seal) { --seal.size; }, "seals "),
      add("a seal of another tree", [](Seal& seal) { seal.root[3] ^= 1; }, "seals another tree"),
      add("a seal that names a log key which did not sign it",
          [](Seal& seal) { seal.log_key.key = seal.epoch_key.key; }, "which did not sign it"),
      add("a seal whose key has another epoch's name",
          [](Seal& seal) { seal.epoch_key.name = epoch_key_name(seal.log_key.name, 0); },
          "is no seal"),
  };
}

Corruption last_note(std::string name, std::function<std::string(const std::string&, const Copy&)> edit) {
  return {Where::epochs, std::move(name),
          [edit](const Copy& copy) {
            Batches all = all_batches(copy);
            all.back().note = edit(all.back().note, copy);
            write_again(copy, std::move(all));
          },
          "key of its epoch"};
}

std::vector<Corruption> checkpoint_corruptions() {
  return {
      last_note("the last checkpoint without its epoch's signature",
                [](const std::string& note, const Copy& copy) {
                  return without_line(note, copy.epoch_key.verifier().name);
                }),
      last_note("the last checkpoint signed with another key under the epoch's name",
                [](const std::string& note, const Copy& copy) {
                  const auto other = SigningKey::generate(copy.epoch_key.verifier().name);
                  return without_line(note, copy.epoch_key.verifier().name) +
                         other.sign_line(read_note(note)->body);
                }),
      last_note("the last checkpoint with its epoch's signature twice",
                [](const std::string& note, const Copy& copy) {
                  return note + copy.epoch_key.sign_line(read_note(note)->body);
                }),
      last_note("the last checkpoint with the epoch's signature of another tree",
                [](const std::string& note, const Copy& copy) {
                  return without_line(note, copy.epoch_key.verifier().name) +
                         copy.epoch_key.sign_line("another body\n");
                }),
  };
}

}  // namespace

std::string Copy::sign(const Checkpoint& checkpoint) const {
  return key.sign(checkpoint) + epoch_key.sign_line(checkpoint_body(checkpoint));
}

void rewrite_unchanged(const Copy& copy) {
  write_again(copy, all_batches(copy));
}

std::vector<Corruption> epoch_corruptions() {
  std::vector<Corruption> all = past_corruptions();
  for (const auto& more :
       {chain_corruptions(), next_seal_corruptions(), checkpoint_corruptions()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace oqto::audit
