// The linear converters of an ADC in their fast form, the same source for vector loops and for a GPU.
#ifndef MEMTORCH_ENGINE_LINEAR_ADC_H_
#define MEMTORCH_ENGINE_LINEAR_ADC_H_

#include <cstring>

#include "engine/quantizers/linear.h"

namespace memtorch {

// One converter of a linear ADC: its range is that of the data (limit = 0) or [-limit, limit].
struct LinearAdc {
  int bits;
  double limit;
};

// The bits of a floating-point number, in which order and magnitude are compared: loops over floating-point maxima
// do not vectorise, loops over integer ones do.
template <class T>
struct Bits;

template <>
struct Bits<float> {
  using Signed = int32_t;
  using Unsigned = uint32_t;
  static constexpr int kMantissa = 23;
  static constexpr int kBias = 127;
  static constexpr Signed kMagnitude = 0x7FFFFFFF;
  static constexpr Signed kInfinity = 0x7F800000;
  static constexpr double kLargest = 0x1.fffffep127;
};

template <>
struct Bits<double> {
  using Signed = int64_t;
  using Unsigned = uint64_t;
  static constexpr int kMantissa = 52;
  static constexpr int kBias = 1023;
  static constexpr Signed kMagnitude = 0x7FFFFFFFFFFFFFFF;
  static constexpr Signed kInfinity = 0x7FF0000000000000;
  static constexpr double kLargest = 0x1.fffffffffffffp1023;
};

template <class T>
using Signed = typename Bits<T>::Signed;

template <class T>
MT_HD Signed<T> BitsOf(T x) {
  Signed<T> bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

template <class T>
MT_HD T FromBits(Signed<T> bits) {
  T x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

template <class T>
MT_HD Signed<T> MagnitudeBits(T x) {
  return BitsOf(x) & Bits<T>::kMagnitude;
}

// An integer that grows with x, and its own inverse.
template <class T>
MT_HD Signed<T> Ordered(Signed<T> bits) {
  return bits ^ ((bits >> (8 * sizeof(T) - 1)) & Bits<T>::kMagnitude);
}

// The fast form of LinearQuantizer: in T itself, the division replaced by a product. Both are exact while the step and
// its inverse are normal numbers of T.
template <class T>
struct FastLinear {
  T step, inverse;

  MT_HD T operator()(T x, T low, T high) const {
    const T code = RoundHalfUp(x * inverse);
    const T above = code < low ? low : code;
    return (above > high ? high : above) * step;
  }
};

// The biased exponent of the step for a largest magnitude, given by its bits. The fast form serves if it is in
// [kFirstStep, kLastStep]: there the largest code, 2^31, does not carry the result to infinity.
template <class T>
MT_HD Signed<T> StepExponent(Signed<T> magnitude, int bits) {
  const Signed<T> one = 1;
  const Signed<T> fraction = magnitude & ((one << Bits<T>::kMantissa) - 1);
  return (magnitude >> Bits<T>::kMantissa) + (fraction != 0 ? 2 : 1) - bits;
}
template <class T>
constexpr Signed<T> kFirstStep = 2;
template <class T>
constexpr Signed<T> kLastStep = 2 * Bits<T>::kBias - 40;

template <class T>
MT_HD FastLinear<T> MakeFast(Signed<T> step_exponent) {
  return {FromBits<T>(step_exponent << Bits<T>::kMantissa),
          FromBits<T>((2 * Bits<T>::kBias - step_exponent) << Bits<T>::kMantissa)};
}

// The converters of one ADC, apart from what depends on the data.
template <class T>
struct Converter {
  LinearAdc adc;
  T low, high;             // codes
  LinearQuantizer limits;  // of the fixed range

  explicit Converter(const LinearAdc& a) : adc(a) {
    limits = LinearQuantizer::Fit({-a.limit, a.limit}, a.bits, Bits<T>::kLargest);
    const LinearQuantizer any = LinearQuantizer::Fit({-1, 1}, a.bits, Bits<T>::kLargest);
    const bool has_limit = a.limit > 0;
    // Rounding is monotone, so that clipping x at the limit and then rounding is rounding and then clipping.
    low = static_cast<T>(has_limit ? limits(-a.limit) / limits.step : any.low);
    high = static_cast<T>(has_limit ? limits(a.limit) / limits.step : any.high);
  }

  // The biased exponent of the step in T; it may lie beyond T's range.
  MT_HD Signed<T> step_exponent(Signed<T> magnitude) const {
    if (adc.limit > 0) return static_cast<Signed<T>>(AsBits(limits.step) >> 52) - 1023 + Bits<T>::kBias;
    // A range of zeros needs a step that exists: any will do.
    return magnitude == 0 ? Bits<T>::kBias : StepExponent<T>(magnitude, adc.bits);
  }

  // Where the fast form does not serve.
  MT_HD T slow(Signed<T> magnitude, T x) const {
    if (adc.limit > 0) return static_cast<T>(limits(Clamp(static_cast<double>(x), -adc.limit, adc.limit)));
    const double m = static_cast<double>(FromBits<T>(magnitude));
    return LinearQuantizer::Fit({-m, m}, adc.bits, Bits<T>::kLargest)(x);
  }
};

template <class T>
MT_HD bool IsFast(Signed<T> step_exponent) {
  return step_exponent >= kFirstStep<T> && step_exponent <= kLastStep<T>;
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_LINEAR_ADC_H_
