#include "engine/cuda/launch.h"
#include "engine/cuda/tile.h"
#include "engine/tile_checks.h"

namespace memtorch::cuda {
namespace {

// One thread per cell of the tiles; neighbours are neighbours in the tiles and in the matrix.
template <class T>
struct ScatterCell {
  TileGrid grid;
  MatrixView<const T> matrix;
  T pad;
  T* tiles;

  MT_HD void operator()(int64_t cell) const {
    const int64_t tile = cell / (grid.tile_rows * grid.tile_cols);
    const int64_t i = tile / grid.across() * grid.tile_rows + cell / grid.tile_cols % grid.tile_rows;
    const int64_t j = tile % grid.across() * grid.tile_cols + cell % grid.tile_cols;
    tiles[cell] = i < grid.rows && j < grid.cols ? matrix(i, j) : pad;
  }
};

constexpr int kSide = 32;      // of the square of cells that a block turns over
constexpr int kThreads = 256;  // of the block

// One block per square of a tile. Neighbours are read as neighbours of the transpose and written as those of the tile;
// in between the square lies in shared memory, one column wider, so that its rows and columns meet different banks.
template <class T>
struct ScatterTransposed {
  TileGrid grid;
  MatrixView<const T> matrix;  // [cols, rows]
  T pad;
  T* tiles;

  MT_HD int64_t down() const { return (grid.tile_rows + kSide - 1) / kSide; }
  MT_HD int64_t across() const { return (grid.tile_cols + kSide - 1) / kSide; }

  MT_HD void operator()(const Block& block) const {
    T* square = block.Shared<T>();
    const int64_t tile = block.index() / (down() * across()), part = block.index() % (down() * across());
    const int64_t row = part / across() * kSide, col = part % across() * kSide;  // of the square in its tile
    const int64_t first_row = tile / grid.across() * grid.tile_rows + row;
    const int64_t first_col = tile % grid.across() * grid.tile_cols + col;
    block.Each(kSide * kSide, [&](int k) {
      const int64_t i = first_row + k % kSide, j = first_col + k / kSide;
      square[k % kSide * (kSide + 1) + k / kSide] = i < grid.rows && j < grid.cols ? matrix(j, i) : pad;
    });
    block.Each(kSide * kSide, [&](int k) {
      const int64_t i = row + k / kSide, j = col + k % kSide;
      if (i >= grid.tile_rows || j >= grid.tile_cols) return;  // of the next tile
      tiles[(tile * grid.tile_rows + i) * grid.tile_cols + j] = square[k / kSide * (kSide + 1) + k % kSide];
    });
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
  if (layout == Layout::kPlain) {
    ForEach(op, grid.cells(), ScatterCell<T>{grid, matrix, pad, tiles}, stream);
    return;
  }
  const ScatterTransposed<T> scatter{grid, matrix, pad, tiles};
  const int64_t squares = grid.tiles() * scatter.down() * scatter.across();
  ForBlocks<kThreads>(op, squares, kSide * (kSide + 1) * static_cast<int64_t>(sizeof(T)), scatter, stream);
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
