// What the guard gives up before it serves: every capability but the few named in seal.cc, every new
// privilege, and, for itself and for everything it will ever start, the system calls that no part of
// Oqto has a use for.
#pragma once
#include "base/result.h"

namespace oqto::guard {

Status seal_guard();

}  // namespace oqto::guard
