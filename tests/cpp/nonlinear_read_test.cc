// Reads of tiles whose devices follow their own I-V curves, against one device after the other.

#include "engine/nonlinear_read.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/nonlinear_read_kernels.h"
#include "engine/parallel.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/models.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::RandomVoltages;
using testing::SameBits;
using testing::SameDevices;

// Sums of up to 300 rounded terms in another order, each of some ten roundings.
constexpr double kRounding = 1e-13;

// Whether the call throws with a message that holds `text`.
template <class Call>
bool Says(const Call& call, const std::string& text) {
  return testing::ErrorOf(call).find(text) != std::string::npos;
}

std::vector<const NonlinearReadKernels*> Tables() {
  return testing::Runnable(baseline::kNonlinearRead, avx2::kNonlinearRead, avx512::kNonlinearRead);
}

// Partly filled tiles, one of them wider than a block; a single cell; one tile; more rows than tiles have.
const TileGrid kGrids[] = {{5, 7, 3, 4}, {1, 1, 1, 1}, {6, 150, 6, 150}, {4, 130, 10, 140}};

template <class M>
class NonlinearReadTest : public ::testing::Test {
 protected:
  void TearDown() override { SetNumThreads(0); }

  static double Volts() { return testing::WorkingVoltage<M>(); }

  // Devices all over their range; own: every parameter differs between them.
  static Columns<M> Devices(const TileGrid& grid, bool own, bool single = true) {
    Columns<M> devices(grid.cells(), single);
    if (own) devices.Spread("r_off", 0.1);
    for (const auto& field : M::kParams) {
      if (own && field.shapes) devices.Spread(field.name, 0.1);
    }
    testing::SpreadConductances(devices);
    return devices;
  }

  static double G(const Columns<M>& devices, int64_t cell) { return testing::StoredConductance(devices, cell); }

  static std::vector<double> SlowRead(const Columns<M>& devices, const TileGrid& grid, const std::vector<double>& v,
                                      int64_t inputs) {
    std::vector<double> partial(grid.down() * inputs * grid.cols);
    for (int64_t b = 0; b < inputs; ++b) {
      for (int64_t r = 0; r < grid.rows; ++r) {
        for (int64_t c = 0; c < grid.cols; ++c) {
          const int64_t cell = grid.offset(r, c);
          partial[(r / grid.tile_rows * inputs + b) * grid.cols + c] +=
              M::Shape(devices.ParamsOf(cell), v[r * inputs + b]) * G(devices, cell);
        }
      }
    }
    return partial;
  }

  // Every device of every tile makes its step, used or not.
  static std::vector<double> SlowSimulatedRead(Columns<M>& devices, const TileGrid& grid, const std::vector<double>& v,
                                               int64_t inputs, uint64_t seed) {
    std::vector<double> partial(grid.down() * inputs * grid.cols);
    const double dt = M::kTimeStep;
    for (int64_t cell = 0; cell < grid.cells(); ++cell) {
      const int64_t tile = cell / (grid.tile_rows * grid.tile_cols);
      const int64_t row = tile / grid.across() * grid.tile_rows + cell / grid.tile_cols % grid.tile_rows;
      const int64_t col = tile % grid.across() * grid.tile_cols + cell % grid.tile_cols;
      const auto p = devices.ParamsOf(cell);
      for (int64_t b = 0; b < inputs; ++b) {
        const auto drive = M::MakeDrive(p, row < grid.rows ? v[row * inputs + b] : 0, dt);
        const double normal = M::UsesNoise(p) ? Normal(seed, cell, b) : 0;
        auto s = devices.StateOf(cell);
        const bool held = !devices.stuck.empty() && devices.stuck[cell] != 0;
        const double current = held ? M::Current(p, drive, s) : Step<M>(p, drive, s, 0, normal);
        StoreState<M>(s, [&](size_t i, double value) { devices.state[i][cell] = value; });
        if (row < grid.rows && col < grid.cols) {
          partial[(row / grid.tile_rows * inputs + b) * grid.cols + col] += current;
        }
      }
      if (!devices.stuck.empty() && devices.stuck[cell] != 0) continue;
      const double g = M::Conductance(p, devices.StateOf(cell));
      if (devices.g32.empty()) {
        devices.g64[cell] = g;
      } else {
        devices.g32[cell] = static_cast<float>(g);
      }
    }
    return partial;
  }

