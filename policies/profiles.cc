#include "policies/profiles.h"

namespace oqto::policies {

// What every profile has in common is not data but code that has no switch: all namespaces, no
// capabilities, no new privileges, Landlock, the system call allow-list, every exec recorded.
static constexpr std::array<ProfileData, kProfiles> kData = {{
    // Room for large builds and test suites.
    {.name = "minimal",
     .network = Network::isolated,
     .run_own_programs = true,
     .limits = {.tmp_bytes = 4096 * kMiB,
                .tmp_inodes = 1 << 20,
                .max_processes = 4096,
                .open_files = 65536,
                .file_bytes = 64 * 1024 * kMiB}},
    // Everyday work on code.
    {.name = "development",
     .network = Network::isolated,
     .run_own_programs = true,
     .limits = {.tmp_bytes = 1024 * kMiB,
                .tmp_inodes = 1 << 18,
                .max_processes = 1024,
                .open_files = 16384,
                .file_bytes = 16 * 1024 * kMiB}},
    // Reading and editing with the host's own tools. Interpreters remain, so this keeps out native
    // code that the agent brings along, not the agent's scripts.
    {.name = "strict",
     .network = Network::isolated,
     .run_own_programs = false,
     .limits = {.tmp_bytes = 256 * kMiB,
                .tmp_inodes = 1 << 16,
                .max_processes = 256,
                .open_files = 4096,
                .file_bytes = 2048 * kMiB}},
}};

const ProfileData& profile_data(std::size_t profile) {
  return kData[profile];
}

std::string_view network_name(Network network) {
  static constexpr std::string_view kNames[] = {"open", "filtered", "isolated"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Network::kEnd));
  return kNames[static_cast<std::size_t>(network)];
}

}  // namespace oqto::policies
