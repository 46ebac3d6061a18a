// What an operator sets: flags first, then STATE/config/oqto.conf (strict `key = value`, root-owned
// and not writable by others). Unknown or repeated keys, relative paths and bad numbers refuse to
// start, with the line.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace oqto::guard {

struct Config {
  std::string state = "/var/lib/oqto";
  std::string bin;        // directory of our programs
  std::string web;        // the packed web UI
  std::string pi;         // the installed Pi runtime
  std::string bind = "127.0.0.1";  // IPv4 or IPv6 literal
  std::uint16_t port = 8443;
  std::string origin;     // https://NAME[:PORT] that browsers use
  std::string tls_certificate;
  std::string tls_key;
  std::uint32_t uid_base = 1'900'000'000;  // first of the range that only this host uses
  std::uint32_t uid_count = 200'000;       // processes, then tenants
  std::uint64_t tenant_bytes = std::uint64_t{10} << 30;  // of the disk, each; 0: no limit
  std::uint64_t tenant_files = 1'000'000;
  std::uint64_t tenants_image_bytes = 0;  // 0: no STATE/tenants.img
  std::uint32_t sleep_minutes = 15;  // without use, until a session's harness is ended
  std::string host_policy = "/etc/oqto/sandbox.toml";

  [[nodiscard]] std::string gateway_config() const { return state + "/config/gateway.toml"; }
};

constexpr std::uint32_t kFirstTenantUid = 1000;  // offset of account 0's runner; two per account
constexpr std::uint32_t kMaxAccount = 65'535;

inline std::uint32_t last_account(const Config& config) {  // whose uids are in the range
  return std::min(kMaxAccount, (config.uid_count - kFirstTenantUid) / 2 - 1);
}

// Prints the usage and exits for --help; Errc::invalid after having said why otherwise.
Result<Config> load_config(int argc, char** argv);

}  // namespace oqto::guard
