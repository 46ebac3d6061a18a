// A small file of the state directory that is replaced as a whole: after any crash the old or the new
// content is there.
#pragma once
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::runner {

Status replace_file(const Fd& dir, const std::string& name, std::string_view text);

}  // namespace oqto::runner
