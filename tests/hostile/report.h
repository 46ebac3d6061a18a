// How a hostile stand-in says what it managed: one line per attack on stderr, read by the test.
#pragma once
#include <string>

#include "base/log.h"

namespace oqto::hostile {

inline void report(const char* attack, bool held) {
  log::warn("attack", {{"name", attack}, {"result", held ? "held" : "BROKEN"}});
}

}  // namespace oqto::hostile
