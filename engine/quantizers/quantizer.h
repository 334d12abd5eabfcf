// What a quantizer is: a value that is fitted to a range once and then maps element by element.
//
//   struct LinearQuantizer {
//     static constexpr const char* kName = "linear";
//     static constexpr Scale kScale = Scale::kLinear;         what the range is a range of
//     static constexpr Extent kExtent = Extent::kMagnitude;   how the range is found
//     static LinearQuantizer Fit(const FitRange& range, int bits, double largest);
//     template <class T>
//     T operator()(T x) const;                                 x finite; T float or double
//   };
//
// `bits` is in [1, 32]; `largest` is the largest finite value of the element type, which no result exceeds. Arithmetic
// is in double precision whatever T is, so that the float result is the double result rounded.
#ifndef MEMTORCH_ENGINE_QUANTIZERS_QUANTIZER_H_
#define MEMTORCH_ENGINE_QUANTIZERS_QUANTIZER_H_

#include "engine/core.h"
#include "engine/math.h"

namespace memtorch {

// A quantizer works on the elements themselves, or on ln|x| of the non-zero ones.
enum class Scale { kLinear, kLog };

// kMagnitude: [-M, M], where the fraction `overflow_rate` of the elements is larger than M in magnitude.
// kInterval: from the smallest to the largest element.
enum class Extent { kMagnitude, kInterval };

struct FitRange {
  double low = 0;
  double high = 0;
};

// 2^exponent, exactly, for exponents in [-1074, 1023].
MT_HD double PowerOfTwo(int exponent) {
  const bool subnormal = exponent < -1022;
  const uint64_t biased = static_cast<uint64_t>(exponent + (subnormal ? 100 : 0) + 1023);
  return AsDouble(biased << 52) * (subnormal ? 0x1p-100 : 1.0);
}

// The integer next to x: the upper one if x lies half-way.
MT_HD double RoundHalfUp(double x) {
  const double below = Floor(x);
  return below + (x - below >= 0.5 ? 1.0 : 0.0);
}

MT_HD float RoundHalfUp(float x) {
  const float below = floorf(x);
  return below + (x - below >= 0.5f ? 1.0f : 0.0f);
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZERS_QUANTIZER_H_
