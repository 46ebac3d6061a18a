// The two seals of this binary. The listener may accept and fork; it opens nothing. A connection
// process may move bytes on the descriptors it was born with; it makes nothing new. Landlock is
// entered once, by the listener, and inherited; the tighter system call filter is compiled once and
// entered by each connection process for itself.
#pragma once
#include <linux/filter.h>

#include <cstddef>
#include <vector>

#include "base/result.h"

namespace oqto::relay {

Status seal_listener();

class ConnectionJail {
 public:
  // `mapped_bytes`: what the process has mapped beside its own code and heap (the asset pack).
  static Result<ConnectionJail> prepare(std::size_t mapped_bytes);  // before seal_listener()

  // Limits, then the filter. Allocates nothing. On an error the process must end.
  [[nodiscard]] Status enter() const;

 private:
  std::vector<sock_filter> program_;
  std::size_t address_space_ = 0;
};

}  // namespace oqto::relay
