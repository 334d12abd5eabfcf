// The loops behind ForEach and ForBlocks where a GPU is emulated (emulation.h).
#ifndef MEMTORCH_ENGINE_CUDA_EMULATED_LAUNCH_H_
#define MEMTORCH_ENGINE_CUDA_EMULATED_LAUNCH_H_

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "engine/cuda/block.h"

namespace memtorch::cuda::internal {

// A block's shared memory, of which nobody reads anything but NaN before it is written. Throws std::logic_error beyond
// what an A100 has for a block.
inline std::unique_ptr<char[]> SharedMemory(int64_t bytes) {
  if (bytes > 163 * 1024) throw std::logic_error("[emulation] a block must ask for at most 163 KB of shared memory");
  auto shared = std::make_unique<char[]>(static_cast<size_t>(bytes));
  std::memset(shared.get(), 0xff, static_cast<size_t>(bytes));
  return shared;
}

#if MT_THREADS

// Elements on threads that do not wait for each other; neighbours on different ones.
template <class F>
void RunElements(int64_t n, const F& f) {
  struct Elements {
    int64_t n;
    int threads;
    const F& f;
  };
  constexpr int kThreads = 128;
  const Elements all{n, static_cast<int>(std::min<int64_t>(n, kThreads)), f};
  const auto body = [](const void* context) {
    const Elements& elements = *static_cast<const Elements*>(context);
    for (int64_t k = EmulatedThread(); k < elements.n; k += elements.threads) elements.f(k);
  };
  RunThreads(all.threads, body, &all);
  JoinThreads();
}

// Some blocks at a time, each with memory of its own, as nothing puts them in order.
template <class F>
void RunBlocks(int64_t blocks, int threads, int64_t shared_bytes, const F& f) {
  struct OneBlock {
    const F& f;
    Block block;
    std::unique_ptr<char[]> shared;
  };
  constexpr int64_t kTogether = 256;
  for (int64_t first = 0; first < blocks; first += kTogether) {
    std::vector<OneBlock> group;
    group.reserve(kTogether);
    for (int64_t k = first; k < std::min(first + kTogether, blocks); ++k) {
      auto shared = SharedMemory(shared_bytes);
      const Block block(DescendingEmulation() ? blocks - 1 - k : k, threads, shared.get());
      group.push_back({f, block, std::move(shared)});
      const auto body = [](const void* context) {
        const OneBlock& one = *static_cast<const OneBlock*>(context);
        one.f(one.block);
      };
      RunThreads(threads, body, &group.back());
    }
    JoinThreads();
  }
}

#else

template <class F>
void RunElements(int64_t n, const F& f) {
  for (int64_t k = 0; k < n; ++k) f(DescendingEmulation() ? n - 1 - k : k);
}

template <class F>
void RunBlocks(int64_t blocks, int threads, int64_t shared_bytes, const F& f) {
  for (int64_t k = 0; k < blocks; ++k) {
    const auto shared = SharedMemory(shared_bytes);
    f(Block(DescendingEmulation() ? blocks - 1 - k : k, threads, shared.get()));
  }
}

#endif

}  // namespace memtorch::cuda::internal

#endif  // MEMTORCH_ENGINE_CUDA_EMULATED_LAUNCH_H_
