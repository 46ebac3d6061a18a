#include "audit/signer/signer_state.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/sys.h"
#include "ipc/wire.h"

namespace oqto::audit {
namespace {

constexpr const char* kStateFile = "state";
constexpr const char* kKeyFile = "log.key";
constexpr const char* kNextKeyFile = "log.key.next";
constexpr const char* kVerifierFile = "log.vkey";
constexpr std::uint64_t kSettledAt = 0;
constexpr std::uint64_t kLatestAt = 4096;  // a block of its own: one write never touches both
constexpr std::size_t kMaxKeyText = 512;
constexpr std::string_view kOriginMiddle = "/audit/";
constexpr std::size_t kOriginRandom = 8;
constexpr std::size_t kOriginRest = kOriginMiddle.size() + 2 * kOriginRandom;

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

}  // namespace

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
  state.boot_id_ = sys::boot_id();
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
    state.recall_ = ipc::Recall::exact;
  }
  if (state.latest_.size == 0) state.recall_ = ipc::Recall::exact;  // the first one is settled at once
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
  if (!is_settled() && sys::monotonic_ms() - settled_at_ms_ >= kSettleEveryMs) TRY(settle());
  TRY(write_slot(kLatestAt, tree));
  const bool is_first = latest_.size == 0;
  latest_ = tree;
  recall_ = ipc::Recall::exact;
  // From the first signature on the log has a signer: that must not depend on a second's luck.
  return is_first ? settle() : Status{};
}

Status SignerState::settle() {
  if (is_settled()) return {};
  return write_settled(latest_);
}

Status SignerState::reach(const SignedTree& tree) {
  if (tree.size <= latest_.size) return {};
  latest_ = tree;
  return settle();
}

bool key_exists(const Fd& dir) {
  return ::faccessat(dir.get(), kKeyFile, F_OK, 0) == 0;
}

namespace {

std::optional<SigningKey> read_key(const Fd& dir, const char* name) {
  const auto file = sys::open_beneath(dir, name, O_RDONLY);
  auto text = file ? sys::read_all(*file, kMaxKeyText) : Result<std::string>("");
  if (!text) return std::nullopt;
  auto key = SigningKey::parse(first_line(*text));
  ::sodium_memzero(text->data(), text->size());
  return key;
}

}  // namespace

std::string new_origin(std::string_view host) {
  std::string name(host.substr(0, kMaxOrigin - kOriginRest));
  const auto is_plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '-';
  };
  std::ranges::replace_if(name, [&](char c) { return !is_plain(c); }, '-');
  std::array<std::uint8_t, kOriginRandom> random{};
  sys::fill_random(random);
  return (name.empty() ? "host" : name) + std::string(kOriginMiddle) + to_hex(random);
}

Result<SigningKey> open_key(const Fd& dir, const std::string& origin) {
  if (!key_exists(dir)) {
    utsname facts{};
    (void)::uname(&facts);  // a name for people: without one it is just "host"
    std::string text =
        SigningKey::generate(origin.empty() ? new_origin(facts.nodename) : origin).text() + "\n";
    const Status written = write_new_file(dir, kKeyFile, text, 0600);
    ::sodium_memzero(text.data(), text.size());
    TRY(written);
  }
  auto key = read_key(dir, kKeyFile);
  if (!key) return fail(Errc::invalid, "log.key in the key directory is not a signing key");
  if (!origin.empty() && key->verifier().name != origin) {
    return fail(Errc::invalid, "log.key in the key directory belongs to another --origin");
  }
  return std::move(*key);
}

Status write_next_key(const Fd& dir, const SigningKey& key, uid_t owner, gid_t group) {
  std::string text = key.text() + "\n";
  const Status written = write_new_file(dir, kNextKeyFile, text, 0600);
  ::sodium_memzero(text.data(), text.size());
  TRY(written);
  if (::fchownat(dir.get(), kNextKeyFile, owner, group, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("the new key cannot be given to the signer's user");
  }
  return {};
}

Status promote_next_key(const Fd& dir) {
  {
    const Fd old = TRY(sys::open_beneath(dir, kKeyFile, O_WRONLY));
    TRY(sys::write_all(old, std::string(kMaxKeyText, '\0')));
    if (::fsync(old.get()) != 0) return fail_errno("the old key cannot be erased");
  }
  if (::renameat(dir.get(), kNextKeyFile, dir.get(), kKeyFile) != 0 || ::fsync(dir.get()) != 0) {
    return fail_errno("the new key cannot take the place of the old one");
  }
  return {};
}

Status finish_rotation(const Fd& dir, const VerifierKey& sealed) {
  const auto next = read_key(dir, kNextKeyFile);
  if (::faccessat(dir.get(), kNextKeyFile, F_OK, 0) != 0) return {};
  if (next && next->verifier() == sealed) return promote_next_key(dir);
  if (::unlinkat(dir.get(), kNextKeyFile, 0) != 0) return fail_errno("log.key.next");
  return {};
}

Status publish_keys(const Fd& dir, const VerifierKey& log_key, const std::string& first_epoch_key) {
  return write_new_file(dir, kVerifierFile, log_key.text() + "\n" + first_epoch_key + "\n", 0644);
}

}  // namespace oqto::audit
