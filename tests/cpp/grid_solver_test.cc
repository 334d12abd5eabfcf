#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/grid/solver.h"
#include "engine/parallel.h"
#include "engine/random.h"
#include "tests/cpp/testing/dense_grid.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::DenseEffective;
using testing::ErrorOf;

// The accuracy that is promised for every component. In practice it is 2e-15 and 1e-6.
template <class T>
constexpr double kPromised = sizeof(T) == sizeof(double) ? 1e-13 : 1e-5;

// Log-uniform conductances, of which a fraction is open and a fraction shorted.
struct Devices {
  double low = 1e-6, high = 1e-4, open = 0, shorted = 0;

  std::vector<double> Draw(int64_t count, uint64_t stream) const {
    std::vector<double> g;
    for (uint64_t k = 0; k < static_cast<uint64_t>(count); ++k) {
      double kind, level;
      UniformPair(7, stream, k, &kind, &level);
      g.push_back(kind < open ? 0 : (kind > 1 - shorted ? 1e3 : low * std::pow(high / low, level)));
    }
    return g;
  }
};

template <class T>
std::vector<T> Effective(const std::vector<double>& g, int64_t rows, int64_t cols, const Wires& wires) {
  const std::vector<T> devices(g.begin(), g.end());
  std::vector<T> out(g.size(), T(-1));
  const GridSolver<T> solver(rows, cols, wires);
  solver.EffectiveMatrix(GridView<const T>(devices.data(), 1, rows, cols), GridView<T>(out.data(), 1, rows, cols));
  return out;
}

// Componentwise, except that a component that vanishes because an ideal wire holds the nodes on its way at one
// potential may be as large as such a wire leaves it.
template <class T>
::testing::AssertionResult IsAccurate(const std::vector<T>& got, const std::vector<long double>& expected) {
  const long double largest = *std::max_element(expected.begin(), expected.end());
  for (size_t k = 0; k < expected.size(); ++k) {
    const long double bound = kPromised<T> * expected[k] + 1e-24L * largest;
    if (!(std::abs(got[k] - expected[k]) <= bound)) {
      return ::testing::AssertionFailure()
             << "component " << k << ": " << got[k] << " against " << static_cast<double>(expected[k]);
    }
  }
  return ::testing::AssertionSuccess();
}

// g as T holds it, so that rounding the devices is not counted as an error.
template <class T>
std::vector<double> Rounded(std::vector<double> g) {
  for (double& value : g) value = static_cast<double>(static_cast<T>(value));
  return g;
}

template <class T>
void ExpectAccurate(int64_t rows, int64_t cols, const Wires& wires, const Devices& devices) {
  const std::vector<double> g = Rounded<T>(devices.Draw(rows * cols, static_cast<uint64_t>(rows * 1000 + cols)));
  EXPECT_TRUE(IsAccurate(Effective<T>(g, rows, cols, wires), DenseEffective(g, rows, cols, wires)))
      << rows << " x " << cols << ", word " << wires.word << ", bit " << wires.bit << ", source " << wires.source
      << ", load " << wires.load << ", both " << wires.drive_both << wires.sense_both;
}

template <class T>
class GridSolverTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GridSolverTest, Types);

constexpr int64_t kShapes[][2] = {{1, 1},   {1, 2},   {2, 1},   {3, 5},   {4, 4},  {7, 9},   {16, 16}, {17, 16},
                                  {16, 17}, {20, 13}, {24, 24}, {33, 10}, {9, 40}, {3, 100}, {100, 3}};

TYPED_TEST(GridSolverTest, EqualsDenseEliminationForAnyShapeAndWires) {
  for (const auto& [rows, cols] : kShapes) {
    for (const bool drive : {false, true}) {
      for (const bool sense : {false, true}) {
        ExpectAccurate<TypeParam>(rows, cols, {1.5, 2.5, 7, 3, drive, sense}, {1e-6, 1e-2, 0.1, 0});
      }
    }
  }
}

