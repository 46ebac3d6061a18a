#include <filesystem>

#include "audit/tests/corruptions.h"
#include "audit/tests/test_host.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;
using Edit = std::function<std::string(std::string)>;
constexpr std::string_view kDash = "\xe2\x80\x94 ";

Corruption note(std::string name, Edit edit, std::string expected) {
  return {Where::checkpoint, std::move(name),
          [edit](const Copy& copy) { edit_file(copy.log + "/checkpoint", edit); },
          "checkpoint: " + expected};
}

// A note that is good by itself.
Corruption signed_note(std::string name,
                       std::function<std::string(Checkpoint, const Copy&)> make,
                       std::string expected) {
  return {Where::tree, std::move(name),
          [make](const Copy& copy) {
            edit_file(copy.log + "/checkpoint", [&](const std::string& text) {
              return make(*read_checkpoint(text), copy);
            });
          },
          std::move(expected)};
}

Corruption cosigned(std::string name,
                    std::function<std::string(const std::string&, const Copy&)> edit,
                    std::string expected) {
  return {Where::cosigned, std::move(name),
          [edit](const Copy& copy) {
            edit_file(copy.cosigned,
                      [&](const std::string& text) { return edit(text, copy); });
          },
          "the cosigned checkpoint: " + expected};
}

std::string last_line(const std::string& text) {
  return text.substr(text.rfind('\n', text.size() - 2) + 1);
}

// Changes the last character that counts so that a lenient decoder reads the same bytes.
std::string other_spelling(const std::string& text) {
  const std::size_t pad = text.find("=\n", text.find("\n\n"));
  std::string copy = text;
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  copy[pad - 1] = kDigits[kDigits.find(copy[pad - 1]) ^ 1];
  return copy;
}

std::string flip_in(std::string text, std::string_view behind, std::size_t distance) {
  const std::size_t at = text.find(behind) + behind.size() + distance;
  text[at] = text[at] == 'A' ? 'B' : 'A';
  return text;
}

std::vector<Corruption> spelling_corruptions() {
  const auto with = [](std::string_view what, std::string_view replacement) -> Edit {
    return [=](const std::string& text) { return replaced(text, what, replacement); };
  };
  const std::string malformed = "not a checkpoint note";
  return {
      note("CRLF line ends",
           [](const std::string& text) {
             std::string out;
             for (const char c : text) out += c == '\n' ? std::string("\r\n") : std::string(1, c);
             return out;
           },
           malformed),
      note("a leading zero in the size", with("test\n", "test\n0"), malformed),
      note("a plus sign before the size", with("test\n", "test\n+"), malformed),
      note("a space behind the origin", with("test\n", "test \n"), malformed),
      note("an extension line", with("=\n\n", "=\nextension\n\n"), "the signature does not verify"),
      note("an empty line too many", with("\n\n", "\n\n\n"), ""),
      note("no empty line", with("\n\n", "\n"), malformed),
      note("a newline before it", [](const std::string& text) { return "\n" + text; }, malformed),
      note("a newline too many at the end", [](const std::string& text) { return text + "\n"; },
           ""),
      note("no newline at the end",
           [](const std::string& text) { return text.substr(0, text.size() - 1); }, malformed),
      note("a hyphen for the dash", with(kDash, "- "), "a malformed signature line"),
      note("two spaces before the signature", with("test ", "test  "), ""),
      note("the signature in another base64 spelling", other_spelling, "a malformed signature"),
      note("the root without its padding", with("=\n\n", "\n\n"), malformed),
      note("the signature without its padding",
           [](const std::string& text) {
             return text.substr(0, text.size() - 2) + "\n";
           },
           "a malformed signature line"),
      note("a line that is no signature",
           [](const std::string& text) { return text + "hello\n"; }, "a malformed signature line"),
      note("a NUL byte in it",
           [](const std::string& text) {
             std::string copy = text;
             return copy.insert(3, 1, '\0');
           },
           malformed),
      note("bytes that are no UTF-8",
           [](const std::string& text) {
             return text + std::string(kDash) + "x\xff AAAAAAA=\n";
           },
           "a malformed signature line"),
      note("a name with a plus sign",
           [](const std::string& text) { return text + std::string(kDash) + "a+b AAAAAAA=\n"; },
           "a malformed signature line"),
      note("nothing in it", [](const std::string&) { return ""; }, malformed),
  };
}

std::vector<Corruption> signature_corruptions() {
  return {
      note("a flipped bit in the root", [](const std::string& text) { return flip_in(text, "\n", 9); },
           ""),
      note("another size", [](const std::string& text) { return replaced(text, "test\n", "test\n1"); },
           "the signature does not verify"),
      note("a huge size",
           [](const std::string& text) {
             const std::size_t at = text.find('\n') + 1;
             return replaced(text, text.substr(at, text.find('\n', at) - at), "9223372036854775807");
           },
           "the signature does not verify"),
      note("a size beyond 64 bits",
           [](const std::string& text) {
             const std::size_t at = text.find('\n') + 1;
             return replaced(text, text.substr(at, text.find('\n', at) - at),
                             "18446744073709552196");
           },
           "not a checkpoint note"),
      note("a flipped bit in the signature",
           [](const std::string& text) { return flip_in(text, "test ", 30); },
           "the signature does not verify"),
      note("another key id", [](const std::string& text) { return flip_in(text, "test ", 1); },
           "not signed by this key"),
      note("the signature twice",
           [](const std::string& text) {
             const std::size_t start = text.find("\n\n") + 2;
             return text + text.substr(start, text.find('\n', start) + 1 - start);
           },
           "not signed by this key exactly once"),
      note("the signature missing",
           [](const std::string& text) {
             const std::size_t start = text.find("\n\n") + 2;
             return text.substr(0, start) + text.substr(text.find('\n', start) + 1);
           },
           "not signed by this key exactly once"),
      note("no signature", [](const std::string& text) { return text.substr(0, text.find("\n\n") + 2); },
           "not a checkpoint note"),
      {Where::checkpoint, "signed by another key of the same name",
       [](const Copy& copy) {
         edit_file(copy.log + "/checkpoint", [&](const std::string& text) {
           const auto checkpoint = *read_checkpoint(text);
           return SigningKey::generate(checkpoint.origin).sign(checkpoint);
         });
       },
       "checkpoint: not signed by this key"},
      {Where::checkpoint, "another origin, signed by the log's key",
       [](const Copy& copy) {
         edit_file(copy.log + "/checkpoint", [&](const std::string& text) {
           auto checkpoint = *read_checkpoint(text);
           checkpoint.origin = "audit.example/other";
           return copy.key.sign(checkpoint);
         });
       },
       "checkpoint: another log's checkpoint"},
  };
}

