#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "audit/cli/cli.h"
#include "audit/signer/signer_binding.h"
#include "audit/signer/signer_epoch.h"
#include "audit/signer/signer_state.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

constexpr std::string_view kDefaultKeys = "/var/lib/oqto/audit/key";

Result<VerifierKey> rotate_in(const std::string& path) {
  const Fd dir = TRY(sys::open_dir(path.c_str()));
  if (::flock(dir.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(Errc::unavailable, "the signer is running: stop the host first");
  }
  struct stat owner {};
  if (::fstat(dir.get(), &owner) != 0) return fail_errno("fstat of the key directory");
  if (!key_exists(dir)) return fail(Errc::not_found, "holds no log.key: nothing was ever signed with it");
  if (const auto sealed = SignerEpoch::sealed_log_key(dir)) TRY(finish_rotation(dir, *sealed));
  const SigningKey old = TRY(open_key(dir, ""));
  SignerState state = TRY(SignerState::open(dir, true));
  (void)TRY(SignerBinding::open(dir));  // a copy must not go on, nor with another key
  SignerEpoch epoch = TRY(SignerEpoch::open(dir, old, false));
  TRY(state.reach({epoch.seal().size, epoch.seal().root}));
  TRY(state.settle());
  if (state.last().size <= epoch.seal().size || state.recall() != ipc::Recall::exact) {
    return fail(Errc::unavailable,
                "the signer and the log have not met since the newest seal, or since the machine was "
                "started: start the host once, stop it, and try again");
  }
  const SigningKey next = SigningKey::generate(old.verifier().name);
  TRY(write_next_key(dir, next, owner.st_uid, owner.st_gid));
  TRY(epoch.end(old, state.last().size, state.last().root, &next));
  TRY(promote_next_key(dir));
  TRY(publish_keys(dir, next.verifier(), epoch.first_key()));
  return next.verifier();
}

int rotate(const Arguments& arguments) {
  const std::string path = arguments.get("--key-dir", kDefaultKeys);
  prepare_hashing();
  const auto key = rotate_in(path);
  if (!key) return complain(path + ": " + reason(key.error()));
  return print(key->text() + "\n") ? kOk : kUnusable;
}

}  // namespace

Command rotate_command() {
  return {.name = "rotate",
          .summary = "Gives the log a new key, with the host stopped, and prints its public half.",
          .details =
              "The seal that ends the current epoch is signed with the old key, the epoch's key and\n"
              "the new one; it stands in the log after the next start of the host. From then on the\n"
              "log verifies with either public key. Give the new log.vkey to auditors and witnesses.\n"
              "The old private key is erased.",
          .options = {{"--key-dir", "DIR", "the signer's directory (default /var/lib/oqto/audit/key)"}},
          .run = rotate};
}

}  // namespace oqto::audit::cli
