#include "guard/config.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <charconv>
#include <cstring>
#include <set>
#include <string_view>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::guard {
namespace {

constexpr std::size_t kMaxConfigBytes = 64 * 1024;

constexpr char kUsage[] =
    "usage: oqto-guard --bin DIR --web FILE --pi DIR [options]\n"
    "Starts and supervises every part of Oqto. Needs root.\n\n"
    "  --state DIR     everything that lasts (default /var/lib/oqto)\n"
    "  --port N        TCP port to serve on (default 8443)\n"
    "  --bind ADDR     address to serve on (default 127.0.0.1)\n"
    "  --origin URL    what browsers type, e.g. https://agents.example (default https://localhost:PORT)\n"
    "  --tls-certificate FILE, --tls-key FILE   PEM (default STATE/tls/cert.pem, key.pem)\n"
    "  --uid-base N    first of the uids that belong to this instance alone (default 1900000000)\n"
    "  --uid-count N   how many they are, 4096 or more (default 200000): 1000, and two for each account\n"
    "  --host-policy FILE   policy of this host (default /etc/oqto/sandbox.toml, may be absent)\n"
    "  --sleep-minutes N    an unused session's harness is ended after this, 1 to 1440 (default 15)\n"
    "  --tenant-bytes N, --tenant-files N    what the home and workspaces of each tenant may have of the disk\n"
    "                  (default 10 GiB, 1000000; never more than half of it; its history has an eighth more); 0: no limit\n"
    "  --tenants-image-bytes N   where the file system has no limits to give: set so much aside for all\n"
    "                  tenants in STATE/tenants.img (default 0: none, and tenants are not limited there)\n"
    "  --bin DIR, --web FILE, --pi DIR          our programs, the packed UI, the Pi runtime\n"
    "The long options but --state can also stand in STATE/config/oqto.conf, as `port = 443`.\n"
    "SIGHUP, like `oqtoctl reload`, reads certificate, models and policy again; SIGTERM stops.\n";

std::unexpected<Error> refuse(std::string_view what, std::string_view where) {
  log::error("configuration refused", {{"why", what}, {"where", where}});
  return fail(Errc::invalid, "configuration refused");
}

template <class Number>
Status set_number(Number& target, std::string_view text, std::string_view where) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), target);
  if (error != std::errc() || end != text.data() + text.size()) {
    return refuse("a whole number in range is needed here", where);
  }
  return {};
}

Status set_path(std::string& target, std::string_view text, std::string_view where) {
  if (!text.starts_with('/')) return refuse("an absolute path is needed here", where);
  target = text;
  return {};
}

Status set(Config& config, std::string_view key, std::string_view value, std::string_view where) {
  if (key == "bin") return set_path(config.bin, value, where);
  if (key == "web") return set_path(config.web, value, where);
  if (key == "pi") return set_path(config.pi, value, where);
  if (key == "tls-certificate") return set_path(config.tls_certificate, value, where);
  if (key == "tls-key") return set_path(config.tls_key, value, where);
  if (key == "host-policy") return set_path(config.host_policy, value, where);
  if (key == "port") return set_number(config.port, value, where);
  if (key == "uid-base") return set_number(config.uid_base, value, where);
  if (key == "uid-count") return set_number(config.uid_count, value, where);
  if (key == "tenant-bytes") return set_number(config.tenant_bytes, value, where);
  if (key == "tenant-files") return set_number(config.tenant_files, value, where);
  if (key == "tenants-image-bytes") return set_number(config.tenants_image_bytes, value, where);
  if (key == "sleep-minutes") return set_number(config.sleep_minutes, value, where);
  if (key == "bind") {
    config.bind = value;
    return {};
  }
  if (key == "origin") {
    if (!value.starts_with("https://") || value.ends_with('/')) {
      return refuse("an origin looks like https://name or https://name:port", where);
    }
    config.origin = value;
    return {};
  }
  return refuse("there is no such setting; see oqto-guard --help", where);
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::strchr(" \t", text.front()) != nullptr) text.remove_prefix(1);
  while (!text.empty() && std::strchr(" \t", text.back()) != nullptr) text.remove_suffix(1);
  return text;
}

Status read_file(Config& config, const std::set<std::string, std::less<>>& flags) {
  const std::string path = config.state + "/config/oqto.conf";
  const auto file = sys::open_file(path.c_str(), O_RDONLY | O_NOFOLLOW);
  if (!file && file.error().sys == ENOENT) return {};
  if (!file) return std::unexpected(file.error());
  struct stat info{};
  if (::fstat(file->get(), &info) != 0) return fail_errno("fstat");
  if (info.st_uid != 0 || (info.st_mode & 022) != 0 || !S_ISREG(info.st_mode)) {
    return refuse("must be a file of root that nobody else can write", path);
  }
  const std::string text = TRY(sys::read_all(*file, kMaxConfigBytes));
  std::set<std::string, std::less<>> seen;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = trim(std::string_view(text).substr(at, end - at));
    at = end + 1;
    const std::string where = path + ":" + std::to_string(++number);
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t equals = line.find('=');
    if (equals == line.npos) return refuse("expected `key = value`", where);
    const std::string_view key = trim(line.substr(0, equals));
    if (!seen.emplace(key).second) return refuse("the same key twice", where);
    if (flags.contains(key)) continue;  // a flag wins
    TRY(set(config, key, trim(line.substr(equals + 1)), where));
  }
  return {};
}

Status finish(Config& config) {
  if (config.bin.empty() || config.web.empty() || config.pi.empty()) {
    return refuse("--bin, --web and --pi are needed", "command line");
  }
  if (config.port == 0) return refuse("a number from 1 to 65535 is needed here", "port");
  const std::uint64_t end = std::uint64_t{config.uid_base} + config.uid_count;
  if (config.uid_count < 4096 || config.uid_base < 10'000 || end > 1ULL << 31) {
    return refuse("uid-count must be 4096 or more, and all of these uids between 10000 and 2^31", "uid-base");
  }
  if (config.sleep_minutes < 1 || config.sleep_minutes > 1440) {
    return refuse("between 1 minute and a day (1440) is needed here", "sleep-minutes");
  }
  constexpr std::uint64_t kLeastBytes = 64 << 20, kLeastFiles = 1000;  // or a session does not even start
  if ((config.tenant_bytes != 0 && config.tenant_bytes < kLeastBytes) ||
      (config.tenant_files != 0 && config.tenant_files < kLeastFiles)) {
    return refuse("0, or 67108864 bytes and 1000 files or more are needed here", "tenant-bytes, tenant-files");
  }
  if (config.origin.empty()) config.origin = "https://localhost:" + std::to_string(config.port);
  if (config.tls_certificate.empty()) config.tls_certificate = config.state + "/tls/cert.pem";
  if (config.tls_key.empty()) config.tls_key = config.state + "/tls/key.pem";
  return {};
}

}  // namespace

Result<Config> load_config(int argc, char** argv) {
  Config config;
  std::set<std::string, std::less<>> flags;
  for (int i = 1; i < argc; ++i) {
    std::string_view flag = argv[i];
    if (flag == "--help") {
      (void)std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (!flag.starts_with("--") || i + 1 >= argc) return refuse("see oqto-guard --help", flag);
    const std::string_view where = flag;
    flag.remove_prefix(2);
    const std::string_view value = argv[++i];
    if (flag == "state") {
      TRY(set_path(config.state, value, where));
    } else {
      TRY(set(config, flag, value, where));
    }
    flags.emplace(flag);
  }
  TRY(read_file(config, flags));
  TRY(finish(config));
  return config;
}

}  // namespace oqto::guard
