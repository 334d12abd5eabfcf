#include "engine/quantize_kernels.h"

#include <cstring>

#include "engine/linear_adc.h"

namespace memtorch {
namespace MT_ISA {
namespace {

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
