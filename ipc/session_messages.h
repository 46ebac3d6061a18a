// One session: the runner with oqto-init, and oqto-init with its launcher.
#pragma once
#include "ipc/tags.h"

namespace oqto::ipc {

// --- session: runner <-> oqto-init, oqto-init -> launcher --------------------------------------

enum class StdioKind : std::uint8_t {
  in_out,  // becomes descriptors 0 and 1 (and 2, unless `err` is given too)
  err,     // becomes descriptor 2
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
  TextList<256, 32 * 1024> argv;  // argv[0] is an absolute path inside the sandbox
  TextList<64, 4096> env;         // NAME=value, added to the session's environment
  Text<1024> cwd;                 // absolute path inside the sandbox
  bool fields(auto& io) { return io(program, argv, env, cwd); }
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
