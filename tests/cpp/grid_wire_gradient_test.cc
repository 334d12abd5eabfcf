#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/grid/solver.h"
#include "engine/parallel.h"
#include "tests/cpp/testing/dense_grid.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/grid_samples.h"

namespace memtorch {
namespace {

using testing::DenseEffective;
using testing::Devices;
using testing::Draw;
using testing::ErrorOf;

constexpr double kTolerance = 1e-12;

// Some tiles, without gaps.
struct Tiles {
  int64_t tiles, rows, cols;
  Wires wires;
  std::vector<double> g, upstream;

  Tiles(int64_t count, int64_t m, int64_t n, const Wires& given)
      : tiles(count),
        rows(m),
        cols(n),
        wires(given),
        g(Devices(count * m * n, 1, 1e-5, 1e-2, 0.1)),
        upstream(Draw(count * m * n, 2, -1, 1)) {}

  template <class T>
  std::vector<double> Gradient(double tolerance = kTolerance) const {
    const std::vector<T> weights(upstream.begin(), upstream.end());
    std::vector<double> gradient(static_cast<size_t>(4 * tiles), 42);
    GridSolver<T>(rows, cols, wires)
        .WireGradient(GridView<const double>(g.data(), tiles, rows, cols),
                      GridView<const T>(weights.data(), tiles, rows, cols), tolerance,
                      MatrixView<double>{gradient.data(), tiles, 4, 4});
    return gradient;
  }

