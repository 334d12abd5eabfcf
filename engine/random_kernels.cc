#include "engine/random_kernels.h"

#include "engine/random.h"

namespace memtorch {
namespace MT_ISA {
namespace {

void Uniforms(uint64_t seed, uint64_t stream, uint64_t first_block, double* out, int64_t blocks) {
#pragma omp simd
  for (int64_t i = 0; i < blocks; ++i) {
    UniformPair(seed, stream, first_block + static_cast<uint64_t>(i), &out[2 * i], &out[2 * i + 1]);
  }
}

void Normals(uint64_t seed, uint64_t stream, uint64_t first_block, double* out, int64_t blocks) {
#pragma omp simd
  for (int64_t i = 0; i < blocks; ++i) {
    NormalPair(seed, stream, first_block + static_cast<uint64_t>(i), &out[2 * i], &out[2 * i + 1]);
  }
}

}  // namespace

const RandomKernels kRandom = {Uniforms, Normals};

}  // namespace MT_ISA
}  // namespace memtorch
