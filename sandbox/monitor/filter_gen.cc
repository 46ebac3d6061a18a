// A build step: compiles the seccomp programs of a session and prints them as the C++ source of
// sandbox/monitor/filters.h, with the names of all system calls. The tables are policies/session_syscalls.h
// and policies/session_arguments.cc.
//
// A program finds a call's answer in a binary tree over ranges of call numbers: a linear list costs
// more per call where arguments are compared, and several times as much to load, because the kernel
// tries it for every number.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "policies/session_syscalls.h"

#if !defined(__x86_64__)
#error "the session filters are written and tested for x86-64 only"
#endif

namespace {

using namespace oqto::policies;

constexpr std::uint32_t kX32 = 0x40000000;
constexpr int kLastCall = 511;  // none is near it on this architecture

[[noreturn]] void give_up(const std::string& why) {
  (void)std::fprintf(stderr, "filter_gen: %s\n", why.c_str());
  std::exit(1);
}

// --- numbers -----------------------------------------------------------------------------------

// Calls newer than the libseccomp of the oldest supported system.
const std::map<std::string_view, int> kNewNumbers = {
    {"cachestat", 451},         {"fchmodat2", 452},        {"map_shadow_stack", 453},
    {"futex_wake", 454},        {"futex_wait", 455},       {"futex_requeue", 456},
    {"statmount", 457},         {"listmount", 458},        {"lsm_get_self_attr", 459},
    {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},       {"listxattrat", 465},
    {"removexattrat", 466},     {"open_tree_attr", 467},   {"file_getattr", 468},
    {"file_setattr", 469},      {"listns", 470},           {"set_mempolicy_home_node", 450},
};

std::string name_of(int number) {
  for (const auto& [name, value] : kNewNumbers) {
    if (value == number) return std::string(name);
  }
  char* text = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
  std::string name = text != nullptr ? text : "";
  std::free(text);  // NOLINT: libseccomp's
  return name;
}

// --- assembling --------------------------------------------------------------------------------

class Program {
 public:
  using Label = std::size_t;

  Label label() {
    places_.push_back(kNowhere);
    return places_.size() - 1;
  }
  void here(Label label) { places_[label] = steps_.size(); }

  void load(std::size_t offset) {
    steps_.push_back(
        {{BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset)}, {}, {}});
  }
  void mask(std::uint32_t bits) {
    steps_.push_back({{BPF_ALU | BPF_AND | BPF_K, 0, 0, bits}, {}, {}});
  }
  void answer(std::uint32_t action) { steps_.push_back({{BPF_RET | BPF_K, 0, 0, action}, {}, {}}); }
  void jump(Label to) { steps_.push_back({{BPF_JMP | BPF_JA, 0, 0, 0}, to, {}}); }
  void if_equal(std::uint32_t value, Label yes, Label no) {
    steps_.push_back({{BPF_JMP | BPF_JEQ | BPF_K, 0, 0, value}, yes, no});
  }
  void if_at_least(std::uint32_t value, Label yes, Label no) {
    steps_.push_back({{BPF_JMP | BPF_JGE | BPF_K, 0, 0, value}, yes, no});
  }

  void print(const std::string& name) const {
    (void)std::printf("constexpr sock_filter %s[] = {\n", name.c_str());
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const sock_filter step = resolved(i);
      (void)std::printf("    {0x%02x, %u, %u, 0x%08x},\n", step.code, step.jt, step.jf, step.k);
    }
    (void)std::printf("};\n");
  }

 private:
  static constexpr std::size_t kNowhere = ~std::size_t{0};
  struct Step {
    sock_filter code;
    Label yes, no;
  };

  std::size_t distance(std::size_t from, Label to) const {
    if (places_[to] == kNowhere || places_[to] <= from) give_up("a jump does not go forward");
    return places_[to] - from - 1;
  }
  std::uint8_t near(std::size_t from, Label to) const {
    const std::size_t steps = distance(from, to);
    if (steps > 255) give_up("a jump is too far");
    return static_cast<std::uint8_t>(steps);
  }
  sock_filter resolved(std::size_t at) const {
    const Step& step = steps_[at];
    sock_filter code = step.code;
    if (code.code == (BPF_JMP | BPF_JA)) {
      code.k = static_cast<std::uint32_t>(distance(at, step.yes));
    } else if (BPF_CLASS(code.code) == BPF_JMP) {
      code.jt = near(at, step.yes);
      code.jf = near(at, step.no);
    }
    return code;
  }

  std::vector<Step> steps_;
  std::vector<std::size_t> places_;
};

// --- what each call gets -----------------------------------------------------------------------

constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t kNotify = SECCOMP_RET_USER_NOTIF;
constexpr std::uint32_t kKill = SECCOMP_RET_KILL_PROCESS;

