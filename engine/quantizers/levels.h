// Quantization to uniform levels from low to high, both included: the nearest level, the upper one of two equally near.
// Elements beyond the ends go to the ends. One level: the mean of the ends.
#ifndef MEMTORCH_ENGINE_QUANTIZERS_LEVELS_H_
#define MEMTORCH_ENGINE_QUANTIZERS_LEVELS_H_

#include "engine/quantizers/quantizer.h"

namespace memtorch {

struct LevelQuantizer {
  // Everything but `unscale` is in units in which the larger end is about 1: no difference or quotient of finite
  // numbers overflows or vanishes then. The unit is a power of two, so results do not depend on it.
  double scale, unscale;
  double low, high;
  double step;      // between levels
  double per_unit;  // levels per unit
  double last;      // number of the last level, from 0

  // REQUIRES: low <= high, levels >= 1, all finite.
  MT_HD static LevelQuantizer FitLevels(double low, double high, double levels) {
    const double largest = Max(Abs(low), Abs(high));
    const int exponent = static_cast<int>((AsBits(largest) >> 52) & 0x7FF) - 1023;
    const int shift = exponent < -1000 ? -1000 : (exponent > 1000 ? 1000 : exponent);
    LevelQuantizer q;
    q.scale = PowerOfTwo(-shift);
    q.unscale = PowerOfTwo(shift);
    q.last = levels - 1;
    const bool single = levels < 2;
    const double mean = 0.5 * (low * q.scale) + 0.5 * (high * q.scale);
    q.low = single ? mean : low * q.scale;
    q.high = single ? mean : high * q.scale;
    const double width = q.high - q.low;
    q.step = single ? 0 : width / q.last;
    q.per_unit = width > 0 ? q.last / width : 0;
    return q;
  }

  template <class T>
  MT_HD T operator()(T x) const {
    const double position = (static_cast<double>(x) * scale - low) * per_unit;
    const double level = Clamp(RoundHalfUp(position), 0, last);
    // The last level is `high` itself, not what the steps add up to.
    return static_cast<T>((level < last ? low + level * step : high) * unscale);
  }
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZERS_LEVELS_H_
