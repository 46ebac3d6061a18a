#include "audit/signer_state.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "base/sys.h"
#include "ipc/wire.h"

namespace oqto::audit {
namespace {

constexpr const char* kStateFile = "state";
constexpr const char* kKeyFile = "log.key";
constexpr const char* kVerifierFile = "log.vkey";
constexpr std::uint64_t kSettledAt = 0;
constexpr std::uint64_t kLatestAt = 4096;  // a block of its own: one write never touches both
constexpr std::size_t kMaxKeyText = 512;

struct Slot {
  std::uint64_t size = 0;
  Hash root{};
  ipc::Text<36> boot;
  Hash digest{};
  bool fields(auto& io) { return io(size, root, boot, digest); }

  [[nodiscard]] Hash expected_digest() const {
    return sha256("oqto audit signer state\n" + std::to_string(size) + "\n" + to_hex(root) + "\n" +
                  boot.str());
  }
};
constexpr std::size_t kMaxSlot = 8 + 32 + 2 + 36 + 32;

std::optional<Slot> read_slot(const Fd& file, std::uint64_t offset) {
  std::array<std::byte, kMaxSlot> bytes{};
  const ssize_t n = ::pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (n <= 0) return std::nullopt;
  const std::span<const std::byte> read(bytes.data(), static_cast<std::size_t>(n));
  ipc::Reader reader(read);
  Slot slot;
  if (!slot.fields(reader) || slot.digest != slot.expected_digest()) return std::nullopt;
  return slot;
}

std::string read_boot_id() {
  const auto file = sys::open_file("/proc/sys/kernel/random/boot_id", O_RDONLY);
  auto text = file ? sys::read_all(*file, 64) : Result<std::string>("");
  return text ? text->substr(0, 36) : std::string();
}

Status write_new_file(const Fd& dir, const char* name, std::string_view content, mode_t mode) {
  const std::string aside = std::string(name) + ".new";
  const Fd file =
      TRY(sys::open_beneath(dir, aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
  if (::fchmod(file.get(), mode) != 0) return fail_errno("fchmod in the key directory");
  TRY(sys::write_all(file, content));
  if (::fsync(file.get()) != 0) return fail_errno("fsync in the key directory");
  if (::renameat(dir.get(), aside.c_str(), dir.get(), name) != 0 || ::fsync(dir.get()) != 0) {
    return fail_errno("a file in the key directory cannot be made");
  }
  return {};
}

}  // namespace

Result<SignerState> SignerState::open(const Fd& dir, bool has_key) {
  auto file = has_key ? sys::open_beneath(dir, kStateFile, O_RDWR)
                      : sys::open_beneath(dir, kStateFile, O_RDWR | O_CREAT, 0600);
  if (!file) {
    return std::unexpected(Error{Errc::invalid,
                                 "the signer's file `state`, which says what was "
                                 "signed last, cannot be opened: restore it",
                                 file.error().sys});
  }
  SignerState state(std::move(*file));
  state.boot_id_ = read_boot_id();
  const auto settled = read_slot(state.file_, kSettledAt);
  if (!settled && has_key) return fail(Errc::invalid, "the signer's file `state` is damaged");
  if (settled && settled->size > 0 && !has_key) {
    return fail(Errc::invalid, "the signer has signed before, but its key is gone");
  }
  if (!settled) TRY(state.write_settled({}));
  if (settled) state.settled_ = state.latest_ = {settled->size, settled->root};
  const auto latest = read_slot(state.file_, kLatestAt);
  if (latest && !state.boot_id_.empty() && latest->boot.view() == state.boot_id_ &&
      latest->size >= state.settled_.size) {
    state.latest_ = {latest->size, latest->root};
  }
  if (::fsync(dir.get()) != 0) return fail_errno("fsync of the key directory");
  return state;
}

Status SignerState::write_slot(std::uint64_t offset, const SignedTree& tree) {
  Slot slot{tree.size, tree.root, std::string_view(boot_id_), {}};
  slot.digest = slot.expected_digest();
  ipc::Writer writer;
  slot.fields(writer);
  const auto bytes = writer.take();
  const ssize_t n = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  if (n != static_cast<ssize_t>(bytes.size())) return fail_errno("the signer's state");
  return {};
}

Status SignerState::write_settled(const SignedTree& tree) {
  TRY(write_slot(kSettledAt, tree));
  if (::fdatasync(file_.get()) != 0) return fail_errno("fdatasync of the signer's state");
  settled_ = tree;
  settled_at_ms_ = sys::monotonic_ms();
  return {};
}

Status SignerState::remember(const SignedTree& tree) {
  // That this request was made shows that the log has synced what it got signed before.
  if (!is_settled() && sys::monotonic_ms() - settled_at_ms_ >= kSettleMs) TRY(settle());
  TRY(write_slot(kLatestAt, tree));
  const bool is_first = latest_.size == 0;
  latest_ = tree;
  // From the first signature on the log has a signer: that must not depend on a second's luck.
  return is_first ? settle() : Status{};
}

Status SignerState::settle() {
  if (is_settled()) return {};
  return write_settled(latest_);
}

bool key_exists(const Fd& dir) {
  return ::faccessat(dir.get(), kKeyFile, F_OK, 0) == 0;
}

Result<SigningKey> open_key(const Fd& dir, const std::string& origin) {
  if (!key_exists(dir)) {
    std::string text = SigningKey::generate(origin).text() + "\n";
    const Status written = write_new_file(dir, kKeyFile, text, 0600);
    ::sodium_memzero(text.data(), text.size());
    TRY(written);
  }
  const Fd file = TRY(sys::open_beneath(dir, kKeyFile, O_RDONLY));
  std::string text = TRY(sys::read_all(file, kMaxKeyText));
  auto key = SigningKey::parse(std::string_view(text).substr(0, text.find('\n')));
  ::sodium_memzero(text.data(), text.size());
  if (!key) return fail(Errc::invalid, "log.key in the key directory is not a signing key");
  if (key->verifier().name != origin) {
    return fail(Errc::invalid, "log.key in the key directory belongs to another --origin");
  }
  TRY(write_new_file(dir, kVerifierFile, key->verifier().text() + "\n", 0644));
  return std::move(*key);
}

}  // namespace oqto::audit
