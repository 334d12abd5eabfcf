// How the files of engine/cuda queue work: ForEach and ForBlocks, and nothing else.
//
// nvcc turns both into kernels. The host's compiler turns the same .cu files into loops over the same functors (the
// library :emulated), so that all but the hardware is tested on any machine, and a functor is read and debugged as plain
// C++. Functors are structs that fit a kernel's arguments (4 KB), with an MT_HD operator().
//
//   struct Twice {
//     double* x;
//     MT_HD void operator()(int64_t i) const { x[i] *= 2; }
//   };
//   ForEach("twice", n, Twice{x}, stream);
#ifndef MEMTORCH_ENGINE_CUDA_LAUNCH_H_
#define MEMTORCH_ENGINE_CUDA_LAUNCH_H_

#include <climits>
#include <cstring>

#include "engine/core.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include <chrono>
#include <vector>
#endif

// Before a loop of known length whose variables are to stay in registers.
#if defined(__CUDA_ARCH__)
#define MT_UNROLL _Pragma("unroll")
#else
#define MT_UNROLL
#endif

namespace memtorch::cuda {

// Throws std::runtime_error("[op] CUDA: what the driver says"), or std::bad_alloc when the GPU is out of memory.
void CheckLaunch(const char* op);

// On the host: whether loops run from the last element to the first. What depends on the order has a race on the GPU;
// tests run in both.
bool DescendingEmulation();
void SetDescendingEmulation(bool descending);

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
#if defined(__CUDA_ARCH__)
    for (int i = static_cast<int>(threadIdx.x); i < n; i += threads_) body(i);
    __syncthreads();
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
#if defined(__CUDA_ARCH__)
    body(static_cast<int>(threadIdx.x));
    __syncthreads();
#else
    Each(threads_, body);
#endif
  }

  // No thread goes on before all have got here: for what is read outside of Each and written again. The emulation, one
  // thread after the other within Each and one for all outside, needs none, and so cannot miss one.
  MT_HD void Wait() const {
#if defined(__CUDA_ARCH__)
    __syncthreads();
#endif
  }

 private:
  int64_t index_;
  int threads_;
  char* shared_;
};

// A variable that every thread of a block keeps from one Each to the next: values[thread].
template <class T, int kBlockThreads>
class PerThread {
 public:
#if defined(__CUDA_ARCH__)
  MT_HD T& operator[](int) { return value_; }

 private:
  T value_;
#else
  MT_HD T& operator[](int thread) { return values_[thread]; }

 private:
  T values_[kBlockThreads];
#endif
};

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
#else
  ++*counter;
#endif
}

// Lowers `*least` to `value` from many threads at once: the smallest does not depend on their order.
MT_HD void AtomicMin(uint64_t* least, uint64_t value) {
#if defined(__CUDA_ARCH__)
  atomicMin(reinterpret_cast<unsigned long long*>(least), static_cast<unsigned long long>(value));
#else
  if (value < *least) *least = value;
#endif
}

#if defined(__CUDACC__)

namespace internal {

constexpr int kEachThreads = 128;

template <class F>
__global__ void __launch_bounds__(kEachThreads) EachKernel(int64_t n, const __grid_constant__ F f) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kEachThreads + threadIdx.x;
  if (i < n) f(i);
}

template <int kBlockThreads, int kBlocks, class F>
__global__ void __launch_bounds__(kBlockThreads, kBlocks) BlocksKernel(const __grid_constant__ F f) {
  extern __shared__ __align__(16) char shared[];
  f(Block(static_cast<int64_t>(blockIdx.x), kBlockThreads, shared));
}

inline unsigned GridOf(const char* op, int64_t blocks) {
  if (blocks > INT_MAX) Invalid(op, "size must need at most 2147483647 blocks of threads, got ", blocks);
  return static_cast<unsigned>(blocks);
}

}  // namespace internal

#endif

// f(i) for i in [0, n), each on a thread of its own. `stream` is a cudaStream_t; nothing is waited for.
template <class F>
void ForEach(const char* op, int64_t n, const F& f, void* stream) {
  if (n <= 0) return;
#if defined(__CUDACC__)
  const int64_t blocks = (n + internal::kEachThreads - 1) / internal::kEachThreads;
  internal::EachKernel<F>
      <<<internal::GridOf(op, blocks), internal::kEachThreads, 0, static_cast<cudaStream_t>(stream)>>>(n, f);
  CheckLaunch(op);
#else
  static_cast<void>(op);
  static_cast<void>(stream);
  for (int64_t k = 0; k < n; ++k) f(DescendingEmulation() ? n - 1 - k : k);
#endif
}

// f(block) for `blocks` blocks of kBlockThreads threads, which share `shared_bytes` of memory each. The compiler leaves
// room in the registers for kBlocks of them on a multiprocessor.
template <int kBlockThreads, int kBlocks = 1, class F>
void ForBlocks(const char* op, int64_t blocks, int64_t shared_bytes, const F& f, void* stream) {
  static_assert(kBlockThreads % 32 == 0 && kBlockThreads <= 1024, "whole warps");
  if (blocks <= 0) return;
#if defined(__CUDACC__)
  const auto kernel = internal::BlocksKernel<kBlockThreads, kBlocks, F>;
  // Beyond this a kernel must ask.
  if (shared_bytes > 48 * 1024) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  }
  kernel<<<internal::GridOf(op, blocks), kBlockThreads, static_cast<size_t>(shared_bytes),
           static_cast<cudaStream_t>(stream)>>>(f);
  CheckLaunch(op);
#else
  static_cast<void>(op);
  static_cast<void>(stream);
  std::vector<double> shared(static_cast<size_t>(shared_bytes / 8 + 2));
  for (int64_t k = 0; k < blocks; ++k) {
    // Whoever reads before something is written gets what is not a number.
    std::memset(shared.data(), 0xff, shared.size() * sizeof(double));
    f(Block(DescendingEmulation() ? blocks - 1 - k : k, kBlockThreads, reinterpret_cast<char*>(shared.data())));
  }
#endif
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_LAUNCH_H_
