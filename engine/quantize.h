// Quantization of tensors and the converters (ADC) of tiles.
//
// The formulas stand in engine/quantizers/*.h, one header per method; quantizers.h is the list.
#ifndef MEMTORCH_ENGINE_QUANTIZE_H_
#define MEMTORCH_ENGINE_QUANTIZE_H_

#include <string>
#include <vector>

#include "engine/core.h"

namespace memtorch {

// "linear", "log", "log_minmax", "minmax", "tanh".
const std::vector<std::string>& QuantMethods();

struct QuantizeOptions {
  std::string method;        // one of QuantMethods(), or empty: `levels` uniform levels between the bounds
  int64_t quant = 8;         // bits, or the number of levels without a method
  double overflow_rate = 0;  // fraction of the elements allowed beyond the range (linear, log, tanh), in [0, 1]
};

// Bounds of quantization; null: taken from the data. stride 0: one value, 1: one per element.
struct Bounds {
  const double* min = nullptr;
  const double* max = nullptr;
  int64_t stride = 0;
};

// Quantizes x [n] into out [n] (may be x). One range for the whole array, found from the elements: bounds clamp them
// and then count as elements, so that a bound is always part of the range. Only `minmax` and levels, given bounds for
// each element, give each element a range of its own.
//
// The magnitude M that a fraction `overflow_rate` of N elements exceeds is number min(round(overflow_rate * N), N - 1)
// of the magnitudes in descending order, from 0; for `log` the magnitudes are |ln|x|| of the non-zero elements.
//
// Throws std::invalid_argument, with out untouched, on NaN, infinite elements or bounds, min > max, bits outside
// [1, 32], levels < 1, an overflow_rate outside [0, 1], an unknown method.
template <class T>
void Quantize(const QuantizeOptions& options, const Bounds& bounds, const T* x, T* out, int64_t n);

// The converters of one layer. Each converter digitises the partial sums that one tile gives for one input vector,
// with a range of its own.
struct AdcOptions {
  std::string method;  // one of QuantMethods()
  int bits = 8;
  double overflow_rate = 0;
  double range = 0;  // amperes; above 0: a fixed range [-range, range] for every converter. 0: from the data
};

// Partial sums of `parts` tile rows: element (t, n, c, s) is data[t * part_stride + n * outer_stride + c * col_stride +
// s * inner_stride]. n and s number the input vectors (samples and positions); c the columns. Either col_stride or
// inner_stride is 1, unless cols or inner is.
template <class T>
struct PartialSums {
  const T* data = nullptr;
  int64_t parts = 0, outer = 0, cols = 0, inner = 0;
  int64_t part_stride = 0, outer_stride = 0, col_stride = 0, inner_stride = 0;
};

// out(n, c, s) = sum over parts of the digitised partial sums, out strided as one part. Columns [ends[k-1], ends[k]) of
// a part share a converter range: `ends` lists the column ends of the tiles, ascending, the last = cols. A converter is
// Quantize() of its columns, with bounds -range and range if a range is given. Parts are added in order, in T.
//
// Throws std::invalid_argument for bad options, and for an infinite or NaN partial sum; out is undefined after that.
template <class T>
void DigitizeAndSum(const AdcOptions& adc, const PartialSums<T>& in, const std::vector<int64_t>& ends, T* out);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZE_H_
