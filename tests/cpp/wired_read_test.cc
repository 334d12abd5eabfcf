// Reads of tiles with curves of their own through resistive wires, against bisection, dense Newton and differences.

#include "engine/wired_read.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/parallel.h"
#include "tests/cpp/testing/dense_newton.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/models.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::ExpectNear;
using testing::RandomVoltages;
using testing::SameBits;
using testing::SameDevices;

// Currents whose residual is 1e-10 of the largest, as is promised for non-linear circuits.
constexpr double kSolved = 1e-8;

// Partly filled tiles, a single cell, one line of either kind, one tile that is used in part.
const TileGrid kGrids[] = {{5, 7, 3, 4}, {1, 1, 1, 1}, {1, 6, 1, 6}, {6, 1, 4, 1}, {3, 4, 5, 6}};
const Wires kWires[] = {{2, 3, 5, 7}, {0, 1, 0, 4}, {0, 0, 0, 0}};

template <class M>
class WiredReadTest : public ::testing::Test {
 protected:
  void TearDown() override { SetNumThreads(0); }

  // At half the voltage that moves a model visibly, curves are still far from straight.
  static double Volts() { return testing::WorkingVoltage<M>() / 2; }

  // Devices all over their range; own: parameters of the shape differ between them.
  static Columns<M> Devices(const TileGrid& grid, bool own, bool single = false) {
    Columns<M> devices(grid.cells(), single);
    for (const auto& field : M::kParams) {
      if (own && field.shapes) devices.Spread(field.name, 0.1);
    }
    testing::SpreadConductances(devices);
    return devices;
  }

  static double G(const Columns<M>& devices, int64_t cell) { return testing::StoredConductance(devices, cell); }

  // Voltages of the devices of a tile for one input vector, whose conductances are g(cell).
  template <class Conductances>
  static std::vector<double> Across(const Columns<M>& devices, const TileGrid& grid, const Wires& wires, int64_t tile,
                                    const std::vector<double>& v, int64_t inputs, int64_t input,
                                    const Conductances& g) {
    const int64_t cells = grid.tile_rows * grid.tile_cols;
    std::vector<double> driven(grid.tile_rows, 0.0);
    for (int64_t i = 0; i < grid.tile_rows; ++i) {
      const int64_t row = tile / grid.across() * grid.tile_rows + i;
      if (row < grid.rows) driven[i] = v[row * inputs + input];
    }
    return testing::DeviceVoltages(
        grid.tile_rows, grid.tile_cols, wires, driven,
        [&](int64_t k, double x) { return M::Shape(devices.ParamsOf(tile * cells + k), x) * g(tile * cells + k); },
        [&](int64_t k, double x) {
          return M::ShapeSlope(devices.ParamsOf(tile * cells + k), x) * g(tile * cells + k);
        });
  }

  // Adds currents of a tile's devices to the columns that are read.
  static void AddTile(const TileGrid& grid, int64_t tile, int64_t inputs, int64_t input,
                      const std::vector<double>& currents, std::vector<double>* partial) {
    for (int64_t k = 0; k < grid.tile_rows * grid.tile_cols; ++k) {
      const int64_t col = tile % grid.across() * grid.tile_cols + k % grid.tile_cols;
      if (col < grid.cols) (*partial)[(tile / grid.across() * inputs + input) * grid.cols + col] += currents[k];
    }
  }

  // Currents of the devices of a tile, which are not moved.
  template <class Conductances>
  static std::vector<double> Currents(const Columns<M>& devices, int64_t first, const std::vector<double>& across,
                                      const Conductances& g) {
    std::vector<double> currents;
    for (size_t k = 0; k < across.size(); ++k) {
      currents.push_back(M::Shape(devices.ParamsOf(first + k), across[k]) * g(first + static_cast<int64_t>(k)));
    }
    return currents;
  }