  static void ExpectNear(const std::vector<double>& got, const std::vector<double>& want) {
    ASSERT_EQ(got.size(), want.size());
    double scale = 0;
    for (const double x : want) scale = std::max(scale, std::abs(x));
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], kRounding * scale) << "element " << i;
  }
};
TYPED_TEST_SUITE(NonlinearReadTest, testing::ModelTypes, testing::ModelNames);

TYPED_TEST(NonlinearReadTest, ReadsWhatTheDevicesCarry) {
  using M = TypeParam;
  const int model = ModelIndex("test", M::kName);
  for (const TileGrid& grid : kGrids) {
    for (const bool own : {false, true}) {
      for (const int64_t inputs : {1, 33}) {
        auto devices = this->Devices(grid, own, inputs == 1);
        const auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 3);
        const NonlinearRead read{devices.View(), grid, v.data(), inputs};
        std::vector<double> partial(grid.down() * inputs * grid.cols, NAN);
        ReadNonlinear(M::kName, read, partial.data());
        this->ExpectNear(partial, this->SlowRead(devices, grid, v, inputs));
        for (const NonlinearReadKernels* table : Tables()) {
          std::vector<double> out(partial.size(), NAN);
          for (int64_t tile = 0; tile < grid.tiles(); ++tile) {
            table->read(model, read, {tile, 0}, out.data());
            if (grid.tile_cols > kReadColumns) table->read(model, read, {tile, kReadColumns}, out.data());
          }
          ASSERT_TRUE(SameBits(out, partial));
        }
      }
    }
  }
}

TYPED_TEST(NonlinearReadTest, OfDevicesWithOneShapeIsAProductWithShapedVoltages) {
  using M = TypeParam;
  const TileGrid grid{9, 20, 4, 8};
  const int64_t inputs = 5;
  auto devices = this->Devices(grid, false);
  const auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 4);
  std::vector<double> shape(v.size()), slope(v.size());
  ReadShape(M::kName, Columns<M>(1).View(), v.data(), static_cast<int64_t>(v.size()), shape.data(), slope.data());
  const auto p = devices.ParamsOf(0);
  std::vector<double> product(grid.down() * inputs * grid.cols), partial(product.size());
  for (int64_t r = 0; r < grid.rows; ++r) {
    for (int64_t b = 0; b < inputs; ++b) {
      EXPECT_EQ(shape[r * inputs + b], M::Shape(p, v[r * inputs + b]));
      EXPECT_EQ(slope[r * inputs + b], M::ShapeSlope(p, v[r * inputs + b]));
      for (int64_t c = 0; c < grid.cols; ++c) {
        product[(r / grid.tile_rows * inputs + b) * grid.cols + c] +=
            shape[r * inputs + b] * this->G(devices, grid.offset(r, c));
      }
    }
  }
  ReadNonlinear(M::kName, {devices.View(), grid, v.data(), inputs}, partial.data());
  this->ExpectNear(partial, product);
}

