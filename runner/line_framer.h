// Splits a byte stream into lines at LF (a CR before it is dropped), bounded.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace oqto::runner {

class LineFramer {
 public:
  // `may_skip`: may a line that begins so be dropped when it is too long?
  LineFramer(std::size_t max_line, std::function<bool(std::string_view)> may_skip)
      : max_line_(max_line), may_skip_(std::move(may_skip)) {}

  // False: a line was longer than the bound, and the stream is of no use any more.
  bool feed(std::string_view bytes, const std::function<void(std::string_view)>& on_line);
  // What came after the last LF.
  [[nodiscard]] std::string_view rest() const { return line_; }

 private:
  bool keep(std::string_view bytes);

  std::size_t max_line_;
  std::function<bool(std::string_view)> may_skip_;
  std::string line_;
  bool skipping_ = false;
};

}  // namespace oqto::runner
