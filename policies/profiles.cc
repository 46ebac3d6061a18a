#include "policies/profiles.h"

namespace oqto::policies {
namespace {

// What another user of the workspace's files would execute or obey without looking: kept read-only,
// also where it does not exist yet.
constexpr std::string_view kProtect[] = {"./.oqto", "./.git/hooks", "./.git/config",
                                         "./.git/config.worktree", "./.git/commondir"};

// No secret has one of these names, and programs behave oddly without them.
constexpr std::string_view kEnvPass[] = {"LANG", "LC_*", "TERM", "COLORTERM", "NO_COLOR", "TZ"};

// What every profile has in common is not data but code that has no switch: all namespaces, no
// capabilities, no new privileges, Landlock, the system call allow-list, every exec recorded.
constexpr std::array<ProfileData, kProfiles> kData = {{
    // Room for large builds and test suites.
    {.name = "minimal",
     .network = Network::isolated,
     .unknown_hosts = Ask::deny,
     .cgroups = Cgroups::optional,
     .run_own_programs = true,
     .protect = kProtect,
     .env_pass = kEnvPass,
     .limits = {.memory_bytes = 16384 * kMiB,
                .swap_bytes = 4096 * kMiB,
                .cpu_percent = 1600,
                .io_bytes_per_s = 1024 * 1024 * kMiB,
                .max_processes = 4096,
                .open_files = 65536,
                .file_bytes = 64 * 1024 * kMiB,
                .tmp_bytes = 4096 * kMiB,
                .tmp_inodes = 1 << 20,
                .wall_clock_s = 31 * kDay}},
    // Everyday work on code.
    {.name = "development",
     .network = Network::isolated,
     .unknown_hosts = Ask::deny,
     .cgroups = Cgroups::optional,
     .run_own_programs = true,
     .protect = kProtect,
     .env_pass = kEnvPass,
     .limits = {.memory_bytes = 8192 * kMiB,
                .swap_bytes = 2048 * kMiB,
                .cpu_percent = 800,
                .io_bytes_per_s = 1024 * 1024 * kMiB,
                .max_processes = 1024,
                .open_files = 16384,
                .file_bytes = 16 * 1024 * kMiB,
                .tmp_bytes = 1024 * kMiB,
                .tmp_inodes = 1 << 18,
                .wall_clock_s = 31 * kDay}},
    // Reading and editing with the host's own tools. Interpreters remain, so this keeps out native
    // code that the agent brings along, not the agent's scripts.
    {.name = "strict",
     .network = Network::isolated,
     .unknown_hosts = Ask::deny,
     .cgroups = Cgroups::required,
     .run_own_programs = false,
     .protect = kProtect,
     .env_pass = kEnvPass,
     .limits = {.memory_bytes = 2048 * kMiB,
                .swap_bytes = 0,
                .cpu_percent = 200,
                .io_bytes_per_s = 200 * kMiB,
                .max_processes = 256,
                .open_files = 4096,
                .file_bytes = 2048 * kMiB,
                .tmp_bytes = 256 * kMiB,
                .tmp_inodes = 1 << 16,
                .wall_clock_s = 1 * kDay}},
}};

}  // namespace

const ProfileData& profile_data(std::size_t profile) {
  return kData[profile];
}

std::string_view network_name(Network network) {
  static constexpr std::string_view kNames[] = {"open", "filtered", "isolated"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Network::kEnd));
  return kNames[static_cast<std::size_t>(network)];
}

std::string_view ask_name(Ask ask) {
  static constexpr std::string_view kNames[] = {"auto", "prompt", "deny"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Ask::kEnd));
  return kNames[static_cast<std::size_t>(ask)];
}

std::string_view cgroups_name(Cgroups cgroups) {
  static constexpr std::string_view kNames[] = {"optional", "required"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Cgroups::kEnd));
  return kNames[static_cast<std::size_t>(cgroups)];
}

}  // namespace oqto::policies
