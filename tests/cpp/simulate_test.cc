// Simulate and the conductance writes: vector kernels against one device at a time, closed forms, bad arguments.

#include "engine/simulate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/parallel.h"
#include "engine/simulate_kernels.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/models.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::ErrorOf;
using testing::RandomVoltages;
using testing::SameBits;
using testing::SameDevices;
using testing::SlowSimulate;
using testing::Variety;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<const SimulateKernels*> Tables() {
  return testing::Runnable(baseline::kSimulate, avx2::kSimulate, avx512::kSimulate);
}

template <class M>
class SimulateTest : public ::testing::Test {
 protected:
  void TearDown() override { SetNumThreads(0); }

  static double Volts() { return testing::WorkingVoltage<M>(); }
  static Waveform Shared(const std::vector<double>& v) { return {v.data(), static_cast<int64_t>(v.size()), 0, kStep}; }

  static constexpr double kStep = M::kTimeStep;
};
TYPED_TEST_SUITE(SimulateTest, testing::ModelTypes, testing::ModelNames);

TYPED_TEST(SimulateTest, EqualsOneDeviceAtATimeOnEveryInstructionSet) {
  using M = TypeParam;
  const int model = ModelIndex("test", M::kName);
  for (const Variety variety : {Variety::kShared, Variety::kOtherFormulas, Variety::kPerDevice}) {
    for (const int64_t n : {1, 7, 128, 131}) {
      for (const int64_t steps : {1, 32, 75}) {
        for (const bool own_waveforms : {false, true}) {
          const int64_t stride = own_waveforms ? steps + 3 : 0;
          const auto v = RandomVoltages(own_waveforms ? n * stride : steps, this->Volts(), 5);
          const Waveform waveform{v.data(), steps, stride, M::kTimeStep};
          const SimulateOptions options{42, 1000, 0};
          Columns<M> slow(n, n != 7);  // one size with float64 conductances
          Vary(variety, slow);
          const Columns<M> fresh = slow;
          const auto slow_currents = SlowSimulate(slow, waveform, options);
          for (const SimulateKernels* kernels : Tables()) {
            Columns<M> fast = fresh;
            std::vector<double> currents(n * steps);
            kernels->simulate(model, {fast.View(), waveform, options, currents.data(), true}, 0, n);
            ASSERT_TRUE(SameDevices(fast, slow)) << n << " devices, " << steps << " steps";
            ASSERT_TRUE(SameBits(currents, slow_currents)) << n << " devices, " << steps << " steps";
          }
        }
      }
    }
  }
}

TYPED_TEST(SimulateTest, EqualsOneDeviceAtATimeForAnyNumberOfThreads) {
  using M = TypeParam;
  const int64_t n = 2500, steps = 20;
  const auto v = RandomVoltages(n * steps, this->Volts(), 6);
  const Waveform waveform{v.data(), steps, steps, M::kTimeStep};
  Columns<M> slow(n);
  Vary(Variety::kPerDevice, slow);
  const Columns<M> fresh = slow;
  const auto slow_currents = SlowSimulate(slow, waveform, {7, 0, 0});
  for (const int threads : {1, 2, 5}) {
    SetNumThreads(threads);
    Columns<M> fast = fresh;
    std::vector<double> currents(n * steps);
    Simulate(M::kName, fast.View(), waveform, {7, 0, 0}, currents.data());
    EXPECT_TRUE(SameDevices(fast, slow));
    EXPECT_TRUE(SameBits(currents, slow_currents));
  }
}

TYPED_TEST(SimulateTest, PerDeviceColumnsOfEqualValuesChangeNothing) {
  using M = TypeParam;
  const auto v = RandomVoltages(50, this->Volts(), 8);
  Columns<M> shared(100), expanded(100);
  expanded.Expand();
  Simulate(M::kName, shared.View(), this->Shared(v), {}, nullptr);
  Simulate(M::kName, expanded.View(), this->Shared(v), {}, nullptr);
  EXPECT_TRUE(SameDevices(shared, expanded));
}