  static std::vector<double> SlowRead(const Columns<M>& devices, const TileGrid& grid, const Wires& wires,
                                      const std::vector<double>& v, int64_t inputs) {
    std::vector<double> partial(grid.down() * inputs * grid.cols);
    const auto g = [&](int64_t cell) { return G(devices, cell); };
    for (int64_t tile = 0; tile < grid.tiles(); ++tile) {
      for (int64_t b = 0; b < inputs; ++b) {
        const auto across = Across(devices, grid, wires, tile, v, inputs, b, g);
        AddTile(grid, tile, inputs, b, Currents(devices, tile * grid.tile_rows * grid.tile_cols, across, g), &partial);
      }
    }
    return partial;
  }

  // Every device makes its step at its own voltage; currents are those of the devices as the sample records them.
  static std::vector<double> SlowSimulatedRead(Columns<M>& devices, const TileGrid& grid, const Wires& wires,
                                               const std::vector<double>& v, int64_t inputs, uint64_t seed) {
    std::vector<double> partial(grid.down() * inputs * grid.cols);
    const auto g = [&](int64_t cell) { return M::Conductance(devices.ParamsOf(cell), devices.StateOf(cell)); };
    const int64_t cells = grid.tile_rows * grid.tile_cols;
    for (int64_t tile = 0; tile < grid.tiles(); ++tile) {
      for (int64_t b = 0; b < inputs; ++b) {
        auto across = Across(devices, grid, wires, tile, v, inputs, b, g);
        auto currents = Currents(devices, tile * cells, across, g);
        for (int64_t k = 0; k < cells; ++k) {
          const int64_t cell = tile * cells + k;
          if (!devices.stuck.empty() && devices.stuck[cell] != 0) continue;
          const auto p = devices.ParamsOf(cell);
          auto s = devices.StateOf(cell);
          const double normal = M::UsesNoise(p) ? Normal(seed, cell, b) : 0;
          Step<M>(p, M::MakeDrive(p, across[k], M::kTimeStep), s, 0, normal);
          StoreState<M>(s, [&](size_t i, double value) { devices.state[i][cell] = value; });
        }
        if (!M::kReadsFirst) {
          across = Across(devices, grid, wires, tile, v, inputs, b, g);
          currents = Currents(devices, tile * cells, across, g);
        }
        AddTile(grid, tile, inputs, b, currents, &partial);
      }
    }
    return partial;
  }
};
TYPED_TEST_SUITE(WiredReadTest, testing::ModelTypes, testing::ModelNames);

TYPED_TEST(WiredReadTest, OneDeviceInSeriesWithItsWiresIsBisection) {
  using M = TypeParam;
  const Wires wires{1, 1, 30, 12};
  for (const double volts : {this->Volts(), -this->Volts()}) {
    auto device = this->Devices({1, 1, 1, 1}, false);
    const auto p = device.ParamsOf(0);
    const auto current = [&](double v) { return M::Shape(p, v) * device.g64[0]; };
    double low = std::min(0.0, volts), high = std::max(0.0, volts);
    for (int k = 0; k < 200; ++k) {
      const double middle = (low + high) / 2;
      (middle + (wires.source + wires.load) * current(middle) > volts ? high : low) = middle;
    }
    double partial = NAN;
    ReadThroughWires(M::kName, {device.View(), {1, 1, 1, 1}, &volts, 1}, wires, &partial);
    // One Newton step beyond a residual of 1e-10 leaves rounding; the bisection ends at that of the voltage.
    EXPECT_NEAR(partial, current(low), 1e-10 * std::abs(current(low)));
  }
}

