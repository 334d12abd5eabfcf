// engine/cuda/wired_read.h reads what engine/wired_read.h reads.

#include "engine/cuda/wired_read.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/random.h"
#include "tests/cpp/cuda/columns.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/models.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::ErrorOf;
using testing::ExpectNear;
using testing::GpuColumns;
using testing::OnGpu;

class CudaWiredReadTest : public testing::GpuTest {};

constexpr Wires kWires{3, 2, 7, 5};

// Crossbars of model M with conductances of all its range, and what is asked of them.
template <class M>
struct Reading {
  TileGrid grid;
  int64_t inputs;
  Columns<M> columns;
  Wires wires = kWires;
  std::vector<double> v, grad;  // voltages; of the currents

  // `differ`: devices differ in all that their shape depends on.
  Reading(const TileGrid& given, int64_t count, bool single, bool differ)
      : grid(given),
        inputs(count),
        columns(given.cells(), single),
        v(testing::Normals<double>(given.rows * count, 1, 0.2)),
        grad(testing::Normals<double>(partials(), 2)) {
    for (int i = 0; differ && i < kParamCount<M>; ++i) {
      if (M::kParams[i].shapes) columns.Spread(M::kParams[i].name, 0.1);
    }
    std::vector<double> level(static_cast<size_t>(grid.cells()));
    FillUniform(3, 0, 0, level.data(), grid.cells());
    for (size_t k = 0; k < level.size(); ++k) {
      const double g = 1e-5 * std::pow(100, level[k]);
      if (single) {
        columns.g32[k] = static_cast<float>(g);
      } else {
        columns.g64[k] = g;
      }
    }
  }

  int64_t partials() const { return grid.down() * inputs * grid.cols; }

  struct Found {
    std::vector<double> partial, v, g, wires, residual;
  };
  Found OnCpu() {
    Found found;
    found.partial.resize(static_cast<size_t>(partials()));
    found.v.resize(v.size());
    found.g.resize(static_cast<size_t>(grid.cells()));
    found.wires.resize(4);
    const NonlinearRead read{columns.View(), grid, v.data(), inputs};
    ReadThroughWires(M::kName, read, wires, found.partial.data());
    ReadThroughWiresGradient(M::kName, read, wires, grad.data(), {found.v.data(), found.g.data(), found.wires.data()});
    return found;
  }
  Found OnTheGpu() const {
    GpuColumns<M> gpu(columns);
    const int64_t circuits = grid.tiles() * inputs;
    const OnGpu<double> volts(v), upstream(grad), partial(partials()), residual(circuits), again(circuits);
    const OnGpu<double> by_v(grid.rows * inputs), by_g(grid.cells()), by_wires(4);
    const OnGpu<char> workspace(cuda::WiredReadWorkspaceBytes(grid, inputs));
    const NonlinearRead read{gpu.View(), grid, volts.data(), inputs};
    cuda::ReadThroughWires(M::kName, read, wires, partial.data(), residual.data(), workspace.data(), nullptr);
    cuda::ReadThroughWiresGradient(M::kName, read, wires, upstream.data(), {by_v.data(), by_g.data(), by_wires.data()},
                                   again.data(), workspace.data(), nullptr);
    Found found{partial.Get(), by_v.Get(), by_g.Get(), by_wires.Get(), residual.Get()};
    for (const double lacking : again.Get()) found.residual.push_back(lacking);
    return found;
  }
};

// Both meet Kirchhoff's law to 1e-10 of the largest current, which adds up over the rows; 1e-8 is what is promised.
constexpr double kPromised = 1e-8;

const TileGrid kGrids[] = {{1, 1, 1, 1}, {5, 7, 3, 4}, {40, 33, 33, 40}, {9, 140, 9, 140}};

TEST_P(CudaWiredReadTest, ReadsWhatTheCpuReads) {
  ForEachModel([](auto m) {
    using M = decltype(m);
    for (const TileGrid& grid : kGrids) {
      if (testing::kWatched && grid.rows > 9) continue;
      for (const bool differ : {false, true}) {
        SCOPED_TRACE(::testing::Message() << M::kName << ' ' << grid.rows << " x " << grid.cols << ' ' << differ);
        Reading<M> reading(grid, 3, differ, differ);
        const auto found = reading.OnTheGpu();
        const auto expected = reading.OnCpu();
        ExpectNear(found.partial, expected.partial, kPromised);
        ExpectNear(found.v, expected.v, kPromised);
        ExpectNear(found.g, expected.g, kPromised);
        ExpectNear(found.wires, expected.wires, kPromised);
        for (const double residual : found.residual) EXPECT_LE(residual, kWiredReadTolerance);
      }
    }
  });
}

TEST_P(CudaWiredReadTest, ManyCircuitsTakeSeveralLaunches) {
  const TileGrid grid{3, 2, 2, 2};
  Reading<DataDriven> many(grid, testing::kWatched ? 20 : 3000, false, false);
  const auto found = many.OnTheGpu(), expected = many.OnCpu();
  ExpectNear(found.partial, expected.partial, kPromised);
  // These are sums over inputs, and so over launches.
  ExpectNear(found.g, expected.g, kPromised);
  ExpectNear(found.wires, expected.wires, kPromised);
}

TEST_P(CudaWiredReadTest, NothingToReadGivesNothing) {
  const auto found = Reading<Vteam>({3, 2, 2, 2}, 0, false, false).OnTheGpu();
  EXPECT_TRUE(found.partial.empty());
  EXPECT_EQ(found.g, std::vector<double>(8, 0));
  EXPECT_EQ(found.wires, std::vector<double>(4, 0));
}

TEST_P(CudaWiredReadTest, WhatIsNotSolvedIsToldByTheResidual) {
  Reading<StanfordPku> reading({4, 4, 4, 4}, 2, false, false);
  reading.v[1] = std::numeric_limits<double>::quiet_NaN();  // of the second input
  const auto found = reading.OnTheGpu();
  EXPECT_LE(found.residual[0], kWiredReadTolerance);
  EXPECT_FALSE(found.residual[1] <= kWiredReadTolerance);
}

TEST_P(CudaWiredReadTest, ErrorsNameTheArgument) {
  const auto message = [](const auto& change) {
    Reading<Vteam> reading({2, 3, 2, 3}, 1, true, false);
    change(reading);
    return ErrorOf([&] { reading.OnTheGpu(); });
  };
  EXPECT_EQ(message([](auto& r) { r.wires.load = -1; }), "[read_through_wires] load (-1 ohm) must be in [0, 1e+12]");
  EXPECT_EQ(message([](auto& r) { r.columns.Share("r_on", -1); }),
            "[read_through_wires] r_on (-1 ohm) must be finite and above 0");
  EXPECT_EQ(ErrorOf([] { cuda::ReadThroughWires("X", {}, {}, nullptr, nullptr, nullptr, nullptr); }).substr(0, 38),
            "[read_through_wires] model ('X') must ");
}

MT_GPU_SUITE(CudaWiredReadTest);

}  // namespace
}  // namespace memtorch
