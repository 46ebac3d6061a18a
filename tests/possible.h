// What a machine may lack: tests that need it are skipped with a sentence that ./test shows and counts.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/fd.h"

// Skips the test, or every test of a fixture (in SetUp), if `why` is not empty.
#define NEEDS(why) \
  if (const std::string missing = (why); !missing.empty()) GTEST_SKIP() << "not possible here: " << missing

namespace oqto::possible {

inline std::string as_root() {
  return ::geteuid() == 0 ? "" : "this test needs root";
}

inline std::string with_program(const std::string& name) {
  for (const char* directory : {"/usr/bin/", "/usr/local/bin/", "/usr/sbin/", "/sbin/"}) {
    if (std::filesystem::exists(directory + name)) return "";
  }
  return name + " is not installed";
}

// A block device over a file; containers rarely have any.
inline std::string with_loop_device() {
  if (auto missing = as_root(); !missing.empty()) return missing;
  const Fd control = Fd::adopt(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  const int number = control ? ::ioctl(control.get(), LOOP_CTL_GET_FREE) : -1;
  if (number < 0) return "this machine gives no loop device (/dev/loop-control)";
  const std::string path = "/dev/loop" + std::to_string(number);
  const Fd device = Fd::adopt(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  return device ? "" : path + " cannot be opened";
}

}  // namespace oqto::possible
