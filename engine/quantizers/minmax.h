// Uniform quantization from the smallest to the largest element: 2^b levels, both ends included (levels.h).
#ifndef MEMTORCH_ENGINE_QUANTIZERS_MINMAX_H_
#define MEMTORCH_ENGINE_QUANTIZERS_MINMAX_H_

#include "engine/quantizers/levels.h"

namespace memtorch {

struct MinMaxQuantizer : LevelQuantizer {
  static constexpr const char* kName = "minmax";
  static constexpr Scale kScale = Scale::kLinear;
  static constexpr Extent kExtent = Extent::kInterval;

  MT_HD static MinMaxQuantizer Fit(const FitRange& range, int bits, double /*largest*/) {
    return {FitLevels(range.low, range.high, static_cast<double>(uint64_t{1} << bits))};
  }
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZERS_MINMAX_H_
