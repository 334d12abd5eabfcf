#include "engine/nonlinear_read_kernels.h"

#include <type_traits>

#include "engine/devices/models.h"
#include "engine/lanes.h"
#include "engine/simulate_kernels.h"
#include "engine/simulate_lanes.h"

namespace memtorch {
namespace MT_ISA {
namespace {

static_assert(kReadColumns == kLanes);

// Currents of a chunk of input vectors, added up over the rows of a tile. A few doubles longer than a block: rows a
// power of two apart would fall into the same sets of the cache.
struct Sums {
  double at[kSamples][kLanes + 8];

  MT_HD Sums() {
    for (auto& row : at) {
      for (double& sum : row) sum = 0;
    }
  }
};

// The smaller of two counts.
MT_HD int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }

// What a block of columns of a tile has to do with the matrix.
struct Place {
  int64_t down;            // row of tiles
  int64_t row, col;        // of the block's first cell, in the matrix
  int64_t rows;            // of the tile that lie within the matrix
  int64_t width, visible;  // columns of the block; those within the matrix

  MT_HD Place(const TileGrid& grid, const ReadBlock& block)
      : down(block.tile / grid.across()),
        row(down * grid.tile_rows),
        col(block.tile % grid.across() * grid.tile_cols + block.first),
        rows(Least(grid.tile_rows, grid.rows - row)),
        width(Least(kLanes, grid.tile_cols - block.first)),
        visible(Least(width, grid.cols - col)) {}
};

// The first cell of a block in a row of its tile, in the tile storage.
MT_HD int64_t CellOf(const TileGrid& grid, const ReadBlock& block, int64_t row) {
  return (block.tile * grid.tile_rows + row) * grid.tile_cols + block.first;
}

MT_HD void StoreSums(const NonlinearRead& job, const Place& place, int64_t first, int samples, const Sums& sums,
                     double* partial) {
  for (int sample = 0; sample < samples; ++sample) {
    double* out = partial + (place.down * job.inputs + first + sample) * job.grid.cols + place.col;
    for (int64_t lane = 0; lane < place.visible; ++lane) out[lane] = sums.at[sample][lane];
  }
}

// ---- Devices that stay as they are ----

MT_HD void LoadConductances(const ConductanceColumn& g, const Span& span, double* lanes) {
  for (int lane = 0; lane < span.filled; ++lane) {
    const int64_t device = span.Device(lane);
    lanes[lane] = g.f32 != nullptr ? static_cast<double>(g.f32[device]) : g.f64[device];
  }
}

template <class M>
using ShapeParams = LaneParams<M, true>;  // no parameter that selects a formula has a part in a shape

template <class M>
MT_HD void AddCurrent(const ShapeParams<M>& params, double v, const double* g, double* sums, int lane) {
  sums[lane] += M::Shape(params.At(lane), v) * g[lane];
}

template <class M>
void ReadModel(const NonlinearRead& job, const ReadBlock& block, double* partial) {
  const Place place(job.grid, block);
  alignas(64) LaneColumn g;
  for (int64_t first = 0; first < job.inputs; first += kSamples) {
    const int samples = static_cast<int>(Least(kSamples, job.inputs - first));
    Sums sums;
    for (int64_t row = 0; row < place.rows; ++row) {
      const int64_t cell = CellOf(job.grid, block, row);
      const Span span(cell, cell + place.visible);
      const ShapeParams<M> params(job.devices, span);
      LoadConductances(job.devices.g, span, g);
      const double* v = job.v + (place.row + row) * job.inputs + first;
      for (int sample = 0; sample < samples; ++sample) {
#pragma omp simd
        for (int lane = 0; lane < span.filled; ++lane) AddCurrent<M>(params, v[sample], g, sums.at[sample], lane);
      }
    }
    StoreSums(job, place, first, samples, sums, partial);
  }
}

// Halves are added until one value is left: an order that no instruction set changes.
MT_HD double Total(double* terms) {
  for (int half = kLanes / 2; half > 0; half /= 2) {
#pragma omp simd
    for (int lane = 0; lane < half; ++lane) terms[lane] += terms[lane + half];
  }
  return terms[0];
}

template <class M>
MT_HD void GradientTerm(const ShapeParams<M>& params, double v, const double* g, const double* grad, double* terms,
                        int lane) {
  terms[lane] = M::ShapeSlope(params.At(lane), v) * g[lane] * grad[lane];
}

template <class M>
MT_HD void AddShape(const ShapeParams<M>& params, double v, const double* grad, double* sums, int lane) {
  sums[lane] += M::Shape(params.At(lane), v) * grad[lane];
}

template <class M>
void GradientModel(const NonlinearRead& job, int64_t row, const double* partial_grad, double* v_grad, double* g_grad) {
  const TileGrid& grid = job.grid;
  const int64_t down = row / grid.tile_rows;
  alignas(64) LaneColumn g, terms, by_g;
  for (int64_t input = 0; input < job.inputs; ++input) v_grad[row * job.inputs + input] = 0;
  for (int64_t col = 0, width; col < grid.cols; col += width) {
    // The columns up to the next tile, as far as they fit into a block.
    width = Least(kLanes, Least(grid.cols, (col / grid.tile_cols + 1) * grid.tile_cols) - col);
    const int64_t cell = grid.offset(row, col);
    const Span span(cell, cell + width);
    const ShapeParams<M> params(job.devices, span);
    LoadConductances(job.devices.g, span, g);
    for (double& sum : by_g) sum = 0;
    for (int64_t input = 0; input < job.inputs; ++input) {
      const double v = job.v[row * job.inputs + input];
      const double* grad = partial_grad + (down * job.inputs + input) * grid.cols + col;
      for (int lane = span.devices; lane < kLanes; ++lane) terms[lane] = 0;
#pragma omp simd
      for (int lane = 0; lane < span.devices; ++lane) GradientTerm<M>(params, v, g, grad, terms, lane);
      v_grad[row * job.inputs + input] += Total(terms);
      if (g_grad == nullptr) continue;
#pragma omp simd
      for (int lane = 0; lane < span.devices; ++lane) AddShape<M>(params, v, grad, by_g, lane);
    }
    for (int lane = 0; g_grad != nullptr && lane < span.devices; ++lane) g_grad[cell + lane] = by_g[lane];
  }
}

template <class M>
MT_HD void ShapeOf(const typename M::Params& p, const double* v, double* shape, int64_t i) {
  shape[i] = M::Shape(p, v[i]);
}

template <class M>
MT_HD void SlopeOf(const typename M::Params& p, const double* v, double* slope, int64_t i) {
  slope[i] = M::ShapeSlope(p, v[i]);
}

template <class M>
void ShapeModel(const DeviceView& devices, const double* v, int64_t n, double* shape, double* slope) {
  const SharedParams<M> params(devices, Span(0, 1));
  const typename M::Params p = params.params;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) ShapeOf<M>(p, v, shape, i);
  if (slope == nullptr) return;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) SlopeOf<M>(p, v, slope, i);
}

