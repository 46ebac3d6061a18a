// Where the monitor's records go: the audit log of a hosted session (exec_log.h), or whatever the
// stand-alone tool makes of them.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ipc/audit.h"

namespace oqto::sandbox {

// A record with what goes with it.
struct Submission {
  // Of a record in the log, once it is durable; kNoIndex until then.
  using Index = std::shared_ptr<std::uint64_t>;
  struct Blob {
    ipc::FieldKey key{};  // that names it in the record
    std::string content;
  };

  ipc::AuditAppend record;
  std::vector<Blob> blobs{};
  // Called once, before the record goes: are the blobs stored? May change the record.
  std::function<void(ipc::AuditAppend&, bool stored)> settle{};
  Index index{};   // is told
  Index intent{};  // whose outcome the record is: waits until that is known
};

class Recorder {
 public:
  virtual ~Recorder() = default;
  // While this is false nothing may be executed, and no question is answered with a yes.
  [[nodiscard]] virtual bool available() const = 0;
  // Room for `expected` further records: if not, everything that needs one waits.
  [[nodiscard]] virtual bool has_room(std::size_t expected) const = 0;
  virtual void add(ipc::AuditAppend record) = 0;  // has_room() was true
  // The same. Where there is no store of blobs their hashes in the record have to do.
  virtual void submit(Submission submission) {
    if (submission.settle) submission.settle(submission.record, true);
    add(std::move(submission.record));
  }
};

}  // namespace oqto::sandbox
