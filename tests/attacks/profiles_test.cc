// Every attack runs in every profile.
#include "tests/attacks/attack.h"

namespace oqto::sandbox {

INSTANTIATE_TEST_SUITE_P(In, Attack,
                         ::testing::Values(ipc::Profile::minimal, ipc::Profile::development,
                                           ipc::Profile::strict),
                         [](const auto& profile) {
                           return std::string(profile_name(profile.param));
                         });

}  // namespace oqto::sandbox
