// The circuits of a read through wires: a tile under one input vector, solved by one block of threads.
#ifndef MEMTORCH_ENGINE_CUDA_WIRED_TILES_H_
#define MEMTORCH_ENGINE_CUDA_WIRED_TILES_H_

#include "engine/cuda/device_columns.h"
#include "engine/cuda/newton_nodes.h"
#include "engine/cuda/node_blocks.h"
#include "engine/nonlinear_read_checks.h"
#include "engine/wired_read.h"

namespace memtorch::cuda {

// What all circuits of a read have in common, and where each of them lies.
struct WiredTiles {
  TileGrid grid;
  NodeLines lines;  // without devices
  const double* v;  // [rows, inputs]
  int64_t inputs;

  MT_HD int64_t down(int64_t tile) const { return tile / grid.across(); }
  MT_HD int64_t across(int64_t tile) const { return tile % grid.across(); }
  // Lines of the tile that lie within the matrix.
  MT_HD int64_t used_rows(int64_t tile) const {
    const int64_t left = grid.rows - down(tile) * grid.tile_rows;
    return left < grid.tile_rows ? left : grid.tile_rows;
  }
  MT_HD int64_t used_cols(int64_t tile) const {
    const int64_t left = grid.cols - across(tile) * grid.tile_cols;
    return left < grid.tile_cols ? left : grid.tile_cols;
  }
  // The currents of the first column of the tile within partial, or their gradient.
  MT_HD int64_t PartialAt(int64_t tile, int64_t input) const {
    return (down(tile) * inputs + input) * grid.cols + across(tile) * grid.tile_cols;
  }

  // Voltages of the drivers [tile_rows].
  MT_HD void LoadVolts(const Block& block, int64_t tile, int64_t input, double* volts) const {
    block.Each(static_cast<int>(lines.rows), [&](int i) {
      const int64_t row = down(tile) * lines.rows + i;
      volts[i] = i < used_rows(tile) ? v[row * inputs + input] : 0;
    });
  }

  // The currents into the senses that lie within the matrix, from those of the devices.
  MT_HD void Store(const Block& block, int64_t tile, int64_t input, const double* currents, double* partial) const {
    block.Each(static_cast<int>(used_cols(tile)), [&](int j) {
      double sum = 0;
      for (int64_t i = 0; i < lines.rows; ++i) sum += currents[i * lines.cols + j];
      partial[PartialAt(tile, input) + j] = sum;
    });
  }
};

// The devices of a tile as NewtonNodes takes them.
template <class M>
struct CurveOfTile {
  const DeviceColumns& devices;
  int64_t first;  // device of the tile

  MT_HD void operator()(int64_t node, double v, double* current, double* slope) const {
    const auto p = devices.template ParamsAt<M>(first + node);
    const double g = devices.ConductanceAt(first + node);
    *current = M::Shape(p, v) * g;
    *slope = M::ShapeSlope(p, v) * g;
  }
  MT_HD double Shape(int64_t node, double v) const { return M::Shape(devices.template ParamsAt<M>(first + node), v); }
};

template <class M>
void CheckWiredTiles(const char* op, const NonlinearRead& read, const Wires& wires) {
  CheckReadShape<M>(op, read);
  CheckSharedParams<M>(op, read.devices);
  CheckNodeCount(op, read.grid.tile_rows, read.grid.tile_cols);
  CheckWires(op, wires);
  if (wires.drive_both || wires.sense_both) Invalid(op, "wires must be driven and sensed at one end");
}

inline WiredTiles WiredTilesOf(const NonlinearRead& read, const Wires& wires) {
  return {read.grid, NodeLinesOf(read.grid.tile_rows, read.grid.tile_cols, wires, {}), read.v, read.inputs};
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_WIRED_TILES_H_