  // What is differentiated, of the first tile, by dense elimination in extended precision.
  long double Sum(const Wires& at) const {
    const std::vector<long double> effective = DenseEffective(g, rows, cols, at);
    long double sum = 0;
    for (size_t k = 0; k < effective.size(); ++k) sum += effective[k] * upstream[k];
    return sum;
  }
};

// Differences of second order: central ones, and forward ones from an ideal wire.
double Difference(const Tiles& tiles, double Wires::* ohm) {
  const auto at = [&](double value) {
    Wires wires = tiles.wires;
    wires.*ohm = value;
    return tiles.Sum(wires);
  };
  const double r = tiles.wires.*ohm;
  // Products of resistances and conductances, in which the third derivative counts, are up to some units.
  const double step = r > 0 ? 1e-5 * r : 1e-5;
  if (r > 0) return static_cast<double>((at(r + step) - at(r - step)) / (2 * static_cast<long double>(step)));
  return static_cast<double>((4 * at(step) - 3 * at(0) - at(2 * step)) / (2 * static_cast<long double>(step)));
}

template <class T>
class GridWireGradientTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GridWireGradientTest, Types);

template <class T>
void ExpectDifferences(int64_t rows, int64_t cols, const Wires& wires) {
  Tiles tiles(1, rows, cols, wires);
  for (double& value : tiles.upstream) value = static_cast<double>(static_cast<T>(value));
  const std::vector<double> gradient = tiles.Gradient<T>();
  const std::array<double Wires::*, 4> kinds{&Wires::word, &Wires::bit, &Wires::source, &Wires::load};
  for (size_t k = 0; k < 4; ++k) {
    const double expected = Difference(tiles, kinds[k]);
    // Differences are good to some 1e-10 of the derivative; terms of either sign, of at most the square of the largest
    // conductance, cancel in it.
    EXPECT_NEAR(gradient[k], expected, 1e-8 * std::abs(expected) + 1e-14)
        << rows << " x " << cols << ", kind " << k << ", word " << wires.word << ", bit " << wires.bit << ", source "
        << wires.source << ", load " << wires.load << ", both " << wires.drive_both << wires.sense_both;
  }
}

TYPED_TEST(GridWireGradientTest, IsThatOfFiniteDifferences) {
  const int64_t shapes[][2] = {{1, 1}, {1, 6}, {6, 1}, {7, 9}, {20, 13}};
  for (const auto& [rows, cols] : shapes) {
    for (const bool drive : {false, true}) {
      for (const bool sense : {false, true}) ExpectDifferences<TypeParam>(rows, cols, {1.5, 2.5, 7, 3, drive, sense});
    }
  }
}

TYPED_TEST(GridWireGradientTest, IdealWiresHaveDerivatives) {
  for (int ideal = 1; ideal < 16; ++ideal) {
    ExpectDifferences<TypeParam>(8, 11,
                                 {ideal & 1 ? 0. : 2, ideal & 2 ? 0. : 3, ideal & 4 ? 0. : 50, ideal & 8 ? 0. : 20});
  }
  ExpectDifferences<TypeParam>(8, 11, {0, 3, 50, 0, true, true});
}

// With all conductances multiplied by a number and all resistances divided by it, effective conductances are multiplied
// by it: sum of g dL/dg - sum of r dL/dr = L. Large enough to be solved in several groups of drivers.
TEST(GridWireGradientPropertiesTest, BalancesTheGradientOfDevices) {
  const Tiles tiles(1, 180, 150, {2, 3, 5, 7});
  const GridSolver<double> solver(180, 150, tiles.wires);
  std::vector<double> effective(tiles.g.size()), devices(tiles.g.size());
  const GridView<const double> g(tiles.g.data(), 1, 180, 150), upstream(tiles.upstream.data(), 1, 180, 150);
  solver.EffectiveMatrix(g, GridView<double>(effective.data(), 1, 180, 150));
  solver.Gradient(g, upstream, GridView<double>(devices.data(), 1, 180, 150));
  const std::vector<double> wires = tiles.Gradient<double>();
  double balance = -2 * wires[0] - 3 * wires[1] - 5 * wires[2] - 7 * wires[3], size = 0;
  for (size_t k = 0; k < effective.size(); ++k) {
    balance += tiles.g[k] * devices[k] - tiles.upstream[k] * effective[k];
    size += std::abs(tiles.g[k] * devices[k]);
  }
  // Sums of 27,000 terms of either sign.
  EXPECT_NEAR(balance, 0, 1e-12 * size);
}

TEST(GridWireGradientPropertiesTest, SameBitsForAnyNumberOfThreads) {
  const Tiles tiles(3, 90, 60, {1, 2, 3, 4});
  SetNumThreads(1);
  const std::vector<double> one = tiles.Gradient<double>();
  SetNumThreads(3);
  EXPECT_EQ(one, tiles.Gradient<double>());
  SetNumThreads(0);
  Tiles last(1, 90, 60, tiles.wires);
  last.g.assign(tiles.g.end() - 5400, tiles.g.end());
  last.upstream.assign(tiles.upstream.end() - 5400, tiles.upstream.end());
  EXPECT_EQ(std::vector<double>(one.end() - 4, one.end()), last.Gradient<double>());
}

TEST(GridWireGradientPropertiesTest, UpstreamHasNoBounds) {
  const Tiles plain(1, 9, 12, {1, 2, 3, 4});
  const std::vector<double> expected = plain.Gradient<double>();
  for (const double scale : {0.0, 1e-200, 1e200}) {
    Tiles scaled = plain;
    for (double& value : scaled.upstream) value *= scale;
    const std::vector<double> got = scaled.Gradient<double>();
    // The scale is no power of 2 and is rounded.
    for (size_t k = 0; k < 4; ++k) EXPECT_NEAR(got[k], scale * expected[k], 1e-13 * std::abs(scale * expected[k]));
  }
  Tiles infinite = plain;
  infinite.upstream[5] = std::numeric_limits<double>::infinity();
  for (const double value : infinite.Gradient<double>()) EXPECT_TRUE(std::isnan(value));
}

TEST(GridWireGradientErrorsTest, NameTheArgumentAndLeaveTheResult) {
  const Tiles tiles(2, 2, 3, {1, 1, 1, 1});
  const GridSolver<double> solver(2, 3, tiles.wires);
  std::vector<double> gradient(8, 42);
  const auto message = [&](const std::vector<double>& g, int64_t cols, int64_t rows, double tolerance) {
    const std::string text = ErrorOf([&] {
      solver.WireGradient(GridView<const double>(g.data(), 2, 2, 3),
                          GridView<const double>(tiles.upstream.data(), 2, 2, cols), tolerance,
                          MatrixView<double>{gradient.data(), rows, 4, 4});
    });
    EXPECT_EQ(gradient, std::vector<double>(8, 42));
    return text;
  };
  EXPECT_EQ(message(tiles.g, 2, 2, 1e-12), "[grid_wire_gradient] upstream ([2, 2, 2]) must have shape [2, 2, 3]");
  EXPECT_EQ(message(tiles.g, 3, 1, 1e-12), "[grid_wire_gradient] gradient ([1, 4]) must have shape [2, 4]");
  EXPECT_EQ(message(tiles.g, 3, 2, 0), "[grid_wire_gradient] tolerance (0) must be above 0");
  std::vector<double> bad = tiles.g;
  bad[11] = -1;
  EXPECT_EQ(message(bad, 3, 2, 1e-12), "[grid_wire_gradient] g[1, 1, 2] (-1 S) must be in [0, 1e+06]");
  Tiles shorts(1, 16, 16, {1e4, 1e4, 1e4, 1e4});
  for (size_t k = 0; k < 256; k += 7) shorts.g[k] = 1e3;
  // No residual is as small as this.
  EXPECT_THROW(shorts.Gradient<double>(1e-17), std::runtime_error);
}

}  // namespace
}  // namespace memtorch
