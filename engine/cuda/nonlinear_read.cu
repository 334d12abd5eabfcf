#include "engine/column_checks.h"
#include "engine/cuda/device_columns.h"
#include "engine/cuda/launch.h"
#include "engine/cuda/nonlinear_read.h"
#include "engine/devices/models.h"
#include "engine/nonlinear_read_checks.h"
#include "engine/random.h"
#include "engine/simulate_checks.h"

namespace memtorch::cuda {
namespace {

// Columns whose terms are added up together, as on the CPU (kReadColumns).
constexpr int kColumns = 128;
static_assert(kColumns == kReadColumns, "sums have the CPU's order");

template <class M>
struct ShapeOf {
  DeviceColumns device;
  const double* v;
  double* shape;
  double* slope;

  MT_HD void operator()(int64_t i) const {
    const auto p = device.template ParamsAt<M>(0);
    const double volts = v[i];
    shape[i] = M::Shape(p, volts);
    if (slope != nullptr) slope[i] = M::ShapeSlope(p, volts);
  }
};

// What the functors of reads have in common.
struct Tiles {
  DeviceColumns devices;
  TileGrid grid;
  const double* v;
  int64_t inputs;

  MT_HD double Volts(int64_t row, int64_t input) const { return v[row * inputs + input]; }
};

// partial[down, input, col]: a thread for each, neighbours in the columns.
template <class M>
struct ReadColumn {
  Tiles in;
  double* partial;

  MT_HD void operator()(int64_t i) const {
    const TileGrid& grid = in.grid;
    const int64_t col = i % grid.cols, input = i / grid.cols % in.inputs, down = i / grid.cols / in.inputs;
    const int64_t end = (down + 1) * grid.tile_rows < grid.rows ? (down + 1) * grid.tile_rows : grid.rows;
    double sum = 0;
    for (int64_t row = down * grid.tile_rows; row < end; ++row) {
      const int64_t cell = grid.offset(row, col);
      sum += M::Shape(in.devices.template ParamsAt<M>(cell), in.Volts(row, input)) * in.devices.ConductanceAt(cell);
    }
    partial[i] = sum;
  }
};

// v_grad[row, input]: a block for each, a thread for each of kColumns columns of a tile at a time.
template <class M>
struct VoltageGradient {
  Tiles in;
  const double* partial_grad;
  double* v_grad;

  MT_HD void operator()(const Block& block) const {
    double* terms = block.template Shared<double>();
    const TileGrid& grid = in.grid;
    const int64_t row = block.index() / in.inputs, input = block.index() % in.inputs;
    const double* grad = partial_grad + (row / grid.tile_rows * in.inputs + input) * grid.cols;
    double sum = 0;  // of thread 0
    for (int64_t col = 0, width; col < grid.cols; col += width) {
      const int64_t tile_end = (col / grid.tile_cols + 1) * grid.tile_cols;
      const int64_t left = (tile_end < grid.cols ? tile_end : grid.cols) - col;
      width = left < kColumns ? left : kColumns;
      block.Each(kColumns, [&](int lane) {
        terms[lane] = 0;
        if (lane >= width) return;
        const int64_t cell = grid.offset(row, col + lane);
        const auto p = in.devices.template ParamsAt<M>(cell);
        terms[lane] = M::ShapeSlope(p, in.Volts(row, input)) * in.devices.ConductanceAt(cell) * grad[col + lane];
      });
      for (int half = kColumns / 2; half > 0; half /= 2) {
        block.Each(half, [&](int lane) { terms[lane] += terms[lane + half]; });
      }
      block.Each(1, [&](int) { sum += terms[0]; });
    }
    block.Each(1, [&](int) { v_grad[block.index()] = sum; });
  }
};

// g_grad of one cell, 0 for padding.
template <class M>
struct ConductanceGradient {
  Tiles in;
  const double* partial_grad;
  double* g_grad;

  MT_HD void operator()(int64_t cell) const {
    const TileGrid& grid = in.grid;
    const int64_t tile = cell / (grid.tile_rows * grid.tile_cols), down = tile / grid.across();
    const int64_t row = down * grid.tile_rows + cell / grid.tile_cols % grid.tile_rows;
    const int64_t col = tile % grid.across() * grid.tile_cols + cell % grid.tile_cols;
    double sum = 0;
    if (row < grid.rows && col < grid.cols) {
      const auto p = in.devices.template ParamsAt<M>(cell);
      for (int64_t input = 0; input < in.inputs; ++input) {
        sum += M::Shape(p, in.Volts(row, input)) * partial_grad[(down * in.inputs + input) * grid.cols + col];
      }
    }
    g_grad[cell] = sum;
  }
};

// One column of a tile, padding included: its devices from the first row to the last, each over all input vectors.
template <class M>
struct MoveColumn {
  Tiles in;
  SimulatedReadOptions options;
  double* partial;

