// The network of a sandbox: a namespace with nothing but `lo`, and sockets that were made in it and
// stay in it, whoever holds them.
#pragma once
#include <cstdint>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::sandbox {

// Of 198.18.0.0/15, which RFC 2544 gives to tests between networks and nobody routes.
constexpr std::uint32_t kPool = 0xc6120000;
constexpr std::uint32_t kResolver = kPool + 1;  // 198.18.0.1

// In the calling thread's network namespace, which must be new and its own user namespace's:
// raises `lo` and makes every address of the pool local.
Status raise_loopback();
// Its two halves.
Status raise_lo();
Status add_pool();  // ... and gives `lo` the resolver's address

Result<Fd> bound_socket(int type, std::uint32_t address, std::uint16_t port);
Result<Fd> unbound_socket();  // TCP

}  // namespace oqto::sandbox