TYPED_TEST(SimulateTest, ContinuesWhereItStopped) {
  using M = TypeParam;
  auto v = RandomVoltages(60, this->Volts(), 9);
  v[24] = 0;  // no current flows at the cut: each call starts a device that heats itself (Stanford_PKU) cold
  Columns<M> once(3), twice(3);
  Simulate(M::kName, once.View(), this->Shared(v), {}, nullptr);
  Simulate(M::kName, twice.View(), {v.data(), 25, 0, M::kTimeStep}, {}, nullptr);
  Simulate(M::kName, twice.View(), {v.data() + 25, 35, 0, M::kTimeStep}, {}, nullptr);
  EXPECT_TRUE(SameDevices(once, twice));
}

TYPED_TEST(SimulateTest, RecordsBeforeOrAfterTheUpdateAsTheModelSays) {
  using M = TypeParam;
  Columns<M> devices(1);
  const auto p = devices.ParamsOf(0);
  const double start = 2 / (p.r_on + p.r_off);
  std::vector<float> target = {static_cast<float>(start)};
  SetConductance(M::kName, devices.View(), {target.data(), nullptr});
  const auto before = devices.StateOf(0);
  const double v = -M::kPolarity * this->Volts();
  double current = 0;
  Simulate(M::kName, devices.View(), {&v, 1, 0, M::kTimeStep}, {}, &current);
  const auto drive = M::MakeDrive(p, v, M::kTimeStep);
  const double of_before = M::Current(p, drive, before);
  const double of_after = M::Current(p, drive, devices.StateOf(0));
  EXPECT_NE(of_before, of_after);
  EXPECT_EQ(current, M::kReadsFirst ? of_before : of_after);
  EXPECT_EQ(devices.g32[0], static_cast<float>(M::Conductance(p, devices.StateOf(0))));
}

TYPED_TEST(SimulateTest, SetConductanceClipsAndStores) {
  using M = TypeParam;
  for (const Variety variety : {Variety::kShared, Variety::kOtherFormulas, Variety::kPerDevice}) {
    for (const bool single : {true, false}) {
      const int64_t n = 300;
      Columns<M> devices(n, single);
      Vary(variety, devices);
      std::vector<float> t32(n);
      std::vector<double> t64(n);
      for (int64_t i = 0; i < n; ++i) {
        const auto p = devices.ParamsOf(i);
        t64[i] = (1 / p.r_off) * std::pow(p.r_off / p.r_on, 1.2 * i / (n - 1) - 0.1);  // beyond both ends
        t32[i] = static_cast<float>(t64[i]);
      }
      SetConductance(M::kName, devices.View(), {single ? t32.data() : nullptr, single ? nullptr : t64.data()});
      for (int64_t i = 0; i < n; ++i) {
        const auto p = devices.ParamsOf(i);
        const double target = single ? t32[i] : t64[i];
        const double want = std::fmin(std::fmax(target, 1 / p.r_off), 1 / p.r_on);
        const double got = single ? devices.g32[i] : devices.g64[i];
        ASSERT_NEAR(got / want, 1, single ? 6e-8 : 1e-13) << i;  // half an ulp of float; a few operations in double
        const double g = M::Conductance(p, devices.StateOf(i));
        ASSERT_EQ(got, single ? static_cast<float>(g) : g);
      }
      const Columns<M> first = devices;
      SetConductance(M::kName, devices.View(), devices.View().g);  // in place: the same numbers again
      EXPECT_TRUE(SameBits(devices.g32, first.g32));
    }
  }
}

TYPED_TEST(SimulateTest, SetConductanceIsTheSameOnEveryInstructionSet) {
  using M = TypeParam;
  const int64_t n = 203;
  Columns<M> fresh(n);
  Vary(Variety::kPerDevice, fresh);
  std::vector<float> target(n);
  for (int64_t i = 0; i < n; ++i) target[i] = fresh.g32[i] * static_cast<float>(i + 1) / n;
  std::vector<Columns<M>> results;
  for (const SimulateKernels* kernels : Tables()) {
    Columns<M> devices = fresh;
    kernels->set_conductance(ModelIndex("test", M::kName), devices.View(), {target.data(), nullptr}, 0, n);
    results.push_back(devices);
    kernels->update_conductance(ModelIndex("test", M::kName), devices.View(), 0, n);
    EXPECT_TRUE(SameDevices(devices, results.back()));
  }
  for (const auto& result : results) EXPECT_TRUE(SameDevices(result, results[0]));
}

