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

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "audit/format/tree.h"
#include "audit/signer/signer_binding.h"
#include "audit/signer/signer_epoch.h"
#include "audit/signer/signer_state.h"
#include "base/log.h"
#include "base/sys.h"
#include "ipc/audit.h"
#include "ipc/loop.h"
#include "sandbox/seal.h"

namespace oqto::audit {
namespace {

constexpr const char* kUsage =
    "usage: oqto-audit-signer --key-dir PATH [--origin NAME] [--epoch-seconds N]\n"
    "       oqto-audit-signer --adopt --key-dir PATH [--operator-name NAME]\n"
    "Signs the audit log's checkpoints. Started by oqto-guard: descriptor 3 is its channel to the\n"
    "guard, descriptor 5 the channel to oqto-auditd.\n"
    "  --key-dir PATH   a directory of this process's user alone (0700); the key is made in it at\n"
    "                   the first start, its public half is log.vkey\n"
    "  --origin NAME    the log's name: printable ASCII without space and '+', at most 100. Without it\n"
    "                   the key's own or, at the first start, the host's name and a random suffix\n"
    "  --epoch-seconds N\n"
    "                   how long a key signs beside the log's before it is erased (default 600; may\n"
    "                   have a fraction)\n"
    "  --adopt          the key directory belongs where it is now: a copy of another one is not served\n"
    "                   before that. `oqtoctl adopt` runs this; the host must not run\n"
    "Exit status 78: the key directory is a copy, or was moved here.\n";

struct Arguments {
  std::string key_dir;
  std::string origin;
  std::uint64_t epoch_ms = 600'000;
  bool is_adoption = false;
  std::string operator_name;
};

// nullopt: not a number of seconds between a millisecond and a day.
std::optional<std::uint64_t> read_seconds(std::string_view text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size() || !(seconds >= 0.001) ||
      seconds > 86'400) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(seconds * 1000);
}

[[noreturn]] void usage(std::FILE* out, int status) {
  (void)std::fputs(kUsage, out);
  std::exit(status);
}

Arguments read_arguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--help") usage(stdout, 0);
    if (flag == "--adopt") {
      arguments.is_adoption = true;
      continue;
    }
    if (i + 1 == argc) usage(stderr, 2);
    if (flag == "--operator-name") {
      arguments.operator_name = argv[++i];
    } else if (flag == "--key-dir") {
      arguments.key_dir = argv[++i];
    } else if (flag == "--origin") {
      arguments.origin = argv[++i];
    } else if (const auto ms = flag == "--epoch-seconds" ? read_seconds(argv[++i]) : std::nullopt) {
      arguments.epoch_ms = *ms;
    } else {
      usage(stderr, 2);
    }
  }
  const bool is_named = !arguments.origin.empty();
  if (arguments.key_dir.empty() || (is_named && !is_valid_origin(arguments.origin))) usage(stderr, 2);
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
         Fd signals, SigningKey key, SignerState state, SignerBinding binding, SignerEpoch epoch,
         std::uint64_t epoch_ms)
      : loop_(std::move(loop)),
        guard_(std::move(guard)),
        auditd_(std::move(auditd)),
        signals_(std::move(signals)),
        key_(std::move(key)),
        state_(std::move(state)),
        binding_(std::move(binding)),
        epoch_(std::move(epoch)),
        epoch_ms_(epoch_ms) {
    // What was written with a key that an earlier process used is sealed at the first occasion:
    // ending processes does not prolong an epoch. Nor does the key go on that a copy has as well.
    const bool is_over = holds_entries() || binding_.adoption().at_ms != 0;
    ends_at_ms_ = sys::boottime_ms() + (is_over ? 0 : epoch_ms_);
  }

  Status serve() {
    TRY(loop_.watch(guard_.fd(), guard_port_));
    TRY(loop_.watch(auditd_.fd(), auditd_port_));
    TRY(loop_.watch(signals_, signal_port_));
    TRY(guard_.send(ipc::Ready{}));
    while (!stopping_) {
      TRY(loop_.run_once(timeout_ms()));
      TRY(failure_);
      // Nobody asks for the seal, or for a signature that would end the epoch.
      const std::uint64_t quiet_ms = sys::monotonic_ms() - signed_at_ms_;
      if (quiet_ms >= (is_synced_ ? kSealGraceMs : kHungDiskMs) && is_to_end(kSealGraceMs)) {
        TRY(end_epoch());
      }
    }
    return {};  // what auditd did not say is on its disk is not settled now either
  }

 private:
  static constexpr std::uint64_t kSealGraceMs = 2000;  // auditd asks in time, or it is not asked
  // Where auditd has not said that what was signed last is on its disk. A seal of what a power cut then
  // takes would leave a log that is never served again.
  static constexpr std::uint64_t kHungDiskMs = 60'000;

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
    const auto message = auditd_.receive();
    if (!message && message.error().code == Errc::limit) return;
    const Status taken = message ? take(*message) : Status(std::unexpected(message.error()));
    if (taken) return;
    if (taken.error().code == Errc::bad_message) {
      log::error("auditd broke the protocol and is cut off", taken.error());
    } else if (taken.error().code != Errc::unavailable) {
      failure_ = taken;
    }
    hang_up();
  }

  // Errc::bad_message and Errc::unavailable concern auditd alone.
  Status take(const ipc::Received& message) {
    if (message.tag == ipc::Tag::signer_query) {
      const auto query = TRY(message.as<ipc::SignerQuery>());
      if (query.what != ipc::SignerAsk::status) is_synced_ = true;
      if (query.what == ipc::SignerAsk::settle) TRY(state_.settle());
      if (query.what == ipc::SignerAsk::adopted) TRY(binding_.forget_adoption());
      const bool is_wanted = query.what == ipc::SignerAsk::seal_now
                                 ? is_whole() && holds_entries()
                                 : query.what == ipc::SignerAsk::seal_if_due && is_to_end(0);
      if (is_wanted) TRY(end_epoch());
      const SignedTree& last = state_.last();
      return auditd_.send(ipc::SignerStatus{last.size, last.root, state_.recall(), ms_left(),
                                             {epoch_.seal_note()}, query.request, binding_.adoption().at_ms,
                                             binding_.adoption().operator_uid, binding_.adoption().operator_name,
                                             binding_.place().machine});
    }
    const auto request = TRY(message.as<ipc::SignRequest>());
    // Who asks for more has synced what it has. An epoch that is not sealed in time ends all the same.
    if (request.size > state_.last().size && request.old_size == state_.last().size &&
        is_to_end(kSealGraceMs)) {
      TRY(end_epoch());
    }
    if (const char* why = objection(request)) return refuse(request, why);
    const SignedTree tree{request.size, request.root};
    // Unless it is kept: a signature that would be forgotten must not exist.
    if (tree != state_.last() || !is_whole()) {
      is_synced_ = false;
      signed_at_ms_ = sys::monotonic_ms();
      TRY(state_.remember(tree));
    }
    ipc::SignedCheckpoint answer;
    answer.request = request.request;
    answer.size = tree.size;
    answer.epoch_ms_left = ms_left();
    answer.note.value = epoch_.sign(key_, tree.size, tree.root);
    return auditd_.send(answer);
  }

  Status end_epoch() {
    TRY(state_.settle());
    TRY(epoch_.end(key_, state_.last().size, state_.last().root));
    ends_at_ms_ = sys::boottime_ms() + epoch_ms_;
    return {};
  }

  [[nodiscard]] bool is_over(std::uint64_t grace_ms) const {
    return sys::boottime_ms() >= ends_at_ms_ + grace_ms;
  }
  // Until auditd has shown the log to a signer that may have forgotten the last of it, no seal is made:
  // the log may hold more than it would seal.
  [[nodiscard]] bool is_whole() const { return state_.recall() == ipc::Recall::exact; }
  [[nodiscard]] bool is_to_end(std::uint64_t grace_ms) const {
    return is_whole() && is_over(grace_ms) && has_seal_in_log();
  }
  [[nodiscard]] bool has_seal_in_log() const { return state_.last().size > epoch_.seal().size; }
  [[nodiscard]] bool holds_entries() const { return state_.last().size > epoch_.seal().size + 1; }
  [[nodiscard]] std::uint32_t ms_left() const {
    const std::uint64_t now = sys::boottime_ms();
    return now >= ends_at_ms_ ? 0 : static_cast<std::uint32_t>(ends_at_ms_ - now);
  }
  [[nodiscard]] int timeout_ms() const {
    return is_whole() && has_seal_in_log() ? static_cast<int>(ms_left() + kSealGraceMs) : -1;
  }

  // Why this tree is not signed, nullptr if it is.
  const char* objection(const ipc::SignRequest& request) const {
    const SignedTree& last = state_.last();
    if (request.size == 0) return "nothing to sign";
    if (request.size < last.size) return "smaller than what was signed";
    if (request.size == last.size) {
      return request.root == last.root ? nullptr : "another tree of this size was signed";
    }
    if (request.epoch != epoch_.seal().epoch) return ipc::kEpochOver.data();
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

  Status refuse(const ipc::SignRequest& request, const char* why) {
    if (request.size != 0) {
      log::error("refused to sign",
                 {{"why", why}, {"size", request.size}, {"signed_size", state_.last().size}});
    }
    return auditd_.send(ipc::SignRefused{state_.last().size, state_.last().root, why, request.request});
  }

  ipc::Loop loop_;
  ipc::Channel guard_;
  ipc::Channel auditd_;
  Fd signals_;
  SigningKey key_;
  SignerState state_;
  SignerBinding binding_;
  SignerEpoch epoch_;
  const std::uint64_t epoch_ms_;
  std::uint64_t ends_at_ms_ = 0;  // CLOCK_BOOTTIME: the epoch's length is nobody's clock to set
  std::uint64_t signed_at_ms_ = 0;  // a tree that was new
  bool is_synced_ = true;           // … and is on auditd's disk, as that says
  Port guard_port_{*this, &Signer::on_guard};
  Port auditd_port_{*this, &Signer::on_auditd};
  Port signal_port_{*this, &Signer::on_signal};
  bool stopping_ = false;
  Status failure_;
};