TYPED_TEST(NonlinearReadTest, GradientIsTheSumOfSlopes) {
  using M = TypeParam;
  const int model = ModelIndex("test", M::kName);
  for (const TileGrid& grid : kGrids) {
    for (const bool own : {false, true}) {
      const int64_t inputs = 6;
      auto devices = this->Devices(grid, own);
      const auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 5);
      const auto grad = testing::Normals<double>(grid.down() * inputs * grid.cols, 6);
      const NonlinearRead read{devices.View(), grid, v.data(), inputs};
      std::vector<double> slow(v.size()), fast(v.size(), NAN);
      std::vector<double> slow_g(grid.cells()), fast_g(grid.cells(), NAN);
      for (int64_t r = 0; r < grid.rows; ++r) {
        for (int64_t b = 0; b < inputs; ++b) {
          for (int64_t c = 0; c < grid.cols; ++c) {
            const int64_t cell = grid.offset(r, c);
            const double upstream = grad[(r / grid.tile_rows * inputs + b) * grid.cols + c];
            const auto p = devices.ParamsOf(cell);
            slow[r * inputs + b] += M::ShapeSlope(p, v[r * inputs + b]) * this->G(devices, cell) * upstream;
            slow_g[cell] += M::Shape(p, v[r * inputs + b]) * upstream;
          }
        }
      }
      ReadNonlinearGradient(M::kName, read, grad.data(), fast.data(), fast_g.data());
      this->ExpectNear(fast, slow);
      this->ExpectNear(fast_g, slow_g);
      for (const NonlinearReadKernels* table : Tables()) {
        std::vector<double> out(v.size(), NAN), out_g(grid.cells(), 0);
        for (int64_t r = 0; r < grid.rows; ++r) table->gradient(model, read, r, grad.data(), out.data(), out_g.data());
        ASSERT_TRUE(SameBits(out, fast));
        ASSERT_TRUE(SameBits(out_g, fast_g));
        for (int64_t r = 0; r < grid.rows; ++r) table->gradient(model, read, r, grad.data(), out.data(), nullptr);
        ASSERT_TRUE(SameBits(out, fast));
      }
    }
  }
}

TYPED_TEST(NonlinearReadTest, SimulatedReadMovesEveryDeviceOnceForEachInput) {
  using M = TypeParam;
  for (const TileGrid& grid : kGrids) {
    for (const bool own : {false, true}) {
      for (const int64_t inputs : {1, 32, 67}) {
        auto slow = this->Devices(grid, own, inputs != 32);
        const Columns<M> fresh = slow;
        const auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 7);
        const auto want = this->SlowSimulatedRead(slow, grid, v, inputs, 11);
        for (const int threads : {1, 3}) {
          SetNumThreads(threads);
          Columns<M> fast = fresh;
          std::vector<double> partial(want.size(), NAN);
          ReadSimulated(M::kName, {fast.View(), grid, v.data(), inputs}, {M::kTimeStep, 11}, partial.data());
          ASSERT_TRUE(SameDevices(fast, slow));
          this->ExpectNear(partial, want);
        }
      }
    }
  }
}

TYPED_TEST(NonlinearReadTest, SimulatedReadIsTheSameBitsOnEveryInstructionSet) {
  using M = TypeParam;
  const int model = ModelIndex("test", M::kName);
  const TileGrid grid{6, 150, 6, 150};
  const int64_t inputs = 40;
  const auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 8);
  for (const bool own : {false, true}) {
    const Columns<M> fresh = this->Devices(grid, own);
    Columns<M> reference = fresh;
    std::vector<double> want(inputs * grid.cols);
    ReadSimulated(M::kName, {reference.View(), grid, v.data(), inputs}, {M::kTimeStep, 1}, want.data());
    for (const NonlinearReadKernels* table : Tables()) {
      Columns<M> devices = fresh;
      std::vector<double> partial(want.size(), NAN);
      const NonlinearRead read{devices.View(), grid, v.data(), inputs};
      for (const int64_t col : {int64_t{0}, kReadColumns}) {
        table->simulate(model, read, {M::kTimeStep, 1}, false, {0, col}, partial.data());
      }
      ASSERT_TRUE(SameDevices(devices, reference));
      ASSERT_TRUE(SameBits(partial, want));
    }
  }
}

TYPED_TEST(NonlinearReadTest, StuckDevicesCarryCurrentAndDoNotMove) {
  using M = TypeParam;
  const TileGrid grid{5, 7, 3, 4};
  const int64_t inputs = 40;
  const auto v = RandomVoltages(grid.rows * inputs, this->Volts(), 9);
  auto slow = this->Devices(grid, false);
  for (int64_t i = 0; i < slow.n; ++i) slow.stuck.push_back(i % 3 == 0);
  Columns<M> fast = slow;
  const auto want = this->SlowSimulatedRead(slow, grid, v, inputs, 0);
  std::vector<double> partial(want.size(), NAN);
  ReadSimulated(M::kName, {fast.View(), grid, v.data(), inputs}, {M::kTimeStep, 0}, partial.data());
  EXPECT_TRUE(SameDevices(fast, slow));
  this->ExpectNear(partial, want);
}

