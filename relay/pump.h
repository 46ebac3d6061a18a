// Moves opaque bytes between the client's TLS and the runner's stream socket until either ends.
#pragma once
#include <string_view>

#include "relay/tls.h"

namespace oqto::relay {

constexpr std::size_t kPumpBytes = 64 * 1024;  // buffered per direction; then the sender waits

// `first` goes to the stream before anything else; it is at most kPumpBytes. Takes over `stream`.
[[noreturn]] void pump(TlsStream& tls, int stream, std::string_view first);

}  // namespace oqto::relay
