// oqto-audit-signer: holds the log's key and signs a tree only if it continues the one it signed
// before. It never sees an entry, so that whoever takes over auditd can add to the log, but neither
// change, drop nor reorder what is in it.
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "audit/signer_state.h"
#include "audit/tree.h"
#include "base/log.h"
#include "base/sys.h"
#include "ipc/audit.h"
#include "ipc/loop.h"
#include "sandbox/seal.h"

namespace oqto::audit {
namespace {

constexpr const char* kUsage =
    "usage: oqto-audit-signer --key-dir PATH --origin NAME\n"
    "Signs the audit log's checkpoints. Started by oqto-guard: descriptor 3 is its channel to the\n"
    "guard, descriptor 5 the channel to oqto-auditd.\n"
    "  --key-dir PATH   a directory of this process's user alone (0700); the key is made in it at\n"
    "                   the first start, its public half is log.vkey\n"
    "  --origin NAME    the log's name: printable ASCII without space and '+', at most 100\n";

struct Arguments {
  std::string key_dir;
  std::string origin;
};

[[noreturn]] void usage(std::FILE* out, int status) {
  (void)std::fputs(kUsage, out);
  std::exit(status);
}

Arguments read_arguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--help") usage(stdout, 0);
    if (i + 1 == argc) usage(stderr, 2);
    if (flag == "--key-dir") {
      arguments.key_dir = argv[++i];
    } else if (flag == "--origin") {
      arguments.origin = argv[++i];
    } else {
      usage(stderr, 2);
    }
  }
  if (arguments.key_dir.empty() || !is_valid_origin(arguments.origin)) usage(stderr, 2);
  return arguments;
}

Result<Fd> open_key_dir(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail_errno("mkdir of the key directory");
  }
  Fd dir = TRY(sys::open_dir(path.c_str()));
  struct stat facts {};
  if (::fstat(dir.get(), &facts) != 0) return fail_errno("fstat of the key directory");
  if (facts.st_uid != ::geteuid() || (facts.st_mode & 077) != 0) {
    return fail(Errc::denied, "the key directory must belong to the signer's user, with mode 0700");
  }
  if (::flock(dir.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail_errno("the key directory is in use by another oqto-audit-signer");
  }
  return dir;
}

class Signer {
 public:
  Signer(const sandbox::Sealed&, ipc::Loop loop, ipc::Channel guard, ipc::Channel auditd,
         Fd signals, SigningKey key, SignerState state)
      : loop_(std::move(loop)),
        guard_(std::move(guard)),
        auditd_(std::move(auditd)),
        signals_(std::move(signals)),
        key_(std::move(key)),
        state_(std::move(state)) {}

  Status serve() {
    TRY(loop_.watch(guard_.fd(), guard_port_));
    TRY(loop_.watch(auditd_.fd(), auditd_port_));
    TRY(loop_.watch(signals_, signal_port_));
    TRY(guard_.send(ipc::Ready{}));
    while (!stopping_) {
      asked_ = false;
      TRY(loop_.run_once(state_.is_settled() ? -1 : static_cast<int>(SignerState::kSettleMs)));
      TRY(failure_);
      // Nothing was asked for kSettleMs: the log has synced what was signed last.
      if (!asked_) TRY(state_.settle());
    }
    return state_.settle();
  }

 private:
  struct Port : ipc::Watcher {
    using Handler = void (Signer::*)();
    Port(Signer& owner, Handler handler) : signer_(owner), handler_(handler) {}
    void on_ready(std::uint32_t /*events*/) override { (signer_.*handler_)(); }

   private:
    Signer& signer_;
    Handler handler_;
  };

  void on_signal() { stopping_ = true; }

  void on_guard() {
    auto message = guard_.receive();
    if (!message && message.error().code == Errc::limit) return;
    if (!message) {
      stopping_ = true;
      return;
    }
    const auto wire = message->as<ipc::Wire>();
    if (!wire || wire->role != ipc::WireRole::peer) {
      failure_ = fail(Errc::bad_message, "the guard sent what the signer does not take");
      return;
    }
    hang_up();
    auditd_ = ipc::Channel(std::move(message->fd));
    failure_ = loop_.watch(auditd_.fd(), auditd_port_);
  }

  void hang_up() {
    if (!auditd_) return;
    loop_.unwatch(auditd_.fd(), auditd_port_);
    auditd_ = ipc::Channel();
  }

