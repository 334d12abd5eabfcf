#include "engine/wired_read.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "engine/devices/models.h"
#include "engine/grid/nodes.h"
#include "engine/nonlinear_read_checks.h"
#include "engine/parallel.h"
#include "engine/simulate.h"

namespace memtorch {
namespace {

// Sums that a gradient is made of, at most: enough for the threads of a machine, and little beside the solutions.
constexpr int64_t kMostParts = 16;

// Grid, parameters, voltages, and what the circuits of the tiles may hold.
template <class M>
void CheckWiredRead(const char* op, const NonlinearRead& read, const Wires& wires) {
  CheckRead<M>(op, read);
  CheckWires(op, wires);
  if (wires.drive_both || wires.sense_both) Invalid(op, "wires must be driven and sensed at one end");
  const TileGrid& grid = read.grid;
  const ConductanceColumn& g = read.devices.g;
  if (g.f32 != nullptr) {
    CheckConductances(op, GridView<const float>(g.f32, grid.tiles(), grid.tile_rows, grid.tile_cols));
  } else {
    CheckConductances(op, GridView<const double>(g.f64, grid.tiles(), grid.tile_rows, grid.tile_cols));
  }
}

// `size` devices of a view from the one at `first` on.
DeviceView Part(const DeviceView& devices, int64_t first, int64_t size) {
  DeviceView part = devices;
  part.size = size;
  for (ParamColumn& column : part.params) {
    if (column.data != nullptr) column.data += first * column.stride;
  }
  for (double*& column : part.state) {
    if (column != nullptr) column += first;
  }
  if (part.g.f32 != nullptr) part.g.f32 += first;
  if (part.g.f64 != nullptr) part.g.f64 += first;
  if (part.stuck != nullptr) part.stuck += first;
  return part;
}

// The circuit of one tile, for one input vector at a time.
template <class M>
class WiredTile {
 public:
  WiredTile(int model, const NonlinearRead& read, const Wires& wires, int64_t tile)
      : model_(model),
        read_(read),
        wires_(wires),
        rows_(read.grid.tile_rows),
        cols_(read.grid.tile_cols),
        first_(tile * rows_ * cols_),
        row_(tile / read.grid.across() * rows_),
        col_(tile % read.grid.across() * cols_),
        devices_(Part(read.devices, first_, rows_ * cols_)),
        shared_(IsShapeShared<M>(read.devices)),
        word_(static_cast<size_t>(rows_ * cols_)),
        bit_(word_.size()),
        v_(word_.size()),
        shape_(word_.size()),
        current_(word_.size()),
        slope_(word_.size()) {
    const ConductanceColumn& g = devices_.g;
    if (g.f64 == nullptr) single_.assign(g.f32, g.f32 + word_.size());
  }
  // The circuit's curve points here.
  WiredTile(const WiredTile&) = delete;
  WiredTile& operator=(const WiredTile&) = delete;

