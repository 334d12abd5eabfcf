// How a matrix is cut into equal tiles: index arithmetic only.
//
// Tiles are numbered row-major and stored one after the other, each row-major: [tiles, tile_rows, tile_cols]. Cells of
// the last tiles beyond the matrix are padding: they exist physically, their word lines are at 0 V, their columns are
// not read.
#ifndef MEMTORCH_ENGINE_TILE_H_
#define MEMTORCH_ENGINE_TILE_H_

#include "engine/core.h"

namespace memtorch {

struct TileGrid {
  int64_t rows = 0;  // of the matrix
  int64_t cols = 0;
  int64_t tile_rows = 0;  // of one tile
  int64_t tile_cols = 0;

  MT_HD int64_t down() const { return (rows + tile_rows - 1) / tile_rows; }
  MT_HD int64_t across() const { return (cols + tile_cols - 1) / tile_cols; }
  MT_HD int64_t tiles() const { return down() * across(); }
  MT_HD int64_t cells() const { return tiles() * tile_rows * tile_cols; }
  // Position of matrix element (i, j) in the tile storage.
  MT_HD int64_t offset(int64_t i, int64_t j) const {
    const int64_t tile = i / tile_rows * across() + j / tile_cols;
    return (tile * tile_rows + i % tile_rows) * tile_cols + j % tile_cols;
  }
};

// Throws std::invalid_argument unless all four numbers are positive.
void CheckGrid(const char* op, const TileGrid& grid);

// kTransposed: the view holds the transpose [cols, rows] of the matrix that the grid cuts, as a layer's weights
// [out, in] do of its crossbar's [in, out].
enum class Layout { kPlain, kTransposed };

// matrix [rows, cols] -> tiles [tiles, tile_rows, tile_cols], padding cells get `pad`; and back. Threaded.
// Throw std::invalid_argument unless the view's shape is the grid's.
template <class T>
void ScatterTiles(const TileGrid& grid, MatrixView<const T> matrix, T pad, T* tiles, Layout layout = Layout::kPlain);
template <class T>
void GatherTiles(const TileGrid& grid, const T* tiles, MatrixView<T> matrix, Layout layout = Layout::kPlain);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_TILE_H_