TYPED_TEST(GridSolverTest, IdealWiresAreExactLimits) {
  const int64_t shapes[][2] = {{1, 1}, {1, 6}, {6, 1}, {7, 9}, {18, 13}};
  for (const auto& [rows, cols] : shapes) {
    for (int ideal = 1; ideal < 16; ++ideal) {
      const Wires wires{ideal & 1 ? 0. : 2, ideal & 2 ? 0. : 3, ideal & 4 ? 0. : 50, ideal & 8 ? 0. : 20};
      ExpectAccurate<TypeParam>(rows, cols, wires, {1e-6, 1e-2, 0.1, 0});
    }
    ExpectAccurate<TypeParam>(rows, cols, {2, 3, 0, 0, true, true}, {1e-6, 1e-2, 0.1, 0});
  }
}

TYPED_TEST(GridSolverTest, WithoutAnyResistanceDevicesAreWhatIsSeen) {
  const std::vector<double> g = Devices{1e-9, 1e-2}.Draw(40 * 24, 1);
  const std::vector<TypeParam> got = Effective<TypeParam>(g, 40, 24, {});
  // On its way to its driver and its sense a device is multiplied by ratios of 1, rounded a few times in each of some
  // ten joinings.
  for (size_t k = 0; k < g.size(); ++k) {
    EXPECT_NEAR(got[k], g[k], 32 * std::numeric_limits<TypeParam>::epsilon() * g[k]);
  }
}

TYPED_TEST(GridSolverTest, AccurateInEveryComponentOfHardCircuits) {
  const Devices plain{}, wide{1e-9, 1e-2};
  const Devices open30{1e-6, 1e-4, 0.3, 0}, open95{1e-6, 1e-4, 0.95, 0}, shorts{1e-6, 1e-6, 0, 0.02}, high{1e-2, 1e-2};
  ExpectAccurate<TypeParam>(32, 32, {1, 1, 1, 1}, plain);
  ExpectAccurate<TypeParam>(32, 32, {0.1, 0.1, 0.1, 0.1}, wide);
  ExpectAccurate<TypeParam>(32, 32, {20, 20, 20, 20}, wide);
  ExpectAccurate<TypeParam>(32, 32, {100, 100, 100, 100}, wide);
  ExpectAccurate<TypeParam>(32, 32, {20, 20, 1e3, 100}, wide);
  ExpectAccurate<TypeParam>(32, 32, {1, 1, 1, 1}, open30);
  ExpectAccurate<TypeParam>(32, 32, {20, 20, 20, 20}, open95);
  ExpectAccurate<TypeParam>(32, 32, {1, 1, 1, 1}, shorts);
  ExpectAccurate<TypeParam>(32, 32, {100, 0, 0, 100}, shorts);
  ExpectAccurate<TypeParam>(32, 32, {1e-6, 1e-6, 1e-6, 1e-6}, plain);
  ExpectAccurate<TypeParam>(32, 32, {1e-12, 1e-12, 1e-12, 1e-12}, plain);
  ExpectAccurate<TypeParam>(32, 32, {20, 20, 20, 20}, high);
  ExpectAccurate<TypeParam>(64, 64, {5, 5, 5, 5}, wide);
}

// Between the bounds of what a circuit may hold nothing overflows; results that float32 cannot hold become 0.
TYPED_TEST(GridSolverTest, ExtremesStayFinite) {
  const double extremes[] = {0, 1e-300, 1e-30, 1e-3, kMaxWireOhm};
  for (const double word : extremes) {
    for (const double bit : extremes) {
      for (const double end : extremes) {
        std::vector<double> g = Devices{1e-30, 1e6, 0.1, 0}.Draw(20 * 18, 9);
        for (const bool both : {false, true}) {
          for (const TypeParam value : Effective<TypeParam>(g, 20, 18, {word, bit, end, end, both, both})) {
            ASSERT_TRUE(value >= 0 && value <= 20 * 18 * kMaxSiemens)
                << word << ' ' << bit << ' ' << end << ' ' << both;
          }
        }
      }
    }
  }
}

