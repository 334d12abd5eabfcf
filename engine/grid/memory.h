// Aligned memory of the solvers.
#ifndef MEMTORCH_ENGINE_GRID_MEMORY_H_
#define MEMTORCH_ENGINE_GRID_MEMORY_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace memtorch {

constexpr int64_t kAlignBytes = 64;

// The next number of elements that fills whole cache lines.
template <class T>
int64_t Aligned(int64_t elements) {
  constexpr int64_t kStep = kAlignBytes / sizeof(T);
  return (elements + kStep - 1) / kStep * kStep;
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
template <class T>
using Memory = std::unique_ptr<T, Free>;

template <class T>
Memory<T> Allocate(int64_t elements) {
  Memory<T> memory(
      static_cast<T*>(std::aligned_alloc(kAlignBytes, static_cast<size_t>(Aligned<T>(elements)) * sizeof(T))));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_MEMORY_H_
