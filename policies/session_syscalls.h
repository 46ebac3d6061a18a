// Which system calls the programs of a session may make, and why: named sets, each call in exactly
// one of them, and rules about the arguments of some. This table is what sandbox/filter_gen
// compiles into the seccomp programs, what the monitor answers refused calls by, and what `explain
// syscall` prints. A call in no set is refused with ENOSYS, as an older kernel would.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace oqto::policies {

enum class CallVerdict : std::uint8_t {
  allowed,
  refused,  // fails, and is recorded by the session's monitor
  probed,   // fails silently: programs only try it, and have another way
};
std::string_view verdict_name(CallVerdict verdict);

struct CallSet {
  std::string_view name;
  CallVerdict verdict;
  int error;      // errno; 0 if allowed
  bool own_only;  // allowed only where programs may run what they wrote; otherwise refused
  std::string_view reason;
  std::span<const std::string_view> calls;
};
std::span<const CallSet> call_sets();

// A test of one 32-bit half of an argument: what the kernel looks at of an `int`, whatever the
// other half holds.
struct ArgumentTest {
  std::uint8_t argument;
  bool high;           // bits 32 to 63
  std::uint32_t mask;  // of the half
  bool in;             // holds if (half & mask) is one of `values`; otherwise if it is none of them
  std::span<const std::uint32_t> values;
};

// A call is refused if every test of one of its rules holds. The first such rule counts.
struct ArgumentRule {
  std::string_view name;
  std::string_view call;
  int error;
  CallVerdict verdict;  // refused or probed
  bool strict_only;     // only where programs may not run what they wrote
  std::string_view reason;
  std::span<const ArgumentTest> tests;
  [[nodiscard]] bool applies(std::string_view call_name, bool run_own_programs) const;
};
std::span<const ArgumentRule> argument_rules();

// What becomes of a call: by its set, before its arguments are looked at.
struct CallDescription {
  CallVerdict verdict = CallVerdict::refused;
  int error = 0;
  std::string_view set;  // "unlisted" if it is in none
  std::string_view reason;
  bool has_rules = false;  // allowed, unless a rule about its arguments refuses it
};
CallDescription describe_syscall(std::string_view name, bool run_own_programs);

// With its arguments: what decided, and how. `rule` is the name of a rule or of a set.
struct CallJudgement {
  CallVerdict verdict = CallVerdict::refused;
  int error = 0;
  std::string_view rule;
  std::string_view reason;
};
using CallArguments = std::array<std::uint64_t, 6>;
CallJudgement judge_syscall(std::string_view name, const CallArguments& arguments,
                            bool run_own_programs);

// oqto-launch itself, once it monitors.
std::span<const std::string_view> launcher_allowed();

}  // namespace oqto::policies
