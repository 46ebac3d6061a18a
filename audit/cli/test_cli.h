// A log that the real auditd wrote, once for a whole suite, and the program run on it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "audit/tests/test_log.h"

namespace oqto::audit {

class CliTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { log_ = TestLog::write("60000", 300); }
  static void TearDownTestSuite() { log_.reset(); }

  static Output audit(const std::string& arguments) {
    return run(oqto_audit(arguments) + " --log " + log_->dir());
  }
  static std::ptrdiff_t lines(const Output& output) {
    return std::ranges::count(output.out, '\n');
  }
  static std::string key_option() { return " --vkey " + log_->vkey_file(); }

  static inline std::unique_ptr<TestLog> log_;
  TempDir dir_;
};

}  // namespace oqto::audit
