// Looks for a provider's key in a text that comes in pieces: as it is, in base64 (wherever it stands in
// what was encoded), and with its characters written as JSON escapes, also twice over, as in the
// arguments of a tool.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace oqto::gateway {

// The texts that give the key away. None of a key shorter than any real one (of a local provider that
// wants none): masking it would mangle ordinary words.
class KeyForms {
 public:
  static constexpr std::size_t kShortestKey = 8;
  explicit KeyForms(std::string_view key);

  struct Form {
    std::string text;
    std::vector<std::size_t> back;  // after so many characters: how many of them may begin it anew
  };
  [[nodiscard]] const std::vector<Form>& all() const { return all_; }
  [[nodiscard]] bool may_begin(char c) const { return begins_[static_cast<unsigned char>(c)]; }

 private:
  void add(std::string text);
  std::vector<Form> all_;
  std::array<bool, 256> begins_{};
};

// One text, character by character, against all forms at once.
class KeyReading {
 public:
  explicit KeyReading(const KeyForms& forms) : forms_(&forms), matched_(forms.all().size()) {}
  // `bytes`: that this character was written with. Returns those of the form that ends with it, or 0.
  std::size_t feed(char c, std::size_t bytes);
  // Of the longest beginning of a form that the text ends with.
  [[nodiscard]] std::size_t pending() const { return pending_; }
  [[nodiscard]] std::size_t pending_bytes() const;

 private:
  const KeyForms* forms_;
  std::vector<std::size_t> matched_;  // of each form
  std::size_t pending_ = 0;
  std::deque<std::size_t> bytes_;  // of each pending character
};

// Undoes one layer of JSON escapes. What is no escape is taken as it stands.
class Unescaper {
 public:
  // Calls emit(char, bytes, left): what it was written with, and what is not decided yet.
  void feed(char c, std::size_t bytes, const auto& emit);
  [[nodiscard]] std::size_t undecided() const { return undecided_; }

 private:
  // How many characters of held_ are one; 0: that is not known yet.
  std::size_t decide(char& meant) const;
  std::string held_;
  std::deque<std::size_t> bytes_;
  std::size_t undecided_ = 0;
};

class KeyTrack {
 public:
  explicit KeyTrack(const KeyForms& forms) : plain_(forms), nested_(forms) {}

  struct Piece {
    std::uint64_t part = 0;  // of what is passed on
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  using Pieces = std::vector<Piece>;
  // Adds to `found` where each form is that ends in this text, which stands in `part` from `begin` on.
  void feed(std::uint64_t part, std::size_t begin, std::string_view text, std::vector<Pieces>& found);
  // Characters that may be the beginning of a form, and where they are.
  [[nodiscard]] std::size_t pending() const;
  [[nodiscard]] Pieces pending_pieces() const;

 private:
  [[nodiscard]] std::size_t pending_bytes() const;
  [[nodiscard]] Pieces last(std::size_t bytes, std::size_t before) const;

  Unescaper outer_;
  Unescaper inner_;
  KeyReading plain_;   // the outer escapes undone
  KeyReading nested_;  // the inner ones too
  std::deque<Piece> pieces_;  // the end of the text
};

}  // namespace oqto::gateway
