#include "engine/tile.h"

#include <algorithm>

#include "engine/parallel.h"
#include "engine/tile_checks.h"

namespace memtorch {
namespace {

constexpr int64_t kBand = 32;      // rows of a tile that are moved together
constexpr int64_t kGrain = 32768;  // cells a thread takes at a time

// A band of rows of one tile.
struct Band {
  int64_t cell;                  // first cell, in the tile storage
  int64_t row, col;              // of that cell, in the matrix
  int64_t rows, cols;            // cells of the band
  int64_t used_rows, used_cols;  // of these, within the matrix
};

template <class Body>
void ForEachBand(const TileGrid& grid, const Body& body) {
  const int64_t bands = (grid.tile_rows + kBand - 1) / kBand;
  const int64_t grain = std::max<int64_t>(1, kGrain / (kBand * grid.tile_cols));
  ParallelFor(grid.tiles() * bands, grain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t tile = k / bands;
      const int64_t first = k % bands * kBand;
      Band band;
      band.cell = (tile * grid.tile_rows + first) * grid.tile_cols;
      band.row = tile / grid.across() * grid.tile_rows + first;
      band.col = tile % grid.across() * grid.tile_cols;
      band.rows = std::min(kBand, grid.tile_rows - first);
      band.cols = grid.tile_cols;
      band.used_rows = std::clamp<int64_t>(grid.rows - band.row, 0, band.rows);
      band.used_cols = std::min(grid.cols - band.col, band.cols);
      body(band);
    }
  });
}

// to[i, j] = from[j, i] for i < rows <= kBand, j < cols, in squares that stay in the cache.
template <class T>
void Transpose(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows, int64_t cols) {
  T square[kBand][kBand];
  for (int64_t j0 = 0; j0 < cols; j0 += kBand) {
    const int64_t width = std::min(kBand, cols - j0);
    for (int64_t j = 0; j < width; ++j) {
      const T* row = from + (j0 + j) * from_stride;
      for (int64_t i = 0; i < rows; ++i) square[i][j] = row[i];
    }
    for (int64_t i = 0; i < rows; ++i) std::copy_n(square[i], width, to + i * to_stride + j0);
  }
}

}  // namespace

void CheckGrid(const char* op, const TileGrid& grid) {
  if (grid.rows < 1) Invalid(op, "rows (", grid.rows, ") must be at least 1");
  if (grid.cols < 1) Invalid(op, "cols (", grid.cols, ") must be at least 1");
  if (grid.tile_rows < 1) Invalid(op, "tile_rows (", grid.tile_rows, ") must be at least 1");
  if (grid.tile_cols < 1) Invalid(op, "tile_cols (", grid.tile_cols, ") must be at least 1");
}

template <class T>
void ScatterTiles(const TileGrid& grid, MatrixView<const T> matrix, T pad, T* tiles, Layout layout) {
  CheckView("scatter_tiles", grid, matrix, layout);
  ForEachBand(grid, [&](const Band& band) {
    T* cells = tiles + band.cell;
    if (layout == Layout::kTransposed && band.used_rows > 0) {
      Transpose(&matrix(band.col, band.row), matrix.stride, cells, band.cols, band.used_rows, band.used_cols);
    }
    for (int64_t i = 0; i < band.rows; ++i) {
      T* row = cells + i * band.cols;
      const int64_t used = i < band.used_rows ? band.used_cols : 0;
      if (layout == Layout::kPlain && used > 0) std::copy_n(&matrix(band.row + i, band.col), used, row);
      std::fill(row + used, row + band.cols, pad);
    }
  });
}

template <class T>
void GatherTiles(const TileGrid& grid, const T* tiles, MatrixView<T> matrix, Layout layout) {
  CheckView("gather_tiles", grid, matrix, layout);
  ForEachBand(grid, [&](const Band& band) {
    const T* cells = tiles + band.cell;
    if (band.used_rows == 0) return;
    if (layout == Layout::kTransposed) {
      // Columns of the band become rows of the view, kBand of them at a time.
      for (int64_t j = 0; j < band.used_cols; j += kBand) {
        const int64_t width = std::min(kBand, band.used_cols - j);
        Transpose(cells + j, band.cols, &matrix(band.col + j, band.row), matrix.stride, width, band.used_rows);
      }
      return;
    }
    for (int64_t i = 0; i < band.used_rows; ++i) {
      std::copy_n(cells + i * band.cols, band.used_cols, &matrix(band.row + i, band.col));
    }
  });
}

template void ScatterTiles(const TileGrid&, MatrixView<const float>, float, float*, Layout);
template void ScatterTiles(const TileGrid&, MatrixView<const double>, double, double*, Layout);
template void GatherTiles(const TileGrid&, const float*, MatrixView<float>, Layout);
template void GatherTiles(const TileGrid&, const double*, MatrixView<double>, Layout);

}  // namespace memtorch
