#include "audit/signer/signer_binding.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "audit/signer/signer_state.h"
#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr const char* kBindingFile = "binding";
constexpr const char* kStateFile = "state";
constexpr std::size_t kMaxBinding = 4096;
constexpr std::size_t kMachineIdLength = 32;

struct Stored {
  Place place;
  Adoption adoption;
  Hash digest{};
  bool fields(auto& io) { return place.fields(io) && adoption.fields(io) && io(digest); }
};

std::string encode(Stored stored) {
  const auto bytes_of = [](Stored& what) {
    ipc::Writer writer;
    (void)what.fields(writer);
    const auto bytes = writer.take();
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  stored.digest = {};
  stored.digest = sha256("oqto audit signer binding\n" + bytes_of(stored));
  return bytes_of(stored);
}

std::optional<Stored> decode(std::string_view text) {
  ipc::Reader reader(std::as_bytes(std::span(text)));
  Stored stored;
  if (!stored.fields(reader) || !reader.at_end() || encode(stored) != text) return std::nullopt;
  return stored;
}

// nullopt: there is none. Errc::invalid: it is damaged.
Result<std::optional<Stored>> read(const Fd& dir) {
  const auto file = sys::open_beneath(dir, kBindingFile, O_RDONLY);
  if (!file && file.error().sys == ENOENT) return std::optional<Stored>();
  if (!file) return std::unexpected(file.error());
  auto stored = decode(TRY(sys::read_all(*file, kMaxBinding)));
  if (!stored) {
    return fail(Errc::invalid, "the signer's file `binding` is damaged: if this state directory belongs here, "
                               "say so with `oqtoctl adopt --state DIR`");
  }
  return stored;
}

// Whoever writes it, it is the signer's.
Status write_binding(const Fd& dir, std::string_view text) {
  struct stat owner {};
  if (::fstat(dir.get(), &owner) != 0) return fail_errno("fstat of the key directory");
  TRY(write_new_file(dir, kBindingFile, text, 0600));
  if (::fchownat(dir.get(), kBindingFile, owner.st_uid, owner.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("the binding cannot be given to the signer's user");
  }
  return {};
}

// A file in memory is another one after each restart.
std::string machine_id(const char* path) {
  const auto file = sys::open_file(path, O_RDONLY);
  struct statfs where {};
  if (!file || ::fstatfs(file->get(), &where) != 0) return {};
  if (where.f_type == TMPFS_MAGIC || where.f_type == RAMFS_MAGIC) return {};
  const auto text = sys::read_all(*file, 64);
  if (!text || text->size() < kMachineIdLength) return {};
  const std::string id = text->substr(0, kMachineIdLength);
  return id.find_first_not_of("0123456789abcdef") == id.npos ? id : std::string();
}

const char* objection(const Place& bound, const Place& here) {
  if (!bound.machine.view().empty() && !here.machine.view().empty() && !(bound.machine == here.machine)) {
    return "this state directory comes from another machine. Its log must go on in one place only: stop the host "
           "there for good, then run `oqtoctl adopt --state DIR` here";
  }
  if (is_same_file(bound.directory, here.directory) && is_same_file(bound.state, here.state)) return nullptr;
  return "this state directory is a copy, a restored backup, or was moved to another file system. Its log must "
         "go on in one place only: if it is this one, run `oqtoctl adopt --state DIR`";
}

// An overlay may give a directory another inode number each time it is mounted, as at each start of a container.
bool numbers_anew(const Fd& file) {
  struct statfs where {};
  return ::fstatfs(file.get(), &where) == 0 && where.f_type == OVERLAYFS_SUPER_MAGIC;
}

// A number that is missing was not a lasting one; the time of birth then decides alone.
bool is_same_birth(std::string_view one, std::string_view other) {
  const auto number = [](std::string_view birth) { return birth.substr(0, birth.find(':')); };
  const auto time = [](std::string_view birth) { return birth.substr(std::min(birth.find(':'), birth.size())); };
  const bool has_numbers = !number(one).empty() && !number(other).empty();
  return has_numbers ? one == other : !time(one).empty() && time(one) == time(other);
}

}  // namespace

FileIdentity identity_of(const Fd& file) {
  FileIdentity identity;
  alignas(file_handle) std::array<char, sizeof(file_handle) + MAX_HANDLE_SZ> room{};
  auto* handle = reinterpret_cast<file_handle*>(room.data());
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (::name_to_handle_at(file.get(), "", handle, &mount, AT_EMPTY_PATH) == 0) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(handle->f_handle);
    identity.handle =
        std::string_view(std::to_string(handle->handle_type) + ":" + to_hex({bytes, handle->handle_bytes}));
  }
  struct statx facts {};
  if (::statx(file.get(), "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &facts) == 0) {
    const bool has_birth = (facts.stx_mask & STATX_BTIME) != 0;
    std::string birth = has_birth && numbers_anew(file) ? "" : std::to_string(facts.stx_ino);
    if (has_birth) {
      birth += ":" + std::to_string(facts.stx_btime.tv_sec) + "." + std::to_string(facts.stx_btime.tv_nsec);
    }
    identity.birth = std::string_view(birth);
  }
  return identity;
}

// A kernel that has learnt to give handles, or gives them in another form, has not made it another file.
bool is_same_file(const FileIdentity& one, const FileIdentity& other) {
  const auto type = [](const FileIdentity& file) { return file.handle.view().substr(0, file.handle.view().find(':')); };
  const bool comparable = !one.handle.view().empty() && type(one) == type(other);
  return comparable ? one.handle == other.handle : is_same_birth(one.birth.view(), other.birth.view());
}

Result<Place> place_of(const Fd& dir, const char* machine_id_file) {
  Place place;
  const std::string id = machine_id(machine_id_file);
  if (!id.empty()) place.machine = std::string_view(to_hex(sha256("oqto audit machine\n" + id)));
  place.directory = identity_of(dir);
  place.state = identity_of(TRY(sys::open_beneath(dir, kStateFile, O_RDONLY)));
  return place;
}

Result<SignerBinding> SignerBinding::open(const Fd& dir, const char* machine_id_file) {
  const Place here = TRY(place_of(dir, machine_id_file));
  const auto bound = TRY(read(dir));
  if (bound) {
    if (const char* const why = objection(bound->place, here)) return fail(Errc::denied, why);
  }
  Place place = here;  // also what this kernel knows and an earlier one did not
  if (bound && here.machine.view().empty()) place.machine = bound->place.machine;
  const Adoption adoption = bound ? bound->adoption : Adoption{};
  if (const std::string text = encode({place, adoption, {}}); !bound || encode(*bound) != text) {
    TRY(write_binding(dir, text));
  }
  return SignerBinding(TRY(sys::open_beneath(dir, kBindingFile, O_RDWR)), place, adoption);
}

Result<bool> SignerBinding::adopt(const Fd& dir, const Adoption& by, const char* machine_id_file) {
  const Place here = TRY(place_of(dir, machine_id_file));
  const auto bound = read(dir);
  if (!bound && bound.error().code != Errc::invalid) return std::unexpected(bound.error());
  if (bound && (!*bound || objection((*bound)->place, here) == nullptr)) return false;
  TRY(write_binding(dir, encode({here, by, {}})));
  return true;
}

Status SignerBinding::forget_adoption() {
  if (adoption_.at_ms == 0) return {};
  adoption_.at_ms = 0;  // of the same length: the signer, sealed, can do no more than write
  const std::string text = encode({place_, adoption_, {}});
  const ssize_t written = ::pwrite(file_.get(), text.data(), text.size(), 0);
  if (written != static_cast<ssize_t>(text.size()) || ::fdatasync(file_.get()) != 0) {
    return fail_errno("the signer's file `binding` cannot be written");
  }
  return {};
}

}  // namespace oqto::audit
