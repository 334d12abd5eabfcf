// Runs of whole random blocks, one table per instruction set (engine/simd.h).
#ifndef MEMTORCH_ENGINE_RANDOM_KERNELS_H_
#define MEMTORCH_ENGINE_RANDOM_KERNELS_H_

#include <cstdint>

namespace memtorch {

struct Distribution;

// out [2 * blocks]: the draws of blocks first_block, first_block + 1, ...
struct RandomKernels {
  void (*uniform)(uint64_t seed, uint64_t stream, uint64_t first_block, double* out, int64_t blocks);
  void (*normal)(uint64_t seed, uint64_t stream, uint64_t first_block, double* out, int64_t blocks);
  // x [n]: draws, in place.
  void (*distribute)(const Distribution& distribution, double* x, int64_t n);
};

namespace baseline {
extern const RandomKernels kRandom;
}
namespace avx2 {
extern const RandomKernels kRandom;
}
namespace avx512 {
extern const RandomKernels kRandom;
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_RANDOM_KERNELS_H_
