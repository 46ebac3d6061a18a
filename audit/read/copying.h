// A copy of a log in use that verifies: everything is copied in the order in which one part needs the other.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"

namespace oqto::audit {

struct Copied {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

// `to` is made, and must be empty. `with_keys`: those of the tenants too, with which personal fields and blobs
// can be read; none that was erased before the copy was done. `segments_copied` is called behind each round.
Result<Copied> copy_log(const std::string& from, const std::string& to, bool with_keys,
                        const std::function<void()>& segments_copied = {});

}  // namespace oqto::audit
