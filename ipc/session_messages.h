// One session: the runner with oqto-init, and oqto-init with its launcher.
#pragma once
#include "ipc/tags.h"

namespace oqto::ipc {

// --- session: runner <-> oqto-init, oqto-init -> launcher --------------------------------------

enum class StdioKind : std::uint8_t {
  in_out,  // becomes descriptors 0 and 1 (and 2, unless `err` is given too)
  err,     // becomes descriptor 2
  in,      // becomes descriptor 0
  out,     // becomes descriptor 1
  kEnd
};
struct GiveStdio {  // before StartProgram of the same number
  OQTO_MESSAGE(give_stdio, true);
  std::uint32_t program = 0;  // chosen by the runner, unique while it runs
  StdioKind kind{};
  bool fields(auto& io) { return io(program, kind); }
};
struct StartProgram {
  OQTO_MESSAGE(start_program, false);
  std::uint32_t program = 0;
  TextList<4096, 32 * 1024> argv;  // argv[0] is an absolute path inside the sandbox
  TextList<64, 4096> env;         // NAME=value, added to the session's environment
  Text<1024> cwd;                 // absolute path inside the sandbox
  // Not 0: with a terminal of its own of this size, which is what it is not given otherwise and is
  // its controlling terminal. ProgramTerminal brings the other end.
  std::uint16_t rows = 0, columns = 0;
  bool fields(auto& io) { return io(program, argv, env, cwd, rows, columns); }
};
struct ProgramTerminal {  // oqto-init -> runner, before ProgramStarted; resize with TIOCSWINSZ
  OQTO_MESSAGE(program_terminal, true);
  std::uint32_t program = 0;
  bool fields(auto& io) { return io(program); }
};
struct SignalProgram {
  OQTO_MESSAGE(signal_program, false);
  std::uint32_t program = 0;
  std::uint8_t signal = 0;
  bool fields(auto& io) { return io(program, signal); }
};
struct ProgramStarted {
  OQTO_MESSAGE(program_started, false);
  std::uint32_t program = 0;
  std::uint32_t pid = 0;  // inside the sandbox
  bool fields(auto& io) { return io(program, pid); }
};
struct ProgramFailed {
  OQTO_MESSAGE(program_failed, false);
  std::uint32_t program = 0;
  std::uint32_t error = 0;  // errno
  bool fields(auto& io) { return io(program, error); }
};
struct ProgramExited {
  OQTO_MESSAGE(program_exited, false);
  std::uint32_t program = 0;
  std::uint8_t exit_status = 0;
  std::uint8_t signal = 0;  // 0: it exited
  bool fields(auto& io) { return io(program, exit_status, signal); }
};

// --- questions to the session's user: launcher or gateway -> guard -> runner, and back ----------

enum class ApprovalKind : std::uint8_t {
  file_read,  // asked by the launcher: `what` is a path inside
  host,       // asked by the gateway: `what` is a name
  kEnd
};
enum class ApprovalChoice : std::uint8_t { deny, once, session, kEnd };  // `session`: until it ends
// From the launcher to the guard and on to the runner. From the gateway it goes to the launcher first,
// who can see which process asked, and comes back with that.
struct ApprovalAsk {
  OQTO_MESSAGE(approval_ask, false);
  Uuid session;
  ApprovalKind kind{};
  std::uint64_t question = 0;  // the asker's, unique per kind and session
  std::uint32_t timeout_s = 0;
  Text<512> what;
  std::uint32_t pid = 0;       // inside the sandbox; 0: not known
  TextList<16, 256> argv;      // of the process that wants it; cut
  Text<512> cwd;
  std::uint16_t port = 0;      // host: that the name was asked from, in the session's network
  bool fields(auto& io) { return io(session, kind, question, timeout_s, what, pid, argv, cwd, port); }
};
struct ApprovalAnswer {
  OQTO_MESSAGE(approval_answer, false);
  Uuid session;
  ApprovalKind kind{};
  std::uint64_t question = 0;
  ApprovalChoice choice{};
  bool fields(auto& io) { return io(session, kind, question, choice); }
};

struct ExecListener {  // with the seccomp notification descriptor
  OQTO_MESSAGE(exec_listener, true);
  std::uint8_t reserved = 0;
  bool fields(auto& io) { return io(reserved); }
};
struct InitReady {
  OQTO_MESSAGE(init_ready, false);
  std::uint32_t landlock_abi = 0;
  bool fields(auto& io) { return io(landlock_abi); }
};
struct InitFailed {
  OQTO_MESSAGE(init_failed, false);
  Text<256> why;
  bool fields(auto& io) { return io(why); }
};

}  // namespace oqto::ipc
