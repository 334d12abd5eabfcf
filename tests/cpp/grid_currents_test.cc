#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/grid/currents.h"
#include "engine/grid/solver.h"
#include "engine/parallel.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/grid_samples.h"

namespace memtorch {
namespace {

using testing::Devices;
using testing::Draw;
using testing::ErrorOf;

template <class T>
std::vector<T> As(const std::vector<double>& values) {
  return std::vector<T>(values.begin(), values.end());
}

template <class T>
class GridCurrentsTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GridCurrentsTest, Types);

// Both are products of matrices.
TYPED_TEST(GridCurrentsTest, CurrentsAndTheirGradientAreProducts) {
  using T = TypeParam;
  const int64_t m = 7, n = 5, vectors = 19;
  const std::vector<T> g = As<T>(Draw(m * n, 1, 0, 1)), volts = As<T>(Draw(vectors * m, 2, -1, 1)),
                       upstream = As<T>(Draw(vectors * n, 3, -1, 1));
  const MatrixView<const T> effective{g.data(), m, n, n};
  for (const int threads : {1, 3}) {
    std::vector<T> currents(static_cast<size_t>(vectors * n), 42), gradient(static_cast<size_t>(vectors * m), 42);
    SetNumThreads(threads);
    GridCurrents(effective, {volts.data(), vectors, m, m}, {currents.data(), vectors, n, n});
    GridSourceGradient(effective, {upstream.data(), vectors, n, n}, {gradient.data(), vectors, m, m});
    SetNumThreads(0);
    // Sums of at most 7 products of numbers up to 1.
    const double tolerance = 7 * std::numeric_limits<T>::epsilon();
    for (int64_t k = 0; k < vectors; ++k) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t i = 0; i < m; ++i)
          sum += volts[static_cast<size_t>(k * m + i)] * static_cast<double>(effective(i, j));
        EXPECT_NEAR(currents[static_cast<size_t>(k * n + j)], sum, tolerance);
      }
      for (int64_t i = 0; i < m; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < n; ++j) {
          sum += upstream[static_cast<size_t>(k * n + j)] * static_cast<double>(effective(i, j));
        }
        EXPECT_NEAR(gradient[static_cast<size_t>(k * m + i)], sum, tolerance);
      }
    }
  }
}

TEST(GridCurrentsErrorsTest, NameTheArgument) {
  const std::vector<double> g(6, 1);
  std::vector<double> out(6, 42);
  const MatrixView<const double> effective{g.data(), 2, 3, 3}, three{g.data(), 1, 3, 3}, two{g.data(), 1, 2, 2};
  const MatrixView<double> wide{out.data(), 1, 3, 3}, narrow{out.data(), 1, 2, 2};
  EXPECT_EQ(ErrorOf([&] { GridCurrents(effective, three, wide); }),
            "[grid_currents] volts ([1, 3]) must have shape [1, 2]");
  EXPECT_EQ(ErrorOf([&] { GridCurrents(effective, two, narrow); }),
            "[grid_currents] currents ([1, 2]) must have shape [1, 3]");
  EXPECT_EQ(ErrorOf([&] { GridSourceGradient(effective, two, narrow); }),
            "[grid_source_gradient] upstream ([1, 2]) must have shape [1, 3]");
  EXPECT_EQ(ErrorOf([&] { GridSourceGradient(effective, three, wide); }),
            "[grid_source_gradient] gradient ([1, 3]) must have shape [1, 2]");
  EXPECT_EQ(out, std::vector<double>(6, 42));
}

// Tiles with their effective conductances.
template <class T>
struct Solved {
  int64_t tiles, rows, cols;
  GridSolver<T> solver;
  std::vector<double> g, residual;
  std::vector<T> effective;

  Solved(int64_t count, int64_t m, int64_t n, const Wires& wires)
      : tiles(count),
        rows(m),
        cols(n),
        solver(m, n, wires),
        g(Devices(count * m * n, 1, 1e-6, 1e-2, 0.1)),
        residual(static_cast<size_t>(count), 42),
        effective(g.size()) {
    solver.EffectiveMatrix(devices(), GridView<T>(effective.data(), tiles, rows, cols));
  }
  GridView<const double> devices() const { return {g.data(), tiles, rows, cols}; }
  void Verify(double tolerance) {
    solver.Verify(devices(), GridView<const T>(effective.data(), tiles, rows, cols), tolerance, residual.data());
  }
};

TYPED_TEST(GridCurrentsTest, EffectiveConductancesAreVerified) {
  const double tolerance = sizeof(TypeParam) == sizeof(double) ? 1e-12 : 1e-5;  // what is promised of components
  for (const Wires& wires : {Wires{1, 2, 3, 4}, Wires{}, Wires{20, 0, 5, 1, true, true}}) {
    Solved<TypeParam> solved(3, 24, 37, wires);
    solved.Verify(tolerance);
    for (const double residual : solved.residual) EXPECT_LE(residual, tolerance);
    // One component of the middle tile, the largest, a thousandth too large.
    TypeParam* begin = solved.effective.data() + 24 * 37;
    *std::max_element(begin, begin + 24 * 37) *= TypeParam(1.001);
    EXPECT_THROW(solved.Verify(tolerance), std::runtime_error);
    EXPECT_GT(solved.residual[1], 1e-5);
    EXPECT_LE(solved.residual[2], tolerance);
    *begin = std::numeric_limits<TypeParam>::quiet_NaN();
    EXPECT_THROW(solved.Verify(tolerance), std::runtime_error);
    EXPECT_TRUE(std::isnan(solved.residual[1]));
  }
}

TEST(GridVerifyErrorsTest, NameTheArgument) {
  Solved<double> solved(1, 2, 3, {1, 1, 1, 1});
  EXPECT_EQ(ErrorOf([&] { solved.Verify(-1); }), "[effective_matrix] tolerance (-1) must be above 0");
  EXPECT_EQ(ErrorOf([&] {
              solved.solver.Verify(solved.devices(), GridView<const double>(solved.effective.data(), 1, 3, 2), 1e-9,
                                   solved.residual.data());
            }),
            "[effective_matrix] effective ([1, 3, 2]) must have shape [1, 2, 3]");
  EXPECT_EQ(solved.residual[0], 42);
  solved.effective[0] *= 2;
  try {
    solved.Verify(1e-9);
    ADD_FAILURE() << "no error";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("of tile 0 must be at most 1e-09"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace memtorch
