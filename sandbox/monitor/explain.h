// An error in words for whoever has to mend it: what failed, and the kernel's reason.
#pragma once
#include <string.h>

#include <string>

#include "base/result.h"

namespace oqto::sandbox {

inline std::string explain(const Error& error) {
  std::string text = error.what;
  if (error.sys != 0) text += std::string(": ") + ::strerrordesc_np(error.sys);
  return text;
}

}  // namespace oqto::sandbox
