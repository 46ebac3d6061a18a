// The strings of one line of JSON, found without parsing it: what a stream of events says, piece by
// piece. It copes with anything; what is no JSON has strings too, if it has quotation marks.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace oqto::gateway {

struct LineString {
  std::string key;        // that it stands under; of an array's, the array's
  std::size_t begin = 0;  // behind the opening mark
  std::size_t end = 0;    // at the closing one, or the end of the line
};

struct LineFacts {
  std::vector<LineString> strings;  // values only
  std::string indexes;              // the numbers under the key "index": which choice, block or tool call
  std::string last_key;             // given and kept from line to line of one event
};

void read_line(std::string_view line, LineFacts& facts);

}  // namespace oqto::gateway
