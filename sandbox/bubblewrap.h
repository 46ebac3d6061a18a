// Bubblewrap's options, and nothing else: what it is given to mount, the stage has built.
#pragma once
#include <string>
#include <vector>

#include "sandbox/world.h"

namespace oqto::sandbox {

constexpr const char* kBubblewrap = "/usr/bin/bwrap";

// The whole command line: bubblewrap, and oqto-init as PID 1. `root` is the whole tree but /proc,
// in the stage's mount namespace; `info` the descriptor for bubblewrap's report.
std::vector<std::string> bubblewrap_words(const World& world, const std::string& root, int info);

// The process number of PID 1, from bubblewrap's report; -1 while it is not complete.
pid_t child_pid(std::string_view report);

}  // namespace oqto::sandbox
