#include "engine/quantize.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <type_traits>

#include "engine/parallel.h"
#include "engine/quantize_checks.h"
#include "engine/quantize_kernels.h"
#include "engine/quantizers/quantizers.h"

namespace memtorch {
namespace {

constexpr int64_t kGrain = 16384;      // elements a thread takes at a time
constexpr int64_t kLevelsBlock = 512;  // elements whose bounds are copied at a time

template <class... Q>
std::vector<std::string> Names(QuantizerList<Q...>) {
  return {Q::kName...};
}

int64_t BoundCount(const Bounds& bounds, int64_t n) { return bounds.stride == 0 ? 1 : n; }

template <class T>
Summary Summarize(const T* x, int64_t n) {
  if (n <= kGrain) return ActiveQuantizeKernels<T>().summarize(x, n);
  std::vector<Summary> parts(static_cast<size_t>((n + kGrain - 1) / kGrain));
  ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
    parts[static_cast<size_t>(begin / kGrain)] = ActiveQuantizeKernels<T>().summarize(x + begin, end - begin);
  });
  Summary all = parts[0];
  for (const Summary& part : parts) all = Merge(all, part);
  return all;
}

Summary SummarizeBounds(const Bounds& bounds, int64_t n) {
  Summary all = Summarize<double>(nullptr, 0);
  for (const double* bound : {bounds.min, bounds.max}) {
    if (bound != nullptr) all = Merge(all, Summarize(bound, BoundCount(bounds, n)));
  }
  return all;
}

template <class T>
std::vector<T> Clamped(const Bounds& bounds, const T* x, int64_t n) {
  std::vector<T> y(static_cast<size_t>(n));
  ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double value = static_cast<double>(x[i]);
      if (bounds.min != nullptr) value = std::max(value, bounds.min[i * bounds.stride]);
      if (bounds.max != nullptr) value = std::min(value, bounds.max[i * bounds.stride]);
      y[static_cast<size_t>(i)] = static_cast<T>(value);
    }
  });
  return y;
}

// The magnitude |x|, or |ln|x|| of those that are not 0, that a fraction `rate` of the elements exceeds: with N
// elements in descending order, number min(round(rate * N), N - 1).
template <class T>
double MagnitudeExceededBy(double rate, Scale scale, const T* x, int64_t n) {
  std::vector<double> magnitudes(static_cast<size_t>(n));
  if (scale == Scale::kLinear) {
    std::transform(x, x + n, magnitudes.begin(), [](T value) { return std::abs(static_cast<double>(value)); });
  } else {
    std::vector<T> present;
    std::copy_if(x, x + n, std::back_inserter(present), [](T value) { return value != 0; });
    magnitudes.resize(present.size());
    ActiveQuantizeKernels<T>().log_magnitudes(present.data(), magnitudes.data(), static_cast<int64_t>(present.size()));
  }
  if (magnitudes.empty()) return 0;
  const auto nth = magnitudes.begin() + ExceededRank(rate, static_cast<int64_t>(magnitudes.size()));
  std::nth_element(magnitudes.begin(), nth, magnitudes.end(), std::greater<double>());
  return *nth;
}

template <class T>
void Apply(int method, const void* quantizer, const T* x, T* out, int64_t n) {
  const auto apply = ActiveQuantizeKernels<T>().apply[method];
  ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) { apply(quantizer, x + begin, out + begin, end - begin); });
}

// One quantizer for all elements. Bounds clamp the elements and then count as elements.
template <class Q, class T>
void QuantizeBy(int method, int bits, double overflow_rate, const Bounds& bounds, const T* x, T* out, int64_t n,
                Summary summary) {
  std::vector<T> clamped;
  if (bounds.min != nullptr || bounds.max != nullptr) {
    clamped = Clamped(bounds, x, n);
    x = clamped.data();
    summary = Summarize(x, n);
  }
  const Summary of_bounds = SummarizeBounds(bounds, n);
  const bool ranked = Q::kExtent == Extent::kMagnitude && overflow_rate > 0;
  const double exceeded = ranked ? MagnitudeExceededBy(overflow_rate, Q::kScale, x, n) : 0;
  const FitRange range = RangeOf<Q>(summary, of_bounds, ranked ? &exceeded : nullptr);
  const Q quantizer = Q::Fit(range, bits, static_cast<double>(std::numeric_limits<T>::max()));
  Apply(method, &quantizer, x, out, n);
}