  // Voltages, currents and slopes of the devices for one input vector. warm: they have moved a little since it was last
  // solved for this one.
  void Solve(int64_t input, bool warm = false) {
    std::vector<double> volts(static_cast<size_t>(rows_), 0.0);
    for (int64_t i = 0; i < used_rows(); ++i) volts[i] = read_.v[(row_ + i) * read_.inputs + input];
    GridSources sources;
    sources.word = {volts.data(), 1, rows_, rows_};
    NodeOptions options;
    options.tolerance = kWiredReadTolerance;
    options.warm = warm;
    const DeviceCurve curve = [this](int64_t row, const double* v, double* current, double* slope) {
      Shapes(row, v, current, slope);
      Scale(row, current, current);
      Scale(row, slope, slope);
    };
    SolveNodes(rows_, cols_, curve, wires_, sources, options, {word_.data(), bit_.data()});
    for (size_t k = 0; k < v_.size(); ++k) v_[k] = word_[k] - bit_[k];
    for (int64_t i = 0; i < rows_; ++i) {
      const int64_t k = i * cols_;
      Shapes(i, &v_[k], &shape_[k], &slope_[k]);
      Scale(i, &shape_[k], &current_[k]);
      Scale(i, &slope_[k], &slope_[k]);
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

  // One step of the devices at the voltages of the solution; their view must be one that may be written, with float64
  // conductances. Returns whether any has moved.
  bool Move(int64_t input, const SimulatedReadOptions& options, bool noise) {
    const std::vector<double> before(devices_.g.f64, devices_.g.f64 + devices_.size);
    const SimulateJob job{devices_, {v_.data(), 1, 1, options.dt}, {options.seed, first_, 0}, nullptr, noise};
    ReadKernels().step(model_, job, input);
    return !std::equal(before.begin(), before.end(), devices_.g.f64);
  }

  // Adds what the gradient by the senses' currents means for the voltages of the word lines [rows of the tile within the
  // matrix, inputs], for the cells' conductances [cells of the tile] and for the resistances [4]; null: not wanted. By
  // reciprocity the first is the current into the drivers, at 0 V, where the senses are at these voltages and devices
  // conduct their slopes. The voltage across a device of this second circuit is the gradient by a current that bypasses
  // the device; the currents through a wire in both circuits multiply to the gradient by its resistance (Tellegen).
  void AddGradient(int64_t input, const double* partial_grad, double* by_v, double* by_g, double* by_wires) {
    const double* grad = partial_grad + (row_ / rows_ * read_.inputs + input) * read_.grid.cols + col_;
    double scale = 0;  // a voltage within the bounds of a circuit
    for (int64_t j = 0; j < used_cols(); ++j) scale = std::max(scale, std::abs(grad[j]));
    if (scale == 0) return;
    std::vector<double> grounded(static_cast<size_t>(rows_), 0.0), volts(static_cast<size_t>(cols_), 0.0);
    for (int64_t j = 0; j < used_cols(); ++j) volts[j] = grad[j] / scale;
    GridSources sources;
    sources.word = {grounded.data(), 1, rows_, rows_};
    sources.bit = {volts.data(), 1, cols_, cols_};
    SolveNodes({slope_.data(), rows_, cols_, cols_}, wires_, sources, {kWiredReadTolerance},
               {word_.data(), bit_.data()});
    for (size_t k = 0; k < word_.size(); ++k) v_[k] = scale * (bit_[k] - word_[k]);
    if (by_g != nullptr) {
      for (size_t k = 0; k < v_.size(); ++k) by_g[k] += shape_[k] * v_[k];
    }
    for (size_t k = 0; k < v_.size(); ++k) v_[k] *= slope_[k];
    if (by_v != nullptr) {
      for (int64_t i = 0; i < used_rows(); ++i) {
        for (int64_t k = i * cols_; k < (i + 1) * cols_; ++k) by_v[i * read_.inputs + input] += v_[k];
      }
    }
    if (by_wires != nullptr) AddWireGradient(by_wires);
  }

  int64_t used_rows() const { return std::min(rows_, read_.grid.rows - row_); }

 private:
  int64_t used_cols() const { return std::min(cols_, read_.grid.cols - col_); }

  void Shapes(int64_t row, const double* v, double* shape, double* slope) const {
    if (shared_) {
      ReadKernels().shape(model_, devices_, v, cols_, shape, slope);
    } else {
      ReadKernels().shapes(model_, devices_, row * cols_, (row + 1) * cols_, v, shape, slope);
    }
  }
  // Times the conductances of a row.
  void Scale(int64_t row, const double* values, double* out) const {
    const double* g = (devices_.g.f64 != nullptr ? devices_.g.f64 : single_.data()) + row * cols_;
    for (int64_t j = 0; j < cols_; ++j) out[j] = values[j] * g[j];
  }

  // From the devices' currents in both circuits; those of the second, v_, are counted from bit line to word line, which
  // turns the sign. A segment of a word line carries what the devices behind it draw, one of a bit line what those above
  // it bring.
  void AddWireGradient(double* by_wires) const {
    for (int64_t i = 0; i < rows_; ++i) {
      double drawn = 0, second = 0;
      for (int64_t j = cols_ - 1; j >= 0; --j) {
        drawn += current_[i * cols_ + j];
        second += v_[i * cols_ + j];
        by_wires[j > 0 ? 0 : 2] -= drawn * second;
      }
    }
    for (int64_t j = 0; j < cols_; ++j) {
      double brought = 0, second = 0;
      for (int64_t i = 0; i < rows_; ++i) {
        brought += current_[i * cols_ + j];
        second += v_[i * cols_ + j];
        by_wires[i < rows_ - 1 ? 1 : 3] -= brought * second;
      }
    }
  }

  int model_;
  const NonlinearRead& read_;
  const Wires& wires_;
  int64_t rows_, cols_;
  int64_t first_;      // cell of the tile, in the tile storage
  int64_t row_, col_;  // of that cell, in the matrix
  DeviceView devices_;
  bool shared_;                 // one shape for all
  std::vector<double> single_;  // float32 conductances
  std::vector<double> word_, bit_, v_, shape_, current_, slope_;
};

// Adds `parts` arrays [size], one after the other, into out.
void AddParts(const std::vector<double>& values, int64_t parts, int64_t size, double* out) {
  if (out == nullptr) return;
  std::fill_n(out, size, 0.0);
  for (int64_t part = 0; part < parts; ++part) {
    for (int64_t i = 0; i < size; ++i) out[i] += values[part * size + i];
  }
}

// The columns that a read moves, until it has succeeded.
template <class M>
class MovingColumns {
 public:
  explicit MovingColumns(const DeviceView& devices)
      : devices_(devices), g_(static_cast<size_t>(devices.size)), moving_(devices) {
    for (int i = 0; i < kStateCount<M>; ++i) {
      state_[i].assign(devices.state[i], devices.state[i] + devices.size);
      moving_.state[i] = state_[i].data();
    }
    moving_.g = {nullptr, g_.data()};
    DeviceView all = moving_;
    all.stuck = nullptr;
    UpdateConductance(M::kName, all);
  }

  const DeviceView& view() const { return moving_; }

  void Commit() const {
    for (int64_t device = 0; device < devices_.size; ++device) {
      if (IsStuck(devices_, device)) continue;
      for (int i = 0; i < kStateCount<M>; ++i) devices_.state[i][device] = state_[i][device];
      if (devices_.g.f32 != nullptr) {
        devices_.g.f32[device] = static_cast<float>(g_[device]);
      } else {
        devices_.g.f64[device] = g_[device];
      }
    }
  }

 private:
  const DeviceView& devices_;
  std::vector<double> state_[kStateCount<M>];
  std::vector<double> g_;
  DeviceView moving_;
};

}  // namespace

void ReadThroughWires(const std::string& model, const NonlinearRead& read, const Wires& wires, double* partial) {
  const char* op = "read_through_wires";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckWiredRead<M>(op, read, wires);
    // Consecutive inputs of a tile share its memory.
    const int64_t solutions = read.grid.tiles() * read.inputs;
    const int64_t grain = std::max<int64_t>(1, std::min(read.inputs, solutions / (4 * NumThreads())));
    ParallelFor(solutions, grain, [&](int64_t begin, int64_t end) {
      std::optional<WiredTile<M>> tile;
      for (int64_t k = begin; k < end; ++k) {
        if (k == begin || k % read.inputs == 0) tile.emplace(index, read, wires, k / read.inputs);
        tile->Solve(k % read.inputs);
        tile->Store(k % read.inputs, partial);
      }
    });
  });
}

void ReadThroughWiresGradient(const std::string& model, const NonlinearRead& read, const Wires& wires,
                              const double* partial_grad, const WiredGradients& gradients) {
  const char* op = "read_through_wires_gradient";
  const int index = ModelIndex(op, model);
  const TileGrid& grid = read.grid;
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckWiredRead<M>(op, read, wires);
    // Each group of inputs of a tile adds up by itself. Their number depends on sizes alone, as do the sums therefore.
    const int64_t tiles = grid.tiles(), cells = grid.tile_rows * grid.tile_cols;
    const int64_t groups = std::max<int64_t>(1, std::min(read.inputs, kMostParts / tiles));
    std::vector<double> by_v(gradients.v == nullptr ? 0 : grid.across() * grid.rows * read.inputs);
    std::vector<double> by_g(gradients.g == nullptr ? 0 : groups * tiles * cells);
    std::vector<double> by_wires(gradients.wires == nullptr ? 0 : groups * tiles * 4);
    ParallelFor(groups * tiles, 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int64_t group = k / tiles, index_of_tile = k % tiles;
        WiredTile<M> tile(index, read, wires, index_of_tile);
        const int64_t row = index_of_tile % grid.across() * grid.rows + index_of_tile / grid.across() * grid.tile_rows;
        for (int64_t b = group * read.inputs / groups; b < (group + 1) * read.inputs / groups; ++b) {
          tile.Solve(b);
          tile.AddGradient(b, partial_grad, by_v.empty() ? nullptr : &by_v[row * read.inputs],
                           by_g.empty() ? nullptr : &by_g[k * cells], by_wires.empty() ? nullptr : &by_wires[k * 4]);
        }
      }
    });
    AddParts(by_v, grid.across(), grid.rows * read.inputs, gradients.v);
    AddParts(by_g, groups, tiles * cells, gradients.g);
    AddParts(by_wires, groups * tiles, 4, gradients.wires);
  });
}

void ReadSimulatedThroughWires(const std::string& model, const NonlinearRead& read, const Wires& wires,
                               const SimulatedReadOptions& options, double* partial) {
  const char* op = "read_simulated";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckWiredRead<M>(op, read, wires);
    CheckSimulatedRead<M>(op, read, options.dt);
    const bool noise = AnyNoise<M>(read.devices);
    const MovingColumns<M> columns(read.devices);
    const NonlinearRead moving{columns.view(), read.grid, read.v, read.inputs};
    ParallelFor(read.grid.tiles(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        WiredTile<M> tile(index, moving, wires, k);
        for (int64_t input = 0; input < read.inputs; ++input) {
          tile.Solve(input);
          const bool moved = tile.Move(input, options, noise);
          if (moved && !M::kReadsFirst) tile.Solve(input, true);
          tile.Store(input, partial);
        }
      }
    });
    columns.Commit();
  });
}

}  // namespace memtorch