TYPED_TEST(SimulateTest, UpdateAndResetFollowTheState) {
  using M = TypeParam;
  Columns<M> devices(10);
  const Columns<M> fresh = devices;
  const auto v = RandomVoltages(30, this->Volts(), 10);
  Simulate(M::kName, devices.View(), this->Shared(v), {}, nullptr);
  const Columns<M> moved = devices;
  std::fill(devices.g32.begin(), devices.g32.end(), 0.0f);
  UpdateConductance(M::kName, devices.View());
  EXPECT_TRUE(SameDevices(devices, moved));
  Reset(M::kName, devices.View());
  EXPECT_TRUE(SameDevices(devices, fresh));
}

TYPED_TEST(SimulateTest, NoStepsChangeNothing) {
  using M = TypeParam;
  Columns<M> devices(10);
  const Columns<M> fresh = devices;
  Simulate(M::kName, devices.View(), {nullptr, 0, 0, 1}, {}, nullptr);
  EXPECT_TRUE(SameDevices(devices, fresh));
}

TYPED_TEST(SimulateTest, ErrorControlConverges) {
  using M = TypeParam;
  std::vector<double> v;
  for (int i = 0; i < 20; ++i) v.push_back(this->Volts() * std::sin(0.31 * i));
  const double dt = M::kTimeStep / 4;
  const auto state_after = [&](double rel_tol) {
    Columns<M> devices(1);
    const auto p = devices.ParamsOf(0);
    std::vector<float> target = {static_cast<float>(2 / (p.r_on + p.r_off))};
    SetConductance(M::kName, devices.View(), {target.data(), nullptr});
    Simulate(M::kName, devices.View(), {v.data(), static_cast<int64_t>(v.size()), 0, dt}, {0, 0, rel_tol}, nullptr);
    return devices.state[0][0];
  };
  const auto p = Defaults<M>();
  Columns<M> ends(2);
  std::vector<float> target = {static_cast<float>(1 / p.r_on), static_cast<float>(1 / p.r_off)};
  SetConductance(M::kName, ends.View(), {target.data(), nullptr});
  const double range = std::fabs(ends.state[0][0] - ends.state[0][1]);
  // 20 samples of some tens of intervals each, whose errors add up.
  const double fine = state_after(1e-6);
  for (const double rel_tol : {1e-3, 1e-4}) EXPECT_NEAR(state_after(rel_tol), fine, 100 * rel_tol * range);
}

