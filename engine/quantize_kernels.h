// The loops of quantize.cc, one table per instruction set (engine/simd.h) and element type.
#ifndef MEMTORCH_ENGINE_QUANTIZE_KERNELS_H_
#define MEMTORCH_ENGINE_QUANTIZE_KERNELS_H_

#include <cstdint>

#include "engine/linear_adc.h"
#include "engine/quantize_range.h"
#include "engine/quantizers/quantizers.h"
#include "engine/simd.h"

namespace memtorch {

// A strip of one converter tile: element (t, c, s) of `parts` x `cols` x `width` is
// data[t * part_stride + c * col_stride + s * inner_stride], and has `width` converters, one for each s.
template <class T>
struct AdcStrip {
  const T* data;
  int64_t parts, cols, width;
  int64_t part_stride, col_stride, inner_stride;
};

constexpr int64_t kAdcStrip = 64;

template <class T>
struct QuantizeKernels {
  Summary (*summarize)(const T* x, int64_t n);
  // y[i] = the quantizer of that number in the list, applied to x[i].
  void (*apply[Quantizers::kSize])(const void* quantizer, const T* x, T* y, int64_t n);
  // The same with uniform levels from low[i] to high[i] for each element.
  void (*apply_levels)(double levels, const double* low, const double* high, const T* x, T* y, int64_t n);
  // y[i] = |ln|x[i]||. REQUIRES: x[i] != 0.
  void (*log_magnitudes)(const T* x, double* y, int64_t n);
  // out[c * col_stride + s * inner_stride] = sum over parts of the digitised data. False if an element is infinite or
  // NaN. digitize_rows REQUIRES col_stride = 1; digitize_columns REQUIRES inner_stride = 1 and width <= kAdcStrip.
  bool (*digitize_rows)(const LinearAdc& adc, const AdcStrip<T>& in, T* out);
  bool (*digitize_columns)(const LinearAdc& adc, const AdcStrip<T>& in, T* out);
};

namespace baseline {
extern const QuantizeKernels<float> kQuantizeFloat;
extern const QuantizeKernels<double> kQuantizeDouble;
}  // namespace baseline
namespace avx2 {
extern const QuantizeKernels<float> kQuantizeFloat;
extern const QuantizeKernels<double> kQuantizeDouble;
}  // namespace avx2
namespace avx512 {
extern const QuantizeKernels<float> kQuantizeFloat;
extern const QuantizeKernels<double> kQuantizeDouble;
}  // namespace avx512

template <class T>
const QuantizeKernels<T>& ActiveQuantizeKernels() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return Select(baseline::kQuantizeFloat, avx2::kQuantizeFloat, avx512::kQuantizeFloat);
  } else {
    return Select(baseline::kQuantizeDouble, avx2::kQuantizeDouble, avx512::kQuantizeDouble);
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZE_KERNELS_H_
