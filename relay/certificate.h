// The certificate in force, and how another takes its place while we serve: what does not hold
// together is refused, and connections that are there keep what they began with.
#pragma once
#include <optional>

#include "base/fd.h"
#include "ipc/messages.h"
#include "relay/tls.h"

namespace oqto::relay {

class CertificateInForce {
 public:
  // `tls` is what the connections that come are served with.
  explicit CertificateInForce(TlsContext& tls) : tls_(tls) {}

  // A file of ipc::Reload. None: its key is still to come.
  std::optional<ipc::Reloaded> take(const ipc::Reload& offered, Fd file);

 private:
  ipc::Reloaded judge(const Fd& key);

  TlsContext& tls_;
  Fd chain_;  // waits for its key
};

}  // namespace oqto::relay
