// The keys that personal fields and blobs are sealed with, one per tenant and UTC day:
//
//   keys/<tenant>/<yyyy-mm-dd>          32 random bytes
//   keys/<tenant>/<yyyy-mm-dd>.erased   empty: it was destroyed on purpose
//
// Destroying one erases what was sealed with it, and changes no hash and no proof.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audit/format/sealed.h"
#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

// "2026-01-31" of a day that exists, nothing else.
bool is_day(std::string_view text);

constexpr const char* kErasedSuffix = ".erased";

// The writer's side. `log` must outlive it.
class TenantKeys {
 public:
  explicit TenantKeys(const Fd& log) : log_(log) {}

  // Made, and durable, if it is not there yet.
  Result<DayKey> of(std::uint32_t tenant, const std::string& day);
  Status erase(std::uint32_t tenant, const std::string& day);

 private:
  // Bounded: far more tenants than that are not active on one host in one day.
  static constexpr std::size_t kMaxKept = 4096;
  const Fd& log_;
  std::map<std::uint32_t, std::pair<std::string, DayKey>> newest_;
};

// Overwrites, unlinks and marks it, durably. Errc::not_found: there is no such key.
Status destroy_key(const Fd& log, std::uint32_t tenant, const std::string& day);

enum class KeyState : std::uint8_t {
  present,
  absent,  // copied without its keys
  erased,
};
struct FoundKey {
  KeyState state = KeyState::absent;
  bool was_erased = false;  // also if there is one again: what it does not open was erased
  DayKey key{};
};

// The reader's side: keys are read when they are first asked for. Nothing in the directory is
// believed: links are not followed, files of another size are no keys.
class KeyReader {
 public:
  explicit KeyReader(const Fd& log) : log_(log) {}
  const FoundKey& find(std::uint32_t tenant, const std::string& day);
  void forget() { found_.clear(); }  // to see what was erased since

 private:
  static constexpr std::size_t kMaxKept = 65536;
  const Fd& log_;
  std::map<std::pair<std::uint32_t, std::string>, FoundKey> found_;
};

}  // namespace oqto::audit