TYPED_TEST(GridSolverTest, WholeRowsAndColumnsMayBeOpen) {
  std::vector<double> g = Rounded<TypeParam>(Devices{}.Draw(32 * 32, 3));
  for (size_t k = 0; k < 32; ++k) g[5 * 32 + k] = g[k * 32 + 31] = 0;
  const Wires wires{1, 1, 1, 1};
  EXPECT_TRUE(IsAccurate(Effective<TypeParam>(g, 32, 32, wires), DenseEffective(g, 32, 32, wires)));
  const std::vector<double> nothing(32 * 32, 0);
  EXPECT_EQ(Effective<TypeParam>(nothing, 32, 32, wires), std::vector<TypeParam>(32 * 32, 0));
}

// MemTorch 1.1.6 crashes on these or is wrong.
TEST(GridSolverLimitsTest, ZeroSourceResistance) { ExpectAccurate<double>(8, 8, {1, 1, 0, 0}, {}); }
TEST(GridSolverLimitsTest, ZeroLineResistance) { ExpectAccurate<double>(8, 8, {0, 0, 1, 1}, {}); }
TEST(GridSolverLimitsTest, OneRow) { ExpectAccurate<double>(1, 8, {1, 1, 1, 1}, {}); }
TEST(GridSolverLimitsTest, OneColumn) { ExpectAccurate<double>(8, 1, {1, 1, 1, 1}, {}); }
TEST(GridSolverLimitsTest, Rectangular) { ExpectAccurate<double>(8, 24, {1, 1, 1, 1}, {}); }

// Currents of the 3 x 5 array of 345 ... 635 ohm with wires of 0.5 ohm, from badcrossbar 1.1.0 and ngspice 39, which
// agree to 3e-13; more figures than that are not known.
TEST(GridSolverRecordedTest, CurrentsOfTwoOtherPrograms) {
  const double ohm[] = {345, 903, 755, 257, 646, 652, 401, 508, 166, 454, 442, 874, 190, 244, 635};
  const double volts[] = {1.5, 2.3, 1.7};
  const double one_end[] = {0.01158502542155, 0.009190641636252, 0.01511568117326, 0.02583320822126, 0.009811792882657};
  const double both_ends[] = {0.01162349765432, 0.009256911192525, 0.01527902932451, 0.02620312581932,
                              0.009987291170659};
  std::vector<double> g;
  for (const double r : ohm) g.push_back(1 / r);
  for (const bool both : {false, true}) {
    const std::vector<double> effective = Effective<double>(g, 3, 5, {0.5, 0.5, 0.5, 0.5, both});
    for (size_t j = 0; j < 5; ++j) {
      double current = 0;
      for (size_t i = 0; i < 3; ++i) current += volts[i] * effective[i * 5 + j];
      const double expected = (both ? both_ends : one_end)[j];
      EXPECT_NEAR(current, expected, 1e-12 * expected);
    }
  }
}

// A word line of n equal devices whose bit lines are ideal is a ladder with a closed form: with x = acosh(1 + r g / 2),
// node j from the open end is at cosh((j + 1/2) x), and the driver one segment further.
TEST(GridSolverClosedFormTest, LadderOfOneRow) {
  const int64_t n = 200;
  const double g = 1e-3, r = 7;
  const std::vector<double> got = Effective<double>(std::vector<double>(n, g), 1, n, {r, 0, r, 0});
  const double x = std::acosh(1 + r * g / 2);
  for (int64_t j = 0; j < n; ++j) {
    const double node = std::cosh((static_cast<double>(n - 1 - j) + 0.5) * x) / std::cosh((n + 0.5) * x);
    // cosh and acosh lose a few units of rounding times n x.
    EXPECT_NEAR(got[static_cast<size_t>(j)], g * node, 1e-12 * g * node);
  }
}

