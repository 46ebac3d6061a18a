#include "relay/heap.h"

#include <malloc.h>

#include <cstdint>
#include <cstdlib>

namespace oqto::relay {

void fill_heap_holes() {
  constexpr std::size_t kLargest = 96 * 1024;  // below malloc's threshold for mmap
  constexpr std::size_t kStep = 16;
  (void)::malloc_trim(0);
  void* const marker = std::malloc(kLargest);
  const auto top = reinterpret_cast<std::uintptr_t>(marker);
  std::free(marker);
  for (std::size_t size = kLargest - kStep; size >= kStep; size -= kStep) {
    void* piece = std::malloc(size);
    while (piece != nullptr && reinterpret_cast<std::uintptr_t>(piece) < top) {
      piece = std::malloc(size);
    }
    std::free(piece);
  }
  (void)::malloc_trim(0);
}

}  // namespace oqto::relay
