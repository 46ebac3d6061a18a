// Serves a witness over plain HTTP: for loopback, or behind a proxy that does TLS.
#pragma once
#include <string>

#include "audit/witness/witness.h"
#include "base/fd.h"
#include "ipc/loop.h"
#include "sandbox/seal.h"

namespace oqto::audit {

// "127.0.0.1:8090", "[::1]:8090". Port 0: any.
Result<Fd> listen_on(const std::string& address);
std::string local_address(const Fd& listener);

// Returns when a descriptor of `signals` (signalfd) is readable, or when the witness must end.
Status serve_witness(const sandbox::Sealed&, ipc::Loop loop, Fd listener, Fd signals,
                     Witness witness);

}  // namespace oqto::audit
