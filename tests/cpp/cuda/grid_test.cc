// engine/cuda/grid.h gives the results of engine/grid/solver.h.

#include "engine/cuda/grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "engine/grid/solver.h"
#include "engine/random.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::ErrorOf;
using testing::OnGpu;

// The accuracy that is promised for every component.
template <class T>
constexpr double kPromised = sizeof(T) == sizeof(double) ? 1e-13 : 1e-5;

// Log-uniform conductances, of which a fraction is open and a fraction shorted.
struct Devices {
  double low = 1e-6, high = 1e-4, open = 0, shorted = 0;

  template <class G>
  std::vector<G> Draw(int64_t count, uint64_t stream = 1) const {
    std::vector<G> g;
    for (uint64_t k = 0; k < static_cast<uint64_t>(count); ++k) {
      double kind, level;
      UniformPair(7, stream, k, &kind, &level);
      g.push_back(static_cast<G>(kind < open ? 0 : (kind > 1 - shorted ? 1e3 : low * std::pow(high / low, level))));
    }
    return g;
  }
};

// Tiles of one shape.
struct Batch {
  int64_t tiles, rows, cols;

  int64_t size() const { return tiles * rows * cols; }
  template <class X>
  GridView<X> View(X* data) const {
    return {data, tiles, rows, cols};
  }
};

template <class T, class G>
std::vector<T> OnCpu(const Batch& batch, const Wires& wires, const std::vector<G>& g) {
  std::vector<T> out(g.size());
  GridSolver<T>(batch.rows, batch.cols, wires)
      .EffectiveMatrix(batch.View<const G>(g.data()), batch.View<T>(out.data()));
  return out;
}

// `room`: tiles that the workspace has room for.
template <class T, class G>
std::vector<T> OnTheGpu(const Batch& batch, const Wires& wires, const std::vector<G>& g, int64_t room) {
  const cuda::GridSolver<T> solver(batch.rows, batch.cols, wires);
  const int64_t bytes = solver.EffectiveMatrixWorkspaceBytes(room);
  const OnGpu<char> workspace(bytes);
  const OnGpu<G> devices(g);
  const OnGpu<T> out(batch.size());
  solver.EffectiveMatrix(batch.View<const G>(devices.data()), batch.View<T>(out.data()), workspace.data(), bytes,
                         nullptr);
  return out.Get();
}

template <class T, class G>
void ExpectAccurate(const Batch& batch, const Wires& wires, const Devices& devices) {
  SCOPED_TRACE(::testing::Message() << batch.rows << " x " << batch.cols << ", word " << wires.word << ", bit "
                                    << wires.bit << ", source " << wires.source << ", load " << wires.load << ", both "
                                    << wires.drive_both << wires.sense_both);
  const std::vector<G> g = devices.Draw<G>(batch.size());
  // The devices as the solver holds them, so that rounding them is not counted as an error.
  std::vector<double> held;
  for (const G value : g) held.push_back(static_cast<double>(static_cast<T>(value)));
  const std::vector<double> expected = OnCpu<double>(batch, wires, held);
  const std::vector<T> got = OnTheGpu<T>(batch, wires, g, std::max<int64_t>(batch.tiles - 1, 1));
  const double largest = *std::max_element(expected.begin(), expected.end());
  for (size_t k = 0; k < expected.size(); ++k) {
    // A component that vanishes because of an ideal wire is as large as such a wire leaves it.
    ASSERT_NEAR(got[k], expected[k], kPromised<T> * expected[k] + 1e-24 * largest) << "component " << k;
  }
}

template <class T, class G>
std::vector<T> GradientOnTheGpu(const Batch& batch, const Wires& wires, const std::vector<G>& g,
                                const std::vector<T>& upstream, int64_t room) {
  const cuda::GridSolver<T> solver(batch.rows, batch.cols, wires);
  const int64_t bytes = solver.GradientWorkspaceBytes(room);
  const OnGpu<char> workspace(bytes);
  const OnGpu<G> devices(g);
  const OnGpu<T> weights(upstream), out(batch.size());
  solver.Gradient(batch.View<const G>(devices.data()), batch.View<const T>(weights.data()), batch.View<T>(out.data()),
                  workspace.data(), bytes, nullptr);
  return out.Get();
}

