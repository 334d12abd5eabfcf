// Reads through wires that move the devices: engine/cuda/wired_read.h reads and moves what engine/wired_read.h does.

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/cuda/wired_read.h"
#include "tests/cpp/cuda/columns.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/models.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::ExpectNear;
using testing::GpuColumns;
using testing::OnGpu;
using testing::SameBits;
using testing::SameDevices;
using testing::Variety;

class CudaSimulatedReadTest : public testing::GpuTest {};

// What a read leaves behind.
template <class M>
struct Found {
  std::vector<double> partial, residual;
  Columns<M> devices;
};

// Crossbars of model M with conductances of all its range, and how they are read.
template <class M>
struct Reading {
  TileGrid grid;
  int64_t inputs;
  Columns<M> columns;
  std::vector<double> v;
  Wires wires;
  SimulatedReadOptions options = {M::kTimeStep, 11};

  Reading(const TileGrid& given, int64_t count, Variety variety)
      : grid(given),
        inputs(count),
        columns(given.cells(), variety == Variety::kShared),
        v(testing::RandomVoltages(given.rows * count, testing::WorkingVoltage<M>(), 9)) {
    Vary(variety, columns);
    SpreadConductances(columns);
    // So much that devices see far less than what is driven.
    const double r = columns.ParamsOf(0).r_on / 20;
    wires = {0.3 * r, 0.2 * r, 0.7 * r, 0.5 * r};
  }

  std::vector<double> Nothing() const { return std::vector<double>(grid.down() * inputs * grid.cols, NAN); }

  Found<M> OnCpu() const {
    Found<M> found{Nothing(), {}, columns};
    const NonlinearRead read{found.devices.View(), grid, v.data(), inputs};
    ReadSimulatedThroughWires(M::kName, read, wires, options, found.partial.data());
    return found;
  }
  Found<M> OnTheGpu() const {
    GpuColumns<M> gpu(columns);
    const OnGpu<double> volts(v), partial(Nothing()), residual(std::vector<double>(grid.tiles(), NAN));
    const OnGpu<char> workspace(cuda::SimulatedReadWorkspaceBytes(grid));
    const NonlinearRead read{gpu.View(), grid, volts.data(), inputs};
    cuda::ReadSimulatedThroughWires(M::kName, read, wires, options, partial.data(), residual.data(), workspace.data(),
                                    nullptr);
    return {partial.Get(), residual.Get(), gpu.Get()};
  }
};

// A voltage that is off by the 1e-10 of a solution moves a state that runs through its whole range in a step by more.
constexpr double kMoved = 1e-6;

const TileGrid kGrids[] = {{1, 1, 1, 1}, {5, 7, 3, 4}, {31, 33, 31, 33}, {3, 140, 3, 140}};

TEST_P(CudaSimulatedReadTest, ReadsAndMovesWhatTheCpuDoes) {
  ForEachModel([](auto m) {
    using M = decltype(m);
    int moved = 0;
    for (const TileGrid& grid : kGrids) {
      if (testing::kWatched && grid.rows > 9) continue;
      for (const Variety variety : {Variety::kShared, Variety::kOtherFormulas, Variety::kPerDevice}) {
        SCOPED_TRACE(::testing::Message() << M::kName << ' ' << grid.rows << " x " << grid.cols);
        Reading<M> reading(grid, 4, variety);
        if (variety == Variety::kPerDevice) {
          for (int64_t i = 0; i < grid.cells(); ++i) reading.columns.stuck.push_back(i % 3 == 2);
        }
        const Found<M> found = reading.OnTheGpu(), expected = reading.OnCpu();
        ExpectNear(found.partial, expected.partial, kMoved);
        ExpectNear(found.devices, expected.devices, kMoved);
        for (const double residual : found.residual) EXPECT_LE(residual, kWiredReadTolerance);
        for (int64_t i = 0; i < grid.cells(); ++i) {
          if (reading.columns.stuck.empty() || reading.columns.stuck[i] == 0) continue;
          EXPECT_EQ(found.devices.state[0][i], reading.columns.state[0][i]);
        }
        moved += SameDevices(found.devices, reading.columns) ? 0 : 1;
      }
    }
    EXPECT_GT(moved, testing::kWatched ? 3 : 6) << M::kName;
  });
}

