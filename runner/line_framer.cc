#include "runner/line_framer.h"

namespace oqto::runner {

bool LineFramer::keep(std::string_view bytes) {
  if (skipping_) return true;
  if (line_.size() + bytes.size() <= max_line_) {
    line_ += bytes;
    return true;
  }
  line_ += bytes.substr(0, 256);  // enough to tell what it is
  if (!may_skip_(line_)) return false;
  line_ = {};
  skipping_ = true;
  return true;
}

bool LineFramer::feed(std::string_view bytes,
                      const std::function<void(std::string_view)>& on_line) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) return keep(bytes);
    if (!keep(bytes.substr(0, end))) return false;
    bytes.remove_prefix(end + 1);
    if (!skipping_) {
      std::string_view line = line_;
      if (line.ends_with('\r')) line.remove_suffix(1);
      on_line(line);
    }
    skipping_ = false;
    line_.clear();
    if (line_.capacity() > 1024 * 1024) line_.shrink_to_fit();
  }
  return true;
}

}  // namespace oqto::runner
