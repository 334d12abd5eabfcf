#include "engine/nonlinear_read.h"

#include <algorithm>
#include <cmath>

#include "engine/column_checks.h"
#include "engine/device_model.h"
#include "engine/devices/models.h"
#include "engine/nonlinear_read_kernels.h"
#include "engine/parallel.h"
#include "engine/simd.h"
#include "engine/simulate_checks.h"

namespace memtorch {
namespace {

// Whether devices share every parameter that their shape depends on.
template <class M>
bool IsShapeShared(const DeviceView& devices) {
  for (int i = 0; i < kParamCount<M>; ++i) {
    if (M::kParams[i].shapes && devices.params[i].stride != 0) return false;
  }
  return true;
}

const NonlinearReadKernels& Kernels() {
  return Select(baseline::kNonlinearRead, avx2::kNonlinearRead, avx512::kNonlinearRead);
}

// That voltages are finite, and so small that every device carries a finite current.
template <class M>
void CheckVoltages(const char* op, const DeviceView& devices, const double* v, int64_t n) {
  const int64_t infinite = FirstOf(n, [&](int64_t i) { return !Finite(v[i]); });
  if (infinite < n) Invalid(op, "voltage (", v[infinite], " V) must be finite");
  if (n == 0) return;
  const auto ends = std::minmax_element(v, v + n);
  const int64_t different = IsShapeShared<M>(devices) ? 1 : devices.size;
  for (const double peak : {*ends.first, *ends.second}) {
    const int64_t bad = FirstOf(different, [&](int64_t device) {
      return !(std::abs(M::Shape(ParamsOf<M>(devices, device), peak)) <= kLargestShape);
    });
    if (bad < different) {
      Invalid(op, "voltage (", peak, " V) must be small enough for ", M::kName, " to carry a finite current");
    }
  }
}

// Grid, parameters, voltages.
template <class M>
void CheckRead(const char* op, const NonlinearRead& read) {
  CheckGrid(op, read.grid);
  CheckParamColumns<M>(op, read.devices);
  if (read.devices.size != read.grid.cells()) {
    Invalid(op, "devices (", read.devices.size, ") must be the ", read.grid.cells(), " cells of the tiles");
  }
  if ((read.devices.g.f32 == nullptr) == (read.devices.g.f64 == nullptr)) {
    Invalid(op, "g must be either a float32 or a float64 column");
  }
  if (read.inputs < 0) Invalid(op, "inputs (", read.inputs, ") must be at least 0");
  CheckParamValues<M>(op, read.devices);
  CheckVoltages<M>(op, read.devices, read.v, read.grid.rows * read.inputs);
}

// body(block) for all blocks of columns; with_padding: also those of padding columns alone.
template <class Body>
void ForEachBlock(const TileGrid& grid, bool with_padding, const Body& body) {
  const int64_t blocks = (grid.tile_cols + kReadColumns - 1) / kReadColumns;
  ParallelFor(grid.tiles() * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const ReadBlock block{k / blocks, k % blocks * kReadColumns};
      const bool read = block.tile % grid.across() * grid.tile_cols + block.first < grid.cols;
      if (read || with_padding) body(block);
    }
  });
}

}  // namespace

void ReadShape(const std::string& model, const DeviceView& devices, const double* v, int64_t n, double* shape,
               double* slope) {
  const char* op = "read_shape";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckParamColumns<M>(op, devices);
    CheckParamValues<M>(op, devices);
    CheckVoltages<M>(op, devices, v, n);
    ParallelFor(n, 4096, [&](int64_t begin, int64_t end) {
      Kernels().shape(index, devices, v + begin, end - begin, shape + begin, slope == nullptr ? slope : slope + begin);
    });
  });
}

void ReadNonlinear(const std::string& model, const NonlinearRead& read, double* partial) {
  const char* op = "read_nonlinear";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) { CheckRead<decltype(m)>(op, read); });
  ForEachBlock(read.grid, false, [&](const ReadBlock& block) { Kernels().read(index, read, block, partial); });
}

void ReadNonlinearGradient(const std::string& model, const NonlinearRead& read, const double* partial_grad,
                           double* v_grad) {
  const char* op = "read_nonlinear_gradient";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) { CheckRead<decltype(m)>(op, read); });
  ParallelFor(read.grid.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) Kernels().gradient(index, read, row, partial_grad, v_grad);
  });
}

void ReadSimulated(const std::string& model, const NonlinearRead& read, const SimulatedReadOptions& options,
                   double* partial) {
  const char* op = "read_simulated";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckRead<M>(op, read);
    CheckColumns<M>(op, read.devices);
    CheckState<M>(op, read.devices);
    CheckWaveform(op, read.devices, {read.v, read.inputs, 0, options.dt});
    const bool noise = AnyNoise<M>(read.devices);
    ForEachBlock(read.grid, true,
                 [&](const ReadBlock& block) { Kernels().simulate(index, read, options, noise, block, partial); });
  });
}

}  // namespace memtorch
