// An independent look at a sandbox from inside: one probe per surface of the kernel or the host.
// "open" means that the probe reached the thing itself; several may rightly be open. What each
// profile leaves open, and why, is the table of docs/sandbox.md.
#pragma once
#include <cerrno>
#include <span>
#include <string>

namespace battery {

// What the probes look for, as the one who starts them knows it.
struct Host {
  std::string pid = "0";         // of a process outside
  std::string abstract = "none"; // an abstract socket that listens outside
  std::string port = "0";        // a TCP port that listens on the host's 127.0.0.1
  std::string beside = "/nonexistent";  // a readable file beside the workspace
  std::string self;              // this program
};

struct Probe {
  const char* name;
  bool (*run)(const Host&);  // true: open. Else errno says why; the probe runs in its own process
};

std::span<const Probe> kernel_probes();
std::span<const Probe> process_probes();
std::span<const Probe> file_probes();
std::span<const Probe> network_probes();

// For calls that an unprivileged caller could never complete: anything but a refusal is a hit.
inline bool reached(long result) {
  if (result >= 0) return true;
  return errno != EPERM && errno != EACCES && errno != ENOSYS && errno != EAFNOSUPPORT &&
         errno != EPROTONOSUPPORT && errno != ESOCKTNOSUPPORT && errno != ESRCH;
}

}  // namespace battery
