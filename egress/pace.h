// At most so many per second, after a burst.
#pragma once
#include <algorithm>
#include <chrono>

namespace oqto::egress {

class Pace {
 public:
  using Clock = std::chrono::steady_clock;
  Pace(double per_second, double burst) : rate_(per_second), burst_(burst), left_(burst) {}
  // How long to wait before the next; zero: it may go, and is counted.
  Clock::duration take(Clock::time_point now) {
    const double passed = std::chrono::duration<double>(now - last_).count();
    left_ = std::min(burst_, left_ + std::max(0.0, passed) * rate_);
    last_ = now;
    if (left_ >= 1) {
      left_ -= 1;
      return {};
    }
    return std::chrono::duration_cast<Clock::duration>(
               std::chrono::duration<double>((1 - left_) / rate_)) +
           std::chrono::milliseconds(1);
  }

 private:
  const double rate_, burst_;
  double left_;
  Clock::time_point last_{};
};

}  // namespace oqto::egress
