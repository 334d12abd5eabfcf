// Checks of the arguments of tile.h, shared by tile.cc and its CUDA front.
#ifndef MEMTORCH_ENGINE_TILE_CHECKS_H_
#define MEMTORCH_ENGINE_TILE_CHECKS_H_

#include "engine/tile.h"

namespace memtorch {

// That the view has the shape that the grid cuts.
template <class T>
void CheckView(const char* op, const TileGrid& grid, const MatrixView<T>& matrix, Layout layout) {
  CheckGrid(op, grid);
  const bool plain = layout == Layout::kPlain;
  const int64_t rows = plain ? grid.rows : grid.cols;
  const int64_t cols = plain ? grid.cols : grid.rows;
  if (matrix.rows != rows || matrix.cols != cols) {
    Invalid(op, "matrix ([", matrix.rows, ", ", matrix.cols, "]) must have shape [", rows, ", ", cols, "]");
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_TILE_CHECKS_H_
