#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/grid/potentials.h"
#include "engine/grid/solver.h"
#include "engine/parallel.h"
#include "tests/cpp/testing/dense_grid.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/grid_samples.h"

namespace memtorch {
namespace {

using testing::DenseGrid;
using testing::Devices;
using testing::Draw;
using testing::ErrorOf;

// One circuit, vectors, and the room for their solution.
struct Batch {
  int64_t rows, cols, vectors;
  Wires wires;
  std::vector<double> g, word_volts, bit_volts, word, bit, residual;
  NodeOptions options;

  Batch(int64_t m, int64_t n, const Wires& given, std::vector<double> devices, int64_t count)
      : rows(m), cols(n), vectors(count), wires(given), g(std::move(devices)) {
    word_volts = Draw(vectors * rows, 1, -1, 1);
    bit_volts = Draw(vectors * cols, 2, -0.5, 0.5);
    word.assign(static_cast<size_t>(vectors * rows * cols), 42);
    bit = word;
    residual.assign(static_cast<size_t>(vectors), 42);
    options.tolerance = 1e-13;
  }

  MatrixView<const double> devices() const { return {g.data(), rows, cols, cols}; }
  GridSources sources() const {
    GridSources given;
    given.word = {word_volts.data(), vectors, rows, rows};
    given.bit = {bit_volts.data(), vectors, cols, cols};
    return given;
  }
  GridNodes nodes() { return {word.data(), bit.data(), residual.data()}; }

  template <class T>
  void SolveByFactors() {
    GridSolver<T>(rows, cols, wires).SolveNodesByFactors(devices(), sources(), options, nodes());
  }
};

template <class T>
class GridPotentialsTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GridPotentialsTest, Types);

// The potentials of the bit lines from the factors alone, without the check that follows.
template <class T>
std::vector<double> FromFactors(const Batch& batch) {
  const MergeKernels<T>& kernels = ActiveMergeKernels<T>();
  const MergePlan plan(batch.rows, batch.cols, batch.wires, kernels.panel, kernels.vector);
  std::vector<double> bit(batch.bit.size(), 42);
  MemoryPool<T> pool;
  const Potentials<T> potentials(plan, ViewOfOne(batch.devices()), &pool);
  potentials.Solve(batch.sources(), 0, batch.vectors, bit.data());
  return bit;
}

// Against dense elimination in extended precision.
template <class T>
void ExpectPotentials(Batch batch) {
  batch.SolveByFactors<T>();
  const std::vector<double> factors = FromFactors<T>(batch);
  const DenseGrid dense(batch.g, batch.rows, batch.cols, batch.wires);
  const size_t m = static_cast<size_t>(batch.rows), n = static_cast<size_t>(batch.cols);
  // Potentials are averages of voltages of at most 1 V. float32 factors only start the iteration, which ends with a
  // residual of 1e-13 of the largest current: see grid_nodes_test.cc.
  const double tolerance = sizeof(T) == sizeof(double) ? 1e-12 : 1e-10;
  for (size_t v = 0; v < static_cast<size_t>(batch.vectors); ++v) {
    const std::vector<double> word(&batch.word_volts[v * m], &batch.word_volts[v * m] + m);
    const std::vector<double> bit(&batch.bit_volts[v * n], &batch.bit_volts[v * n] + n);
    const std::vector<long double> expected = dense.Potentials(word, bit);
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < n; ++j) {
        const size_t k = v * m * n + i * n + j;
        // Averages lose a few units in each joining.
        ASSERT_NEAR(factors[k], static_cast<double>(expected[dense.bit(i, j)]), 20 * std::numeric_limits<T>::epsilon())
            << i << ' ' << j;
        ASSERT_NEAR(batch.word[k], static_cast<double>(expected[dense.word(i, j)]), tolerance) << i << ' ' << j;
        ASSERT_NEAR(batch.bit[k], static_cast<double>(expected[dense.bit(i, j)]), tolerance) << i << ' ' << j;
      }
    }
    EXPECT_LE(batch.residual[v], 1e-13);
  }
}

