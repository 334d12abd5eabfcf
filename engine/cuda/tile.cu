#include "engine/cuda/launch.h"
#include "engine/cuda/tile.h"
#include "engine/tile_checks.h"

namespace memtorch::cuda {
namespace {

// One thread per cell of the tiles; neighbours are neighbours in the tiles, and in the matrix of a plain layout.
template <class T>
struct ScatterCell {
  TileGrid grid;
  MatrixView<const T> matrix;
  T pad;
  T* tiles;
  Layout layout;

  MT_HD void operator()(int64_t cell) const {
    const int64_t tile = cell / (grid.tile_rows * grid.tile_cols);
    const int64_t i = tile / grid.across() * grid.tile_rows + cell / grid.tile_cols % grid.tile_rows;
    const int64_t j = tile % grid.across() * grid.tile_cols + cell % grid.tile_cols;
    const bool padding = i >= grid.rows || j >= grid.cols;
    tiles[cell] = padding ? pad : layout == Layout::kPlain ? matrix(i, j) : matrix(j, i);
  }
};

// One thread per element of the view.
template <class T>
struct GatherElement {
  TileGrid grid;
  const T* tiles;
  MatrixView<T> matrix;
  Layout layout;

  MT_HD void operator()(int64_t element) const {
    const int64_t i = element / matrix.cols, j = element % matrix.cols;
    matrix(i, j) = tiles[layout == Layout::kPlain ? grid.offset(i, j) : grid.offset(j, i)];
  }
};

}  // namespace

template <class T>
void ScatterTiles(const TileGrid& grid, MatrixView<const T> matrix, T pad, T* tiles, Layout layout, void* stream) {
  const char* op = "scatter_tiles";
  CheckView(op, grid, matrix, layout);
  ForEach(op, grid.cells(), ScatterCell<T>{grid, matrix, pad, tiles, layout}, stream);
}

template <class T>
void GatherTiles(const TileGrid& grid, const T* tiles, MatrixView<T> matrix, Layout layout, void* stream) {
  const char* op = "gather_tiles";
  CheckView(op, grid, matrix, layout);
  ForEach(op, matrix.rows * matrix.cols, GatherElement<T>{grid, tiles, matrix, layout}, stream);
}

template void ScatterTiles(const TileGrid&, MatrixView<const float>, float, float*, Layout, void*);
template void ScatterTiles(const TileGrid&, MatrixView<const double>, double, double*, Layout, void*);
template void GatherTiles(const TileGrid&, const float*, MatrixView<float>, Layout, void*);
template void GatherTiles(const TileGrid&, const double*, MatrixView<double>, Layout, void*);

}  // namespace memtorch::cuda
