// Program against a slow reference that applies every pulse to one device after the other; convergence; bad arguments.

#include "engine/program.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/parallel.h"
#include "engine/program_kernels.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/models.h"
#include "tests/cpp/testing/samples.h"
#include "tests/cpp/testing/slow_program.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::ErrorOf;
using testing::Report;
using testing::SameDevices;
using testing::SameReports;
using testing::SlowProgram;
using testing::SpreadDevices;
using testing::Suitable;
using testing::Targets;
using testing::Varieties;

template <class M>
class ProgramTest : public ::testing::Test {
 protected:
  void TearDown() override { SetNumThreads(0); }
};
TYPED_TEST_SUITE(ProgramTest, testing::ModelTypes, testing::ModelNames);

TYPED_TEST(ProgramTest, EqualsOnePulseAtATime) {
  using M = TypeParam;
  const TileShape shape{3, 4, 5};
  int64_t ends[6] = {}, forced = 0;
  for (const ProgramOptions& options : Varieties<M>()) {
    for (const bool single : {true, false}) {
      for (const bool own_params : {false, true}) {
        const int64_t n = 60;
        Columns<M> slow = SpreadDevices<M>(n, single, own_params);
        Columns<M> fast = slow;
        const auto target = Targets(slow);
        std::vector<uint8_t> selected(n, 1), stuck(n, 0);
        selected[3] = selected[50] = 0;
        stuck[7] = stuck[20] = own_params;
        Report slow_report(n), fast_report(n);
        SlowProgram<M>(slow, shape, options, slow_report, stuck).Run(target, selected);
        DeviceView view = fast.View();
        view.stuck = stuck.data();
        Program(M::kName, view, shape, target.data(), selected.data(), options, fast_report.View());
        ASSERT_TRUE(SameDevices(fast, slow));
        ASSERT_TRUE(SameReports(fast_report, slow_report));
        EXPECT_EQ(fast_report.outcome[3], Outcome::kNotProgrammed);
        EXPECT_EQ(fast_report.outcome[7] == Outcome::kFaulty, own_params);
        for (int64_t i = 0; i < n; ++i) {
          ++ends[static_cast<int>(fast_report.outcome[i])];
          forced += fast_report.forced[i] > 0;
        }
      }
    }
  }
  // What the varieties are for has happened.
  EXPECT_GT(forced, 0);
  for (const Outcome end : {Outcome::kConverged, Outcome::kPulseLimit, Outcome::kDisturbed}) {
    EXPECT_GT(ends[static_cast<int>(end)], 0);
  }
}

TYPED_TEST(ProgramTest, IsTheSameForAnyNumberOfThreads) {
  using M = TypeParam;
  const TileShape shape{24, 8, 8};
  const int64_t n = 24 * 64;
  for (const ProgramOptions& options : Varieties<M>()) {
    Columns<M> first = SpreadDevices<M>(n, true, false);
    const Columns<M> fresh = first;
    const auto target = Targets(first);
    const std::vector<uint8_t> selected(n, 1);
    Report first_report(n);
    Program(M::kName, first.View(), shape, target.data(), selected.data(), options, first_report.View());
    for (const int threads : {1, 3}) {
      SetNumThreads(threads);
      Columns<M> devices = fresh;
      Report report(n);
      Program(M::kName, devices.View(), shape, target.data(), selected.data(), options, report.View());
      EXPECT_TRUE(SameDevices(devices, first));
      EXPECT_TRUE(SameReports(report, first_report));
    }
  }
}