TYPED_TEST(SimulateTest, NamesWhatIsWrongAndChangesNothing) {
  using M = TypeParam;
  Columns<M> devices(4);
  const auto v = RandomVoltages(5, this->Volts(), 11);
  Simulate(M::kName, devices.View(), this->Shared(v), {}, nullptr);
  const Columns<M> before = devices;
  std::vector<double> bad = v;
  bad[3] = kNan;
  std::vector<float> targets = {1e-3f, 1e-3f, std::numeric_limits<float>::infinity(), 1e-3f};
  const std::string name = M::kName;
  const auto simulate = [&](const Waveform& waveform, const SimulateOptions& options = {}) {
    return ErrorOf([&] { Simulate(name, devices.View(), waveform, options, nullptr); });
  };
  EXPECT_EQ(simulate({v.data(), 5, 0, 0}), "[simulate] dt (0 s) must be finite and above 0");
  EXPECT_EQ(simulate({v.data(), 5, 0, kNan}), "[simulate] dt (nan s) must be finite and above 0");
  EXPECT_EQ(simulate({v.data(), -1, 0, 1}), "[simulate] steps (-1) must be at least 0");
  EXPECT_EQ(simulate({v.data(), 5, 2, 1}),
            "[simulate] device_stride (2) must be 0 or at least the 5 steps of a waveform");
  EXPECT_EQ(simulate({nullptr, 5, 0, 1}), "[simulate] waveform must hold 5 voltages");
  EXPECT_EQ(simulate({bad.data(), 5, 0, 1}), "[simulate] waveform sample 3 (nan V) must be finite");
  EXPECT_EQ(simulate({bad.data(), 1, 1, 1}), "[simulate] waveform sample 0 of device 3 (nan V) must be finite");
  EXPECT_EQ(simulate(this->Shared(v), {0, -1, 0}), "[simulate] first_device (-1) must be at least 0");
  EXPECT_EQ(simulate(this->Shared(v), {0, 0, -1}), "[simulate] rel_tol (-1) must be at least 0 and below 1");
  EXPECT_EQ(simulate(this->Shared(v), {0, 0, 1}), "[simulate] rel_tol (1) must be at least 0 and below 1");
  EXPECT_EQ(ErrorOf([&] { SetConductance(name, devices.View(), {targets.data(), nullptr}); }),
            "[set_conductance] target of device 2 (inf S) must be finite");
  EXPECT_EQ(ErrorOf([&] { SetConductance(name, devices.View(), {}); }),
            "[set_conductance] target must be of the type of g");
  EXPECT_TRUE(SameDevices(devices, before));

  Columns<M> negative = before;
  negative.Share("r_on", -1);
  EXPECT_EQ(ErrorOf([&] { Simulate(name, negative.View(), this->Shared(v), {}, nullptr); }),
            "[simulate] r_on (-1 ohm) must be finite and above 0");
  EXPECT_EQ(ErrorOf([&] { CheckParams(M::kName, name, negative.View()); }),
            "[" + name + "] r_on (-1 ohm) must be finite and above 0");
  EXPECT_TRUE(SameDevices(negative, before));

  Columns<M> crossed = before;
  crossed.Expand();
  crossed.params[testing::ParamNamed<M>("r_on")][1] = 1e6;
  const std::string crossing = ErrorOf([&] { UpdateConductance(name, crossed.View()); });
  EXPECT_EQ(crossing.rfind("[update_conductance] device 1: r_on (1e+06 ohm) must be below r_off (", 0), 0u) << crossing;
  EXPECT_TRUE(SameDevices(crossed, before));

  Columns<M> broken = before;
  broken.state[0][2] = kNan;
  const std::string of_state = ErrorOf([&] { Simulate(name, broken.View(), this->Shared(v), {}, nullptr); });
  EXPECT_EQ(of_state.rfind("[simulate] " + std::string(M::kState[0].name) + " of device 2 (nan", 0), 0u) << of_state;
}

TYPED_TEST(SimulateTest, NamesMissingColumns) {
  using M = TypeParam;
  Columns<M> devices(2);
  DeviceView view = devices.View();
  view.params[1].data = nullptr;
  EXPECT_EQ(ErrorOf([&] { Reset(M::kName, view); }),
            std::string("[reset] params must hold a column for ") + M::kParams[1].name);
  view = devices.View();
  view.params[0].stride = 2;
  EXPECT_EQ(ErrorOf([&] { Reset(M::kName, view); }),
            std::string("[reset] the stride of ") + M::kParams[0].name + " (2) must be 0 or 1");
  view = devices.View();
  view.state[0] = nullptr;
  EXPECT_EQ(ErrorOf([&] { Reset(M::kName, view); }),
            std::string("[reset] state must hold a column for ") + M::kState[0].name);
  view = devices.View();
  view.g = {};
  EXPECT_EQ(ErrorOf([&] { Reset(M::kName, view); }), "[reset] g must be either a float32 or a float64 column");
}

TEST(SimulateNoiseTest, IsKeyedBySeedDeviceAndSample) {
  using M = StanfordPku;
  const std::vector<double> v(9, 1.5);
  const Waveform waveform{v.data(), 9, 0, 1e-12};
  const auto run = [&](int64_t n, uint64_t seed, int64_t first_device) {
    Columns<M> devices(n);
    devices.Share("model_switch", 1);
    devices.Share("gap_init", 1e-9);
    Reset(M::kName, devices.View());
    Simulate(M::kName, devices.View(), waveform, {seed, first_device, 0}, nullptr);
    return devices.state[0];
  };
  const auto all = run(200, 3, 0);
  EXPECT_NE(all[0], all[1]);
  EXPECT_EQ(run(200, 3, 0), all);
  EXPECT_NE(run(200, 4, 0), all);
  const auto part = run(50, 3, 120);
  EXPECT_EQ(part, std::vector<double>(all.begin() + 120, all.begin() + 170));
}

