// The host's memory, for the emulation.

#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/cpp/cuda/gpu.h"

namespace memtorch::testing {

void* GpuAllocate(size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void GpuFree(void* memory) { std::free(memory); }
void GpuCopyIn(void* gpu, const void* host, size_t bytes) { std::memcpy(gpu, host, bytes); }
void GpuCopyOut(void* host, const void* gpu, size_t bytes) { std::memcpy(host, gpu, bytes); }

}  // namespace memtorch::testing