TYPED_TEST(ProgramTest, IsTheSameOnEveryInstructionSet) {
  using M = TypeParam;
  const int64_t n = 200;
  const int model = ModelIndex("test", M::kName);
  const std::vector<PulseRun> runs = {{testing::WorkingVoltage<M>(), 3}, {-testing::WorkingVoltage<M>(), 2}};
  std::vector<int64_t> cells;
  std::vector<double> volts;
  for (int64_t i = 0; i < n; i += 1 + i % 3) {
    cells.push_back(i);
    volts.push_back(testing::WorkingVoltage<M>() * (i % 7 - 3) / 3);
  }
  std::vector<Columns<M>> results;
  for (const ProgramKernels* kernels : testing::Runnable(baseline::kProgram, avx2::kProgram, avx512::kProgram)) {
    Columns<M> devices = SpreadDevices<M>(n, true, true);
    const auto target = Targets(devices);
    Report report(n);
    const ProgramJob job{devices.View(), target.data(), Varieties<M>()[1], report.View(),
                         false,          false,         [] { return 0.0; }};
    kernels->disturb(model, job, cells.data(), cells.size(), 0.5, runs.data(), runs.size(), 0);
    kernels->write(model, job, cells.data(), cells.size(), 0, nullptr);
    EXPECT_TRUE(kernels->pulse(model, job, cells.data(), cells.size(), volts.data(), 7));
    results.push_back(devices);
  }
  for (const auto& result : results) EXPECT_TRUE(SameDevices(result, results[0]));
}

TYPED_TEST(ProgramTest, ItsPulsesReachEveryConductanceFromBothEnds) {
  using M = TypeParam;
  const int64_t n = 36;
  for (const bool from_off : {true, false}) {
    for (int64_t cell = 0; cell < n; ++cell) {  // one at a time: neighbours of some models move on
      Columns<M> devices(n);
      const auto p = devices.ParamsOf(0);
      std::vector<float> start(n, static_cast<float>(1 / (from_off ? p.r_off : p.r_on)));
      SetConductance(M::kName, devices.View(), {start.data(), nullptr});
      // Half of the targets equally spaced in conductance, half in its logarithm.
      const double part = cell / 2 / (n / 2 - 1.0);
      std::vector<double> target(n);
      target[cell] = cell % 2 == 0 ? (1 - part) / p.r_off + part / p.r_on : std::pow(p.r_off / p.r_on, part) / p.r_off;
      std::vector<uint8_t> selected(n, 0);
      selected[cell] = 1;
      Report report(n);
      Program(M::kName, devices.View(), {1, 6, 6}, target.data(), selected.data(), Suitable<M>(), report.View());
      EXPECT_EQ(report.outcome[cell], Outcome::kConverged) << "from " << start[0] << " to " << target[cell];
      EXPECT_LE(std::fabs(devices.g32[cell] - target[cell]), 0.01 * target[cell] / 0.99);
    }
  }
}

TYPED_TEST(ProgramTest, GivesUpAfterItsTimeout) {
  using M = TypeParam;
  ProgramOptions options = Varieties<M>()[3];
  options.force_conductance = 0;
  options.timeout = 0;
  Columns<M> devices(4);
  const auto p = devices.ParamsOf(0);
  const std::vector<double> target(4, 1 / p.r_off);
  const std::vector<uint8_t> selected(4, 1);
  Report report(4);
  Program(M::kName, devices.View(), {1, 2, 2}, target.data(), selected.data(), options, report.View());
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(report.outcome[i], Outcome::kTimeout);
    EXPECT_GE(report.pulses[i], 1);
    EXPECT_LE(report.pulses[i], 65);  // the clock is looked at after at most 64
  }
}

