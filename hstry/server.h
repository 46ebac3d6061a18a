// The gRPC server over a Store. It listens nowhere: it serves the connected sockets it is given.
#pragma once
#include <memory>

#include "base/fd.h"
#include "base/result.h"
#include "hstry/store.h"
#include "sandbox/seal.h"

namespace oqto::hstry {

constexpr int kMaxWireBytes = 16 * 1024 * 1024;  // one request or response
constexpr int kMaxServerThreads = 8;
constexpr int kShutdownMs = 300;  // calls in progress get this long; then they are not acknowledged

class Server {
 public:
  // `store` must outlive the server.
  static Result<std::unique_ptr<Server>> start(const sandbox::Sealed& sealed, Store& store);
  virtual ~Server() = default;
  // A connected stream socket, which the server owns from now on.
  virtual Status serve(Fd connection) = 0;
  // Ends the calls in progress and every connection.
  virtual void stop() = 0;
};

}  // namespace oqto::hstry