// Uniform levels; with bounds for each element, a range for each element.
template <class T>
void QuantizeLevels(int method, double levels, const Bounds& bounds, const T* x, T* out, int64_t n,
                    const Summary& summary) {
  // A bound that is not given is taken from the elements clamped at the other one.
  const auto low = [&](int64_t i) {
    return bounds.min != nullptr   ? bounds.min[i]
           : bounds.max != nullptr ? Min(summary.low, bounds.max[i])
                                   : summary.low;
  };
  const auto high = [&](int64_t i) {
    return bounds.max != nullptr   ? bounds.max[i]
           : bounds.min != nullptr ? Max(summary.high, bounds.min[i])
                                   : summary.high;
  };
  if (bounds.stride == 0) {
    const MinMaxQuantizer quantizer{LevelQuantizer::FitLevels(low(0), high(0), levels)};
    Apply(method, &quantizer, x, out, n);
    return;
  }
  const auto apply = ActiveQuantizeKernels<T>().apply_levels;
  ParallelFor(n, kLevelsBlock, [&](int64_t begin, int64_t end) {
    double lows[kLevelsBlock], highs[kLevelsBlock];
    for (int64_t i = begin; i < end; ++i) {
      lows[i - begin] = low(i);
      highs[i - begin] = high(i);
    }
    apply(levels, lows, highs, x + begin, out + begin, end - begin);
  });
}

// Quantize() after its checks; x is finite and n above 0. An empty method's number is that of minmax.
template <class T>
void QuantizeChecked(int method, double levels, int bits, double overflow_rate, const Bounds& bounds, const T* x,
                     T* out, int64_t n, const Summary& summary) {
  VisitQuantizer(Quantizers(), method, [&](auto type) {
    using Q = decltype(type);
    if constexpr (std::is_base_of_v<LevelQuantizer, Q>) {
      QuantizeLevels(method, levels, bounds, x, out, n, summary);
    } else {
      QuantizeBy<Q>(method, bits, overflow_rate, bounds, x, out, n, summary);
    }
  });
}

}  // namespace

const std::vector<std::string>& QuantMethods() {
  static const std::vector<std::string> names = Names(Quantizers());
  return names;
}

int CheckQuantMethod(const char* op, const std::string& method) {
  const std::vector<std::string>& names = QuantMethods();
  const auto found = std::find(names.begin(), names.end(), method);
  if (found != names.end()) return static_cast<int>(found - names.begin());
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "\"" : ", \"") + name + '"';
  Invalid(op, "quant_method (\"", method, "\") must be one of ", list);
}

void CheckQuantBits(const char* op, const char* name, int64_t bits) {
  if (bits < 1 || bits > 32) Invalid(op, name, " (", bits, " bits) must be in [1, 32]");
}

void CheckOverflowRate(const char* op, double rate) {
  if (!(rate >= 0 && rate <= 1)) Invalid(op, "overflow_rate (", rate, ") must be in [0, 1]");
}

void CheckBounds(const Bounds& bounds, int64_t n, double largest) {
  const auto place = [&](int64_t i) { return bounds.stride == 0 ? "" : "[" + std::to_string(i) + "]"; };
  for (int64_t i = 0; i < BoundCount(bounds, n); ++i) {
    for (const double* bound : {bounds.min, bounds.max}) {
      const char* name = bound == bounds.min ? "min" : "max";
      if (bound != nullptr && !(std::abs(bound[i]) <= largest)) {
        Invalid("quantize", name, place(i), " (", bound[i], ") must be finite");
      }
    }
    if (bounds.min != nullptr && bounds.max != nullptr && bounds.min[i] > bounds.max[i]) {
      Invalid("quantize", "min", place(i), " (", bounds.min[i], ") must not exceed max", place(i), " (", bounds.max[i],
              ")");
    }
  }
}

int CheckQuantizeOptions(const QuantizeOptions& options) {
  const bool by_levels = options.method.empty();
  const int method = CheckQuantMethod("quantize", by_levels ? MinMaxQuantizer::kName : options.method);
  if (!by_levels) CheckQuantBits("quantize", "quant", options.quant);
  if (options.quant < 1) Invalid("quantize", "quant (", options.quant, " levels) must be at least 1");
  CheckOverflowRate("quantize", options.overflow_rate);
  return method;
}

template <class T>
void Quantize(const QuantizeOptions& options, const Bounds& bounds, const T* x, T* out, int64_t n) {
  const bool by_levels = options.method.empty();
  const int method = CheckQuantizeOptions(options);
  if (n < 0) Invalid("quantize", "n (", n, " elements) must not be negative");
  CheckBounds(bounds, n, static_cast<double>(std::numeric_limits<T>::max()));
  if (n == 0) return;
  const Summary summary = Summarize(x, n);
  if (!summary.finite) {
    const T* bad = std::find_if(x, x + n, [](T value) { return !std::isfinite(value); });
    Invalid("quantize", "x[", bad - x, "] (", *bad, ") must be finite");
  }
  const int bits = by_levels ? 0 : static_cast<int>(options.quant);
  const double levels = by_levels ? static_cast<double>(options.quant) : std::ldexp(1.0, bits);
  QuantizeChecked(method, levels, bits, options.overflow_rate, bounds, x, out, n, summary);
}

template void Quantize(const QuantizeOptions&, const Bounds&, const float*, float*, int64_t);
template void Quantize(const QuantizeOptions&, const Bounds&, const double*, double*, int64_t);

}  // namespace memtorch
