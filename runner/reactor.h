// The thread that everything of a runner happens on.
#pragma once
#include "mux/reactor.h"

namespace oqto::runner {

using mux::Reactor;
using mux::Task;
using mux::Timer;
using mux::Watch;

}  // namespace oqto::runner