TYPED_TEST(ProgramTest, NamesWhatIsWrongAndChangesNothing) {
  using M = TypeParam;
  Columns<M> devices = SpreadDevices<M>(6, true, false);
  const Columns<M> before = devices;
  auto target = Targets(devices);
  const std::vector<uint8_t> selected(6, 1);
  Report report(6);
  const auto error = [&](void (*change)(ProgramOptions&), const TileShape& shape = {1, 2, 3}) {
    ProgramOptions options = Suitable<M>();
    change(options);
    return ErrorOf(
        [&] { Program(M::kName, devices.View(), shape, target.data(), selected.data(), options, report.View()); });
  };
  EXPECT_EQ(error([](ProgramOptions& o) { o.dt = 0; }), "[program] dt (0 s) must be finite and above 0");
  EXPECT_EQ(error([](ProgramOptions& o) { o.on_samples = 0; }), "[program] on_samples (0) must be at least 1");
  EXPECT_EQ(error([](ProgramOptions& o) { o.off_samples = -1; }), "[program] off_samples (-1) must be at least 0");
  EXPECT_EQ(error([](ProgramOptions& o) { o.positive_voltage = -1; }),
            "[program] positive_voltage (-1 V) must be finite and above 0");
  EXPECT_EQ(error([](ProgramOptions& o) { o.negative_voltage = 0; }),
            "[program] negative_voltage (0 V) must be finite and below 0");
  EXPECT_EQ(error([](ProgramOptions& o) { o.rel_tol = -1; }), "[program] rel_tol (-1) must be finite and at least 0");
  EXPECT_EQ(error([](ProgramOptions& o) { o.max_pulses = -1; }), "[program] max_pulses (-1) must be at least 0");
  EXPECT_EQ(error([](ProgramOptions& o) { o.timeout = std::numeric_limits<double>::quiet_NaN(); }),
            "[program] timeout (nan s) must be finite and at least 0");
  EXPECT_EQ(error([](ProgramOptions& o) { o.positive_voltage = o.force_voltage = 1.7e308; }),
            "[program] voltage raised by force_voltage (inf V) must be finite");
  EXPECT_EQ(error([](ProgramOptions&) {}, {1, 2, 2}), "[program] shape (1 x 2 x 2) must hold the 6 devices");
  target[4] = 1;
  const std::string of_target = error([](ProgramOptions&) {});
  EXPECT_EQ(of_target.rfind("[program] target of device 4 (1 S) must be within [1/r_off, 1/r_on] = [", 0), 0u)
      << of_target;
  EXPECT_TRUE(SameDevices(devices, before));
  EXPECT_TRUE(SameReports(report, Report(6)));
}

TEST(ProgramNoiseTest, EqualsOnePulseAtATime) {
  for (const bool neighbours : {true, false}) {
    Columns<StanfordPku> slow(60);
    slow.Share("model_switch", 1);
    std::vector<float> start(60, 1e-4f);
    SetConductance("Stanford_PKU", slow.View(), {start.data(), nullptr});
    Columns<StanfordPku> fast = slow;
    ProgramOptions options = Suitable<StanfordPku>();
    options.off_samples = 2;
    options.max_pulses = 50;
    options.neighbours = neighbours;
    options.seed = 11;
    options.first_device = 5;
    const auto target = Targets(slow);
    const std::vector<uint8_t> selected(60, 1);
    Report slow_report(60), fast_report(60);
    SlowProgram<StanfordPku>(slow, {2, 5, 6}, options, slow_report).Run(target, selected);
    Program("Stanford_PKU", fast.View(), {2, 5, 6}, target.data(), selected.data(), options, fast_report.View());
    EXPECT_TRUE(SameDevices(fast, slow));
    EXPECT_TRUE(SameReports(fast_report, slow_report));
  }
}

// Targets that 1 / r_on rounded to float32 exceeds are in range.
TEST(ProgramRangeTest, AllowsForTheRoundingOfFloat32) {
  Columns<Vteam> devices(1);
  const double target = static_cast<float>(1.0 / 50) * (1 + 0x1p-24);
  const uint8_t selected = 1;
  Report report(1);
  Program("VTEAM", devices.View(), {1, 1, 1}, &target, &selected, Suitable<Vteam>(), report.View());
  EXPECT_EQ(report.outcome[0], Outcome::kConverged);
  EXPECT_EQ(report.pulses[0], 0);
}

}  // namespace
}  // namespace memtorch
