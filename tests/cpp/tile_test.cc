#include "engine/tile.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "engine/parallel.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::ErrorOf;

// Matrices that fill their tiles, leave padding, fit in one tile, are one row or column, or cross the blocks in which
// cells are moved.
const TileGrid kGrids[] = {{4, 6, 2, 3}, {5, 7, 2, 3},     {3, 3, 8, 8},        {1, 9, 4, 4},
                           {9, 1, 4, 4}, {70, 67, 33, 40}, {200, 90, 128, 128}, {1, 1, 1, 1}};

// A view of the matrix [rows, cols], or of its transpose, with a gap after each row.
template <class T>
struct Matrix {
  std::vector<T> data;
  MatrixView<T> view;
  MatrixView<const T> const_view;

  Matrix(const TileGrid& grid, Layout layout) {
    const bool plain = layout == Layout::kPlain;
    view.rows = plain ? grid.rows : grid.cols;
    view.cols = plain ? grid.cols : grid.rows;
    view.stride = view.cols + 3;
    data = testing::Normals<T>(view.rows * view.stride, 1);
    view.data = data.data();
    const_view = {data.data(), view.rows, view.cols, view.stride};
  }
};

template <class T>
T ElementOf(const MatrixView<T>& view, Layout layout, int64_t i, int64_t j) {
  return layout == Layout::kPlain ? view(i, j) : view(j, i);
}

TEST(TileGridTest, CountsTilesAndCells) {
  const TileGrid grid{300, 130, 128, 64};
  EXPECT_EQ(grid.down(), 3);
  EXPECT_EQ(grid.across(), 3);
  EXPECT_EQ(grid.tiles(), 9);
  EXPECT_EQ(grid.cells(), 9 * 128 * 64);
  EXPECT_EQ(grid.offset(0, 0), 0);
  EXPECT_EQ(grid.offset(1, 2), 64 + 2);
  EXPECT_EQ(grid.offset(129, 65), (4 * 128 + 1) * 64 + 1);  // row 1, column 1 of tile 4
}

template <class T>
class TilesTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(TilesTest, Types);

TYPED_TEST(TilesTest, EveryCellHoldsItsElementOrThePad) {
  for (const TileGrid& grid : kGrids) {
    for (const Layout layout : {Layout::kPlain, Layout::kTransposed}) {
      const Matrix<TypeParam> matrix(grid, layout);
      std::vector<TypeParam> tiles(static_cast<size_t>(grid.cells()) + 1, TypeParam(42));
      ScatterTiles(grid, matrix.const_view, TypeParam(-7), tiles.data(), layout);
      std::vector<TypeParam> expected(static_cast<size_t>(grid.cells()) + 1, TypeParam(-7));
      expected.back() = 42;
      for (int64_t i = 0; i < grid.rows; ++i) {
        for (int64_t j = 0; j < grid.cols; ++j) {
          expected[static_cast<size_t>(grid.offset(i, j))] = ElementOf(matrix.view, layout, i, j);
        }
      }
      EXPECT_EQ(tiles, expected) << grid.rows << " x " << grid.cols;
    }
  }
}

TYPED_TEST(TilesTest, GatherUndoesScatterAndLeavesGaps) {
  for (const TileGrid& grid : kGrids) {
    for (const Layout layout : {Layout::kPlain, Layout::kTransposed}) {
      const Matrix<TypeParam> matrix(grid, layout);
      std::vector<TypeParam> tiles(static_cast<size_t>(grid.cells()));
      ScatterTiles(grid, matrix.const_view, TypeParam(0), tiles.data(), layout);
      Matrix<TypeParam> back(grid, layout);
      std::vector<TypeParam> expected = matrix.data;
      for (size_t k = 0; k < back.data.size(); ++k) {
        const bool gap = static_cast<int64_t>(k) % back.view.stride >= back.view.cols;
        back.data[k] = TypeParam(42);
        if (gap) expected[k] = TypeParam(42);
      }
      GatherTiles(grid, tiles.data(), back.view, layout);
      EXPECT_EQ(back.data, expected) << grid.rows << " x " << grid.cols;
    }
  }
}

TYPED_TEST(TilesTest, DoNotDependOnTheNumberOfThreads) {
  const TileGrid grid{700, 500, 128, 128};
  for (const Layout layout : {Layout::kPlain, Layout::kTransposed}) {
    const Matrix<TypeParam> matrix(grid, layout);
    std::vector<TypeParam> one(static_cast<size_t>(grid.cells())), two(one.size());
    SetNumThreads(1);
    ScatterTiles(grid, matrix.const_view, TypeParam(1), one.data(), layout);
    SetNumThreads(2);
    ScatterTiles(grid, matrix.const_view, TypeParam(1), two.data(), layout);
    SetNumThreads(0);
    EXPECT_EQ(one, two);
  }
}

TEST(TileErrorsTest, NameTheSizeThatIsWrong) {
  EXPECT_EQ(ErrorOf([] { CheckGrid("op", {0, 1, 1, 1}); }), "[op] rows (0) must be at least 1");
  EXPECT_EQ(ErrorOf([] { CheckGrid("op", {1, -2, 1, 1}); }), "[op] cols (-2) must be at least 1");
  EXPECT_EQ(ErrorOf([] { CheckGrid("op", {1, 1, 0, 1}); }), "[op] tile_rows (0) must be at least 1");
  EXPECT_EQ(ErrorOf([] { CheckGrid("op", {1, 1, 1, 0}); }), "[op] tile_cols (0) must be at least 1");
}

TEST(TileErrorsTest, AViewOfAnotherShapeIsRefusedAndNothingWritten) {
  const TileGrid grid{4, 6, 2, 3};
  std::vector<float> matrix(24, 1), tiles(24, 42);
  const MatrixView<const float> wrong{matrix.data(), 6, 4, 4};
  EXPECT_EQ(ErrorOf([&] { ScatterTiles(grid, wrong, 0.0f, tiles.data()); }),
            "[scatter_tiles] matrix ([6, 4]) must have shape [4, 6]");
  EXPECT_EQ(tiles, std::vector<float>(24, 42));
  const MatrixView<float> plain{matrix.data(), 4, 6, 6};
  EXPECT_EQ(ErrorOf([&] { GatherTiles(grid, tiles.data(), plain, Layout::kTransposed); }),
            "[gather_tiles] matrix ([4, 6]) must have shape [6, 4]");
  EXPECT_EQ(matrix, std::vector<float>(24, 1));
}

}  // namespace
}  // namespace memtorch