struct Refusal {
  std::uint32_t action;
  std::span<const ArgumentTest> tests;
};
struct Answer {
  std::uint32_t action = kKill;
  std::vector<Refusal> refusals{};  // tried first
  bool plainly(const Answer& other) const {
    return refusals.empty() && other.refusals.empty() && action == other.action;
  }
};
using Answers = std::vector<Answer>;  // by number

std::uint32_t action_of(CallVerdict verdict, int error) {
  if (verdict == CallVerdict::allowed) return kAllow;
  if (verdict == CallVerdict::refused) return kNotify;
  return SECCOMP_RET_ERRNO | (static_cast<std::uint32_t>(error) & SECCOMP_RET_DATA);
}

std::size_t half_offset(const ArgumentTest& test) {  // little-endian
  return offsetof(seccomp_data, args) + 8U * test.argument + (test.high ? 4U : 0U);
}

// Goes on behind itself if every test holds, to `no` otherwise.
void emit_tests(Program& program, std::span<const ArgumentTest> tests, Program::Label no) {
  for (const ArgumentTest& test : tests) {
    const auto holds = program.label();
    program.load(half_offset(test));
    if (test.mask != 0xffffffff) program.mask(test.mask);
    for (std::size_t i = 0; i < test.values.size(); ++i) {
      const bool last = i + 1 == test.values.size();
      const auto next = program.label();
      if (test.in) {
        program.if_equal(test.values[i], holds, last ? no : next);
      } else {
        program.if_equal(test.values[i], no, last ? holds : next);
      }
      program.here(next);
    }
    program.here(holds);
  }
}

void emit_answer(Program& program, const Answer& answer) {
  for (const Refusal& refusal : answer.refusals) {
    const auto next = program.label();
    emit_tests(program, refusal.tests, next);
    program.answer(refusal.action);
    program.here(next);
  }
  program.answer(answer.action);
}

struct Range {
  std::uint32_t first;
  const Answer* answer;
};

void emit_tree(Program& program, std::span<const Range> ranges) {
  if (ranges.size() == 1) return emit_answer(program, *ranges[0].answer);
  const std::size_t middle = ranges.size() / 2;
  const auto far = program.label(), upper = program.label(), lower = program.label();
  program.if_at_least(ranges[middle].first, far, lower);
  program.here(far);
  program.jump(upper);  // the lower half may be longer than a conditional jump reaches
  program.here(lower);
  emit_tree(program, ranges.first(middle));
  program.here(upper);
  emit_tree(program, ranges.subspan(middle));
}

Program compile(const Answers& answers, const Answer& otherwise) {
  std::vector<Range> ranges;
  const auto add = [&](std::uint32_t first, const Answer& answer) {
    if (ranges.empty() || !ranges.back().answer->plainly(answer))
      ranges.push_back({first, &answer});
  };
  for (std::size_t number = 0; number < answers.size(); ++number) {
    add(static_cast<std::uint32_t>(number), answers[number]);
  }
  add(static_cast<std::uint32_t>(answers.size()), otherwise);
  const Answer foreign{kKill};
  add(kX32, foreign);
  Program program;
  const auto native = program.label(), other = program.label();
  program.load(offsetof(seccomp_data, arch));
  program.if_equal(AUDIT_ARCH_X86_64, native, other);
  program.here(other);
  program.answer(kKill);
  program.here(native);
  program.load(offsetof(seccomp_data, nr));
  emit_tree(program, ranges);
  return program;
}

bool is_exec(std::string_view name) {
  return name == "execve" || name == "execveat";
}
bool is_open(std::string_view name) {
  return name == "open" || name == "openat" || name == "creat";
}

Program session_program(bool own, bool exec, bool open) {
  Answers answers;
  for (int number = 0; number <= kLastCall; ++number) {
    const std::string name = name_of(number);
    const CallDescription call = describe_syscall(name, own);
    Answer answer{action_of(call.verdict, call.error)};
    if ((exec && is_exec(name)) || (open && is_open(name))) {
      answer.action = kNotify;  // the monitor looks at the arguments too
    } else if (call.has_rules) {
      for (const ArgumentRule& rule : argument_rules()) {
        if (!rule.applies(name, own)) continue;
        answer.refusals.push_back({action_of(rule.verdict, rule.error), rule.tests});
      }
    }
    answers.push_back(std::move(answer));
  }
  return compile(answers, Answer{kNotify});
}

// --- the launcher ------------------------------------------------------------------------------

