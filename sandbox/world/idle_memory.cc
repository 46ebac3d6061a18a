#include "sandbox/world/idle_memory.h"

#include <link.h>
#include <sys/mman.h>

#include <cstdint>

namespace oqto::sandbox {
namespace {

constexpr std::uintptr_t kPage = 4096;

// The first object is the program. What is writable is not in the file as it is in memory.
int release(dl_phdr_info* object, std::size_t, void*) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t begin = object->dlpi_addr + segment.p_vaddr;
    const std::uintptr_t first = begin & ~(kPage - 1);
    const std::uintptr_t end = (begin + segment.p_memsz + kPage - 1) & ~(kPage - 1);
    (void)::madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);  // NOLINT
  }
  return 1;
}

}  // namespace

void release_program_pages() {
  (void)::dl_iterate_phdr(release, nullptr);
}

}  // namespace oqto::sandbox
