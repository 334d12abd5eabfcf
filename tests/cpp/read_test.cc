#include "engine/read.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/parallel.h"
#include "engine/read_kernels.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::ErrorOf;

// A pair of arrays and voltages on a grid of tiles; rows of v and i have gaps.
template <class T>
struct ArrayPair {
  TileGrid grid;
  int64_t inputs;
  std::vector<float> pos, neg;
  std::vector<T> v, i;

  ArrayPair(const TileGrid& tiles, int64_t vectors) : grid(tiles), inputs(vectors) {
    pos = testing::Normals<float>(grid.cells(), 1);
    neg = testing::Normals<float>(grid.cells(), 2);
    for (float& g : pos) g = 1e-5f + 1e-4f * std::abs(g);
    for (float& g : neg) g = 1e-5f + 1e-4f * std::abs(g);
    v = testing::Normals<T>(inputs * (grid.rows + 2), 3, 0.3);
    i.assign(static_cast<size_t>(inputs * (grid.cols + 1)), T(42));
  }

  MatrixView<const T> voltages() const { return {v.data(), inputs, grid.rows, grid.rows + 2}; }
  MatrixView<T> currents() { return {i.data(), inputs, grid.cols, grid.cols + 1}; }

  void Run(const AdcOptions* adc, bool difference = true) {
    Read(grid, pos.data(), difference ? neg.data() : nullptr, voltages(), adc, currents());
  }

  // The partial sum of one tile, in double precision; `size` gets the sum of the magnitudes of its terms.
  double Partial(int64_t b, int64_t tile_row, int64_t c, bool difference, double* size) const {
    double sum = 0;
    const int64_t end = std::min(grid.rows, (tile_row + 1) * grid.tile_rows);
    for (int64_t r = tile_row * grid.tile_rows; r < end; ++r) {
      const size_t cell = static_cast<size_t>(grid.offset(r, c));
      const double g = double{pos[cell]} - (difference ? double{neg[cell]} : 0.0);
      sum += static_cast<double>(voltages()(b, r)) * g;
      *size += std::abs(static_cast<double>(voltages()(b, r)) * g);
    }
    return sum;
  }
};

const TileGrid kGrids[] = {{300, 70, 128, 128}, {128, 128, 128, 128}, {5, 3, 2, 2}, {1, 1, 4, 4}, {40, 100, 64, 33}};

template <class T>
class ReadTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ReadTest, Types);

TYPED_TEST(ReadTest, IsOhmsAndKirchhoffsLaw) {
  const double epsilon = std::numeric_limits<TypeParam>::epsilon();
  for (const TileGrid& grid : kGrids) {
    for (const int64_t inputs : {1, 4, 19}) {
      for (const bool difference : {false, true}) {
        ArrayPair<TypeParam> pair(grid, inputs);
        pair.Run(nullptr, difference);
        for (int64_t b = 0; b < inputs; ++b) {
          for (int64_t c = 0; c < grid.cols; ++c) {
            double sum = 0, size = 0;
            for (int64_t t = 0; t < grid.down(); ++t) sum += pair.Partial(b, t, c, difference, &size);
            // Each of the additions, and the product and difference of each term, rounds by eps / 2 of at most `size`.
            const double tolerance = (static_cast<double>(grid.rows) + 2) * epsilon / 2 * size;
            ASSERT_NEAR(pair.currents()(b, c), sum, tolerance) << grid.rows << " x " << grid.cols;
          }
          EXPECT_EQ(pair.i[static_cast<size_t>(b * (grid.cols + 1) + grid.cols)], 42) << "wrote into a gap";
        }
      }
    }
  }
}

TYPED_TEST(ReadTest, DigitisesEachTileByItself) {
  const TileGrid grid{300, 70, 128, 64};
  ArrayPair<TypeParam> pair(grid, 19);
  const AdcOptions adc{"linear", 8, 0, 0};
  pair.Run(&adc);
  for (int64_t b = 0; b < 19; ++b) {
    for (int64_t first = 0; first < grid.cols; first += grid.tile_cols) {
      const int64_t cols = std::min(grid.tile_cols, grid.cols - first);
      std::vector<double> sum(static_cast<size_t>(cols), 0);
      double steps = 0;
      for (int64_t t = 0; t < grid.down(); ++t) {
        double largest = 0, size = 0;
        for (int64_t c = 0; c < cols; ++c) {
          const double partial = pair.Partial(b, t, first + c, true, &size);
          sum[static_cast<size_t>(c)] += partial;
          largest = std::max(largest, std::abs(partial));
        }
        steps += std::exp2(1 - 8 + std::ceil(std::log2(largest)));
      }
      // Half a step per tile, a whole one at the top of the range; rounding of the product is far below.
      for (int64_t c = 0; c < cols; ++c) {
        EXPECT_NEAR(pair.currents()(b, first + c), sum[static_cast<size_t>(c)], 1.001 * steps);
      }
    }
  }
}

