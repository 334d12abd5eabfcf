#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "engine/grid/solver.h"
#include "engine/parallel.h"
#include "tests/cpp/testing/dense_grid.h"
#include "tests/cpp/testing/grid_samples.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

template <class T>
class GridGradientTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GridGradientTest, Types);

// d/dg of a device is v_1 v_2: its voltage when a driver alone is at 1 V, times that when a sense alone is, with the
// sign of the current; summed with the upstream values over all drivers and senses.
std::vector<double> DenseGradient(const std::vector<double>& g, int64_t rows, int64_t cols, const Wires& wires,
                                  const std::vector<double>& upstream) {
  const testing::DenseGrid grid(g, rows, cols, wires);
  const size_t m = static_cast<size_t>(rows), n = static_cast<size_t>(cols);
  const auto voltages = [&](size_t driver, size_t sense) {
    std::vector<double> word(m, 0), bit(n, 0);
    if (driver < m) word[driver] = 1;
    if (sense < n) bit[sense] = 1;
    const std::vector<long double> nodes = grid.Potentials(word, bit);
    std::vector<long double> device;
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < n; ++j) device.push_back(nodes[grid.word(i, j)] - nodes[grid.bit(i, j)]);
    }
    return device;
  };
  std::vector<std::vector<long double>> by_driver, by_sense;
  for (size_t k = 0; k < m; ++k) by_driver.push_back(voltages(k, n));
  for (size_t l = 0; l < n; ++l) by_sense.push_back(voltages(m, l));
  std::vector<double> gradient;
  for (size_t d = 0; d < m * n; ++d) {
    long double sum = 0;
    for (size_t k = 0; k < m; ++k) {
      for (size_t l = 0; l < n; ++l) sum -= upstream[k * n + l] * by_driver[k][d] * by_sense[l][d];
    }
    gradient.push_back(static_cast<double>(sum));
  }
  return gradient;
}

template <class T>
std::vector<T> Gradient(const std::vector<double>& g, int64_t tiles, int64_t rows, int64_t cols, const Wires& wires,
                        const std::vector<double>& upstream) {
  const std::vector<T> weights(upstream.begin(), upstream.end());
  std::vector<T> gradient(g.size(), T(42));
  GridSolver<T>(rows, cols, wires)
      .Gradient(GridView<const double>(g.data(), tiles, rows, cols),
                GridView<const T>(weights.data(), tiles, rows, cols), GridView<T>(gradient.data(), tiles, rows, cols));
  return gradient;
}

template <class T>
void ExpectDense(int64_t rows, int64_t cols, const Wires& wires, const std::vector<double>& upstream) {
  const std::vector<double> g = testing::Devices(rows * cols, static_cast<uint64_t>(rows * 7 + cols), 1e-6, 1e-2, 0.1);
  const std::vector<T> gradient = Gradient<T>(g, 1, rows, cols, wires, upstream);
  const std::vector<double> expected = DenseGradient(g, rows, cols, wires, upstream);
  // Sums of rows x cols terms of either sign and at most some units, in some ten joinings.
  const double tolerance = 30 * std::sqrt(static_cast<double>(rows * cols)) * std::numeric_limits<T>::epsilon();
  for (size_t k = 0; k < g.size(); ++k) {
    ASSERT_NEAR(gradient[k], expected[k], tolerance) << rows << " x " << cols << ", cell " << k;
  }
}

TYPED_TEST(GridGradientTest, IsThatOfDenseElimination) {
  constexpr int64_t kShapes[][2] = {{1, 1},   {1, 2},   {2, 1},   {3, 5},   {7, 9},  {16, 16}, {17, 16},
                                    {16, 17}, {20, 13}, {24, 24}, {33, 10}, {9, 40}, {3, 100}, {100, 3}};
  for (const auto& [rows, cols] : kShapes) {
    for (const Wires& wires : {Wires{1.5, 2.5, 7, 3}, Wires{}, Wires{20, 0, 0, 5}, Wires{2, 3, 5, 7, true, true}}) {
      ExpectDense<TypeParam>(rows, cols, wires, testing::Normals<double>(rows * cols, 77));
    }
  }
}

// Products leave out stretches of zeros.
TYPED_TEST(GridGradientTest, IsThatOfDenseEliminationWhereTheUpstreamIsMostlyZero) {
  const int64_t rows = 17, cols = 22;
  const std::vector<double> all = testing::Normals<double>(rows * cols, 79);
  for (const auto& [row, col] : {std::pair<int64_t, int64_t>{0, 0}, {rows - 1, 3}, {11, cols - 1}}) {
    std::vector<double> one(all.size()), lines(all.size());
    one[static_cast<size_t>(row * cols + col)] = all[0];
    for (int64_t k = 0; k < rows * cols; ++k) {
      const bool on = k / cols == row || k % cols == col;
      lines[static_cast<size_t>(k)] = on ? all[static_cast<size_t>(k)] : 0;
    }
    ExpectDense<TypeParam>(rows, cols, {1.5, 2.5, 7, 3}, one);
    ExpectDense<TypeParam>(rows, cols, {2, 3, 5, 7, true, true}, lines);
  }
  ExpectDense<TypeParam>(rows, cols, {1.5, 2.5, 7, 3}, std::vector<double>(all.size()));
}

template <class T>
void ExpectSameBits(int64_t tiles, int64_t rows, int64_t cols) {
  const std::vector<double> g = testing::Devices(tiles * rows * cols, 3, 1e-6, 1e-4);
  const std::vector<double> upstream = testing::Normals<double>(tiles * rows * cols, 78);
  const auto solve = [&](int threads) {
    SetNumThreads(threads);
    const std::vector<T> gradient = Gradient<T>(g, tiles, rows, cols, {1, 2, 3, 4}, upstream);
    SetNumThreads(0);
    return gradient;
  };
  const std::vector<T> expected = solve(1);
  for (const int threads : {2, 3, 8}) EXPECT_EQ(solve(threads), expected) << threads << " threads";
}

TYPED_TEST(GridGradientTest, HasTheSameBitsForAnyNumberOfThreads) { ExpectSameBits<TypeParam>(9, 40, 40); }

// Large enough for parts, of equal and of unequal size.
TYPED_TEST(GridGradientTest, HasTheSameBitsWhenThreadsShareOneGrid) {
  ExpectSameBits<TypeParam>(1, 128, 128);
  ExpectSameBits<TypeParam>(2, 150, 210);
}

// Memory of an earlier solution is used again, also for another number of parts.
TYPED_TEST(GridGradientTest, HasTheSameBitsWhenASolverIsUsedAgain) {
  using T = TypeParam;
  const int64_t n = 130, cells = n * n;
  const std::vector<double> g = testing::Devices(cells, 3, 1e-6, 1e-4);
  const std::vector<T> upstream = testing::Normals<T>(cells, 78);
  const GridSolver<T> solver(n, n, {1, 2, 3, 4});
  std::vector<std::vector<T>> gradients;
  for (const int threads : {1, 4, 2, 1}) {
    SetNumThreads(threads);
    gradients.emplace_back(static_cast<size_t>(cells), T(42));
    solver.Gradient(GridView<const double>(g.data(), 1, n, n), GridView<const T>(upstream.data(), 1, n, n),
                    GridView<T>(gradients.back().data(), 1, n, n));
    SetNumThreads(0);
    EXPECT_EQ(gradients.back(), gradients.front()) << threads << " threads";
  }
}

}  // namespace
}  // namespace memtorch
