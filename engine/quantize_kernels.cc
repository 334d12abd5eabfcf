#include "engine/quantize_kernels.h"

#include <cstring>

namespace memtorch {
namespace MT_ISA {
namespace {

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

template <class T>
Summary Summarize(const T* x, int64_t n) {
  using U = typename Bits<T>::Unsigned;
  Signed<T> low = Bits<T>::kMagnitude;
  Signed<T> high = -Bits<T>::kMagnitude - 1;
  U smallest = static_cast<U>(-1);
#pragma omp simd reduction(min : low, smallest) reduction(max : high)
  for (int64_t i = 0; i < n; ++i) {
    const Signed<T> bits = BitsOf(x[i]);
    const Signed<T> ordered = Ordered<T>(bits);
    const U above_zero = static_cast<U>(bits & Bits<T>::kMagnitude) - 1;  // of 0: the largest
    low = ordered < low ? ordered : low;
    high = ordered > high ? ordered : high;
    smallest = above_zero < smallest ? above_zero : smallest;
  }
  const double infinity = static_cast<double>(FromBits<T>(Bits<T>::kInfinity));
  if (n <= 0) return {infinity, -infinity, infinity, true};
  const bool finite = high < Bits<T>::kInfinity && low > Ordered<T>(Bits<T>::kInfinity - Bits<T>::kMagnitude - 1);
  const bool zeros = smallest == static_cast<U>(-1);
  return {static_cast<double>(FromBits<T>(Ordered<T>(low))), static_cast<double>(FromBits<T>(Ordered<T>(high))),
          zeros ? infinity : static_cast<double>(FromBits<T>(static_cast<Signed<T>>(smallest + 1))), finite};
}

template <class Q, class T>
void Apply(const void* quantizer, const T* x, T* y, int64_t n) {
  const Q q = *static_cast<const Q*>(quantizer);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = q(x[i]);
}

template <class T>
void ApplyLevels(double levels, const double* low, const double* high, const T* x, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = LevelQuantizer::FitLevels(low[i], high[i], levels)(x[i]);
}

template <class T>
void LogMagnitudes(const T* x, double* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = Abs(Log(Abs(static_cast<double>(x[i]))));
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
  Signed<T> step_exponent(Signed<T> magnitude) const {
    if (adc.limit > 0) return static_cast<Signed<T>>(AsBits(limits.step) >> 52) - 1023 + Bits<T>::kBias;
    // A range of zeros needs a step that exists: any will do.
    return magnitude == 0 ? Bits<T>::kBias : StepExponent<T>(magnitude, adc.bits);
  }

  // Where the fast form does not serve.
  T slow(Signed<T> magnitude, T x) const {
    if (adc.limit > 0) return static_cast<T>(limits(Clamp(static_cast<double>(x), -adc.limit, adc.limit)));
    const double m = static_cast<double>(FromBits<T>(magnitude));
    return LinearQuantizer::Fit({-m, m}, adc.bits, Bits<T>::kLargest)(x);
  }
};

template <class T>
MT_HD bool IsFast(Signed<T> step_exponent) {
  return step_exponent >= kFirstStep<T> && step_exponent <= kLastStep<T>;
}

// One converter over a part of a row: y[c] += digitised x[c], c < n. False if an element is infinite or NaN.
template <class T>
bool DigitizeRun(const Converter<T>& converter, const T* x, int64_t n, T* y) {
  Signed<T> magnitude = 0;
#pragma omp simd reduction(max : magnitude)
  for (int64_t c = 0; c < n; ++c) {
    const Signed<T> bits = MagnitudeBits(x[c]);
    magnitude = bits > magnitude ? bits : magnitude;
  }
  if (magnitude >= Bits<T>::kInfinity) return false;
  const Signed<T> exponent = converter.step_exponent(magnitude);
  if (!IsFast<T>(exponent)) {
    for (int64_t c = 0; c < n; ++c) y[c] += converter.slow(magnitude, x[c]);
    return true;
  }
  const FastLinear<T> fast = MakeFast<T>(exponent);
  const T low = converter.low, high = converter.high;
#pragma omp simd
  for (int64_t c = 0; c < n; ++c) y[c] += fast(x[c], low, high);
  return true;
}

template <class T>
bool DigitizeRows(const LinearAdc& adc, const AdcStrip<T>& in, T* out) {
  const Converter<T> converter(adc);
  for (int64_t s = 0; s < in.width; ++s) {
    T* y = out + s * in.inner_stride;
    memset(y, 0, static_cast<size_t>(in.cols) * sizeof(T));
    for (int64_t t = 0; t < in.parts; ++t) {
      if (!DigitizeRun(converter, in.data + t * in.part_stride + s * in.inner_stride, in.cols, y)) return false;
    }
  }
  return true;
}

// Converters side by side, one for each s < width: y[c * stride + s] += digitised x[c * stride + s].
template <class T>
bool DigitizeSideBySide(const Converter<T>& converter, const T* x, int64_t cols, int64_t width, int64_t stride, T* y) {
  Signed<T> magnitude[kAdcStrip] = {};
  for (int64_t c = 0; c < cols; ++c) {
    const T* row = x + c * stride;
#pragma omp simd
    for (int64_t s = 0; s < width; ++s) {
      const Signed<T> bits = MagnitudeBits(row[s]);
      magnitude[s] = bits > magnitude[s] ? bits : magnitude[s];
    }
  }
  T step[kAdcStrip], inverse[kAdcStrip];
  bool all_fast = true;
  for (int64_t s = 0; s < width; ++s) {
    if (magnitude[s] >= Bits<T>::kInfinity) return false;
    const Signed<T> exponent = converter.step_exponent(magnitude[s]);
    all_fast = all_fast && IsFast<T>(exponent);
    const FastLinear<T> fast = MakeFast<T>(IsFast<T>(exponent) ? exponent : Bits<T>::kBias);
    step[s] = fast.step;
    inverse[s] = fast.inverse;
  }
  const T low = converter.low, high = converter.high;
  for (int64_t c = 0; c < cols; ++c) {
    const T* from = x + c * stride;
    T* to = y + c * stride;
    if (all_fast) {
#pragma omp simd
      for (int64_t s = 0; s < width; ++s) to[s] += FastLinear<T>{step[s], inverse[s]}(from[s], low, high);
    } else {
      for (int64_t s = 0; s < width; ++s) to[s] += converter.slow(magnitude[s], from[s]);
    }
  }
  return true;
}

template <class T>
bool DigitizeColumns(const LinearAdc& adc, const AdcStrip<T>& in, T* out) {
  const Converter<T> converter(adc);
  for (int64_t c = 0; c < in.cols; ++c) {
    memset(out + c * in.col_stride, 0, static_cast<size_t>(in.width) * sizeof(T));
  }
  for (int64_t t = 0; t < in.parts; ++t) {
    const T* x = in.data + t * in.part_stride;
    if (!DigitizeSideBySide(converter, x, in.cols, in.width, in.col_stride, out)) return false;
  }
  return true;
}

template <class T, class... Q>
constexpr QuantizeKernels<T> Table(QuantizerList<Q...>) {
  return {Summarize<T>, {Apply<Q, T>...}, ApplyLevels<T>, LogMagnitudes<T>, DigitizeRows<T>, DigitizeColumns<T>};
}

}  // namespace

const QuantizeKernels<float> kQuantizeFloat = Table<float>(Quantizers());
const QuantizeKernels<double> kQuantizeDouble = Table<double>(Quantizers());

}  // namespace MT_ISA
}  // namespace memtorch