constexpr int64_t kShapes[][2] = {{1, 1}, {1, 5}, {5, 1}, {3, 8}, {16, 16}, {19, 13}, {13, 30}, {33, 20}};

TYPED_TEST(GridPotentialsTest, EqualDenseEliminationForAnyShapeAndWires) {
  for (const auto& [rows, cols] : kShapes) {
    for (const bool drive : {false, true}) {
      for (const bool sense : {false, true}) {
        ExpectPotentials<TypeParam>(
            {rows, cols, {1.5, 2.5, 7, 3, drive, sense}, Devices(rows * cols, 3, 1e-6, 1e-2, 0.2), 3});
      }
    }
  }
}

TYPED_TEST(GridPotentialsTest, IdealWiresAreExactLimits) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 6}, {6, 1}, {17, 13}}) {
    for (int ideal = 1; ideal < 16; ++ideal) {
      const Wires wires{ideal & 1 ? 0. : 2, ideal & 2 ? 0. : 3, ideal & 4 ? 0. : 50, ideal & 8 ? 0. : 20};
      ExpectPotentials<TypeParam>({rows, cols, wires, Devices(rows * cols, 4, 1e-6, 1e-2, 0.2), 2});
    }
    ExpectPotentials<TypeParam>({rows, cols, {0, 0, 0, 0, true, true}, Devices(rows * cols, 4, 1e-6, 1e-2), 2});
  }
}

TYPED_TEST(GridPotentialsTest, HardCircuits) {
  ExpectPotentials<TypeParam>({32, 32, {20, 20, 20, 20}, Devices(1024, 5, 1e-6, 1e-2), 2});
  ExpectPotentials<TypeParam>({32, 32, {100, 100, 1e3, 100}, Devices(1024, 6, 1e-9, 1e-2), 2});
  ExpectPotentials<TypeParam>({32, 32, {20, 20, 20, 20}, Devices(1024, 7, 1e-6, 1e-4, 0.95), 2});
  ExpectPotentials<TypeParam>({32, 32, {1e-6, 1e-6, 1e-6, 1e-6}, Devices(1024, 8, 1e-6, 1e-4), 2});
  std::vector<double> lines = Devices(1024, 9, 1e-6, 1e-4);
  for (size_t k = 0; k < 32; ++k) lines[5 * 32 + k] = lines[k * 32 + 31] = 0;
  ExpectPotentials<TypeParam>({32, 32, {1, 1, 1, 1}, lines, 2});
}

// More vectors than go down together, on a grid of several units of leaves; vectors are independent.
TYPED_TEST(GridPotentialsTest, SameBitsForAnyNumberOfThreads) {
  Batch one(70, 90, {5, 6, 7, 8}, Devices(70 * 90, 10, 1e-6, 1e-3), 700);
  one.options.tolerance = 1e-12;
  Batch other = one, each = one;
  SetNumThreads(1);
  one.SolveByFactors<TypeParam>();
  SetNumThreads(3);
  other.SolveByFactors<TypeParam>();
  SetNumThreads(0);
  EXPECT_EQ(one.word, other.word);
  EXPECT_EQ(one.bit, other.bit);
  SolveNodes(each.devices(), each.wires, each.sources(), each.options, each.nodes());
  // Both hold Kirchhoff's law to 1e-12 of the largest current, some 1e-3 A, at lines of some hundred ohm.
  for (size_t k = 0; k < one.bit.size(); ++k) ASSERT_NEAR(one.bit[k], each.bit[k], 1e-10);
}

