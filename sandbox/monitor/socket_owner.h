// Which process of a sandbox asked for a name: the one that holds the socket which the question came
// from. What is found here is shown to the user, and decides nothing.
#pragma once
#include "ipc/session_messages.h"
#include "sandbox/monitor/tracee.h"

namespace oqto::sandbox {

struct SocketOwner {
  pid_t process = -1;
  pid_t inside = -1;  // its number inside
  Image image;
};

enum class SocketOf { resolver, anybody };  // to whom it may be connected, if it is

// `member`: any process in the sandbox's network namespace. `port`: of a socket there that is
// connected to the resolver, or to nobody. Errc::not_found: no process that can be looked at has it.
Result<SocketOwner> find_socket_owner(pid_t member, std::uint16_t port, SocketOf peer = SocketOf::resolver);

// Adds the process to a question about a host; what cannot be found stays empty.
void show_asker(ipc::ApprovalAsk& question, pid_t member);

}  // namespace oqto::sandbox