TEST(GridSolverLargeTest, HoldsThousandsOfLines) {
  // Uniform devices on ideal bit lines: every row is the ladder above.
  const int64_t n = 1030;
  const double g = 1e-5, r = 1;
  const std::vector<double> got =
      Effective<double>(std::vector<double>(static_cast<size_t>(n * n), g), n, n, {r, 0, r, 0});
  const double x = std::acosh(1 + r * g / 2);
  for (int64_t i = 0; i < n; i += 41) {
    for (int64_t j = 0; j < n; ++j) {
      const double node = std::cosh((static_cast<double>(n - 1 - j) + 0.5) * x) / std::cosh((n + 0.5) * x);
      // acosh near 1 loses digits: x is known to about epsilon / x^2 of itself.
      ASSERT_NEAR(got[static_cast<size_t>(i * n + j)], g * node, 1e-9 * g * node);
    }
  }
}

// Drivers and senses may change places.
TEST(GridSolverPropertiesTest, IsReciprocal) {
  const int64_t m = 40, n = 56;
  const std::vector<double> g = Devices{1e-6, 1e-2, 0.1, 0}.Draw(m * n, 5);
  // Driving the bit lines from below and sensing the word lines at their left is the array turned over: rows and columns
  // change places, and each starts at its other end.
  std::vector<double> turned(g.size());
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      turned[static_cast<size_t>((n - 1 - j) * m + m - 1 - i)] = g[static_cast<size_t>(i * n + j)];
    }
  }
  const std::vector<double> one = Effective<double>(g, m, n, {2, 3, 5, 7});
  const std::vector<double> other = Effective<double>(turned, n, m, {3, 2, 7, 5});
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const double expected = one[static_cast<size_t>(i * n + j)];
      EXPECT_NEAR(other[static_cast<size_t>((n - 1 - j) * m + m - 1 - i)], expected, kPromised<double> * expected);
    }
  }
}

template <class T>
struct Batch {
  int64_t tiles, rows, cols;
  std::vector<T> g, out;

  Batch(int64_t count, int64_t m, int64_t n) : tiles(count), rows(m), cols(n) {
    const std::vector<double> drawn = Devices{}.Draw(tiles * (rows + 1) * (cols + 3), 11);
    g.assign(drawn.begin(), drawn.end());
    out.assign(static_cast<size_t>(tiles * (rows + 2) * (cols + 1)), T(42));
  }
  GridView<const T> devices() const {
    GridView<const T> view(g.data(), tiles, rows, cols);
    view.stride = cols + 3;
    view.tile_stride = (rows + 1) * (cols + 3);
    return view;
  }
  GridView<T> result() {
    GridView<T> view(out.data(), tiles, rows, cols);
    view.stride = cols + 1;
    view.tile_stride = (rows + 2) * (cols + 1);
    return view;
  }
};

TYPED_TEST(GridSolverTest, SameBitsForAnyNumberOfThreadsAndBatchMates) {
  for (const int64_t n : {5, 20, 50, 150}) {
    Batch<TypeParam> one(7, n, n + 3), two(7, n, n + 3);
    const GridSolver<TypeParam> solver(n, n + 3, {1, 2, 3, 4});
    SetNumThreads(1);
    solver.EffectiveMatrix(one.devices(), one.result());
    SetNumThreads(3);
    solver.EffectiveMatrix(two.devices(), two.result());
    SetNumThreads(0);
    EXPECT_EQ(one.out, two.out);
    for (int64_t t = 0; t < 7; ++t) {
      std::vector<double> alone;
      for (int64_t i = 0; i < n; ++i) {
        alone.insert(alone.end(), one.devices().row(t, i), one.devices().row(t, i) + n + 3);
      }
      const std::vector<TypeParam> expected = Effective<TypeParam>(alone, n, n + 3, {1, 2, 3, 4});
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n + 3; ++j) {
          ASSERT_EQ(one.result().row(t, i)[j], expected[static_cast<size_t>(i * (n + 3) + j)]);
        }
        EXPECT_EQ(one.result().row(t, i)[n + 3], 42) << "wrote into a gap";
      }
    }
  }
}