// `tolerance`: of the largest component of a tile's gradient. Derivatives are sums of terms of either sign.
template <class T, class G>
void ExpectGradient(const Batch& batch, const Wires& wires, double tolerance) {
  SCOPED_TRACE(::testing::Message() << batch.rows << " x " << batch.cols << ", both " << wires.drive_both
                                    << wires.sense_both);
  const std::vector<G> g = Devices{1e-5, 1e-3, 0.1, 0}.Draw<G>(batch.size());
  const std::vector<T> upstream = testing::Normals<T>(batch.size(), 77);
  const std::vector<double> held(g.begin(), g.end()), weights(upstream.begin(), upstream.end());
  std::vector<double> expected(g.size());
  GridSolver<double>(batch.rows, batch.cols, wires)
      .Gradient(batch.View<const double>(held.data()), batch.View<const double>(weights.data()),
                batch.View<double>(expected.data()));
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  const std::vector<T> got = GradientOnTheGpu<T>(batch, wires, g, upstream, std::max<int64_t>(batch.tiles - 1, 1));
  for (size_t k = 0; k < expected.size(); ++k) {
    ASSERT_NEAR(got[k], expected[k], tolerance * largest) << "cell " << k;
  }
}

class CudaGridTest : public testing::GpuTest {};

using Shape = std::pair<int64_t, int64_t>;

std::vector<Shape> Shapes() {
  if (testing::kWatched) return {{1, 2}, {17, 16}, {33, 10}};
  return {{1, 1},   {1, 2},   {2, 1},   {3, 5},  {4, 4},   {7, 9},   {16, 16}, {17, 16}, {16, 17},
          {20, 13}, {24, 24}, {33, 10}, {9, 40}, {3, 100}, {100, 3}, {1, 70},  {70, 1}};
}

// body(rows, cols, wires) for all shapes, driven and sensed at one end and at both.
template <class Body>
void ForAllGrids(const Body& body) {
  for (const auto& [rows, cols] : Shapes()) {
    for (const bool drive : {false, true}) {
      for (const bool sense : {false, true}) {
        if (!testing::kWatched || drive != sense) body(rows, cols, Wires{1.5, 2.5, 7, 3, drive, sense});
      }
    }
  }
}

TEST_P(CudaGridTest, EffectiveMatricesOfAnyShape) {
  ForAllGrids([](int64_t rows, int64_t cols, const Wires& wires) {
    ExpectAccurate<double, double>({3, rows, cols}, wires, {1e-6, 1e-2, 0.1, 0});
    ExpectAccurate<float, float>({2, rows, cols}, wires, {1e-6, 1e-2, 0.1, 0});
  });
}

// Deep trees of joints whose halves are unequal, and joints of more rows than one slab.
TEST_P(CudaGridTest, EffectiveMatricesOfLargeTiles) {
  const Devices devices{1e-6, 1e-3, 0.1, 0};
  if (testing::kWatched) return ExpectAccurate<double, float>({1, 96, 80}, {1, 2, 3, 4}, devices);
  ExpectAccurate<double, float>({1, 128, 128}, {1, 2, 3, 4}, devices);
  ExpectAccurate<float, double>({1, 128, 128}, {1, 2, 3, 4}, devices);
  ExpectAccurate<double, double>({2, 101, 85}, {5, 5, 5, 5, true, true}, devices);
  ExpectAccurate<double, double>({1, 40, 300}, {1, 1, 0, 0}, devices);
}

// Joints that are factored in panels by many blocks: whole panels, a last one of 16 rows, levels in which some joints have
// fewer rows, both ends of lines.
TEST_P(CudaGridTest, EffectiveMatricesOfVeryLargeTiles) {
  const Devices devices{1e-6, 1e-3, 0.1, 0};
  if (testing::kWatched) return ExpectAccurate<double, double>({1, 80, 208}, {1, 2, 3, 4}, devices);
  ExpectAccurate<double, double>({1, 272, 272}, {1, 1, 1, 1}, devices);
  ExpectAccurate<float, float>({1, 272, 272}, {1, 2, 3, 4}, devices);
  ExpectAccurate<double, double>({2, 150, 161}, {5, 5, 5, 5, true, true}, devices);
  ExpectAccurate<double, double>({1, 190, 330}, {1, 2, 0, 3}, devices);
}

