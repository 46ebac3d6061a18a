// One attack per sub-command. Prints "open" when it works and "closed: WHY" when it does not; what
// it says inside a session is compared with what it says elsewhere (the *_test.cc files).
#pragma once
#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace probe {

using Words = std::vector<std::string>;

struct Attack {
  const char* name;
  int (*run)(const Words& arguments);  // the words after the name; missing ones are ""
};

std::span<const Attack> process_attacks();
std::span<const Attack> file_attacks();
std::span<const Attack> kernel_attacks();
std::span<const Attack> network_attacks();
std::span<const Attack> terminal_attacks();
std::span<const Attack> resource_attacks();
std::span<const Attack> descriptor_attacks();
std::span<const Attack> race_attacks();

// This program's own path, as it was called.
const char* self();

inline int verdict(bool open) {  // reads errno
  const int error = errno;
  if (open) {
    std::puts("open");
  } else {
    const char* name = ::strerrorname_np(error);
    std::printf("closed: %s\n", name == nullptr ? "?" : name);
  }
  return 0;
}
inline int closed(int error) {
  errno = error;
  return verdict(false);
}
// Both spellings of a 64-bit argument: "-1" and "0xffffffff00000001".
inline long number(const std::string& text) {
  return text.starts_with('-') ? std::strtol(text.c_str(), nullptr, 0)
                               : static_cast<long>(std::strtoul(text.c_str(), nullptr, 0));
}
inline pid_t process(const std::string& text) { return static_cast<pid_t>(number(text)); }

// Says that it is there, and stays: others attack it, or the rest of the test goes on meanwhile.
[[noreturn]] void hold();

}  // namespace probe