TEST_P(CudaSimulatedReadTest, DrawsAreKeyedByDeviceAndInput) {
  Reading<StanfordPku> reading({5, 7, 3, 4}, 4, Variety::kShared);
  reading.columns.Share("model_switch", 1);
  reading.options.dt = 1e-9;
  ASSERT_TRUE(StanfordPku::UsesNoise(reading.columns.ParamsOf(0)));
  const auto found = reading.OnTheGpu(), expected = reading.OnCpu();
  ExpectNear(found.devices, expected.devices, kMoved);  // other draws would move the gap by a part in ten
  reading.options.seed = 12;
  EXPECT_FALSE(SameDevices(reading.OnTheGpu().devices, found.devices));
}

TEST_P(CudaSimulatedReadTest, SameBitsInEveryRun) {
  const Reading<DataDriven> reading({20, 30, 16, 12}, 2, Variety::kPerDevice);
  const auto first = reading.OnTheGpu(), second = reading.OnTheGpu();
  EXPECT_TRUE(SameBits(first.partial, second.partial));
  EXPECT_TRUE(SameDevices(first.devices, second.devices));
}

// More tiles than blocks of threads.
TEST_P(CudaSimulatedReadTest, BlocksTakeTilesInTurn) {
  const Reading<LinearIonDrift> many({testing::kWatched ? 60 : 5000, 2, 2, 2}, 2, Variety::kShared);
  const auto found = many.OnTheGpu(), expected = many.OnCpu();
  ExpectNear(found.partial, expected.partial, kMoved);
  ExpectNear(found.devices, expected.devices, kMoved);
}

TEST_P(CudaSimulatedReadTest, NoInputsMoveNothing) {
  const Reading<Vteam> reading({3, 2, 2, 2}, 0, Variety::kShared);
  const auto found = reading.OnTheGpu();
  EXPECT_EQ(found.residual, std::vector<double>(2, 0));
  EXPECT_TRUE(SameDevices(found.devices, reading.columns));
}

TEST_P(CudaSimulatedReadTest, WhereACircuitIsNotSolvedNoDeviceMoves) {
  Reading<StanfordPku> reading({4, 3, 2, 3}, 2, Variety::kShared);
  reading.options.dt = 1e-4;
  // The first vector moves the devices of both tiles. At the second their curves rise by 1e20 between no current and the
  // first guess, in the second tile alone.
  reading.v = {2, 2, 2, 2, 2, 12, 2, 12};
  reading.wires = {1, 1, 1, 1};
  const auto found = reading.OnTheGpu();
  EXPECT_LE(found.residual[0], kWiredReadTolerance);
  EXPECT_FALSE(found.residual[1] <= kWiredReadTolerance);
  EXPECT_TRUE(SameDevices(found.devices, reading.columns));
}

TEST_P(CudaSimulatedReadTest, ErrorsNameTheArgument) {
  const auto message = [](const auto& change) {
    Reading<Vteam> reading({2, 3, 2, 3}, 1, Variety::kShared);
    change(reading);
    return testing::ErrorOf([&] { reading.OnTheGpu(); });
  };
  EXPECT_EQ(message([](auto& r) { r.wires.load = -1; }), "[read_simulated] load (-1 ohm) must be in [0, 1e+12]");
  EXPECT_EQ(message([](auto& r) { r.options.dt = 0; }), "[read_simulated] dt (0 s) must be finite and above 0");
  EXPECT_EQ(message([](auto& r) { r.wires.sense_both = true; }),
            "[read_simulated] wires must be driven and sensed at one end");
}

MT_GPU_SUITE(CudaSimulatedReadTest);

}  // namespace
}  // namespace memtorch