TEST_P(CudaGridTest, IdealWiresAreExactLimits) {
  for (const auto& [rows, cols] : std::vector<Shape>{{1, 6}, {7, 9}, {18, 13}}) {
    if (testing::kWatched && rows != 7) continue;
    for (int ideal = 1; ideal < 16; ++ideal) {
      const Wires wires{ideal & 1 ? 0. : 2, ideal & 2 ? 0. : 3, ideal & 4 ? 0. : 50, ideal & 8 ? 0. : 20};
      ExpectAccurate<double, double>({1, rows, cols}, wires, {1e-6, 1e-2, 0.1, 0});
      ExpectAccurate<float, float>({1, rows, cols}, wires, {1e-6, 1e-2, 0.1, 0});
    }
    ExpectAccurate<double, double>({1, rows, cols}, {2, 3, 0, 0, true, true}, {1e-6, 1e-2, 0.1, 0});
    ExpectAccurate<float, float>({1, rows, cols}, {0, 0, 0, 0, true, true}, {1e-6, 1e-2, 0.1, 0});
  }
}

TEST_P(CudaGridTest, AccurateInEveryComponentOfHardCircuits) {
  const Devices plain{}, wide{1e-9, 1e-2}, open{1e-6, 1e-4, 1, 0};
  const Devices open30{1e-6, 1e-4, 0.3, 0}, open95{1e-6, 1e-4, 0.95, 0}, shorts{1e-6, 1e-6, 0, 0.02}, high{1e-2, 1e-2};
  const std::pair<Wires, Devices> circuits[] = {
      {{1, 1, 1, 1}, plain},      {{0.1, 0.1, 0.1, 0.1}, wide},
      {{20, 20, 20, 20}, wide},   {{100, 100, 100, 100}, wide},
      {{20, 20, 1e3, 100}, wide}, {{1, 1, 1, 1}, open30},
      {{20, 20, 20, 20}, open95}, {{1, 1, 1, 1}, shorts},
      {{100, 0, 0, 100}, shorts}, {{1e-6, 1e-6, 1e-6, 1e-6}, plain},
      {{20, 20, 20, 20}, high},   {{1e-12, 1e-12, 1e-12, 1e-12}, plain},
      {{1, 1, 1, 1}, open},       {{1e12, 1e12, 1e12, 1e12}, plain},
  };
  for (const auto& [wires, devices] : circuits) {
    ExpectAccurate<double, double>({1, 32, 32}, wires, devices);
    ExpectAccurate<float, float>({1, 32, 32}, wires, devices);
    if (testing::kWatched) return;
  }
}

TEST_P(CudaGridTest, GradientsOfLargeTiles) {
  if (testing::kWatched) {
    ExpectGradient<double, float>({1, 70, 50}, {1, 2, 3, 4}, 1e-12);
    return ExpectGradient<float, double>({1, 80, 208}, {1, 2, 3, 4}, 1e-4);
  }
  ExpectGradient<double, float>({1, 128, 128}, {1, 2, 3, 4}, 1e-12);
  ExpectGradient<float, double>({1, 101, 85}, {5, 5, 5, 5, true, true}, 1e-4);
  ExpectGradient<double, double>({1, 272, 272}, {1, 1, 1, 1}, 1e-12);
  ExpectGradient<float, float>({2, 150, 161}, {5, 5, 5, 5, true, true}, 1e-4);
}

TEST_P(CudaGridTest, GradientsOfIdealWires) {
  ExpectGradient<double, double>({1, 18, 13}, {}, 1e-12);
  ExpectGradient<double, double>({1, 18, 13}, {20, 0, 0, 5}, 1e-12);
  ExpectGradient<float, float>({1, 18, 13}, {}, 1e-4);
}

// A tile's result does not depend on the others, nor on how many the workspace has room for.
TEST_P(CudaGridTest, SameBitsForAnyBatch) {
  const Wires wires{1, 2, 3, 4};
  for (const Batch& batch : {Batch{5, 37, 20}, Batch{3, 140, 150}}) {
    if (testing::kWatched && batch.rows != 37) continue;
    const std::vector<double> g = Devices{}.Draw<double>(batch.size());
    const std::vector<double> upstream = testing::Normals<double>(batch.size(), 7);
    const std::vector<double> all = OnTheGpu<double>(batch, wires, g, batch.tiles);
    const std::vector<double> gradient = GradientOnTheGpu<double>(batch, wires, g, upstream, batch.tiles);
    for (const int64_t room : {1, 2}) {
      EXPECT_EQ(OnTheGpu<double>(batch, wires, g, room), all);
      EXPECT_EQ(GradientOnTheGpu<double>(batch, wires, g, upstream, room), gradient);
    }
    const int64_t last = (batch.tiles - 1) * batch.rows * batch.cols;
    EXPECT_EQ(OnTheGpu<double>({1, batch.rows, batch.cols}, wires, std::vector<double>(g.begin() + last, g.end()), 1),
              std::vector<double>(all.begin() + last, all.end()));
  }
  EXPECT_EQ(OnTheGpu<double>({0, 37, 20}, wires, std::vector<double>(), 1), std::vector<double>());
}