bool is_moved = false;

Result<SignerBinding> bind(const Fd& dir) {
  auto binding = SignerBinding::open(dir);
  is_moved = !binding && (binding.error().code == Errc::denied || binding.error().code == Errc::invalid);
  if (binding && binding->place().machine.view().empty()) {
    log::info("this machine has no machine-id that outlives a restart: the log is bound to its files alone");
  }
  return binding;
}

// As root, with the host stopped.
int adopt(const Arguments& arguments) {
  const auto refuse = [&](const char* why) {
    (void)std::fprintf(stderr, "%s: %s\n", arguments.key_dir.c_str(), why);
    return 1;
  };
  const auto dir = sys::open_dir(arguments.key_dir.c_str());
  if (!dir || !key_exists(*dir)) return refuse("holds no key of a log: there is nothing to adopt");
  if (::flock(dir->get(), LOCK_EX | LOCK_NB) != 0) return refuse("the host is running: stop it first");
  prepare_hashing();
  const Adoption by{sys::now_ms(), sys::login_uid(::getpid()).value_or(::getuid()),
                    std::string_view(arguments.operator_name)};
  const auto adopted = SignerBinding::adopt(*dir, by);
  if (!adopted) return refuse(adopted.error().what);
  (void)std::puts(*adopted ? "The state directory belongs here now. The next start records that, and begins a new epoch."
                           : "The state directory is where it was: nothing was changed.");
  return 0;
}

