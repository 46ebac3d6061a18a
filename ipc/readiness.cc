#include "ipc/readiness.h"

#include <algorithm>
#include <string>

#include "base/sys.h"

namespace oqto::ipc {
namespace {

CtlTrouble trouble(bool is_warning, std::string_view part, const std::string& why) {
  return {static_cast<std::uint8_t>(is_warning), part, std::string_view(why)};
}

std::uint64_t used_percent(std::uint64_t used, std::uint64_t left) {
  return used == 0 ? 0 : 100 * used / (used + left);
}

bool is_too_little(std::uint64_t left, std::uint64_t needed, std::uint64_t whole) {
  return whole != 0 && left < needed && left <= whole / kNeededShare;
}

}  // namespace

std::optional<CtlTrouble> judge_certificate(const CertificateFacts& facts, std::uint64_t now_ms) {
  constexpr std::string_view kPart = "certificate";
  if (facts.not_after_ms == 0) return std::nullopt;  // not read yet: then the relay is not ready
  if (now_ms < facts.not_before_ms) {
    return trouble(false, kPart,
                   "it is valid only from " + sys::utc_text(facts.not_before_ms) + " on");
  }
  const std::string end = sys::utc_text(facts.not_after_ms);
  if (now_ms >= facts.not_after_ms) return trouble(false, kPart, "it expired at " + end);
  if (facts.not_after_ms - now_ms < kRenewMs) return trouble(true, kPart, "it expires at " + end);
  return std::nullopt;
}

std::optional<CtlTrouble> judge_disk(const struct statvfs* disk) {
  constexpr std::string_view kPart = "disk";
  if (disk == nullptr)
    return trouble(false, kPart, "the state directory's file system does not answer");
  const std::uint64_t room = used_percent(disk->f_blocks - disk->f_bfree, disk->f_bavail);
  const std::uint64_t inodes = used_percent(disk->f_files - disk->f_ffree, disk->f_favail);
  const std::uint64_t worst = std::max(room, inodes);
  if (worst < kNearlyFullPercent) return std::nullopt;
  const std::uint64_t block = disk->f_frsize != 0 ? disk->f_frsize : disk->f_bsize;
  const std::uint64_t used = disk->f_blocks - disk->f_bfree;
  const bool is_full =
      is_too_little(disk->f_bavail * block, kNeededBytes, (used + disk->f_bavail) * block) ||
      is_too_little(disk->f_favail, kNeededInodes, disk->f_files);
  return trouble(!is_full, kPart,
                 std::to_string(worst) + " % of the " + (room < inodes ? "inodes" : "room") +
                     " of the state directory's file system is used");
}

}  // namespace oqto::ipc
