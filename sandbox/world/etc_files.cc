#include "sandbox/world/etc_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"

namespace oqto::sandbox {
namespace {

constexpr const char* kNsswitch =
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
    "protocols: files\nservices: files\n";
constexpr std::size_t kMaxHostFile = 64 * 1024;

std::string passwd(const World& world) {
  const std::string id = std::to_string(world.uid) + ':' + std::to_string(world.gid);
  return "root:x:0:0:root:/root:/usr/sbin/nologin\n" + world.user + ":x:" + id + ':' + world.user +
         ':' + world.home.inside + ":/bin/bash\n" +
         "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
}

std::string group(const World& world) {
  return "root:x:0:\n" + world.user + ":x:" + std::to_string(world.gid) + ":\nnogroup:x:65534:\n";
}

// Who answers names is told by the network: the gateway, the host's resolver, or nobody.
std::string resolv_conf(const World& world) {
  switch (world.network) {
    case World::Network::present:
    case World::Network::filtered:
      // While the user is asked about a name, its answer takes as long as the user does.
      return world.policy.unknown_hosts == Ask::prompt
                 ? "nameserver 198.18.0.1\noptions timeout:30 attempts:5\n"
                 : "nameserver 198.18.0.1\noptions timeout:2 attempts:1\n";
    case World::Network::open: {
      const auto file = sys::open_file("/etc/resolv.conf", O_RDONLY);
      const auto text = file ? sys::read_all(*file, kMaxHostFile) : std::unexpected(file.error());
      return text.value_or("");
    }
    case World::Network::isolated:
      break;
  }
  return "# no names: the network of this sandbox is its loopback interface\n";
}

std::string hosts(const World& world) {
  std::string text = "127.0.0.1 localhost " + world.hostname + "\n::1 localhost\n";
  if (world.network == World::Network::present) text += "198.18.0.2 models.oqto\n";
  return text;
}

}  // namespace

std::vector<World::Generated> etc_files(const World& world) {
  return {{"/etc/passwd", passwd(world)},           {"/etc/group", group(world)},
          {"/etc/nsswitch.conf", kNsswitch},        {"/etc/hosts", hosts(world)},
          {"/etc/resolv.conf", resolv_conf(world)}, {"/etc/hostname", world.hostname + '\n'}};
}

std::vector<std::string> public_etc_files() {
  return {"/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime",
          // The public certificate authorities, where the distributions keep them: as one file
          // and, for OpenSSL's default, as a directory of links to /usr.
          "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem",
          "/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted"};
}

}  // namespace oqto::sandbox
