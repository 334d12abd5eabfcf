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

// A loop for each formula, so that none of them decides for every draw.
template <Distribution::Kind kKind>
void DistributeAs(Distribution distribution, double* x, int64_t n) {
  distribution.kind = kKind;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] = distribution.Of(x[i]);
}

void Distribute(const Distribution& distribution, double* x, int64_t n) {
  if (distribution.kind == Distribution::Kind::kLogNormal) {
    DistributeAs<Distribution::Kind::kLogNormal>(distribution, x, n);
  } else {
    DistributeAs<Distribution::Kind::kNormal>(distribution, x, n);
  }
}

}  // namespace

const RandomKernels kRandom = {Uniforms, Normals, Distribute};

}  // namespace MT_ISA
}  // namespace memtorch
