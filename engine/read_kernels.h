// The product of read.cc, one table per instruction set (engine/simd.h) and element type.
#ifndef MEMTORCH_ENGINE_READ_KERNELS_H_
#define MEMTORCH_ENGINE_READ_KERNELS_H_

#include <cstdint>

#include "engine/simd.h"

namespace memtorch {

// out [inputs, cols] = v [inputs, rows] (g_pos - g_neg) [rows, cols], each with its own row stride; g_neg may be null.
template <class T>
struct TileProduct {
  int64_t inputs, rows, cols;
  const T* v;
  int64_t v_stride;
  const float* g_pos;
  const float* g_neg;
  int64_t g_stride;
  T* out;
  int64_t out_stride;
};

template <class T>
struct ReadKernels {
  // Terms are added in the order of the rows.
  void (*multiply)(const TileProduct<T>& product);
};

namespace baseline {
extern const ReadKernels<float> kReadFloat;
extern const ReadKernels<double> kReadDouble;
}  // namespace baseline
namespace avx2 {
extern const ReadKernels<float> kReadFloat;
extern const ReadKernels<double> kReadDouble;
}  // namespace avx2
namespace avx512 {
extern const ReadKernels<float> kReadFloat;
extern const ReadKernels<double> kReadDouble;
}  // namespace avx512

template <class T>
const ReadKernels<T>& ActiveReadKernels() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return Select(baseline::kReadFloat, avx2::kReadFloat, avx512::kReadFloat);
  } else {
    return Select(baseline::kReadDouble, avx2::kReadDouble, avx512::kReadDouble);
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_READ_KERNELS_H_