constexpr std::uint32_t kZero[] = {0};
constexpr std::uint32_t kAll = 0xffffffff;
constexpr std::uint32_t kRequests[] = {static_cast<std::uint32_t>(SECCOMP_IOCTL_NOTIF_RECV),
                                       static_cast<std::uint32_t>(SECCOMP_IOCTL_NOTIF_SEND),
                                       static_cast<std::uint32_t>(SECCOMP_IOCTL_NOTIF_ID_VALID),
                                       static_cast<std::uint32_t>(SECCOMP_IOCTL_NOTIF_ADDFD),
                                       static_cast<std::uint32_t>(SECCOMP_IOW(4, __u64)),  // SET_FLAGS
                                       0xc040ff0b};  // PIDFD_GET_INFO
constexpr std::uint32_t kTraces[] = {PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH,
                                     PTRACE_GETEVENTMSG, PTRACE_GETREGS};
constexpr std::uint32_t kWrites = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
constexpr ArgumentTest kOtherRequest[] = {{1, false, kAll, false, kRequests}};
constexpr ArgumentTest kOtherTrace[] = {{0, false, kAll, false, kTraces}};
constexpr ArgumentTest kHighTrace[] = {{0, true, kAll, false, kZero}};
constexpr ArgumentTest kWriting[] = {{2, false, kWrites, false, kZero}};
constexpr ArgumentTest kSignalling[] = {{2, false, kAll, false, kZero}};  // more than a question
constexpr ArgumentTest kExecutable[] = {{2, false, PROT_EXEC, false, kZero}};

Program launcher_program() {
  const auto allowed = launcher_allowed();
  const std::multimap<std::string_view, std::span<const ArgumentTest>> refused = {
      {"ioctl", kOtherRequest}, {"ptrace", kOtherTrace}, {"ptrace", kHighTrace},
      {"openat", kWriting},     {"mmap", kExecutable},   {"mprotect", kExecutable},
      {"tgkill", kSignalling}};
  Answers answers;
  for (int number = 0; number <= kLastCall; ++number) {
    const std::string name = name_of(number);
    const bool listed = std::find(allowed.begin(), allowed.end(), name) != allowed.end();
    Answer answer{listed ? kAllow : kKill};
    const auto [first, last] = refused.equal_range(name);
    for (auto each = first; listed && each != last; ++each) {
      answer.refusals.push_back({kKill, each->second});
    }
    answers.push_back(std::move(answer));
  }
  return compile(answers, Answer{kKill});
}

// Every name of the tables is a call, or the table does not say what it seems to say.
void check_names() {
  const auto known = [](std::string_view name) {
    for (int number = 0; number <= kLastCall; ++number) {
      if (name_of(number) == name) return true;
    }
    return false;
  };
  for (const CallSet& set : call_sets()) {
    for (const std::string_view name : set.calls) {
      if (!known(name)) give_up("no such call: " + std::string(name));
    }
  }
  for (const ArgumentRule& rule : argument_rules()) {
    if (!known(rule.call)) give_up("no such call: " + std::string(rule.call));
  }
  for (const std::string_view name : launcher_allowed()) {
    if (!known(name)) give_up("no such call: " + std::string(name));
  }
}

}  // namespace

int main() {
  check_names();
  (void)std::printf(
      "// Generated by filter_gen.\n#include \"sandbox/monitor/filters.h\"\n\n"
      "#include <array>\n\nnamespace oqto::sandbox {\nnamespace {\n\n");
  for (unsigned kind = 0; kind < 8; ++kind) {
    session_program((kind & 4) != 0, (kind & 2) != 0, (kind & 1) != 0)
        .print("kSession" + std::to_string(kind));
  }
  launcher_program().print("kLauncher");
  (void)std::printf("constexpr std::string_view kNames[] = {\n");
  for (int number = 0; number <= kLastCall; ++number) {
    (void)std::printf("    \"%s\",\n", name_of(number).c_str());
  }
  (void)std::printf(
      "};\n\n}  // namespace\n\n"
      "Filter session_filter(FilterKind kind) {\n"
      "  constexpr std::array<Filter, 8> kAll = {kSession0, kSession1, kSession2, kSession3,\n"
      "                                          kSession4, kSession5, kSession6, kSession7};\n"
      "  return kAll[(kind.run_own_programs ? 4U : 0U) | (kind.notify_exec ? 2U : 0U) |\n"
      "              (kind.notify_open ? 1U : 0U)];\n"
      "}\n"
      "Filter launcher_filter() { return kLauncher; }\n"
      "std::string_view syscall_name(std::uint32_t number) {\n"
      "  return number < std::size(kNames) ? kNames[number] : std::string_view();\n"
      "}\n"
      "int syscall_number(std::string_view name) {\n"
      "  for (std::size_t i = 0; i < std::size(kNames) && !name.empty(); ++i) {\n"
      "    if (kNames[i] == name) return static_cast<int>(i);\n"
      "  }\n"
      "  return -1;\n"
      "}\n\n}  // namespace oqto::sandbox\n");
  return 0;
}
