#include "engine/grid/curve_kernels.h"

#include "engine/math.h"

namespace memtorch {
namespace MT_ISA {
namespace {

void Sinh(int64_t n, const double* g, double steepness, const double* v, double* current, double* slope) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const double s = memtorch::Sinh(steepness * v[j]);
    current[j] = g[j] * s / steepness;
    slope[j] = g[j] * memtorch::Sqrt(1 + s * s);
  }
}

}  // namespace

const CurveKernels kCurves = {Sinh};

}  // namespace MT_ISA
}  // namespace memtorch
