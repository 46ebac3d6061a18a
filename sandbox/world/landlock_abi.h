// The Landlock system calls and structures of <linux/landlock.h> at ABI 7, which Debian 12's headers
// (ABI 2) do not have. Source: Linux uapi, include/uapi/linux/landlock.h.
#pragma once
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace oqto::landlock {

struct RulesetAttr {
  std::uint64_t handled_access_fs = 0;
  std::uint64_t handled_access_net = 0;  // ABI 4
  std::uint64_t scoped = 0;              // ABI 6
};
struct [[gnu::packed]] PathBeneathAttr {
  std::uint64_t allowed_access = 0;
  std::int32_t parent_fd = -1;
};

constexpr unsigned kCreateRulesetVersion = 1U << 0;
constexpr unsigned kRulePathBeneath = 1;

constexpr std::uint64_t kExecute = 1ULL << 0;
constexpr std::uint64_t kWriteFile = 1ULL << 1;
constexpr std::uint64_t kReadFile = 1ULL << 2;
constexpr std::uint64_t kReadDir = 1ULL << 3;
constexpr std::uint64_t kRemoveDir = 1ULL << 4;
constexpr std::uint64_t kRemoveFile = 1ULL << 5;
constexpr std::uint64_t kMakeChar = 1ULL << 6;
constexpr std::uint64_t kMakeDir = 1ULL << 7;
constexpr std::uint64_t kMakeReg = 1ULL << 8;
constexpr std::uint64_t kMakeSock = 1ULL << 9;
constexpr std::uint64_t kMakeFifo = 1ULL << 10;
constexpr std::uint64_t kMakeBlock = 1ULL << 11;
constexpr std::uint64_t kMakeSym = 1ULL << 12;
constexpr std::uint64_t kRefer = 1ULL << 13;     // ABI 2
constexpr std::uint64_t kTruncate = 1ULL << 14;  // ABI 3
constexpr std::uint64_t kIoctlDev = 1ULL << 15;  // ABI 5

constexpr std::uint64_t kNetBindTcp = 1ULL << 0;     // ABI 4
constexpr std::uint64_t kNetConnectTcp = 1ULL << 1;  // ABI 4

constexpr std::uint64_t kScopeAbstractUnix = 1ULL << 0;  // ABI 6
constexpr std::uint64_t kScopeSignal = 1ULL << 1;        // ABI 6

constexpr unsigned kRestrictSelfLogNewExecOn = 1U << 1;  // ABI 7

// Every file access right that a kernel of this ABI knows.
constexpr std::uint64_t fs_rights(int abi) {
  std::uint64_t rights = (kMakeSym << 1) - 1;
  if (abi >= 2) rights |= kRefer;
  if (abi >= 3) rights |= kTruncate;
  if (abi >= 5) rights |= kIoctlDev;
  return rights;
}

inline long create_ruleset(const RulesetAttr* attr, std::size_t size, unsigned flags) {
  return ::syscall(444, attr, size, flags);
}
inline long add_path_rule(int ruleset, const PathBeneathAttr& rule) {
  return ::syscall(445, ruleset, kRulePathBeneath, &rule, 0);
}
inline long restrict_self(int ruleset, unsigned flags = 0) {
  return ::syscall(446, ruleset, flags);
}

// The part of RulesetAttr that a kernel of this ABI accepts, in bytes.
constexpr std::size_t attr_size(int abi) {
  return abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
}

}  // namespace oqto::landlock