TYPED_TEST(WiredReadTest, EqualsDenseNewtonForAnyTilesAndWires) {
  using M = TypeParam;
  for (const TileGrid& grid : kGrids) {
    for (const Wires& wires : kWires) {
      for (const bool own : {false, true}) {
        const int64_t inputs = 3;
        auto devices = this->Devices(grid, own, !own);
        const auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 3);
        std::vector<double> partial(grid.down() * inputs * grid.cols, NAN);
        ReadThroughWires(M::kName, {devices.View(), grid, v.data(), inputs}, wires, partial.data());
        ExpectNear(partial, this->SlowRead(devices, grid, wires, v, inputs), kSolved);
      }
    }
  }
}

TYPED_TEST(WiredReadTest, IdealWiresAreTheReadWithoutThem) {
  using M = TypeParam;
  const TileGrid grid{9, 20, 4, 8};
  const int64_t inputs = 5;
  auto devices = this->Devices(grid, true);
  const auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 4);
  std::vector<double> ideal(grid.down() * inputs * grid.cols), partial(ideal.size(), NAN);
  const NonlinearRead read{devices.View(), grid, v.data(), inputs};
  ReadNonlinear(M::kName, read, ideal.data());
  ReadThroughWires(M::kName, read, {0, 0, 0, 0}, partial.data());
  ExpectNear(partial, ideal, kSolved);
}

TYPED_TEST(WiredReadTest, GradientsEqualDifferences) {
  using M = TypeParam;
  const int64_t inputs = 3;
  for (const TileGrid& grid : {kGrids[0], kGrids[4]}) {
    Wires wires = kWires[0];
    auto devices = this->Devices(grid, true);
    auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 5);
    const auto upstream = testing::Normals<double>(grid.down() * inputs * grid.cols, 6);
    // Differences of dense solutions: accurate to rounding, unlike those of an iteration.
    const auto loss = [&] {
      const auto partial = this->SlowRead(devices, grid, wires, v, inputs);
      double sum = 0;
      for (size_t i = 0; i < partial.size(); ++i) sum += upstream[i] * partial[i];
      return sum;
    };
    const auto by = [&](double* at, double step) {
      const double before = *at;
      *at = before + step;
      const double above = loss();
      *at = before - step;
      const double below = loss();
      *at = before;
      return (above - below) / (2 * step);
    };
    std::vector<double> v_grad(v.size(), NAN), g_grad(grid.cells(), NAN), wires_grad(4, NAN);
    ReadThroughWiresGradient(M::kName, {devices.View(), grid, v.data(), inputs}, wires, upstream.data(),
                             {v_grad.data(), g_grad.data(), wires_grad.data()});
    std::vector<double> by_v, by_g, by_wires;
    for (double& x : v) by_v.push_back(by(&x, 1e-5));
    for (double& x : devices.g64) by_g.push_back(by(&x, 1e-4 * x));
    for (double* x : {&wires.word, &wires.bit, &wires.source, &wires.load}) by_wires.push_back(by(x, 1e-4));
    // What is promised of gradients; the differences themselves are good to 1e-8.
    ExpectNear(v_grad, by_v, 1e-6);
    ExpectNear(g_grad, by_g, 1e-6);
    ExpectNear(wires_grad, by_wires, 1e-6);
  }
}

TYPED_TEST(WiredReadTest, GradientsOfIdealWiresAreThoseOfTheReadWithoutThem) {
  using M = TypeParam;
  const TileGrid grid{5, 7, 3, 4};
  const int64_t inputs = 20;
  auto devices = this->Devices(grid, true);
  const auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 7);
  const auto upstream = testing::Normals<double>(grid.down() * inputs * grid.cols, 8);
  const NonlinearRead read{devices.View(), grid, v.data(), inputs};
  std::vector<double> v_grad(v.size()), g_grad(grid.cells()), v_ideal(v.size()), g_ideal(grid.cells());
  ReadNonlinearGradient(M::kName, read, upstream.data(), v_ideal.data(), g_ideal.data());
  ReadThroughWiresGradient(M::kName, read, {0, 0, 0, 0}, upstream.data(), {v_grad.data(), g_grad.data()});
  ExpectNear(v_grad, v_ideal, kSolved);
  ExpectNear(g_grad, g_ideal, kSolved);
}

