// An array that forked children do not have: the listener's tables (who is connected from where)
// are unmapped in a connection process, not merely unused.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include "base/result.h"

namespace oqto::relay {

template <class T>
class UnsharedArray {
 public:
  static Result<UnsharedArray> create(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return fail_errno("mmap");
    UnsharedArray array(std::span<T>(static_cast<T*>(memory), count));
    if (::madvise(memory, bytes, MADV_DONTFORK) != 0) return fail_errno("madvise(DONTFORK)");
    for (T& place : array.items_) new (&place) T();
    return array;
  }
  UnsharedArray(UnsharedArray&& other) noexcept : items_(std::exchange(other.items_, {})) {}
  UnsharedArray& operator=(UnsharedArray&&) = delete;
  ~UnsharedArray() {
    for (T& item : items_) item.~T();
    if (!items_.empty()) (void)::munmap(items_.data(), items_.size_bytes());
  }

  [[nodiscard]] std::span<T> items() const { return items_; }

 private:
  explicit UnsharedArray(std::span<T> items) : items_(items) {}
  std::span<T> items_;
};

}  // namespace oqto::relay
