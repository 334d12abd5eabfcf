// Draws for tests of crossbars with resistive wires.
#ifndef MEMTORCH_TESTS_CPP_TESTING_GRID_SAMPLES_H_
#define MEMTORCH_TESTS_CPP_TESTING_GRID_SAMPLES_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "engine/random.h"

namespace memtorch::testing {

// Uniform in [low, high].
inline std::vector<double> Draw(int64_t count, uint64_t stream, double low, double high) {
  std::vector<double> values(static_cast<size_t>(count));
  FillUniform(11, stream, 0, values.data(), count);
  for (double& value : values) value = low + (high - low) * value;
  return values;
}

// Conductances of devices, siemens, uniform in their logarithms, of which a fraction is open.
inline std::vector<double> Devices(int64_t count, uint64_t stream, double low, double high, double open = 0) {
  std::vector<double> g = Draw(count, stream, std::log(low), std::log(high));
  const std::vector<double> kind = Draw(count, stream + 1000, 0, 1);
  for (size_t k = 0; k < g.size(); ++k) g[k] = kind[k] < open ? 0 : std::exp(g[k]);
  return g;
}

}  // namespace memtorch::testing

#endif  // MEMTORCH_TESTS_CPP_TESTING_GRID_SAMPLES_H_
