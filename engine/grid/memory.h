// Aligned memory of the solvers.
#ifndef MEMTORCH_ENGINE_GRID_MEMORY_H_
#define MEMTORCH_ENGINE_GRID_MEMORY_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

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

// Memory of several large pages is asked for in such, where the system has them: the factors of a grid are written once
// and read once, and with small pages the first touch of each would take as long as the arithmetic.
template <class T>
Memory<T> Allocate(int64_t elements) {
  constexpr size_t kLargePage = size_t{1} << 21;
  size_t bytes = static_cast<size_t>(Aligned<T>(elements)) * sizeof(T);
  const bool large = bytes >= 2 * kLargePage;
  if (large) bytes = (bytes + kLargePage - 1) / kLargePage * kLargePage;
  Memory<T> memory(static_cast<T*>(std::aligned_alloc(large ? kLargePage : kAlignBytes, bytes)));
  if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  if (large) madvise(memory.get(), bytes, MADV_HUGEPAGE);  // advice: nothing depends on whether it is taken
#endif
  return memory;
}

// Memory that is kept for whoever needs as much next: as many pieces as were ever in use at a time. Pages that are made
// anew, and cleared for it, would take a fifth of the time of a gradient. Threads may share it.
template <class T>
class MemoryPool {
 public:
  // A piece for as long as this lives.
  class Lease {
   public:
    Lease() = default;
    Lease(MemoryPool* pool, int64_t size, Memory<T> memory) : pool_(pool), size_(size), memory_(std::move(memory)) {}
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = default;
    ~Lease() {
      if (memory_ != nullptr) pool_->Return(size_, std::move(memory_));
    }
    T* get() const { return memory_.get(); }

   private:
    MemoryPool* pool_ = nullptr;
    int64_t size_ = 0;
    Memory<T> memory_;
  };

  Lease Take(int64_t elements) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto large = [&](const auto& piece) { return piece.first >= elements; };
      auto found = std::find_if(idle_.begin(), idle_.end(), large);
      if (found != idle_.end()) {
        Lease lease(this, found->first, std::move(found->second));
        idle_.erase(found);
        return lease;
      }
      if (!idle_.empty()) idle_.pop_back();  // too small
    }
    return Lease(this, elements, Allocate<T>(elements));
  }

 private:
  void Return(int64_t size, Memory<T> memory) {
    std::lock_guard<std::mutex> lock(mutex_);
    idle_.emplace_back(size, std::move(memory));
  }

  std::mutex mutex_;
  std::vector<std::pair<int64_t, Memory<T>>> idle_;
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_MEMORY_H_
