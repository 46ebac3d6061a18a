// What people do in a session must work inside: real programs in a real session of the profile
// `development`.
#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "sandbox/launch/test_session.h"
#include "tests/possible.h"

namespace oqto::sandbox {

class Works : public ::testing::Test {
 protected:
  void SetUp() override { begin(profile_policy(ipc::Profile::development)); }
  void begin(const Policy& policy);
  // A script in the workspace, stopping at the first command that fails.
  Ran script(const std::string& text);
  // The same, which must succeed and say exactly this on standard output (and error).
  void expect_says(const std::string& text, const std::string& said);

  std::unique_ptr<TestSession> session;
};

// A program with a terminal of its own, driven as a person would.
class Terminal {
 public:
  Terminal(TestSession& session, std::vector<std::string> argv, std::uint16_t rows,
           std::uint16_t columns);
  // Types, and reads until `expected` appears after what has been read before; false at the end.
  bool type(const std::string& keys, const std::string& expected);
  bool resize(std::uint16_t rows, std::uint16_t columns);
  // The whole of what appeared.
  [[nodiscard]] const std::string& seen() const { return seen_; }

 private:
  Fd master_;
  std::string seen_;
  std::size_t from_ = 0;
};

}  // namespace oqto::sandbox
