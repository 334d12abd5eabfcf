// Quantization through tanh, finer near 0 than near M: t = tanh(x / M) / tanh(1) goes to the nearest of 2^b uniform
// levels on [-1, 1] (levels.h), and y = M atanh(t tanh(1)). M = 0 gives 0.
#ifndef MEMTORCH_ENGINE_QUANTIZERS_TANH_H_
#define MEMTORCH_ENGINE_QUANTIZERS_TANH_H_

#include "engine/quantizers/levels.h"

namespace memtorch {

struct TanhQuantizer {
  static constexpr const char* kName = "tanh";
  static constexpr Scale kScale = Scale::kLinear;
  static constexpr Extent kExtent = Extent::kMagnitude;
  static constexpr double kTanh1 = 0.76159415595576488812;

  LevelQuantizer levels;
  double magnitude;

  MT_HD static TanhQuantizer Fit(const FitRange& range, int bits, double /*largest*/) {
    return {LevelQuantizer::FitLevels(-1, 1, static_cast<double>(uint64_t{1} << bits)), range.high};
  }

  template <class T>
  MT_HD T operator()(T x) const {
    const double ratio = static_cast<double>(x) / (magnitude > 0 ? magnitude : 1);
    const double t = levels(Tanh(ratio) / kTanh1);
    // Rounding must not carry the end of the range beyond M.
    return static_cast<T>(magnitude * Clamp(Atanh(t * kTanh1), -1, 1));
  }
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZERS_TANH_H_
