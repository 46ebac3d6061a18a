#include "audit/format/tenant_keys.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "audit/format/format.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

std::string dir_of(std::uint32_t tenant) {
  return std::string(kKeysDir) + "/" + std::to_string(tenant);
}
std::string path_of(std::uint32_t tenant, const std::string& day) {
  return dir_of(tenant) + "/" + day;
}

Status sync_dir(const Fd& log, const std::string& path) {
  const Fd dir = TRY(sys::open_beneath(log, path.c_str(), O_RDONLY | O_DIRECTORY));
  if (::fsync(dir.get()) != 0) return fail_errno("fsync of a key directory");
  return {};
}

Status make_dir(const Fd& log, const std::string& path, const std::string& parent) {
  if (::mkdirat(log.get(), path.c_str(), kSharedDir) == 0) return sync_dir(log, parent);
  return errno == EEXIST ? Status() : fail_errno("a key directory cannot be made");
}

Result<DayKey> read_key(const Fd& log, const std::string& path) {
  const Fd file = TRY(sys::open_beneath(log, path.c_str(), O_RDONLY | O_NONBLOCK));
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return fail(Errc::invalid, "a key is no regular file");
  }
  const std::string bytes = TRY(sys::read_all(file, sizeof(DayKey)));
  DayKey key{};
  if (bytes.size() != key.size()) return fail(Errc::invalid, "a key file has not 32 bytes");
  std::memcpy(key.data(), bytes.data(), key.size());
  return key;
}

Status put_key(const Fd& log, const std::string& path, int flags, const DayKey& key) {
  const Fd file = TRY(sys::open_beneath(log, path.c_str(), O_WRONLY | flags, kSharedFile));
  TRY(sys::write_all(file, as_text(key)));
  if (::fsync(file.get()) != 0) return fail_errno("fsync of a key");
  return {};
}

// Where there is no room: a file that was kept for this. It has its content before it has its name.
bool take_spare(const Fd& log, const std::string& path, const DayKey& key, const Error& why) {
  if (why.sys != ENOSPC && why.sys != EDQUOT) return false;
  for (int i = 0; i < kSpareKeys; ++i) {
    const std::string spare = std::string(kTmpDir) + "/" + std::string(kSpareKey) + std::to_string(i);
    if (put_key(log, spare, 0, key) && ::renameat(log.get(), spare.c_str(), log.get(), path.c_str()) == 0) return true;
  }
  return false;
}

// A crash in between leaves a file that is too short: nothing was sealed with it, it is made again.
Result<DayKey> make_key(const Fd& log, std::uint32_t tenant, const std::string& day) {
  TRY(make_dir(log, kKeysDir, "."));
  TRY(make_dir(log, dir_of(tenant), kKeysDir));
  const std::string path = path_of(tenant, day);
  DayKey key{};
  sys::fill_random(key);
  const Status made = put_key(log, path, O_CREAT | O_TRUNC, key);
  if (!made && !take_spare(log, path, key, made.error())) return std::unexpected(made.error());
  TRY(sync_dir(log, dir_of(tenant)));
  return key;
}

bool is_short(const Fd& log, const std::string& path) {
  struct stat facts {};
  return ::fstatat(log.get(), path.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(facts.st_mode) && facts.st_size < static_cast<off_t>(sizeof(DayKey));
}

}  // namespace

bool is_day(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  int parts[3] = {};
  std::size_t part = 0;
  for (const char c : text) {
    if (c == '-') {
      ++part;
    } else if (c < '0' || c > '9' || part > 2) {
      return false;
    } else {
      parts[part] = parts[part] * 10 + (c - '0');
    }
  }
  const bool leap = (parts[0] % 4 == 0 && parts[0] % 100 != 0) || parts[0] % 400 == 0;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (part != 2 || parts[1] < 1 || parts[1] > 12 || parts[2] < 1) return false;
  return parts[2] <= kDays[parts[1] - 1] + (parts[1] == 2 && leap ? 1 : 0);
}

Result<DayKey> TenantKeys::of(std::uint32_t tenant, const std::string& day) {
  const auto kept = newest_.find(tenant);
  if (kept != newest_.end() && kept->second.first == day) return kept->second.second;
  const std::string path = path_of(tenant, day);
  auto key = read_key(log_, path);
  if (!key && key.error().sys != ENOENT && !is_short(log_, path)) return key;
  if (!key) key = make_key(log_, tenant, day);
  if (!key) return key;
  if (newest_.size() >= kMaxKept) newest_.clear();
  newest_[tenant] = {day, *key};
  return key;
}

Status TenantKeys::erase(std::uint32_t tenant, const std::string& day) {
  if (const auto kept = newest_.find(tenant); kept != newest_.end() && kept->second.first == day) {
    ::sodium_memzero(kept->second.second.data(), sizeof(DayKey));
    newest_.erase(kept);
  }
  return destroy_key(log_, tenant, day);
}

Status destroy_key(const Fd& log, std::uint32_t tenant, const std::string& day) {
  if (!is_day(day)) return fail(Errc::invalid, "a day is written yyyy-mm-dd");
  const std::string path = path_of(tenant, day);
  auto file = sys::open_beneath(log, path.c_str(), O_WRONLY | O_NONBLOCK);
  if (!file && file.error().sys == ENOENT) {
    return fail(Errc::not_found, "there is no key of this tenant and day");
  }
  if (!file) return std::unexpected(file.error());
  struct stat facts {};
  if (::fstat(file->get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return fail(Errc::invalid, "a key is no regular file");
  }
  // The mark first: from here on the key counts as destroyed, whatever happens in between.
  (void)TRY(sys::open_beneath(log, (path + kErasedSuffix).c_str(), O_WRONLY | O_CREAT, kSharedFile));
  TRY(sync_dir(log, dir_of(tenant)));
  DayKey random{};
  sys::fill_random(random);
  TRY(sys::write_all(*file, as_text(random)));
  if (::fsync(file->get()) != 0) return fail_errno("fsync of a key");
  if (::unlinkat(log.get(), path.c_str(), 0) != 0) return fail_errno("a key cannot be removed");
  return sync_dir(log, dir_of(tenant));
}

const FoundKey& KeyReader::find(std::uint32_t tenant, const std::string& day) {
  static constexpr FoundKey kNone;
  if (!is_day(day)) return kNone;
  if (found_.size() >= kMaxKept) found_.clear();
  const auto [at, is_new] = found_.try_emplace({tenant, day});
  if (!is_new) return at->second;
  const std::string path = path_of(tenant, day);
  FoundKey& found = at->second;
  found.was_erased =
      sys::open_beneath(log_, (path + kErasedSuffix).c_str(), O_RDONLY | O_NONBLOCK).has_value();
  if (found.was_erased) found.state = KeyState::erased;
  if (const auto key = read_key(log_, path)) {
    found.state = KeyState::present;
    found.key = *key;
  }
  return found;
}

}  // namespace oqto::audit
