#include "engine/grid/curve_kernels.h"

#include "engine/math.h"

namespace memtorch {
namespace MT_ISA {
namespace {

void Sinh(int64_t n, const double* g, double steepness, const double* v, double* current, double* slope) {
  const double inverse = 1 / steepness;
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    double sinh, cosh;
    SinhCosh(steepness * v[j], &sinh, &cosh);
    current[j] = g[j] * sinh * inverse;
    slope[j] = g[j] * cosh;
  }
}

}  // namespace

const CurveKernels kCurves = {Sinh};

}  // namespace MT_ISA
}  // namespace memtorch
