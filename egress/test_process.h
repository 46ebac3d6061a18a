// The real process, between a sandbox's network that an unprivileged user made, and an outer
// network with servers and a name server of the test's.
#pragma once
#include <gtest/gtest.h>

#include <optional>

#include "egress/test_rig.h"

namespace oqto::egress::test {

class EgressProcess : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(enter_own_world(kNameServer)); }
  void SetUp() override {
    names_.emplace();
    names_->set("good.test", {kServer});
    names_->set("x.wild.test", {kServer});
  }
  std::optional<NameServer> names_;
};

inline const std::vector<std::string> kRules = {"good.test:443", "good.test:80", "good.test:7000",
                                                "*.wild.test:443", "*.wild.test:7000"};

}  // namespace oqto::egress::test