TYPED_TEST(ReadTest, IsDigitizeAndSumOfWhatTilesReadAlone) {
  const TileGrid grid{300, 70, 128, 64};
  const AdcOptions adc{"linear", 6, 0, 0};
  ArrayPair<TypeParam> pair(grid, 5);
  pair.Run(&adc);
  // Parts [tile rows, inputs, cols], each read as a crossbar of its own without converters.
  std::vector<TypeParam> parts(static_cast<size_t>(grid.down() * 5 * grid.cols));
  for (int64_t t = 0; t < grid.down(); ++t) {
    const int64_t row = t * grid.tile_rows;
    const TileGrid stripe{std::min(grid.tile_rows, grid.rows - row), grid.cols, grid.tile_rows, grid.tile_cols};
    const MatrixView<const TypeParam> v{pair.v.data() + row, 5, stripe.rows, grid.rows + 2};
    const MatrixView<TypeParam> i{&parts[static_cast<size_t>(t * 5 * grid.cols)], 5, grid.cols, grid.cols};
    const int64_t cell = grid.offset(row, 0);
    Read<TypeParam>(stripe, pair.pos.data() + cell, pair.neg.data() + cell, v, nullptr, i);
  }
  PartialSums<TypeParam> sums;
  sums.data = parts.data();
  sums.parts = grid.down();
  sums.outer = 5;
  sums.cols = grid.cols;
  sums.inner = 1;
  sums.part_stride = 5 * grid.cols;
  sums.outer_stride = grid.cols;
  sums.col_stride = sums.inner_stride = 1;
  std::vector<TypeParam> expected(static_cast<size_t>(5 * grid.cols));
  DigitizeAndSum(adc, sums, {64, 70}, expected.data());
  for (int64_t b = 0; b < 5; ++b) {
    for (int64_t c = 0; c < grid.cols; ++c) {
      EXPECT_EQ(pair.currents()(b, c), expected[static_cast<size_t>(b * grid.cols + c)]);
    }
  }
}

TYPED_TEST(ReadTest, PaddingCellsCarryNoCurrent) {
  const TileGrid grid{5, 3, 4, 4};
  ArrayPair<TypeParam> plain(grid, 3), padded(grid, 3);
  for (size_t k = 0; k < padded.pos.size(); ++k) padded.pos[k] = padded.neg[k] + 1;
  for (int64_t r = 0; r < grid.rows; ++r) {
    for (int64_t c = 0; c < grid.cols; ++c) {
      const size_t cell = static_cast<size_t>(grid.offset(r, c));
      padded.pos[cell] = plain.pos[cell];
    }
  }
  plain.Run(nullptr);
  padded.Run(nullptr);
  EXPECT_EQ(plain.i, padded.i);
}

TYPED_TEST(ReadTest, DoesNotDependOnBatchMatesOrThreads) {
  const TileGrid grid{300, 70, 128, 64};
  ArrayPair<TypeParam> all(grid, 37), one(grid, 1);
  SetNumThreads(2);
  all.Run(nullptr);
  SetNumThreads(1);
  for (int64_t b = 0; b < 37; ++b) {
    std::copy_n(&all.voltages()(b, 0), grid.rows, one.v.data());
    one.Run(nullptr);
    for (int64_t c = 0; c < grid.cols; ++c) ASSERT_EQ(one.currents()(0, c), all.currents()(b, c));
  }
  SetNumThreads(0);
}

template <class T>
void ExpectEqualKernels(const std::vector<const ReadKernels<T>*>& tables) {
  const ArrayPair<T> pair({77, 45, 77, 45}, 6);
  std::vector<T> expected(6 * 45), got(6 * 45);
  const auto multiply = [&](const ReadKernels<T>* table, std::vector<T>* out) {
    table->multiply({6, 77, 45, pair.v.data(), 79, pair.pos.data(), pair.neg.data(), 45, out->data(), 45});
  };
  multiply(tables[0], &expected);
  for (const ReadKernels<T>* table : tables) {
    multiply(table, &got);
    EXPECT_EQ(got, expected);
  }
}

TEST(ReadKernelsTest, AgreeForAllInstructionSets) {
  ExpectEqualKernels(testing::Runnable(baseline::kReadFloat, avx2::kReadFloat, avx512::kReadFloat));
  ExpectEqualKernels(testing::Runnable(baseline::kReadDouble, avx2::kReadDouble, avx512::kReadDouble));
}

TEST(ReadErrorsTest, NameTheArgumentAndLeaveTheCurrents) {
  const auto message = [](auto change, const AdcOptions* adc = nullptr) {
    ArrayPair<float> pair({5, 3, 4, 4}, 2);
    MatrixView<const float> v = pair.voltages();
    MatrixView<float> i = pair.currents();
    change(pair, v, i);
    const std::string text = ErrorOf([&] { Read(pair.grid, pair.pos.data(), pair.neg.data(), v, adc, i); });
    EXPECT_EQ(pair.i, std::vector<float>(pair.i.size(), 42)) << text;
    return text;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message([](auto& s, auto&, auto&) { s.grid.tile_rows = 0; }), "[read] tile_rows (0) must be at least 1");
  EXPECT_EQ(message([](auto&, auto& v, auto&) { v.cols = 4; }), "[read] v ([2, 4]) must have shape [inputs, 5]");
  EXPECT_EQ(message([](auto&, auto&, auto& i) { i.rows = 1; }), "[read] i ([1, 3]) must have shape [2, 3]");
  EXPECT_EQ(message([&](auto& s, auto&, auto&) { s.v[8] = nan; }), "[read] v[1, 1] (nan V) must be finite");
  EXPECT_EQ(message([&](auto& s, auto&, auto&) { s.pos[2] = nan; }),
            "[read] g_pos[2] (nan S) must be finite and not negative");
  EXPECT_EQ(message([](auto& s, auto&, auto&) { s.neg[0] = -1; }),
            "[read] g_neg[0] (-1 S) must be finite and not negative");
  const AdcOptions none{"linear", 0, 0, 0};
  EXPECT_EQ(message([](auto&, auto&, auto&) {}, &none), "[read] bits (0 bits) must be in [1, 32]");
}

}  // namespace
}  // namespace memtorch
