// The /etc of a sandbox: a short generated set, and a few public files of the host.
#pragma once
#include <string>
#include <vector>

#include "sandbox/world/world.h"

namespace oqto::sandbox {

std::vector<World::Generated> etc_files(const World& world);

// Of the host's /etc, for programs in /usr; nothing else of it is shown. May be absent.
std::vector<std::string> public_etc_files();

}  // namespace oqto::sandbox
