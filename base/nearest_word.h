// What somebody may have meant who wrote a word that is none.
#pragma once
#include <string_view>
#include <vector>

namespace oqto {

// The known word nearest to `word`; empty if none is near enough to be meant.
std::string_view nearest_word(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace oqto
