// How the files of engine/cuda queue work: ForEach and ForBlocks, and nothing else.
//
// nvcc turns both into kernels. The host's compiler turns the same .cu files into loops over the same functors, or into
// threads that take turns (emulation.h), so that all but the hardware is tested on any machine, and a functor is read and
// debugged as plain C++. Functors are structs that fit a kernel's arguments (4 KB), with an MT_HD operator().
//
//   struct Twice {
//     double* x;
//     MT_HD void operator()(int64_t i) const { x[i] *= 2; }
//   };
//   ForEach("twice", n, Twice{x}, stream);
#ifndef MEMTORCH_ENGINE_CUDA_LAUNCH_H_
#define MEMTORCH_ENGINE_CUDA_LAUNCH_H_

#include "engine/core.h"
#include "engine/cuda/block.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>

#include <climits>
#else
#include "engine/cuda/emulated_launch.h"
#endif

namespace memtorch::cuda {

// Throws std::runtime_error("[op] CUDA: what the driver says"), or std::bad_alloc when the GPU is out of memory.
void CheckLaunch(const char* op);
// Throws std::runtime_error: this GPU has less shared memory for a block.
[[noreturn]] void FailShared(const char* op, int64_t bytes);

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
  const Launch launch;
  internal::RunElements(n, f);
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
  // Beyond this a kernel must ask; GPUs of compute capability 8.6 and 8.9 give it no more than 99 KB.
  if (shared_bytes > 48 * 1024 && cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                       static_cast<int>(shared_bytes)) != cudaSuccess) {
    FailShared(op, shared_bytes);
  }
  kernel<<<internal::GridOf(op, blocks), kBlockThreads, static_cast<size_t>(shared_bytes),
           static_cast<cudaStream_t>(stream)>>>(f);
  CheckLaunch(op);
#else
  static_cast<void>(op);
  static_cast<void>(stream);
  const Launch launch;
  internal::RunBlocks(blocks, kBlockThreads, shared_bytes, f);
#endif
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_LAUNCH_H_
