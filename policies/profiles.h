// The built-in profiles as data: what a reviewer reads to know what a session may do.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace oqto::policies {

// Looser first, so that the stricter of two is the greater.
enum class Network : std::uint8_t {
  open,      // any address: the stand-alone tool only
  filtered,  // names from an allow-list
  isolated,  // nothing but the model's name
  kEnd
};
std::string_view network_name(Network network);

// What becomes of an attempt that only a person could allow. Looser first.
enum class Ask : std::uint8_t {
  automatic,  // allowed, and recorded
  prompt,     // the session's user is asked; no answer in time is a no
  deny,
  kEnd
};
std::string_view ask_name(Ask ask);  // "auto", "prompt", "deny"

// Whether a session may start where the host has no cgroup v2 controllers (rlimits stand in).
enum class Cgroups : std::uint8_t { optional, required, kEnd };
std::string_view cgroups_name(Cgroups cgroups);

struct Limits {
  std::uint64_t memory_bytes = 0;     // of all processes of the session (cgroup memory.max)
  std::uint64_t swap_bytes = 0;       // besides (memory.swap.max)
  std::uint64_t cpu_percent = 0;      // of one core (cpu.max): 200 is two cores
  std::uint64_t io_bytes_per_s = 0;   // reads and writes, each (io.max)
  std::uint64_t max_processes = 0;    // processes and threads (pids.max, RLIMIT_NPROC)
  std::uint64_t open_files = 0;       // descriptors of one process (RLIMIT_NOFILE)
  std::uint64_t file_bytes = 0;       // size of any one file (RLIMIT_FSIZE)
  std::uint64_t tmp_bytes = 0;        // /tmp and /dev/shm together
  std::uint64_t tmp_inodes = 0;       // files and directories there
  std::uint64_t wall_clock_s = 0;     // from start to the session's end
  bool operator==(const Limits&) const = default;
};

// One row per limit: comparing, printing, parsing and range checks all walk this table. A floor of 0
// stands only where 0 does not mean "no limit" to the kernel.
struct LimitRow {
  std::string_view key;
  std::uint64_t Limits::*value;
  std::uint64_t floor;
  std::uint64_t ceiling;
};
constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kDay = 24 * 3600;
constexpr auto kLimitRows = std::to_array<LimitRow>({
    {"memory_bytes", &Limits::memory_bytes, 64 * kMiB, 4096 * 1024 * kMiB},
    {"swap_bytes", &Limits::swap_bytes, 0, 4096 * 1024 * kMiB},
    {"cpu_percent", &Limits::cpu_percent, 1, 100'000},
    {"io_bytes_per_s", &Limits::io_bytes_per_s, kMiB, 1024 * 1024 * kMiB},
    {"max_processes", &Limits::max_processes, 32, 65536},
    {"open_files", &Limits::open_files, 64, 1048576},
    {"file_bytes", &Limits::file_bytes, kMiB, 1024 * 1024 * kMiB},
    {"tmp_bytes", &Limits::tmp_bytes, kMiB, 64 * 1024 * kMiB},
    {"tmp_inodes", &Limits::tmp_inodes, 256, 16 * kMiB},
    {"wall_clock_s", &Limits::wall_clock_s, 1, 366 * kDay},
});

struct ProfileData {
  std::string_view name;
  Network network;
  Ask unknown_hosts;      // names outside the allow-list, in mode `filtered`
  Cgroups cgroups;
  bool run_own_programs;  // may execute files that it wrote itself (Landlock; no memfd)
  std::span<const std::string_view> protect;
  std::span<const std::string_view> env_pass;  // of the caller's environment: stand-alone tool only
  Limits limits;
};

// In the order of ipc::Profile, looser first.
constexpr std::size_t kProfiles = 3;
const ProfileData& profile_data(std::size_t profile);

}  // namespace oqto::policies
