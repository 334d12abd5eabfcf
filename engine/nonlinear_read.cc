#include "engine/nonlinear_read.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/column_checks.h"
#include "engine/device_model.h"
#include "engine/devices/models.h"
#include "engine/grid/nodes.h"
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

// Grid, parameters, voltages, and what the circuits of the tiles may hold.
template <class M>
void CheckWiredRead(const char* op, const NonlinearRead& read, const Wires& wires) {
  CheckRead<M>(op, read);
  CheckWires(op, wires);
  const TileGrid& grid = read.grid;
  const ConductanceColumn& g = read.devices.g;
  if (g.f32 != nullptr) {
    CheckConductances(op, GridView<const float>(g.f32, grid.tiles(), grid.tile_rows, grid.tile_cols));
  } else {
    CheckConductances(op, GridView<const double>(g.f64, grid.tiles(), grid.tile_rows, grid.tile_cols));
  }
}

// One tile with resistive wires, for one input vector at a time.
template <class M>
class WiredTile {
 public:
  WiredTile(int model, const NonlinearRead& read, const Wires& wires, int64_t tile)
      : read_(read),
        wires_(wires),
        rows_(read.grid.tile_rows),
        cols_(read.grid.tile_cols),
        row_(tile / read.grid.across() * rows_),
        col_(tile % read.grid.across() * cols_),
        word_(static_cast<size_t>(rows_ * cols_)),
        bit_(word_.size()),
        current_(word_.size()),
        slope_(word_.size()) {
    const bool shared = IsShapeShared<M>(read.devices);
    curve_ = [&read, model, shared, first = tile * rows_ * cols_, cols = cols_](int64_t row, const double* v,
                                                                                double* current, double* slope) {
      const int64_t begin = first + row * cols;
      if (shared) Kernels().shape(model, read.devices, v, cols, current, slope);
      for (int64_t j = 0; j < cols; ++j) {
        if (!shared) {
          const typename M::Params p = ParamsOf<M>(read.devices, begin + j);
          current[j] = M::Shape(p, v[j]);
          slope[j] = M::ShapeSlope(p, v[j]);
        }
        const ConductanceColumn& column = read.devices.g;
        const double g = column.f32 != nullptr ? static_cast<double>(column.f32[begin + j]) : column.f64[begin + j];
        current[j] *= g;
        slope[j] *= g;
      }
    };
  }

  // Currents and slopes of the devices at the solution for one input vector.
  void Solve(int64_t input) {
    std::vector<double> volts(static_cast<size_t>(rows_), 0.0);
    for (int64_t i = 0; i < used_rows(); ++i) volts[i] = read_.v[(row_ + i) * read_.inputs + input];
    GridSources sources;
    sources.word = {volts.data(), 1, rows_, rows_};
    SolveNodes(rows_, cols_, curve_, wires_, sources, {}, {word_.data(), bit_.data()});
    for (size_t k = 0; k < word_.size(); ++k) word_[k] -= bit_[k];
    for (int64_t i = 0; i < rows_; ++i) {
      const int64_t k = i * cols_;
      curve_(i, &word_[k], &current_[k], &slope_[k]);
    }
  }

  // The currents into the senses that lie within the matrix, into partial as a whole.
  void Store(int64_t input, double* partial) const {
    double* out = partial + (row_ / rows_ * read_.inputs + input) * read_.grid.cols + col_;
    std::fill_n(out, used_cols(), 0.0);
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < used_cols(); ++j) out[j] += current_[i * cols_ + j];
    }
  }

  // Adds what the gradient by the senses' currents means for the voltages. By reciprocity it is the current into the
  // drivers, at 0 V, where the senses are at these voltages and devices conduct their slopes.
  void AddGradient(int64_t input, const double* partial_grad, double* v_grad) {
    const double* grad = partial_grad + (row_ / rows_ * read_.inputs + input) * read_.grid.cols + col_;
    double scale = 0;  // a voltage within the bounds of a circuit
    for (int64_t j = 0; j < used_cols(); ++j) scale = std::max(scale, std::abs(grad[j]));
    if (scale == 0) return;
    std::vector<double> grounded(static_cast<size_t>(rows_), 0.0), volts(static_cast<size_t>(cols_), 0.0);
    for (int64_t j = 0; j < used_cols(); ++j) volts[j] = grad[j] / scale;
    GridSources sources;
    sources.word = {grounded.data(), 1, rows_, rows_};
    sources.bit = {volts.data(), 1, cols_, cols_};
    SolveNodes({slope_.data(), rows_, cols_, cols_}, wires_, sources, {}, {word_.data(), bit_.data()});
    for (int64_t i = 0; i < used_rows(); ++i) {
      double sum = 0;
      for (int64_t k = i * cols_; k < (i + 1) * cols_; ++k) sum += slope_[k] * (bit_[k] - word_[k]);
      v_grad[(row_ + i) * read_.inputs + input] += scale * sum;
    }
  }

 private:
  int64_t used_rows() const { return std::min(rows_, read_.grid.rows - row_); }
  int64_t used_cols() const { return std::min(cols_, read_.grid.cols - col_); }

  const NonlinearRead& read_;
  const Wires& wires_;
  int64_t rows_, cols_;
  int64_t row_, col_;  // of the first cell, in the matrix
  std::vector<double> word_, bit_, current_, slope_;
  DeviceCurve curve_;
};

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

void ReadThroughWires(const std::string& model, const NonlinearRead& read, const Wires& wires, double* partial) {
  const char* op = "read_through_wires";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckWiredRead<M>(op, read, wires);
    ParallelFor(read.grid.tiles() * read.inputs, 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        WiredTile<M> tile(index, read, wires, k / read.inputs);
        tile.Solve(k % read.inputs);
        tile.Store(k % read.inputs, partial);
      }
    });
  });
}

void ReadThroughWiresGradient(const std::string& model, const NonlinearRead& read, const Wires& wires,
                              const double* partial_grad, double* v_grad) {
  const char* op = "read_through_wires_gradient";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckWiredRead<M>(op, read, wires);
    std::fill_n(v_grad, read.grid.rows * read.inputs, 0.0);
    const int64_t across = read.grid.across();
    ParallelFor(read.grid.down() * read.inputs, 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        for (int64_t column = 0; column < across; ++column) {
          WiredTile<M> tile(index, read, wires, k / read.inputs * across + column);
          tile.Solve(k % read.inputs);
          tile.AddGradient(k % read.inputs, partial_grad, v_grad);
        }
      }
    });
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