template <class M>
MT_HD void CurveOf(const ShapeParams<M>& params, const double* v, double* shape, double* slope, int lane) {
  const typename M::Params p = params.At(lane);
  ShapeOf<M>(p, v, shape, lane);
  SlopeOf<M>(p, v, slope, lane);
}

template <class M>
void ShapesModel(const DeviceView& devices, int64_t begin, int64_t end, const double* v, double* shape, double* slope) {
  for (int64_t first = begin; first < end; first += kLanes) {
    const Span span(first, end);
    const ShapeParams<M> params(devices, span);
    const int64_t at = first - begin;
#pragma omp simd
    for (int lane = 0; lane < span.devices; ++lane) CurveOf<M>(params, v + at, shape + at, slope + at, lane);
  }
}

// ---- Devices that move ----

// The lanes of devices that are stuck.
struct StuckLanes {
  int lanes[kLanes];
  int count = 0;

  MT_HD StuckLanes(const DeviceView& devices, const Span& span) {
    for (int lane = 0; lane < span.devices; ++lane) {
      if (IsStuck(devices, span.begin + lane)) lanes[count++] = lane;
    }
  }
};

// Puts stuck devices, which the loop over lanes has moved like all others, back to the state that they keep.
template <class M, class Params, class Drives>
MT_HD void HoldLane(const DeviceView& devices, const Span& span, const Params& params, const Drives& drives, int sample,
                    int lane, LaneColumn* states, double* currents) {
  const typename M::Params& p = params.At(lane);
  const typename M::State s = LoadState<M>(DeviceSource{devices.state, span.begin + lane});
  currents[lane] = M::Current(p, drives.At(p, sample, lane), s);
  StoreState<M>(s, LaneSink{states, lane});
}

// The devices of a block in one row, over a chunk of input vectors; job.waveform holds the chunk, `first` counts the
// vectors before it.
template <class M, class Params, class Drives>
void MoveRow(const SimulateJob& job, const Span& span, int64_t first, int samples, Sums& sums) {
  const Params params(job.devices, span);
  Drives drives;
  alignas(64) LaneColumn states[kStateCount<M>];
  alignas(64) LaneColumn normals[2] = {};
  alignas(64) LaneColumn none = {};  // every input vector is a waveform of its own, without a sample before it
  alignas(64) LaneColumn currents;
  const StuckLanes stuck(job.devices, span);
  LoadStates<M>(job.devices, span, states);
  drives.Load(job.waveform, params, span, 0, samples);
  for (int sample = 0; sample < samples; ++sample) {
    if (job.noise && sample % 2 == 0) Draw(job.options, span, first + sample, normals);
    const double* normal = normals[sample % 2];
#pragma omp simd
    for (int lane = 0; lane < span.filled; ++lane) {
      AdvanceLane<M>(params, drives, sample, lane, states, normal, none, currents);
    }
    for (int k = 0; k < stuck.count; ++k) {
      HoldLane<M>(job.devices, span, params, drives, sample, stuck.lanes[k], states, currents);
    }
#pragma omp simd
    for (int lane = 0; lane < span.devices; ++lane) sums.at[sample][lane] += currents[lane];
  }
  StoreDevices<M>(job.devices, params, span, states);
}

