// Matrices into tiles and back.

#include "bindings/arrays.h"
#include "bindings/place.h"
#include "engine/cuda/tile.h"
#include "engine/tile.h"

namespace memtorch {
namespace {

using namespace nb::literals;

TileGrid GridOf(const char* op, const AnyPlaced& matrix, const AnyPlaced& tiles, Layout layout = Layout::kPlain) {
  if (matrix.ndim() != 2) Invalid(op, "matrix must have shape [rows, cols]");
  if (tiles.ndim() != 3) Invalid(op, "tiles must have shape [tiles, tile_rows, tile_cols]");
  if (matrix.dtype() != tiles.dtype()) Invalid(op, "matrix and tiles must have the same dtype");
  const size_t down = layout == Layout::kPlain ? 0 : 1;
  const TileGrid grid{static_cast<int64_t>(matrix.shape(down)), static_cast<int64_t>(matrix.shape(1 - down)),
                      static_cast<int64_t>(tiles.shape(1)), static_cast<int64_t>(tiles.shape(2))};
  CheckGrid(op, grid);
  CheckSize(op, "tiles", tiles, grid.cells());
  return grid;
}

void BindScatter(const AnyPlaced& matrix, const AnyPlaced& tiles, double pad, bool transposed) {
  const Layout layout = transposed ? Layout::kTransposed : Layout::kPlain;
  const TileGrid grid = GridOf("scatter_tiles", matrix, tiles, layout);
  WithFloatType("scatter_tiles", "matrix", matrix, [&](auto type) {
    using T = decltype(type);
    const auto rows = static_cast<int64_t>(matrix.shape(0)), cols = static_cast<int64_t>(matrix.shape(1));
    const MatrixView<const T> view{static_cast<const T*>(matrix.data()), rows, cols, cols};
    T* to = static_cast<T*>(tiles.data());
    Place("scatter_tiles", matrix, tiles)
        .Run([&](void* stream) { cuda::ScatterTiles<T>(grid, view, static_cast<T>(pad), to, layout, stream); },
             [&] { ScatterTiles<T>(grid, view, static_cast<T>(pad), to, layout); });
  });
}

void BindGather(const AnyPlaced& tiles, const AnyPlaced& matrix) {
  const TileGrid grid = GridOf("gather_tiles", matrix, tiles);
  WithFloatType("gather_tiles", "matrix", matrix, [&](auto type) {
    using T = decltype(type);
    const MatrixView<T> view{static_cast<T*>(matrix.data()), grid.rows, grid.cols, grid.cols};
    const T* from = static_cast<const T*>(tiles.data());
    Place("gather_tiles", matrix, tiles)
        .Run([&](void* stream) { cuda::GatherTiles<T>(grid, from, view, Layout::kPlain, stream); },
             [&] { GatherTiles<T>(grid, from, view); });
  });
}

}  // namespace

void BindTiles(nb::module_& m) {
  m.def(
      "scatter_tiles", &BindScatter, "matrix"_a, "tiles"_a.noconvert(), "pad"_a, "transposed"_a = false,
      "matrix [rows, cols] into tiles [tiles, tile_rows, tile_cols]; cells beyond the matrix get pad. transposed: the "
      "array that is given is the matrix's transpose.");
  m.def("gather_tiles", &BindGather, "tiles"_a, "matrix"_a.noconvert(),
        "tiles [tiles, tile_rows, tile_cols] into matrix [rows, cols].");
}

}  // namespace memtorch
