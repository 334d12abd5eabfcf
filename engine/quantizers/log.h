// Logarithmic quantization: y = sign(x) exp(q), where q quantizes ln|x| with b - 1 bits, the last bit being the sign.
// 0 stays 0. `log` quantizes ln|x| linearly (linear.h), with M found from |ln|x||; `log_minmax` uniformly between the
// logarithms of the smallest and the largest non-zero magnitude (levels.h).
#ifndef MEMTORCH_ENGINE_QUANTIZERS_LOG_H_
#define MEMTORCH_ENGINE_QUANTIZERS_LOG_H_

#include "engine/quantizers/levels.h"
#include "engine/quantizers/linear.h"

namespace memtorch {

// `Inner` quantizes logarithms.
template <class Inner>
struct Logarithmic {
  static constexpr Scale kScale = Scale::kLog;

  Inner inner;
  double largest;

  template <class T>
  MT_HD T operator()(T x) const {
    const double magnitude = Min(Exp(inner(Log(Abs(static_cast<double>(x))))), largest);
    return x == 0 ? T(0) : static_cast<T>(WithSign(magnitude, static_cast<double>(x)));
  }
};

struct LogQuantizer : Logarithmic<LinearQuantizer> {
  static constexpr const char* kName = "log";
  static constexpr Extent kExtent = Extent::kMagnitude;

  MT_HD static LogQuantizer Fit(const FitRange& range, int bits, double largest) {
    // Logarithms of doubles are small numbers: their own quantization needs no limit.
    return {{LinearQuantizer::Fit(range, bits - 1, 0x1p1000), largest}};
  }
};

struct LogMinMaxQuantizer : Logarithmic<LevelQuantizer> {
  static constexpr const char* kName = "log_minmax";
  static constexpr Extent kExtent = Extent::kInterval;

  MT_HD static LogMinMaxQuantizer Fit(const FitRange& range, int bits, double largest) {
    const double levels = static_cast<double>(uint64_t{1} << (bits - 1));
    return {{LevelQuantizer::FitLevels(range.low, range.high, levels), largest}};
  }
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZERS_LOG_H_
