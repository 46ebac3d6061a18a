// PID 1 of a sandbox up to oqto-init. The stage forks it as soon as there is a root for it, and it
// starts while the stage fills that root. The mount namespace belongs to the stage's user
// namespace, which nothing inside is in: no capability that a program could ever gain there reaches
// a mount.
#pragma once
#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"
#include "sandbox/world/world.h"

namespace oqto::sandbox {

struct FirstProcess {
  pid_t pid = -1;  // a child of the stage, and ends with it
  Fd pidfd;
  Fd channel;  // to it; open as long as the stage lives, which is how it knows that the stage does
};

// In the stage, in all of the sandbox's namespaces, with the host's root still. `program` is
// oqto-init. The child writes to stderr why it fails, if it does.
Result<FirstProcess> start_first_process(const World& world, const Fd& program);

// Until it needs the host's /proc no more, which it needs to mount its own and for its ids.
Status await_first_process(const FirstProcess& first);

// Its root is complete.
Status let_go(const FirstProcess& first);

// No capability but these (a mask) now, none by an exec, none by a file.
Status keep_capabilities(std::uint64_t kept);

}  // namespace oqto::sandbox
