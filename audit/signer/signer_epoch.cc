#include "audit/signer/signer_epoch.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/sys.h"
#include "ipc/wire.h"

namespace oqto::audit {
namespace {

constexpr const char* kEpochFile = "epoch";
constexpr std::uint64_t kSlotBytes = 8192;

std::string signed_seal(const Seal& seal, std::initializer_list<const SigningKey*> keys) {
  const std::string body = seal_body(seal);
  std::string note = body + "\n";
  for (const SigningKey* key : keys) {
    if (key != nullptr) note += key->sign_line(body);
  }
  return note;
}

}  // namespace

struct SignerEpoch::Slot {
  bool is_valid = false;
  bool is_empty = false;
  std::uint64_t epoch = 0;
  ipc::LongText<512> key;
  ipc::LongText<kMaxSeal> seal;
  ipc::LongText<1024> last_note;
  ipc::LongText<512> first_key;
  Hash digest{};
  bool fields(auto& io) { return io(epoch, key, seal, last_note, first_key, digest); }

  Slot() = default;
  Slot(Slot&&) = default;
  ~Slot() { ::sodium_memzero(key.value.data(), key.value.size()); }
  [[nodiscard]] Hash expected_digest() const {
    return sha256("oqto audit epoch\n" + std::to_string(epoch) + "\n" + to_hex(sha256(key.value)) +
                  "\n" + seal.value + "\n" + last_note.value + "\n" + first_key.value);
  }
};

SignerEpoch::Slot SignerEpoch::read_slot(const Fd& file, std::uint64_t number) {
  std::vector<std::byte> bytes(kSlotBytes);
  const ssize_t n = ::pread(file.get(), bytes.data(), bytes.size(),
                            static_cast<off_t>(number * kSlotBytes));
  Slot slot;
  if (n > 0) {
    bytes.resize(static_cast<std::size_t>(n));
    slot.is_empty = std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
    ipc::Reader reader(bytes);
    slot.is_valid = slot.fields(reader) && slot.digest == slot.expected_digest();
  }
  ::sodium_memzero(bytes.data(), bytes.size());
  return slot;
}

Status SignerEpoch::write_slot(const Fd& file, std::uint64_t number, const Slot& slot) {
  ipc::Writer writer;
  (void)const_cast<Slot&>(slot).fields(writer);  // written once, for both directions
  auto bytes = writer.take();
  bytes.resize(kSlotBytes);
  const ssize_t n = ::pwrite(file.get(), bytes.data(), bytes.size(),
                             static_cast<off_t>(number * kSlotBytes));
  ::sodium_memzero(bytes.data(), bytes.size());
  if (n != static_cast<ssize_t>(kSlotBytes)) return fail_errno("the signer's file `epoch`");
  if (::fdatasync(file.get()) != 0) return fail_errno("fdatasync of the signer's file `epoch`");
  return {};
}

Status SignerEpoch::erase_slot(const Fd& file, std::uint64_t number) {
  const std::vector<std::byte> zeros(kSlotBytes);
  const ssize_t n = ::pwrite(file.get(), zeros.data(), zeros.size(),
                             static_cast<off_t>(number * kSlotBytes));
  if (n != static_cast<ssize_t>(kSlotBytes) || ::fdatasync(file.get()) != 0) {
    return fail_errno("the key of an epoch that is over cannot be erased");
  }
  return {};
}

Status SignerEpoch::make_first(const Fd& dir, const SigningKey& log_key) {
  const std::string& origin = log_key.verifier().name;
  const SigningKey key = SigningKey::generate(epoch_key_name(origin, 0));
  const Seal seal{0, 0, sha256(""), sys::now_ms(), key.verifier(), log_key.verifier()};
  Slot slot;
  slot.key.value = key.text();
  slot.first_key.value = key.verifier().text();
  slot.seal.value = signed_seal(seal, {&log_key});
  slot.digest = slot.expected_digest();
  const std::string aside = std::string(kEpochFile) + ".new";
  const Fd file = TRY(
      sys::open_beneath(dir, aside.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  TRY(write_slot(file, 0, slot));
  TRY(erase_slot(file, 1));  // both have their blocks from the beginning
  if (::renameat(dir.get(), aside.c_str(), dir.get(), kEpochFile) != 0 || ::fsync(dir.get()) != 0) {
    return fail_errno("the file `epoch` in the key directory cannot be made");
  }
  return {};
}

std::size_t SignerEpoch::newest_of(const Slot (&slots)[2]) {
  return slots[1].is_valid && (!slots[0].is_valid || slots[1].epoch > slots[0].epoch) ? 1 : 0;
}

std::optional<VerifierKey> SignerEpoch::sealed_log_key(const Fd& dir) {
  const auto file = sys::open_beneath(dir, kEpochFile, O_RDONLY);
  if (!file) return std::nullopt;
  const Slot slots[] = {read_slot(*file, 0), read_slot(*file, 1)};
  const Slot& slot = slots[newest_of(slots)];
  const auto seal = slot.is_valid ? read_seal(slot.seal.value) : std::nullopt;
  return seal ? std::optional(seal->log_key) : std::nullopt;
}

Result<SignerEpoch> SignerEpoch::open(const Fd& dir, const SigningKey& log_key, bool is_new) {
  if (is_new && ::faccessat(dir.get(), kEpochFile, F_OK, 0) != 0) TRY(make_first(dir, log_key));
  auto file = sys::open_beneath(dir, kEpochFile, O_RDWR);
  if (!file) {
    return fail(Errc::invalid,
                "the signer's file `epoch`, which holds the key that signs now, cannot be opened: "
                "restore it");
  }
  Slot slots[] = {read_slot(*file, 0), read_slot(*file, 1)};
  const std::size_t newest = newest_of(slots);
  Slot& slot = slots[newest];
  auto key = SigningKey::parse(slot.key.value);
  const auto seal = read_seal(slot.seal.value);
  if (!slot.is_valid || !key || !seal || key->verifier() != seal->epoch_key) {
    return fail(Errc::invalid, "the signer's file `epoch` is damaged: restore it");
  }
  if (seal->log_key != log_key.verifier()) {
    return fail(Errc::invalid, "the files `epoch` and `log.key` do not belong together");
  }
  if (!slots[1 - newest].is_empty) TRY(erase_slot(*file, 1 - newest));
  SignerEpoch epoch(std::move(*file), std::move(*key));
  epoch.seal_ = *seal;
  epoch.seal_note_ = slot.seal.value;
  epoch.last_note_ = slot.last_note.value;
  epoch.first_key_ = slot.first_key.value;
  return epoch;
}

std::string SignerEpoch::sign(const SigningKey& log_key, std::uint64_t size,
                              const Hash& root) const {
  if (size == seal_.size) return last_note_;
  const std::string body = checkpoint_body({log_key.verifier().name, size, root});
  return body + "\n" + log_key.sign_line(body) + key_.sign_line(body);
}

Status SignerEpoch::end(const SigningKey& log_key, std::uint64_t size, const Hash& root,
                        const SigningKey* next_log_key) {
  const std::uint64_t number = seal_.epoch + 1;
  SigningKey next = SigningKey::generate(epoch_key_name(log_key.verifier().name, number));
  const Seal seal{number, size, root, sys::now_ms(), next.verifier(),
                  next_log_key != nullptr ? next_log_key->verifier() : log_key.verifier()};
  Slot slot;
  slot.epoch = number;
  slot.key.value = next.text();
  slot.seal.value = signed_seal(seal, {&log_key, &key_, next_log_key});
  slot.last_note.value = sign(log_key, size, root);
  slot.first_key.value = first_key_;
  slot.digest = slot.expected_digest();
  // Which place is free: they take turns.
  const std::uint64_t at = read_slot(file_, 0).is_empty ? 0 : 1;
  TRY(write_slot(file_, at, slot));
  TRY(erase_slot(file_, 1 - at));
  key_ = std::move(next);
  seal_ = seal;
  seal_note_ = slot.seal.value;
  last_note_ = slot.last_note.value;
  return {};
}

}  // namespace oqto::audit
