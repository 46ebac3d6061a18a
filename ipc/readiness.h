// How what a host's certificate and disk say is judged. Pure, so that each bound has its test.
#pragma once
#include <sys/statvfs.h>

#include <optional>

#include "ipc/messages.h"

namespace oqto::ipc {

constexpr std::uint64_t kRenewMs =
    14ULL * 86'400'000;                           // before its end a certificate is worth a warning
constexpr std::uint64_t kNearlyFullPercent = 80;  // a warning
// Not ready: less is left than this, and than a twentieth of the file system. A tenant without a limit can fill
// a large share of the disk, which takes the host from nobody: whether log and accounts can still write, their
// own probes say.
constexpr std::uint64_t kNeededBytes = 64ULL << 20;
constexpr std::uint64_t kNeededInodes = 1024;
constexpr std::uint64_t kNeededShare = 20;

std::optional<CtlTrouble> judge_certificate(const CertificateFacts& facts, std::uint64_t now_ms);
// `disk`: as of the state directory; nullptr: it does not answer. As df(1), the room that only root
// may use counts as used.
std::optional<CtlTrouble> judge_disk(const struct statvfs* disk);

}  // namespace oqto::ipc