Status run(const Arguments& arguments) {
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
  SignerBinding binding = TRY(bind(dir));
  if (const auto sealed_key = SignerEpoch::sealed_log_key(dir)) {
    TRY(finish_rotation(dir, *sealed_key));
  }
  SigningKey key = TRY(open_key(dir, arguments.origin));
  SignerEpoch epoch = TRY(SignerEpoch::open(dir, key, state.last().size == 0));
  TRY(publish_keys(dir, key.verifier(), epoch.first_key()));
  TRY(state.reach({epoch.seal().size, epoch.seal().root}));
  // --- sealed: no file but the open state, no program, no socket ---
  const auto sealed =
      TRY(sandbox::seal({.sets = {"io", "memory", "clock", "exit"}, .also = {"fdatasync"}}));
  Signer signer(sealed, std::move(loop), std::move(guard), std::move(auditd), std::move(signals),
                std::move(key), std::move(state), std::move(binding), std::move(epoch), arguments.epoch_ms);
  return signer.serve();
}

}  // namespace
}  // namespace oqto::audit

int main(int argc, char** argv) {
  oqto::log::set_process_name("signer");
  // --- nothing read yet ---
  if (const auto closed = oqto::sys::close_from(oqto::ipc::kFirstExtraFd); !closed) return oqto::log::exit_status(closed);
  const auto arguments = oqto::audit::read_arguments(argc, argv);
  if (arguments.is_adoption) return oqto::audit::adopt(arguments);
  const int status = oqto::log::exit_status(oqto::audit::run(arguments));
  return oqto::audit::is_moved ? oqto::audit::kMovedExit : status;
}
