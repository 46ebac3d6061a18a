// Where the monitor's records go: the audit log of a hosted session (exec_log.h), or whatever the
// stand-alone tool makes of them.
#pragma once
#include "ipc/audit.h"

namespace oqto::sandbox {

class Recorder {
 public:
  virtual ~Recorder() = default;
  // While this is false nothing may be executed, and no question is answered with a yes.
  [[nodiscard]] virtual bool available() const = 0;
  // Room for `expected` further records: if not, everything that needs one waits.
  [[nodiscard]] virtual bool has_room(std::size_t expected) const = 0;
  virtual void add(ipc::AuditAppend record) = 0;  // has_room() was true
};

}  // namespace oqto::sandbox