TEST_P(CudaGridTest, RowsMayHaveGaps) {
  const int64_t rows = 20, cols = 12, stride = 15, size = rows * stride + 4;
  const std::vector<double> wide = Devices{}.Draw<double>(2 * size);
  std::vector<double> g;
  for (int64_t t = 0; t < 2; ++t) {
    for (int64_t i = 0; i < rows; ++i) {
      const auto row = wide.begin() + t * size + i * stride;
      g.insert(g.end(), row, row + cols);
    }
  }
  const Wires wires{1, 2, 3, 4};
  const std::vector<double> expected = OnTheGpu<double>({2, rows, cols}, wires, g, 2);
  const cuda::GridSolver<double> solver(rows, cols, wires);
  const int64_t bytes = solver.EffectiveMatrixWorkspaceBytes(2);
  const OnGpu<char> workspace(bytes);
  const OnGpu<double> devices(wide), out(std::vector<double>(wide.size(), -1));
  GridView<const double> from(devices.data(), 2, rows, cols);
  GridView<double> to(out.data(), 2, rows, cols);
  from.stride = to.stride = stride;
  from.tile_stride = to.tile_stride = size;
  solver.EffectiveMatrix(from, to, workspace.data(), bytes, nullptr);
  const std::vector<double> got = out.Get();
  for (int64_t t = 0; t < 2; ++t) {
    for (int64_t k = 0; k < size; ++k) {
      const int64_t i = k / stride, j = k % stride;
      const double value = got[static_cast<size_t>(t * size + k)];
      EXPECT_EQ(value, i < rows && j < cols ? expected[static_cast<size_t>((t * rows + i) * cols + j)] : -1);
    }
  }
}

TEST_P(CudaGridTest, ErrorsNameTheArgument) {
  EXPECT_EQ(ErrorOf([] { cuda::GridSolver<double>(0, 2, {}); }), "[grid_solver] rows (0) must be at least 1");
  EXPECT_EQ(ErrorOf([] { cuda::GridSolver<float>(2, 2, {1, 1, -3, 1}); }),
            "[grid_solver] source (-3 ohm) must be in [0, 1e+12]");
  const cuda::GridSolver<double> solver(2, 3, {});
  const OnGpu<double> six(6);
  const GridView<const double> good(six.data(), 1, 2, 3), bad(six.data(), 1, 3, 2);
  const GridView<double> out(six.data(), 1, 2, 3), two(six.data(), 2, 2, 3);
  EXPECT_EQ(ErrorOf([&] { solver.EffectiveMatrix(bad, out, nullptr, 0, nullptr); }),
            "[effective_matrix] g ([1, 3, 2]) must have shape [1, 2, 3]");
  EXPECT_EQ(ErrorOf([&] { solver.EffectiveMatrix(good, two, nullptr, 0, nullptr); }),
            "[effective_matrix] out ([2, 2, 3]) must have shape [1, 2, 3]");
  EXPECT_EQ(ErrorOf([&] { solver.Gradient(good, bad, out, nullptr, 0, nullptr); }),
            "[grid_gradient] upstream ([1, 3, 2]) must have shape [1, 2, 3]");
  const int64_t least = solver.EffectiveMatrixWorkspaceBytes(1);
  EXPECT_EQ(ErrorOf([&] { solver.EffectiveMatrix(good, out, nullptr, least - 1, nullptr); }),
            "[effective_matrix] workspace (" + std::to_string(least - 1) + " bytes) must hold a tile, at least " +
                std::to_string(least));
}

TEST_P(CudaGridTest, GradientsOfAnyShape) {
  ForAllGrids([](int64_t rows, int64_t cols, const Wires& wires) {
    ExpectGradient<double, double>({3, rows, cols}, wires, 1e-12);
    ExpectGradient<float, float>({2, rows, cols}, wires, 1e-4);
  });
}

MT_GPU_SUITE(CudaGridTest);

}  // namespace
}  // namespace memtorch
