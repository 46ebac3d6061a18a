// Fd owns one file descriptor. By value takes ownership, `const Fd&` borrows.
#pragma once
#include <unistd.h>

#include <utility>

namespace oqto {

class [[nodiscard]] Fd {
 public:
  Fd() = default;
  static Fd adopt(int number) {
    Fd fd;
    fd.number_ = number;
    return fd;
  }
  Fd(const Fd&) = delete;
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd other) noexcept {  // NOLINT: by value makes self-move safe
    std::swap(number_, other.number_);
    return *this;
  }
  ~Fd() {
    if (number_ >= 0) ::close(number_);
  }

  [[nodiscard]] int get() const { return number_; }
  [[nodiscard]] int release() { return std::exchange(number_, -1); }
  void reset() { *this = Fd(); }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_ = -1;
};

}  // namespace oqto