template <class M, class Params>
void MoveBlock(const NonlinearRead& read, const SimulatedReadOptions& options, bool noise, const ReadBlock& block,
               double* partial) {
  using Drives = std::conditional_t<std::is_same_v<Params, SharedParams<M>>, SharedDrives<M>, LaneDrives<M>>;
  const Place place(read.grid, block);
  const double rest[kSamples] = {};
  SimulateJob job{read.devices, {nullptr, read.inputs, 0, options.dt}, {options.seed, 0, 0}, nullptr, noise};
  for (int64_t first = 0; first < read.inputs; first += kSamples) {
    const int samples = static_cast<int>(Least(kSamples, read.inputs - first));
    Sums sums;
    for (int64_t row = 0; row < read.grid.tile_rows; ++row) {
      // Word lines beyond the matrix are at 0 V.
      job.waveform.v = row < place.rows ? read.v + (place.row + row) * read.inputs + first : rest;
      const int64_t cell = CellOf(read.grid, block, row);
      MoveRow<M, Params, Drives>(job, Span(cell, cell + place.width), first, samples, sums);
    }
    StoreSums(read, place, first, samples, sums, partial);
  }
}

template <class M, class Params>
void StepModel(const SimulateJob& job, int64_t input) {
  for (int64_t first = 0; first < job.devices.size; first += kLanes) {
    const Span span(first, job.devices.size);
    const Params params(job.devices, span);
    LaneDrives<M> drives;
    alignas(64) LaneColumn states[kStateCount<M>];
    alignas(64) LaneColumn normals[2] = {};
    alignas(64) LaneColumn none = {};  // as in MoveRow
    alignas(64) LaneColumn currents;
    LoadStates<M>(job.devices, span, states);
    drives.Load(job.waveform, params, span, 0, 1);
    if (job.noise) Draw(job.options, span, input, normals);
    const double* normal = normals[input % 2];
#pragma omp simd
    for (int lane = 0; lane < span.filled; ++lane) {
      AdvanceLane<M>(params, drives, 0, lane, states, normal, none, currents);
    }
    StoreDevices<M>(job.devices, params, span, states);
  }
}

void ShapeValues(int model, const DeviceView& devices, const double* v, int64_t n, double* shape, double* slope) {
  WithModelAt(model, [&](auto m) { ShapeModel<decltype(m)>(devices, v, n, shape, slope); });
}

void ReadColumns(int model, const NonlinearRead& job, const ReadBlock& block, double* partial) {
  WithModelAt(model, [&](auto m) { ReadModel<decltype(m)>(job, block, partial); });
}

void ShapesOfDevices(int model, const DeviceView& devices, int64_t begin, int64_t end, const double* v, double* shape,
                     double* slope) {
  WithModelAt(model, [&](auto m) { ShapesModel<decltype(m)>(devices, begin, end, v, shape, slope); });
}

void GradientRow(int model, const NonlinearRead& job, int64_t row, const double* partial_grad, double* v_grad,
                 double* g_grad) {
  WithModelAt(model, [&](auto m) { GradientModel<decltype(m)>(job, row, partial_grad, v_grad, g_grad); });
}

void StepDevices(int model, const SimulateJob& job, int64_t input) {
  WithModelAt(model, [&](auto m) {
    using M = decltype(m);
    WithParamsType<M>(job.devices, [&](auto type) { StepModel<M, typename decltype(type)::type>(job, input); });
  });
}

void SimulateColumns(int model, const NonlinearRead& job, const SimulatedReadOptions& options, bool noise,
                     const ReadBlock& block, double* partial) {
  WithModelAt(model, [&](auto m) {
    using M = decltype(m);
    WithParamsType<M>(job.devices, [&](auto type) {
      MoveBlock<M, typename decltype(type)::type>(job, options, noise, block, partial);
    });
  });
}

}  // namespace

const NonlinearReadKernels kNonlinearRead = {ShapeValues, ShapesOfDevices, ReadColumns,
                                             GradientRow, SimulateColumns, StepDevices};

}  // namespace MT_ISA
}  // namespace memtorch