// Large enough to be solved in parts, of equal and of unequal size.
TYPED_TEST(GridSolverTest, SameBitsWhenThreadsShareOneGrid) {
  for (const int64_t n : {240, 256}) {
    Batch<TypeParam> one(1, n, n + 20), other(1, n, n + 20);
    const GridSolver<TypeParam> solver(n, n + 20, {1, 2, 3, 4});
    SetNumThreads(1);
    solver.EffectiveMatrix(one.devices(), one.result());
    for (const int threads : {2, 3, 8}) {
      SetNumThreads(threads);
      solver.EffectiveMatrix(other.devices(), other.result());
      EXPECT_EQ(one.out, other.out) << threads << " threads";
    }
    SetNumThreads(0);
  }
}

TEST(GridSolverTypesTest, SinglePrecisionDevicesAreSolvedInDouble) {
  const std::vector<double> drawn = Devices{}.Draw(30 * 30, 2);
  const std::vector<float> g(drawn.begin(), drawn.end());
  const GridSolver<double> solver(30, 30, {1, 1, 1, 1});
  std::vector<double> out(g.size());
  solver.EffectiveMatrix(GridView<const float>(g.data(), 1, 30, 30), GridView<double>(out.data(), 1, 30, 30));
  EXPECT_EQ(out, Effective<double>(Rounded<float>(drawn), 30, 30, {1, 1, 1, 1}));
}

TEST(GridSolverErrorsTest, NameTheArgumentAndLeaveTheResult) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto wires = [](const Wires& bad) { return ErrorOf([&] { GridSolver<double>(2, 2, bad); }); };
  EXPECT_EQ(wires({-1, 0, 0, 0}), "[grid_solver] word (-1 ohm) must be in [0, 1e+12]");
  EXPECT_EQ(wires({0, nan, 0, 0}), "[grid_solver] bit (nan ohm) must be in [0, 1e+12]");
  EXPECT_EQ(wires({0, 0, 1e13, 0}), "[grid_solver] source (1e+13 ohm) must be in [0, 1e+12]");
  EXPECT_EQ(wires({0, 0, 0, -2}), "[grid_solver] load (-2 ohm) must be in [0, 1e+12]");
  EXPECT_EQ(ErrorOf([] { GridSolver<double>(0, 2, {}); }), "[grid_solver] rows (0) must be at least 1");
  EXPECT_EQ(ErrorOf([] { GridSolver<double>(2, 0, {}); }), "[grid_solver] cols (0) must be at least 1");
  const GridSolver<double> solver(2, 3, {1, 1, 1, 1});
  const auto message = [&](std::vector<double> g, int64_t rows, int64_t out_cols) {
    std::vector<double> out(6, 42);
    const std::string text = ErrorOf([&] {
      solver.EffectiveMatrix(GridView<const double>(g.data(), 1, rows, 3),
                             GridView<double>(out.data(), 1, 2, out_cols));
    });
    EXPECT_EQ(out, std::vector<double>(6, 42));
    return text;
  };
  EXPECT_EQ(message({1, 1, 1}, 1, 3), "[effective_matrix] g ([1, 1, 3]) must have shape [tiles, 2, 3]");
  EXPECT_EQ(message({1, 1, 1, 1, 1, 1}, 2, 2), "[effective_matrix] out ([1, 2, 2]) must have shape [1, 2, 3]");
  EXPECT_EQ(message({1, 1, 1, 1, 1, -1}, 2, 3), "[effective_matrix] g[0, 1, 2] (-1 S) must be in [0, 1e+06]");
  std::vector<double> six(6, 1), four(4, 42);
  EXPECT_EQ(ErrorOf([&] {
              solver.Gradient(GridView<const double>(six.data(), 1, 2, 3), GridView<const double>(six.data(), 1, 2, 3),
                              GridView<double>(four.data(), 1, 2, 2));
            }),
            "[grid_gradient] gradient ([1, 2, 2]) must have shape [1, 2, 3]");
  EXPECT_EQ(message({nan, 1, 1, 1, 1, 1}, 2, 3), "[effective_matrix] g[0, 0, 0] (nan S) must be in [0, 1e+06]");
}

}  // namespace
}  // namespace memtorch
