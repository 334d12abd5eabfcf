#include "engine/nonlinear_read.h"

#include <algorithm>

#include "engine/devices/models.h"
#include "engine/nonlinear_read_checks.h"
#include "engine/parallel.h"

namespace memtorch {
namespace {

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
      ReadKernels().shape(index, devices, v + begin, end - begin, shape + begin,
                          slope == nullptr ? slope : slope + begin);
    });
  });
}

void ReadNonlinear(const std::string& model, const NonlinearRead& read, double* partial) {
  const char* op = "read_nonlinear";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) { CheckRead<decltype(m)>(op, read); });
  ForEachBlock(read.grid, false, [&](const ReadBlock& block) { ReadKernels().read(index, read, block, partial); });
}

void ReadNonlinearGradient(const std::string& model, const NonlinearRead& read, const double* partial_grad,
                           double* v_grad, double* g_grad) {
  const char* op = "read_nonlinear_gradient";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) { CheckRead<decltype(m)>(op, read); });
  if (g_grad != nullptr) std::fill_n(g_grad, read.devices.size, 0.0);  // of padding
  ParallelFor(read.grid.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) ReadKernels().gradient(index, read, row, partial_grad, v_grad, g_grad);
  });
}

void ReadSimulated(const std::string& model, const NonlinearRead& read, const SimulatedReadOptions& options,
                   double* partial) {
  const char* op = "read_simulated";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckSimulatedRead<M>(op, read, options.dt);
    const bool noise = AnyNoise<M>(read.devices);
    ForEachBlock(read.grid, true,
                 [&](const ReadBlock& block) { ReadKernels().simulate(index, read, options, noise, block, partial); });
  });
}

}  // namespace memtorch