TYPED_TEST(WiredReadTest, SimulatedDevicesMoveAtTheirOwnVoltages) {
  using M = TypeParam;
  for (const TileGrid& grid : kGrids) {
    for (const bool own : {false, true}) {
      const int64_t inputs = 5;
      auto slow = this->Devices(grid, own, !own);
      if (own) {
        for (int64_t i = 0; i < slow.n; ++i) slow.stuck.push_back(i % 3 == 2);
      }
      Columns<M> fast = slow;
      const auto v = RandomVoltages(grid.rows * inputs, 2 * this->Volts(), 9);
      const auto want = this->SlowSimulatedRead(slow, grid, kWires[0], v, inputs, 11);
      std::vector<double> partial(want.size(), NAN);
      const NonlinearRead read{fast.View(), grid, v.data(), inputs};
      ReadSimulatedThroughWires(M::kName, read, kWires[0], {M::kTimeStep, 11}, partial.data());
      // A voltage that is off by its 1e-10 moves a state that runs through its whole range in a step by more than that.
      ExpectNear(partial, want, 1e-6);
      for (size_t i = 0; i < slow.state.size(); ++i) ExpectNear(fast.state[i], slow.state[i], 1e-6);
      for (int64_t cell = 0; cell < slow.n; ++cell) {
        if (slow.stuck.empty() || slow.stuck[cell] == 0) {
          const double g = M::Conductance(fast.ParamsOf(cell), fast.StateOf(cell));
          EXPECT_EQ(this->G(fast, cell), fast.g32.empty() ? g : static_cast<float>(g));
        } else {
          EXPECT_EQ(this->G(fast, cell), this->G(slow, cell));
        }
      }
    }
  }
}

TYPED_TEST(WiredReadTest, SimulatedReadsOfIdealWiresMoveDevicesAlike) {
  using M = TypeParam;
  const TileGrid grid{5, 7, 3, 4};
  const int64_t inputs = 6;
  auto ideal = this->Devices(grid, true);
  Columns<M> wired = ideal;
  const auto v = RandomVoltages(grid.rows * inputs, 2 * this->Volts(), 10);
  std::vector<double> want(grid.down() * inputs * grid.cols), partial(want.size(), NAN);
  ReadSimulated(M::kName, {ideal.View(), grid, v.data(), inputs}, {M::kTimeStep, 0}, want.data());
  const NonlinearRead read{wired.View(), grid, v.data(), inputs};
  ReadSimulatedThroughWires(M::kName, read, {0, 0, 0, 0}, {M::kTimeStep, 0}, partial.data());
  // As above.
  ExpectNear(partial, want, 1e-6);
  for (size_t i = 0; i < ideal.state.size(); ++i) ExpectNear(wired.state[i], ideal.state[i], 1e-6);
}

TYPED_TEST(WiredReadTest, AnyNumberOfThreadsGivesTheSameBits) {
  using M = TypeParam;
  const TileGrid grid{5, 7, 3, 4};
  const int64_t inputs = 9;
  const Columns<M> fresh = this->Devices(grid, true);
  const auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 12);
  const auto upstream = testing::Normals<double>(grid.down() * inputs * grid.cols, 13);
  std::vector<std::vector<double>> results;
  for (const int threads : {1, 3}) {
    SetNumThreads(threads);
    Columns<M> devices = fresh;
    const NonlinearRead read{devices.View(), grid, v.data(), inputs};
    std::vector<double> partial(upstream.size()), simulated(upstream.size());
    std::vector<double> v_grad(v.size()), g_grad(grid.cells()), wires_grad(4);
    ReadThroughWires(M::kName, read, kWires[0], partial.data());
    ReadThroughWiresGradient(M::kName, read, kWires[0], upstream.data(),
                             {v_grad.data(), g_grad.data(), wires_grad.data()});
    ReadSimulatedThroughWires(M::kName, read, kWires[0], {M::kTimeStep, 1}, simulated.data());
    for (const auto& result : {partial, v_grad, g_grad, wires_grad, simulated, devices.g64}) results.push_back(result);
  }
  for (size_t k = 0; k < results.size() / 2; ++k) {
    EXPECT_TRUE(SameBits(results[k], results[k + results.size() / 2])) << k;
  }
}

