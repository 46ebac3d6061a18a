// The seccomp programs of a session, compiled by filter_gen at build time: a session neither links
// libseccomp nor spends the milliseconds that it takes to compile a filter.
#pragma once
#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace oqto::sandbox {

using Filter = std::span<const sock_filter>;

// What is notified besides refused calls, and which of the tables holds.
struct FilterKind {
  bool run_own_programs = false;
  bool notify_exec = false;  // execve, execveat
  bool notify_open = false;  // open, openat, creat
};

// One program for the whole session, loaded with a listener: what it refuses, the listener's holder
// answers. Kills the process on calls of another ABI.
Filter session_filter(FilterKind kind);

// oqto-launch, once it has nothing to do but to monitor.
Filter launcher_filter();

// "" if no such call is known; -1 likewise.
std::string_view syscall_name(std::uint32_t number);
int syscall_number(std::string_view name);

}  // namespace oqto::sandbox
