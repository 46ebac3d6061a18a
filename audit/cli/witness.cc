// oqto-audit witness serve
#include <signal.h>
#include <sodium.h>
#include <sys/stat.h>

#include "audit/cli/cli.h"
#include "audit/witness/witness_server.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

std::optional<SigningKey> witness_key(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) == 0 && (facts.st_mode & 077) != 0) {
    (void)complain("the key " + path + " can be read by others: chmod 600 it");
    return std::nullopt;
  }
  auto text = read_file(path, kMaxKeyFile);
  if (!text) {
    (void)complain("the key " + path + ": " + reason(text.error()));
    return std::nullopt;
  }
  auto key = SigningKey::parse(first_line(*text), KeyType::witness);
  ::sodium_memzero(text->data(), text->size());
  if (!key) (void)complain("the key " + path + " is no witness key; see `oqto-audit keygen`");
  return key;
}

std::optional<std::vector<Pin>> watched_logs(const Arguments& arguments) {
  std::vector<Pin> logs;
  for (const std::string& path : arguments.all("--log")) {
    auto pin = read_pin(path);
    if (!pin) return std::nullopt;
    logs.push_back(std::move(*pin));
  }
  if (!logs.empty()) return logs;
  (void)complain("--log is needed: the public key of each log that is witnessed");
  return std::nullopt;
}

std::optional<std::vector<Seals>> rotations(const Arguments& arguments) {
  std::vector<Seals> all;
  for (const std::string& path : arguments.all("--seals")) {
    const auto text = read_file(path, kMaxSealsFile);
    auto seals = text ? read_seals(*text) : std::nullopt;
    if (!seals) {
      (void)complain(path + (text ? std::string(" holds no seals, or not all of them") : ": " + reason(text.error())));
      return std::nullopt;
    }
    all.push_back(std::move(*seals));
  }
  return all;
}

Result<sandbox::Sealed> seal_beneath(const std::string& state) {
  return sandbox::seal(
      {.sets = {"io", "memory", "clock", "exit", "accept", "files-read", "files-write"},
       .also = {"futex"},  // Beast makes its error categories when it first needs them
       .write_beneath = {state}});
}

int serve(const Arguments& arguments) {
  // --- keys and configuration: the operator's own files ---
  for (const char* name : {"--state", "--key", "--listen"}) {
    if (!arguments.has(name)) return complain(std::string(name) + " is needed");
  }
  log::set_process_name("witness");
  ::umask(077);
  const std::string state = arguments.get("--state");
  auto key = witness_key(arguments.get("--key"));
  const auto logs = key ? watched_logs(arguments) : std::nullopt;
  const auto seals = logs ? rotations(arguments) : std::nullopt;
  if (!seals) return kUnusable;
  auto witness = Witness::open(state, std::move(*key), *logs, *seals);
  if (!witness && witness.error().code == Errc::denied) return complain(witness.error().what);
  if (!witness) return complain("the state directory " + state + ": " + reason(witness.error()));
  auto listener = listen_on(arguments.get("--listen"));
  if (!listener) return complain(arguments.get("--listen") + ": " + reason(listener.error()));
  auto loop = ipc::Loop::create();
  auto signals = ipc::signal_fd({SIGTERM, SIGINT});
  if (!loop || !signals) return complain("the event loop cannot start");
  for (const std::string& origin : witness->unknown()) {
    log::warn("nothing is remembered of a log: if this witness has cosigned it before, stop, and "
              "restore the state directory",
              {{"log", origin}});
  }
  (void)print("witness " + witness->key().text() + "\nlistening on " + local_address(*listener) +
              "\n");
  (void)std::fflush(stdout);
  // --- sealed: the state directory and connections that come in; no program, no other file ---
  const auto sealed = seal_beneath(state);
  if (!sealed) return complain("the witness cannot seal itself: " + reason(sealed.error()));
  const Status served = serve_witness(*sealed, std::move(*loop), std::move(*listener),
                                      std::move(*signals), std::move(*witness));
  return served ? kOk : complain("the witness must end: " + reason(served.error()));
}

}  // namespace

Command witness_serve_command() {
  return {.name = "witness serve",
          .summary = "Serves a witness (C2SP tlog-witness): cosigns each log's newest tree if it "
                     "continues the last one.",
          .details =
              "Run it on another machine than the log's. Plain HTTP: for loopback, or behind a\n"
              "proxy that does TLS. The state directory must exist and must never be lost or set\n"
              "back: a witness that forgets is no witness. A log that signs two trees of one size\n"
              "is convicted by the two notes in STATE/*.conflict.*. Monitors get the newest cosigned\n"
              "checkpoint from GET /<SHA-256 of the log's origin, in hex>/checkpoint.",
          .options = {{"--state", "DIR", "what the witness remembers"},
                      {"--key", "FILE", "its private key, from `oqto-audit keygen --type witness`"},
                      {"--listen", "ADDR:PORT", "as 127.0.0.1:8090"},
                      {"--log", "FILE", "a log's log.vkey; may be given several times, and must be for\n"
                                         "each key that a log had if it was rotated, the first one first"},
                      {"--seals", "FILE",
                       "of a log that was rotated: its seals, as `oqto-audit prove 0 --seals` writes\n"
                       "them, which must lead from its first key here to the others"}},
          .run = serve};
}

}  // namespace oqto::audit::cli
