// Characteristics of non-linear devices, one table per instruction set (engine/simd.h).
#ifndef MEMTORCH_ENGINE_GRID_CURVE_KERNELS_H_
#define MEMTORCH_ENGINE_GRID_CURVE_KERNELS_H_

#include <cstdint>

#include "engine/simd.h"

namespace memtorch {

struct CurveKernels {
  // Of n devices at v, volts: current = g sinh(steepness v) / steepness, amperes, and its slope, siemens.
  void (*sinh)(int64_t n, const double* g, double steepness, const double* v, double* current, double* slope);
};

namespace baseline {
extern const CurveKernels kCurves;
}  // namespace baseline
namespace avx2 {
extern const CurveKernels kCurves;
}  // namespace avx2
namespace avx512 {
extern const CurveKernels kCurves;
}  // namespace avx512

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_CURVE_KERNELS_H_
