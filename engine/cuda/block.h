// What a functor of launch.h sees of the GPU: the block of threads it runs on, what each thread keeps, counters, a clock.
#ifndef MEMTORCH_ENGINE_CUDA_BLOCK_H_
#define MEMTORCH_ENGINE_CUDA_BLOCK_H_

#include "engine/core.h"
#include "engine/cuda/emulation.h"

#if !defined(__CUDACC__)
#include <chrono>
#endif

// Whether the code that is compiled runs once for every thread of a block.
#if defined(__CUDA_ARCH__) || defined(MT_EMULATED_THREADS)
#define MT_THREADS 1
#else
#define MT_THREADS 0
#endif

// Before a loop of known length whose variables are to stay in registers.
#if defined(__CUDA_ARCH__)
#define MT_UNROLL _Pragma("unroll")
#else
#define MT_UNROLL
#endif

namespace memtorch::cuda {

// The threads of a block that work together, seen from the functor of ForBlocks.
class Block {
 public:
  MT_HD Block(int64_t index, int threads, char* shared) : index_(index), threads_(threads), shared_(shared) {}

  MT_HD int64_t index() const { return index_; }
  MT_HD int threads() const { return threads_; }
  // The block's shared memory, aligned to 16 bytes; uninitialised.
  template <class T>
  MT_HD T* Shared(int64_t offset_bytes = 0) const {
    return reinterpret_cast<T*>(shared_ + offset_bytes);
  }

  // body(i) for i in [0, n), spread over the threads; what a body writes is seen by all that comes after. Bodies of one
  // call must not depend on each other. With n = threads(), i is the thread. All threads must get here together.
  template <class Body>
  MT_HD void Each(int n, const Body& body) const {
#if MT_THREADS
    for (int i = Thread(); i < n; i += threads_) body(i);
    WaitAt<Body>(n);
#else
    if (DescendingEmulation()) {
      for (int i = n - 1; i >= 0; --i) body(i);
    } else {
      for (int i = 0; i < n; ++i) body(i);
    }
#endif
  }

  // body(thread) once on each thread; otherwise as Each, which is a loop, out of which the compiler moves what does not
  // change: into registers that a long body needs.
  template <class Body>
  MT_HD void EachThread(const Body& body) const {
#if MT_THREADS
    body(Thread());
    WaitAt<Body>(threads_);
#else
    Each(threads_, body);
#endif
  }

  // No thread goes on before all have got here: for what is read outside of Each and written again. Loops, one thread
  // after the other within Each and one for all outside, need none.
  MT_HD void Wait() const {
#if MT_THREADS
    WaitAt<Block>(0);
#endif
  }

 private:
#if defined(__CUDA_ARCH__)
  static MT_HD int Thread() { return static_cast<int>(threadIdx.x); }
  template <class Body>
  static MT_HD void WaitAt(int) {
    __syncthreads();
  }
#elif MT_THREADS
  static int Thread() { return EmulatedThread(); }
  template <class Body>
  static void WaitAt(int n) {
    Meet(&meeting_place<Body>, n);
  }
#endif

  int64_t index_;
  int threads_;
  char* shared_;
};

// A variable that every thread of a block keeps from one Each to the next: values[thread].
template <class T, int kBlockThreads>
class PerThread {
 public:
#if MT_THREADS
  MT_HD T& operator[](int) { return value_; }

 private:
  T value_;
#else
  MT_HD T& operator[](int thread) { return values_[thread]; }

 private:
  T values_[kBlockThreads];
#endif
};

// Lowers `*least` to `value` from many threads at once: the smallest does not depend on their order.
MT_HD void AtomicMin(uint64_t* least, uint64_t value) {
#if defined(__CUDA_ARCH__)
  atomicMin(reinterpret_cast<unsigned long long*>(least), static_cast<unsigned long long>(value));
#elif MT_THREADS
  for (uint64_t now = __atomic_load_n(least, __ATOMIC_RELAXED);
       value < now && !__atomic_compare_exchange_n(least, &now, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);) {
  }
#else
  if (value < *least) *least = value;
#endif
}

// Sets a flag that is 0 to 1, from many threads at once.
MT_HD void RaiseFlag(int* flag) {
#if MT_THREADS && !defined(__CUDA_ARCH__)
  __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
#else
  *flag = 1;  // all of them write the same
#endif
}

// A clock that never goes back.
MT_HD double Seconds() {
#if defined(__CUDA_ARCH__)
  uint64_t nanoseconds;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
  return 1e-9 * static_cast<double>(nanoseconds);
#elif defined(__CUDACC__)
  return 0;  // nvcc compiles this for the host and nobody calls it
#else
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
#endif
}

// Counts up from many threads at once. A count does not depend on their order; sums of floats would, and are never made
// this way.
MT_HD void AtomicIncrement(uint32_t* counter) {
#if defined(__CUDA_ARCH__)
  atomicAdd(counter, 1u);
#elif MT_THREADS
  __atomic_fetch_add(counter, 1u, __ATOMIC_RELAXED);
#else
  ++*counter;
#endif
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_BLOCK_H_