  MT_HD void operator()(int64_t i) const {
    const TileGrid& grid = in.grid;
    const int64_t tile = i / grid.tile_cols, down = tile / grid.across();
    const int64_t col = tile % grid.across() * grid.tile_cols + i % grid.tile_cols;
    double* out = col < grid.cols ? partial + down * in.inputs * grid.cols + col : nullptr;
    for (int64_t row = 0; row < grid.tile_rows; ++row) {
      const int64_t device = (tile * grid.tile_rows + row) * grid.tile_cols + i % grid.tile_cols;
      const auto p = in.devices.template ParamsAt<M>(device);
      auto s = in.devices.template StateAt<M>(device);
      const bool noise = M::UsesNoise(p), stuck = in.devices.IsStuckAt(device);
      const int64_t line = down * grid.tile_rows + row;
      for (int64_t input = 0; input < in.inputs; ++input) {
        // Word lines beyond the matrix are at 0 V.
        const auto drive = M::MakeDrive(p, line < grid.rows ? in.Volts(line, input) : 0, options.dt);
        const double normal =
            noise ? Normal(options.seed, static_cast<uint64_t>(device), static_cast<uint64_t>(input)) : 0;
        const double current = stuck ? M::Current(p, drive, s) : Step<M>(p, drive, s, 0, normal);
        if (out != nullptr) out[input * grid.cols] = (row == 0 ? 0 : out[input * grid.cols]) + current;
      }
      in.devices.template Write<M>(device, p, s);
    }
  }
};

// body(model, tiles) for the model of that name, the shapes and shared parameters of its read checked.
template <class Body>
void WithTiles(const char* op, const std::string& model, const NonlinearRead& read, const Body& body) {
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckReadShape<M>(op, read);
        CheckSharedParams<M>(op, read.devices);
        body(m, Tiles{DeviceColumns(read.devices, kParamCount<M>), read.grid, read.v, read.inputs});
      },
      op);
}

}  // namespace

void ReadShape(const std::string& model, const DeviceView& devices, const double* v, int64_t n, double* shape,
               double* slope, void* stream) {
  const char* op = "read_shape";
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckParamColumns<M>(op, devices);
        CheckSharedParams<M>(op, devices);
        ForEach(op, n, ShapeOf<M>{DeviceColumns(devices, kParamCount<M>), v, shape, slope}, stream);
      },
      op);
}

void ReadNonlinear(const std::string& model, const NonlinearRead& read, double* partial, void* stream) {
  const char* op = "read_nonlinear";
  WithTiles(op, model, read, [&](auto m, const Tiles& tiles) {
    ForEach(op, read.grid.down() * read.inputs * read.grid.cols, ReadColumn<decltype(m)>{tiles, partial}, stream);
  });
}

void ReadNonlinearGradient(const std::string& model, const NonlinearRead& read, const double* partial_grad,
                           double* v_grad, double* g_grad, void* stream) {
  const char* op = "read_nonlinear_gradient";
  WithTiles(op, model, read, [&](auto m, const Tiles& tiles) {
    using M = decltype(m);
    ForBlocks<kColumns>(op, read.grid.rows * read.inputs, kColumns * 8, VoltageGradient<M>{tiles, partial_grad, v_grad},
                        stream);
    if (g_grad == nullptr) return;
    ForEach(op, read.grid.cells(), ConductanceGradient<M>{tiles, partial_grad, g_grad}, stream);
  });
}

void ReadSimulated(const std::string& model, const NonlinearRead& read, const SimulatedReadOptions& options,
                   double* partial, void* stream) {
  const char* op = "read_simulated";
  WithTiles(op, model, read, [&](auto m, const Tiles& tiles) {
    using M = decltype(m);
    CheckColumns<M>(op, read.devices);
    CheckWaveform(op, read.devices, {read.v, read.inputs, 0, options.dt});
    ForEach(op, read.grid.tiles() * read.grid.tile_cols, MoveColumn<M>{tiles, options, partial}, stream);
  });
}

}  // namespace memtorch::cuda