TYPED_TEST(WiredReadTest, BadArgumentsAreNamedAndChangeNothing) {
  using M = TypeParam;
  const TileGrid grid{2, 3, 2, 3};
  auto devices = this->Devices(grid, false);
  const Columns<M> before = devices;
  std::vector<double> v(4, 0.1), partial(6);
  const auto error = [&](const Wires& wires, double dt) {
    return testing::ErrorOf([&] {
      const NonlinearRead read{devices.View(), grid, v.data(), 2};
      ReadSimulatedThroughWires(M::kName, read, wires, {dt, 0}, partial.data());
    });
  };
  const double dt = M::kTimeStep;
  EXPECT_NE(error({-1, 0, 0, 0}, dt).find("word (-1 ohm) must"), std::string::npos) << error({-1, 0, 0, 0}, dt);
  EXPECT_NE(error({1, 1, 1, 1, true}, dt).find("wires must be driven and sensed at one end"), std::string::npos);
  EXPECT_NE(error(kWires[0], 0).find("dt (0 s) must be finite and above 0"), std::string::npos);
  v[3] = NAN;
  EXPECT_NE(error(kWires[0], dt).find("voltage (nan V) must be finite"), std::string::npos);
  EXPECT_TRUE(SameDevices(devices, before));
}

TEST(WiredReadErrorTest, WhereACircuitIsNotSolvedNoDeviceMoves) {
  const TileGrid grid{2, 3, 2, 3};
  Columns<StanfordPku> devices(grid.cells());
  const Columns<StanfordPku> before = devices;
  // The first vector moves the devices; at the second their curves rise by 1e20 between no current and the first guess.
  const std::vector<double> v = {2, 12, 2, 12};
  std::vector<double> partial(6);
  const NonlinearRead read{devices.View(), grid, v.data(), 2};
  EXPECT_THROW(ReadSimulatedThroughWires("Stanford_PKU", read, {1, 1, 1, 1}, {1e-4, 0}, partial.data()),
               std::runtime_error);
  EXPECT_TRUE(SameDevices(devices, before));
}

TEST(WiredReadNoiseTest, DrawsAreKeyedByDeviceAndInput) {
  const TileGrid grid{3, 5, 2, 4};
  const int64_t inputs = 4;
  Columns<StanfordPku> ideal(grid.cells());
  ideal.Share("model_switch", 1);
  SetConductance("Stanford_PKU", ideal.View(), {std::vector<float>(grid.cells(), 1e-5f).data(), nullptr});
  Columns<StanfordPku> wired = ideal;
  const auto v = RandomVoltages(grid.rows * inputs, 1.5, 10);
  std::vector<double> partial(grid.down() * inputs * grid.cols);
  ReadSimulated("Stanford_PKU", {ideal.View(), grid, v.data(), inputs}, {1e-9, 21}, partial.data());
  const NonlinearRead read{wired.View(), grid, v.data(), inputs};
  ReadSimulatedThroughWires("Stanford_PKU", read, {0, 0, 0, 0}, {1e-9, 21}, partial.data());
  for (int64_t i = 0; i < wired.n; ++i) {
    // A node is at its source's voltage to the 1e-10 of a solution; other draws would move the gap by a part in ten.
    EXPECT_NEAR(wired.state[0][i], ideal.state[0][i], 1e-8 * ideal.state[0][i]);
  }
}

}  // namespace
}  // namespace memtorch
