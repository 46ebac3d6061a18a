// A browser's connection.
#pragma once
#include "mux/web_socket.h"
#include "runner/reactor.h"

namespace oqto::runner {

using mux::WebSocket;

}  // namespace oqto::runner
