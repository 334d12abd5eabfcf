// Linear quantization with a step that is a power of two, as two's-complement converters have:
//   step = 2^(1 - b + ceil(log2 M)),  y = step * clamp(round(x / step), -2^(b-1), 2^(b-1) - 1).
// Halves round up. M = 0 gives 0.
#ifndef MEMTORCH_ENGINE_QUANTIZERS_LINEAR_H_
#define MEMTORCH_ENGINE_QUANTIZERS_LINEAR_H_

#include "engine/quantizers/quantizer.h"

namespace memtorch {

struct LinearQuantizer {
  static constexpr const char* kName = "linear";
  static constexpr Scale kScale = Scale::kLinear;
  static constexpr Extent kExtent = Extent::kMagnitude;

  double step;       // a power of two
  double low, high;  // the lowest and highest code

  MT_HD static LinearQuantizer Fit(const FitRange& range, int bits, double largest) {
    // Below 2^-1074 every double is a multiple of the step; 2^1024, the step of one bit beyond 2^1023, is no double.
    const int exponent = 1 - bits + CeilLog2(range.high);
    const double step = PowerOfTwo(exponent < -1074 ? -1074 : (exponent > 1023 ? 1023 : exponent));
    const double half = 0.5 * static_cast<double>(uint64_t{1} << bits);
    const LinearQuantizer fitted{step, Max(-half, -largest / step), Min(half - 1, largest / step)};
    return range.high > 0 ? fitted : LinearQuantizer{1, 0, 0};
  }

  template <class T>
  MT_HD T operator()(T x) const {
    return static_cast<T>(step * Clamp(RoundHalfUp(static_cast<double>(x) / step), low, high));
  }

  // ceil(log2 x) for x > 0, from the bits of x.
  MT_HD static int CeilLog2(double x) {
    const bool subnormal = x < 0x1p-1022;
    const uint64_t bits = AsBits(subnormal ? x * 0x1p54 : x);
    const int exponent = static_cast<int>(bits >> 52) - (subnormal ? 1023 + 54 : 1023);
    return exponent + ((bits & 0x000FFFFFFFFFFFFFu) != 0 ? 1 : 0);
  }
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZERS_LINEAR_H_
