#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/cli/cli.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

// A key must not replace another one, nor go where a link points.
Status write_new(const std::string& path, std::string_view text, mode_t mode) {
  const Fd file =
      TRY(sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  if (::fchmod(file.get(), mode) != 0) return fail_errno("fchmod");
  const Status written = sys::write_all(file, text);
  if (written && ::fsync(file.get()) == 0) return {};
  (void)::unlink(path.c_str());
  return fail(Errc::io, "the key cannot be written");
}

std::string public_path(const std::string& path) {
  return (path.ends_with(".key") ? path.substr(0, path.size() - 4) : path) + ".vkey";
}

int keygen(const Arguments& arguments) {
  const std::string type = arguments.get("--type", "log");
  const std::string name = arguments.get("--name");
  const std::string path = arguments.get("--out");
  if (type != "log" && type != "witness") return complain("--type is log or witness");
  if (!is_valid_origin(name)) {
    return complain("--name is needed: printable ASCII without space and '+', at most 100 bytes, as "
                    "audit.example.org/host1");
  }
  if (path.empty()) return complain("--out is needed: where the private key is written");
  const auto key = SigningKey::generate(name, type == "log" ? KeyType::log : KeyType::witness);
  const std::string vkey = key.verifier().text() + "\n";
  std::string secret = key.text() + "\n";
  const Status kept = write_new(path, secret, 0600);
  ::sodium_memzero(secret.data(), secret.size());
  if (!kept) return complain(path + ": " + reason(kept.error()));
  const Status published = write_new(public_path(path), vkey, 0644);
  if (!published) {
    (void)::unlink(path.c_str());
    return complain(public_path(path) + ": " + reason(published.error()));
  }
  return print(vkey) ? kOk : kUnusable;
}

}  // namespace

Command keygen_command() {
  return {.name = "keygen",
          .summary = "Makes a key pair (Ed25519, C2SP note format) and prints the public half.",
          .details = "FILE gets the private key, readable by you alone; the public one goes beside "
                     "it, as FILE with\nthe ending .vkey. Neither may exist already.",
          .options = {{"--type", "TYPE", "log or witness (default log)"},
                      {"--name", "NAME", "the log's origin, or the witness's name"},
                      {"--out", "FILE", "the private key's file"}},
          .run = keygen};
}

}  // namespace oqto::audit::cli
