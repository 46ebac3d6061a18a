#include "base/nearest_word.h"

#include <algorithm>
#include <numeric>

namespace oqto {

std::string_view nearest_word(std::string_view word, const std::vector<std::string_view>& known) {
  constexpr std::size_t kMaxWord = 40;
  std::string_view nearest;
  std::size_t best = 3;  // more than two changes are another word
  if (word.size() > kMaxWord) return {};
  for (const std::string_view each : known) {
    std::vector<std::size_t> row(each.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= each.size(); ++j) {
        const std::size_t changed = diagonal + (word[i - 1] == each[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
      }
    }
    if (row.back() < best && row.back() < each.size()) {
      best = row.back();
      nearest = each;
    }
  }
  return nearest;
}

}  // namespace oqto
