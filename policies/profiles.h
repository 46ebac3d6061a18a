// The built-in profiles as data: what a reviewer reads to know what a session may do.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace oqto::policies {

// Looser first, so that the stricter of two is the greater.
enum class Network : std::uint8_t {
  open,      // any address
  filtered,  // names from an allow-list
  isolated,  // nothing but the model's name
  kEnd
};
std::string_view network_name(Network network);

struct Limits {
  std::uint64_t tmp_bytes = 0;      // /tmp and /dev/shm together
  std::uint64_t tmp_inodes = 0;     // files and directories there
  std::uint64_t max_processes = 0;  // processes and threads of the tenant's agent uid
  std::uint64_t open_files = 0;     // descriptors of one process
  std::uint64_t file_bytes = 0;     // size of any one file
  bool operator==(const Limits&) const = default;
};

// One row per limit: comparing, printing, parsing and range checks all walk this table. No floor is
// 0, because to tmpfs 0 means "no limit".
struct LimitRow {
  std::string_view key;
  std::uint64_t Limits::*value;
  std::uint64_t floor;
  std::uint64_t ceiling;
};
constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr auto kLimitRows = std::to_array<LimitRow>({
    {"tmp_bytes", &Limits::tmp_bytes, kMiB, 64 * 1024 * kMiB},
    {"tmp_inodes", &Limits::tmp_inodes, 256, 16 * kMiB},
    {"max_processes", &Limits::max_processes, 32, 65536},
    {"open_files", &Limits::open_files, 64, 1048576},
    {"file_bytes", &Limits::file_bytes, kMiB, 1024 * 1024 * kMiB},
});

struct ProfileData {
  std::string_view name;
  Network network;
  bool run_own_programs;  // may execute files that it wrote itself (Landlock; no memfd)
  Limits limits;
};

// In the order of ipc::Profile, looser first.
constexpr std::size_t kProfiles = 3;
const ProfileData& profile_data(std::size_t profile);

}  // namespace oqto::policies
