// Whether a command's record is in the log yet. What can be prepared beside the record goes on; what acts
// waits for the permit.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace oqto::runner {

class Permit {
 public:
  static std::shared_ptr<Permit> granted() {
    auto permit = std::make_shared<Permit>();
    permit->settle(true);
    return permit;
  }
  void settle(bool recorded) {
    recorded_ = recorded;
    for (const auto& task : std::exchange(waiting_, {})) task(recorded);
  }
  // Now, or when it is known.
  void then(std::function<void(bool recorded)> task) {
    if (recorded_) return task(*recorded_);
    waiting_.push_back(std::move(task));
  }

 private:
  std::optional<bool> recorded_;
  std::vector<std::function<void(bool)>> waiting_;
};

}  // namespace oqto::runner
