// Opening of hidden files. An open that names none is let go on, and finds what is mounted,
// whatever its path has become meanwhile. One that does is answered by us, with a copy of what the
// path named when we read it: what the kernel would find plays no part.
#pragma once
#include <vector>

#include "sandbox/monitor/approvals.h"
#include "sandbox/monitor/ask_files.h"
#include "sandbox/monitor/denials.h"
#include "sandbox/monitor/listener.h"
#include "sandbox/monitor/recorder.h"
#include "sandbox/monitor/tracee.h"

namespace oqto::sandbox {

class OpenWatch {
 public:
  OpenWatch(const Listener& listener, const Tracees& tracees, Recorder& recorder, Denials& denials,
            AskFiles files, Approvals approvals)
      : listener_(listener),
        tracees_(tracees),
        recorder_(recorder),
        denials_(denials),
        files_(std::move(files)),
        approvals_(std::move(approvals)) {}

  void on_open(const seccomp_notif& notification);
  void on_answer(std::uint64_t question, ipc::ApprovalChoice choice);
  void tick();
  [[nodiscard]] bool waits() const { return approvals_.waits() || !later_.empty(); }

 private:
  [[nodiscard]] bool read_call(const seccomp_notif& notification, OpenRequest& request,
                               std::uint64_t& flags) const;
  void settle(std::vector<Approvals::Settled> settled);
  int grant(const Approvals::Settled& settled);  // 0, or the errno to answer with
  void refuse(const Approvals::Settled& settled, int error);

  const Listener& listener_;
  const Tracees& tracees_;
  Recorder& recorder_;
  Denials& denials_;
  AskFiles files_;
  Approvals approvals_;
  std::vector<Approvals::Settled> later_;  // a yes whose record has no room yet
};

}  // namespace oqto::sandbox