// Half a period of 0.1 V at 50 MHz. x(10 ns) of the analytic integral; an explicit step per sample only approaches it.
TEST(ErrorControlTest, VteamHalfPeriodIsTheIntegral) {
  Columns<Vteam> devices(1, false);
  const int n = 2000;  // samples per half period: the voltage between them is linear, an error of (pi / n)^2 / 12
  std::vector<double> v;
  for (int i = 0; i <= n; ++i) v.push_back(0.1 * std::sin(3.14159265358979323846 * i / n));
  Simulate("VTEAM", devices.View(), {v.data(), n, 0, 10e-9 / n}, {0, 0, 1e-9}, nullptr);
  EXPECT_NEAR(devices.state[0][0] / 1.12348781932e-11, 1, 1e-6);
  EXPECT_NEAR(1 / devices.g64[0], 53.5577, 5e-5);
}

// Without window (p large) R(t)^2 = R_0^2 - 2 (r_off - r_on) u_v r_on / d^2 V t.
TEST(ErrorControlTest, LinearIonDriftFollowsItsClosedForm) {
  Columns<LinearIonDrift> devices(1, false);
  devices.Share("r_off", 1e4);
  devices.Share("p", 1e4);
  const double target = 1 / 5050.0;
  SetConductance("LinearIonDrift", devices.View(), {nullptr, const_cast<double*>(&target)});
  const std::vector<double> v(10, 1.0);
  std::vector<double> currents(10);
  Simulate("LinearIonDrift", devices.View(), {v.data(), 10, 0, 1e-3}, {0, 0, 1e-10}, currents.data());
  EXPECT_NEAR(1 / currents[0], 5050, 1e-9);         // the current of a sample is the one at its own time
  EXPECT_NEAR(1 / currents[1], 5030.357840, 5e-7);  // references of six decimals
  EXPECT_NEAR(1 / currents[5], 4951.009998, 5e-7);
  EXPECT_NEAR(1 / devices.g64[0], 4850.000, 1e-6);
}

// At -1 V VTEAM crosses its range in 4.6875 ps: one step of 100 ps overshoots twenty times, error control does not.
TEST(ErrorControlTest, StopsAtTheRightMoment) {
  Columns<Vteam> devices(1, false);
  const double target = 1 / 1000.0;
  SetConductance("VTEAM", devices.View(), {nullptr, const_cast<double*>(&target)});
  const double v[] = {-1};
  Simulate("VTEAM", devices.View(), {v, 1, 0, 4.6875e-12 / 2}, {0, 0, 1e-9}, nullptr);
  EXPECT_NEAR(devices.state[0][0], 1.5e-9, 1e-17);  // 1e-9 of the range in every one of a few intervals
  Simulate("VTEAM", devices.View(), {v, 1, 0, 1e-3}, {0, 0, 1e-9}, nullptr);
  EXPECT_EQ(devices.state[0][0], 0);
}

TEST(ErrorControlTest, CrossesThresholdsInsideASample) {
  // 0 to 2 V in one sample of 1 ms: the state moves from 0.55 V on, a quarter of the way.
  Columns<LinearIonDrift> devices(1, false);
  devices.Share("p", 1e4);
  const double target = 1 / 8000.0;
  SetConductance("LinearIonDrift", devices.View(), {nullptr, const_cast<double*>(&target)});
  const double v[] = {0, 2, 2};
  Simulate("LinearIonDrift", devices.View(), {v, 1, 0, 1e-3}, {0, 0, 1e-10}, nullptr);
  const double held = 1 / devices.g64[0];
  EXPECT_NEAR(held, 8000, 1e-9);  // one sample is held: 0 V
  const double ramp[] = {0, 2};
  Simulate("LinearIonDrift", devices.View(), {ramp, 2, 0, 1e-3}, {0, 0, 1e-10}, nullptr);
  // The second sample is held at 2 V; the integral of V over both is (4 - 0.55^2) / 4 ms V + 2 ms V.
  const double flux = ((4 - 0.55 * 0.55) / 4 + 2) * 1e-3;
  const double squared = 8000.0 * 8000.0 - 2 * (16e3 - 100) * 1e-14 * 100 / 1e-16 * flux;
  EXPECT_NEAR(1 / devices.g64[0], std::sqrt(squared), 1e-4);  // rel_tol of the range: 1.6e-6 ohm per interval
}

}  // namespace
}  // namespace memtorch
