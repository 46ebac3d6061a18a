// The main() of every unit test. A fatal failure ends the whole test, wherever it happens: by itself
// an ASSERT in a helper returns from the helper only, and the test goes on without what it asserted.
#include <gtest/gtest.h>

#include <thread>

namespace {

class EndTheTest final : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    // Nothing catches an exception in another thread.
    if (result.type() == testing::TestPartResult::kFatalFailure && std::this_thread::get_id() == main_) {
      throw testing::AssertionException(result);
    }
  }
  const std::thread::id main_ = std::this_thread::get_id();
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::UnitTest::GetInstance()->listeners().Append(new EndTheTest);
  return RUN_ALL_TESTS();
}