  void on_auditd() {
    asked_ = true;
    const auto message = auditd_.receive();
    if (!message && message.error().code == Errc::limit) return;
    const auto request = message ? message->as<ipc::SignRequest>()
                                 : Result<ipc::SignRequest>(std::unexpected(message.error()));
    if (!request) {
      if (request.error().code != Errc::unavailable) {
        log::error("auditd broke the protocol and is cut off", request.error());
      }
      return hang_up();
    }
    if (const char* why = objection(*request)) return refuse(*request, why);
    const SignedTree tree{request->size, request->root};
    if (tree != state_.last()) {
      if (const auto kept = state_.remember(tree); !kept) {
        failure_ = kept;  // unsigned: a signature that would be forgotten must not exist
        return;
      }
    }
    ipc::SignedCheckpoint answer;
    answer.size = tree.size;
    answer.note.value = key_.sign({key_.verifier().name, tree.size, tree.root});
    if (!auditd_.send(answer)) hang_up();
  }

  // Why this tree is not signed, nullptr if it is.
  const char* objection(const ipc::SignRequest& request) const {
    const SignedTree& last = state_.last();
    if (request.size == 0) return "nothing to sign";
    if (request.size < last.size) return "smaller than what was signed";
    if (request.size == last.size) {
      return request.root == last.root ? nullptr : "another tree of this size was signed";
    }
    if (request.old_size != last.size) return "the proof does not start at what was signed";
    const std::string& bytes = request.proof.value;
    if (bytes.size() % sizeof(Hash) != 0) return "malformed proof";
    std::vector<Hash> proof(bytes.size() / sizeof(Hash));
    std::memcpy(proof.data(), bytes.data(), bytes.size());
    return verify_prefix(last.size, last.size == 0 ? sha256("") : last.root, request.size,
                         request.root, proof)
               ? nullptr
               : "not a continuation of what was signed";
  }

  void refuse(const ipc::SignRequest& request, const char* why) {
    if (request.size != 0) {
      log::error("refused to sign",
                 {{"why", why}, {"size", request.size}, {"signed_size", state_.last().size}});
    }
    if (!auditd_.send(ipc::SignRefused{state_.last().size, state_.last().root, why})) hang_up();
  }

  ipc::Loop loop_;
  ipc::Channel guard_;
  ipc::Channel auditd_;
  Fd signals_;
  SigningKey key_;
  SignerState state_;
  Port guard_port_{*this, &Signer::on_guard};
  Port auditd_port_{*this, &Signer::on_auditd};
  Port signal_port_{*this, &Signer::on_signal};
  bool stopping_ = false;
  bool asked_ = false;
  Status failure_;
};

Status run(int argc, char** argv) {
  // --- nothing read yet ---
  TRY(sys::close_from(ipc::kFirstExtraFd));
  const Arguments arguments = read_arguments(argc, argv);
  TRY(sys::adopt_inherited(ipc::kGuardFd, ipc::kFirstExtraFd - ipc::kGuardFd));
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  ipc::Channel auditd(Fd::adopt(ipc::kPeerFd));
  ::umask(077);
  ::signal(SIGINT, SIG_IGN);  // Ctrl-C is the guard's to handle: the log still has entries to sign
  Fd signals = TRY(ipc::signal_fd({SIGTERM}));
  ipc::Loop loop = TRY(ipc::Loop::create());
  (void)::setpriority(PRIO_PROCESS, 0,
                      -15);  // every record waits for it; without privilege, as it is
  prepare_hashing();
  if (::sodium_init() < 0) return fail(Errc::io, "libsodium cannot start");
  const Fd dir = TRY(open_key_dir(arguments.key_dir));
  SignerState state = TRY(SignerState::open(dir, key_exists(dir)));
  SigningKey key = TRY(open_key(dir, arguments.origin));
  // --- sealed: no file but the open state, no program, no socket ---
  const auto sealed =
      TRY(sandbox::seal({.sets = {"io", "memory", "clock", "exit"}, .also = {"fdatasync"}}));
  Signer signer(sealed, std::move(loop), std::move(guard), std::move(auditd), std::move(signals),
                std::move(key), std::move(state));
  return signer.serve();
}

}  // namespace
}  // namespace oqto::audit

int main(int argc, char** argv) {
  oqto::log::set_process_name("signer");
  return oqto::log::exit_status(oqto::audit::run(argc, argv));
}