TYPED_TEST(NonlinearReadTest, BadArgumentsAreNamedAndChangeNothing) {
  using M = TypeParam;
  const TileGrid grid{2, 3, 2, 3};
  auto devices = this->Devices(grid, false);
  const Columns<M> before = devices;
  std::vector<double> v(4, 0.1), partial(6);
  const auto simulate = [&](const NonlinearRead& read, double dt) {
    ReadSimulated(M::kName, read, {dt, 0}, partial.data());
  };
  const double dt = M::kTimeStep;
  EXPECT_TRUE(
      Says([&] { simulate({devices.View(), {2, 3, 0, 3}, v.data(), 2}, dt); }, "tile_rows (0) must be at least 1"));
  EXPECT_TRUE(
      Says([&] { simulate({devices.View(), {2, 4, 2, 4}, v.data(), 2}, dt); }, "devices (6) must be the 8 cells"));
  EXPECT_TRUE(Says([&] { simulate({devices.View(), grid, v.data(), -1}, dt); }, "inputs (-1) must be at least 0"));
  EXPECT_TRUE(Says([&] { simulate({devices.View(), grid, v.data(), 2}, 0); }, "dt (0 s) must be finite and above 0"));
  v[3] = NAN;
  EXPECT_TRUE(Says([&] { simulate({devices.View(), grid, v.data(), 2}, dt); }, "voltage (nan V) must be finite"));
  EXPECT_TRUE(
      Says([&] { ReadNonlinear(M::kName, {devices.View(), grid, v.data(), 2}, partial.data()); }, "must be finite"));
  v[3] = -1e31;
  EXPECT_TRUE(Says([&] { simulate({devices.View(), grid, v.data(), 2}, dt); }, "must be small enough for"));
  EXPECT_TRUE(Says([&] { ReadShape(M::kName, Columns<M>(1).View(), v.data(), 4, v.data(), nullptr); },
                   "must be small enough for"));
  v[3] = 0;
  auto view = devices.View();
  view.g = {};
  EXPECT_TRUE(Says([&] { simulate({view, grid, v.data(), 2}, dt); }, "g must be either a float32 or a float64 column"));
  EXPECT_TRUE(SameDevices(devices, before));
}

TYPED_TEST(NonlinearReadTest, NoInputsAreNoCurrents) {
  using M = TypeParam;
  const TileGrid grid{2, 3, 2, 2};
  auto devices = this->Devices(grid, true);
  const Columns<M> before = devices;
  const NonlinearRead read{devices.View(), grid, nullptr, 0};
  ReadNonlinear(M::kName, read, nullptr);
  ReadNonlinearGradient(M::kName, read, nullptr, nullptr);
  EXPECT_TRUE(SameDevices(devices, before));
}

TEST(NonlinearReadNoiseTest, DrawsAreKeyedByDeviceAndInput) {
  const TileGrid grid{3, 5, 2, 4};
  const int64_t inputs = 35;
  Columns<StanfordPku> slow(grid.cells());
  slow.Share("model_switch", 1);
  SetConductance("Stanford_PKU", slow.View(), {std::vector<float>(grid.cells(), 1e-5f).data(), nullptr});
  Columns<StanfordPku> fast = slow;
  const auto v = RandomVoltages(grid.rows * inputs, 1.5, 10);
  for (int64_t cell = 0; cell < grid.cells(); ++cell) {
    const auto p = slow.ParamsOf(cell);
    const int64_t tile = cell / 8;
    const int64_t row = tile / 2 * 2 + cell / 4 % 2;
    auto s = slow.StateOf(cell);
    for (int64_t b = 0; b < inputs; ++b) {
      const auto drive = StanfordPku::MakeDrive(p, row < 3 ? v[row * inputs + b] : 0, 1e-9);
      Step<StanfordPku>(p, drive, s, 0, Normal(21, cell, b));
    }
    slow.state[0][cell] = s.gap;
  }
  std::vector<double> partial(grid.down() * inputs * grid.cols);
  ReadSimulated("Stanford_PKU", {fast.View(), grid, v.data(), inputs}, {1e-9, 21}, partial.data());
  EXPECT_TRUE(SameBits(fast.state[0], slow.state[0]));
}

}  // namespace
}  // namespace memtorch