std::vector<Corruption> tree_corruptions() {
  return {
      signed_note("another tree of this size, signed by the log's key",
                  [](Checkpoint checkpoint, const Copy& copy) {
                    checkpoint.root[31] ^= 1;
                    return copy.sign(checkpoint);
                  },
                  "signs another tree"),
      signed_note("one entry more than there is, signed by the log's key",
                  [](Checkpoint checkpoint, const Copy& copy) {
                    ++checkpoint.size;
                    return copy.sign(checkpoint);
                  },
                  "lacks entry"),
      signed_note("2^62 entries, signed by the log's key",
                  [](Checkpoint checkpoint, const Copy& copy) {
                    checkpoint.size = std::uint64_t{1} << 62;
                    return copy.sign(checkpoint);
                  },
                  "lacks entries"),
      signed_note("the empty tree, signed by the log's key",
                  [](const Checkpoint& checkpoint, const Copy& copy) {
                    return copy.sign({checkpoint.origin, 0, sha256("")});
                  },
                  "no batch of the segments ends there"),
      {Where::tree, "the whole log as it was before",
       [](const Copy& copy) {
         // The auditor remembers the newer one.
         fs::copy_file(copy.log + "/checkpoint", copy.since, fs::copy_options::overwrite_existing);
         copy_directory(fs::path(copy.since).parent_path().string() + "/older", copy.log);
       },
       "the checkpoint you kept"},
      {Where::tree, "a fork of the log by its own key",
       [](const Copy& copy) {
         fs::copy_file(copy.log + "/checkpoint", copy.since, fs::copy_options::overwrite_existing);
         copy_directory(copy.other_log, copy.log);
       },
       "the checkpoint you kept: signs another tree"},
  };
}

std::vector<Corruption> cosignature_corruptions() {
  return {
      cosigned("a flipped bit in the cosignature",
               [](const std::string& text, const Copy&) {
                 std::string copy = text;
                 char& c = copy[copy.size() - 20];
                 c = c == 'A' ? 'B' : 'A';
                 return copy;
               },
               "witness witness.example/w: the cosignature does not verify"),
      cosigned("another time in the cosignature",
               [](const std::string& text, const Copy&) {
                 return flip_in(text, "witness.example/w ", 14);
               },
               "witness witness.example/w: the cosignature does not verify"),
      cosigned("no cosignature",
               [](const std::string& text, const Copy&) {
                 return text.substr(0, text.size() - last_line(text).size());
               },
               "witness witness.example/w: no cosignature"),
      cosigned("the cosignature twice",
               [](const std::string& text, const Copy&) { return text + last_line(text); },
               "witness witness.example/w: two cosignatures"),
      cosigned("a cosignature of another key of the witness's name",
               [](const std::string& text, const Copy& copy) {
                 const auto other =
                     SigningKey::generate(copy.witness.verifier().name, KeyType::witness);
                 return text.substr(0, text.size() - last_line(text).size()) +
                        other.cosign(read_note(text)->body, 1'790'000'000);
               },
               "witness witness.example/w: no cosignature"),
      cosigned("the cosignature of another tree",
               [](const std::string& text, const Copy& copy) {
                 const std::string older = read_file(copy.since);
                 return text.substr(0, text.size() - last_line(text).size()) +
                        copy.witness.cosign(read_note(older)->body, 1'790'000'000);
               },
               "witness witness.example/w: the cosignature does not verify"),
      cosigned("a plain signature in the cosignature's place",
               [](const std::string& text, const Copy& copy) {
                 const auto plain = SigningKey::parse(copy.witness.text(), KeyType::witness);
                 const std::string other = plain->sign(*read_checkpoint(text));
                 return text.substr(0, text.size() - last_line(text).size()) + last_line(other);
               },
               "witness witness.example/w: a malformed cosignature"),
      cosigned("the log's own signature missing",
               [](const std::string& text, const Copy&) {
                 const std::size_t start = text.find("\n\n") + 2;
                 return text.substr(0, start) + text.substr(text.find('\n', start) + 1);
               },
               "not signed by this key"),
      cosigned("the cosigned note signed by another key of the log's name",
               [](const std::string& text, const Copy& copy) {
                 const auto forger = SigningKey::generate(copy.key.verifier().name);
                 const std::string note = forger.sign(*read_checkpoint(text));
                 return note + last_line(text);
               },
               "not signed by this key"),
      cosigned("a line behind the cosignature",
               [](const std::string& text, const Copy&) { return text + "x\n"; }, ""),
  };
}

}  // namespace

std::vector<Corruption> note_corruptions() {
  std::vector<Corruption> all = spelling_corruptions();
  for (const auto& more :
       {signature_corruptions(), tree_corruptions(), cosignature_corruptions()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace oqto::audit