TEST(GridPotentialsTest, TheFasterAlgorithmIsTaken) {
  const auto solve = [](int64_t vectors, const NodeOptions& options) {
    Batch batch(32, 40, {20, 20, 20, 20}, Devices(32 * 40, 11, 1e-4, 1e-2), vectors), factors = batch,
                                                                                      iterations = batch;
    batch.options = factors.options = iterations.options = options;
    // Where a warm start sets out.
    for (Batch* b : {&batch, &iterations}) b->word.assign(b->word.size(), 0), b->bit.assign(b->bit.size(), 0);
    GridSolver<double>(32, 40, batch.wires).SolveNodes(batch.devices(), batch.sources(), batch.options, batch.nodes());
    factors.SolveByFactors<double>();
    SolveNodes(iterations.devices(), iterations.wires, iterations.sources(), iterations.options, iterations.nodes());
    EXPECT_NE(factors.bit, iterations.bit);
    return batch.bit == factors.bit ? "factors" : (batch.bit == iterations.bit ? "iterations" : "neither");
  };
  EXPECT_STREQ(solve(1, {1e-12, false}), "iterations");
  EXPECT_STREQ(solve(100, {1e-12, false}), "factors");
  EXPECT_STREQ(solve(100, {1e-12, true}), "iterations");
}

TEST(GridPotentialsTest, OpenLinesAreIterated) {
  Batch batch(12, 18, {1, 2, 3, 4}, Devices(12 * 18, 12, 1e-4, 1e-2), 80), each = batch;
  bool open[18] = {};
  open[4] = true;
  GridSources sources = batch.sources();
  sources.word_open = open;
  const GridSolver<double> solver(12, 18, batch.wires);
  solver.SolveNodes(batch.devices(), sources, batch.options, batch.nodes());
  SolveNodes(each.devices(), each.wires, sources, each.options, each.nodes());
  EXPECT_EQ(batch.bit, each.bit);
  const auto message = [&](const GridSources& given) {
    Batch untouched = batch;
    const std::string text =
        ErrorOf([&] { solver.SolveNodesByFactors(batch.devices(), given, batch.options, untouched.nodes()); });
    EXPECT_EQ(untouched.bit, batch.bit);
    return text;
  };
  EXPECT_EQ(message(sources), "[solve_nodes] word_open must hold no open line");
  sources.word_open = nullptr;
  sources.bit_open = open;
  EXPECT_EQ(message(sources), "[solve_nodes] bit_open must hold no open line");
}

TEST(GridPotentialsErrorsTest, NameTheArgumentAndLeaveTheResult) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto message = [](auto change) {
    Batch batch(2, 3, {1, 1, 1, 1}, std::vector<double>(6, 1e-3), 50);
    change(batch);
    const std::string text = ErrorOf([&] { batch.SolveByFactors<double>(); });
    EXPECT_EQ(batch.word, std::vector<double>(300, 42));
    EXPECT_EQ(batch.bit, std::vector<double>(300, 42));
    return text;
  };
  EXPECT_EQ(message([&](Batch& b) { b.g[4] = nan; }), "[solve_nodes] g[0, 1, 1] (nan S) must be in [0, 1e+06]");
  EXPECT_EQ(message([&](Batch& b) { b.word_volts[5] = nan; }),
            "[solve_nodes] word[2, 1] (nan V) must be in [-1e+06, 1e+06]");
  EXPECT_EQ(message([](Batch& b) { b.options.tolerance = 0; }), "[solve_nodes] tolerance (0) must be above 0");
  Batch batch(2, 3, {1, 1, 1, 1}, std::vector<double>(6, 1e-3), 1);
  EXPECT_EQ(ErrorOf([&] {
              GridSolver<double>(2, 2, {}).SolveNodesByFactors(batch.devices(), batch.sources(), {}, batch.nodes());
            }),
            "[solve_nodes] g ([2, 3]) must have shape [2, 2]");
}

TEST(GridPotentialsErrorsTest, AResidualAboveTheToleranceIsAnError) {
  // Shorts between wires of kilohms carry currents that differences of potentials no longer hold.
  Batch batch(16, 16, {1e4, 1e4, 1e4, 1e4}, Devices(256, 13, 1e-6, 1e-4), 5);
  for (size_t k = 0; k < 256; k += 7) batch.g[k] = 1e3;
  batch.options.tolerance = 1e-15;
  EXPECT_THROW(batch.SolveByFactors<double>(), std::runtime_error);
  EXPECT_GT(batch.residual[0], 1e-15);
}

}  // namespace
}  // namespace memtorch
