// Entries as sentences.
#pragma once
#include <string>
#include <string_view>

namespace oqto::audit {

struct ReadEntry;

struct Sentence {
  std::string kind;
  std::string text;
};
Sentence sentence_of(const ReadEntry& entry);
std::string result_of(const ReadEntry& outcome);  // what came of it, beyond that it did or did not

// Commands that change nothing, and what the host does by itself: nobody asked for them one by one.
bool is_minor(const ReadEntry& entry);

std::string said(std::string_view text, std::size_t max = 400);  // escaped and shortened
std::string grouped(std::uint64_t number);                        // "1,345"

}  // namespace oqto::audit
