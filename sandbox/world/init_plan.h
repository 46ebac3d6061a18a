// What oqto-init is told about a layout.
#pragma once
#include <expected>

#include "sandbox/world/layout.h"

namespace oqto::sandbox {

std::expected<InitPlan, StartFailure> init_plan(const World& world, const Layout& layout);

}  // namespace oqto::sandbox
