// The OCSF 1.8 class and activity of each event.
#pragma once
#include <cstdint>

#include "ipc/audit.h"

namespace oqto::audit {

struct OcsfClass {  // a category is the class divided by 1000
  std::uint32_t class_uid;
  std::uint32_t activity_id;
};

OcsfClass ocsf_class(ipc::Event event);

}  // namespace oqto::audit
