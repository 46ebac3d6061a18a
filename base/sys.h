// The system calls that more than one process needs, as Results. Every descriptor made here is
// close-on-exec.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::sys {

// Closes every descriptor from `first` on. Call before argv is even looked at.
Status close_from(int first);

// Marks 0..count-1 of the inherited descriptors close-on-exec and checks that each is open.
Status adopt_inherited(int first, int count);

Result<std::pair<Fd, Fd>> seqpacket_pair();  // non-blocking, close-on-exec
Result<std::pair<Fd, Fd>> stream_pair();     // non-blocking, close-on-exec
Status set_nonblocking(const Fd& fd, bool on);

// openat2 with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS.
Result<Fd> open_beneath(const Fd& dir, const char* path, int flags, mode_t mode = 0);
Result<Fd> open_dir(const char* path);  // O_PATH is not set: the directory can be listed and synced
Result<Fd> open_file(const char* path, int flags, mode_t mode = 0);

Status write_all(const Fd& fd, std::span<const std::byte> bytes);
Status write_all(const Fd& fd, std::string_view text);
Result<std::string> read_all(const Fd& fd, std::size_t max_bytes);  // Errc::limit if longer

// A sealed, read-only memory file, for handing text to another process by descriptor.
Result<Fd> sealed_memfd(const char* name, std::string_view content);

std::string boot_id();  // of the kernel, for as long as it runs; empty if it does not say

void fill_random(std::span<std::uint8_t> bytes);  // getrandom(2); aborts if the kernel has none

Result<Fd> pidfd_open(pid_t pid);
Status pidfd_kill(const Fd& pidfd, int signal);

// Who logged in where this process comes from, as the kernel has it (/proc/PID/loginuid): neither su nor
// sudo changes it. nullopt: nobody did (a service), or the process is gone.
std::optional<uid_t> login_uid(pid_t pid);
std::string process_name(pid_t pid);  // what it calls itself, at most 15 bytes; empty: it is gone

std::string utc_text(std::uint64_t unix_ms);  // RFC 3339: "2026-01-31T12:00:00.123Z"

std::uint64_t now_ms();        // CLOCK_REALTIME, unix milliseconds
std::uint64_t monotonic_ms();  // CLOCK_MONOTONIC
std::uint64_t boottime_ms();   // CLOCK_BOOTTIME: nobody can set it, and it goes on while the machine sleeps

// Dies with its parent: SIGKILL when `expected_parent` ends, and at once if it already has.
Status die_with_parent(pid_t expected_parent);

}  // namespace oqto::sys
