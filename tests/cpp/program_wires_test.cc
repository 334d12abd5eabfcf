// Program where device voltages are solved: against nodal analysis in extended precision before every pulse.

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/parallel.h"
#include "engine/program.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/models.h"
#include "tests/cpp/testing/slow_program.h"

namespace memtorch {
namespace {

using testing::Circuits;
using testing::Columns;
using testing::ErrorOf;
using testing::ExpectNear;
using testing::Report;
using testing::SameDevices;
using testing::SameReports;
using testing::SetThirds;
using testing::SlowProgram;
using testing::SpreadDevices;
using testing::Suitable;
using testing::Targets;
using testing::Varieties;

template <class M>
class ProgramWiresTest : public ::testing::Test {
 protected:
  void TearDown() override { SetNumThreads(0); }
};
TYPED_TEST_SUITE(ProgramWiresTest, testing::ModelTypes, testing::ModelNames);

TYPED_TEST(ProgramWiresTest, EqualsSolvingTheCircuitBeforeEveryPulse) {
  using M = TypeParam;
  const TileShape shape{2, 3, 4};
  const int64_t n = 24;
  int64_t forced = 0, moved = 0;
  for (ProgramOptions options : Varieties<M>()) {
    options.max_pulses = options.max_pulses < 12 ? options.max_pulses : 12;
    for (const auto& circuit : Circuits()) {
      for (const bool single : {true, false}) {
        Columns<M> slow = SpreadDevices<M>(n, single, single);
        const Columns<M> start = slow;
        Columns<M> fast = slow;
        circuit(options, slow.ParamsOf(0).r_on);
        const auto target = Targets(slow);
        std::vector<uint8_t> selected(n, 1), stuck(n, 0);
        selected[3] = selected[14] = 0;
        stuck[7] = stuck[20] = single;
        Report slow_report(n), fast_report(n);
        SlowProgram<M>(slow, shape, options, slow_report, stuck).Run(target, selected);
        DeviceView view = fast.View();
        view.stuck = stuck.data();
        Program(M::kName, view, shape, target.data(), selected.data(), options, fast_report.View());
        // Solved to 1e-12 of the largest current, which can be some 1e3 of a voltage's own part in it; float32
        // conductances of either side may round to neighbours, 6e-8 apart, and then do for some pulses.
        ExpectNear(fast, slow, single ? 1e-6 : 1e-9);
        EXPECT_EQ(fast_report.pulses, slow_report.pulses);
        EXPECT_EQ(fast_report.forced, slow_report.forced);
        EXPECT_EQ(fast_report.outcome, slow_report.outcome);
        for (int64_t k = 0; k < n; ++k) {
          forced += fast_report.forced[k] > 0;
          moved += fast.state[0][k] != start.state[0][k];
        }
      }
    }
  }
  EXPECT_GT(forced, 0);
  EXPECT_GT(moved, 24);
}

TYPED_TEST(ProgramWiresTest, IsTheSameForAnyNumberOfThreads) {
  using M = TypeParam;
  const TileShape shape{6, 5, 7};
  const int64_t n = 6 * 35;
  for (const auto& circuit : Circuits()) {
    ProgramOptions options = Varieties<M>()[1];
    circuit(options, 1000);
    options.max_pulses = 5;
    Columns<M> first = SpreadDevices<M>(n, true, false);
    const Columns<M> fresh = first;
    const auto target = Targets(first);
    const std::vector<uint8_t> selected(n, 1);
    Report first_report(n);
    SetNumThreads(1);
    Program(M::kName, first.View(), shape, target.data(), selected.data(), options, first_report.View());
    SetNumThreads(3);
    Columns<M> devices = fresh;
    Report report(n);
    Program(M::kName, devices.View(), shape, target.data(), selected.data(), options, report.View());
    EXPECT_TRUE(SameDevices(devices, first));
    EXPECT_TRUE(SameReports(report, first_report));
  }
}

// A cell gets what it got when only it was programmed, after the cells before it: solutions start afresh.
TYPED_TEST(ProgramWiresTest, CellByCellGivesTheSameBits) {
  using M = TypeParam;
  const TileShape shape{1, 4, 5};
  const int64_t n = 20;
  for (const auto& circuit : Circuits()) {
    ProgramOptions options = Varieties<M>()[1];
    options.max_pulses = 5;
    Columns<M> whole = SpreadDevices<M>(n, true, false);
    circuit(options, whole.ParamsOf(0).r_on);
    Columns<M> single = whole;
    const auto target = Targets(whole);
    Report whole_report(n), report(n);
    Program(M::kName, whole.View(), shape, target.data(), std::vector<uint8_t>(n, 1).data(), options,
            whole_report.View());
    for (int64_t cell = 0; cell < n; ++cell) {
      std::vector<uint8_t> selected(n, 0);
      selected[cell] = 1;
      Program(M::kName, single.View(), shape, target.data(), selected.data(), options, report.View());
    }
    EXPECT_TRUE(SameDevices(whole, single));
    EXPECT_EQ(whole_report.pulses, report.pulses);
  }
}

TYPED_TEST(ProgramWiresTest, WiresOfHardlyAnyResistanceAreIdealWires) {
  using M = TypeParam;
  const TileShape shape{1, 4, 5};
  const int64_t n = 20;
  for (const bool thirds : {false, true}) {
    ProgramOptions options = Varieties<M>()[1];
    if (thirds) SetThirds(options);
    Columns<M> ideal = SpreadDevices<M>(n, false, false);
    Columns<M> wired = ideal;
    const auto target = Targets(ideal);
    const std::vector<uint8_t> selected(n, 1);
    Report ideal_report(n), wired_report(n);
    Program(M::kName, ideal.View(), shape, target.data(), selected.data(), options, ideal_report.View());
    options.wires = {0, 0, 1e-20, 0};
    Program(M::kName, wired.View(), shape, target.data(), selected.data(), options, wired_report.View());
    ExpectNear(wired, ideal, 1e-9);  // as above
    EXPECT_EQ(wired_report.pulses, ideal_report.pulses);
    EXPECT_EQ(wired_report.outcome, ideal_report.outcome);
  }
}

// Wires of 1e6 ohm leave rounding above the tolerance between devices of 1 ohm, those of the second tile.
TEST(ProgramWiresErrorsTest, ACircuitThatIsNotSolvedChangesNothing) {
  const int64_t n = 60;
  Columns<LinearIonDrift> devices(n, true);
  devices.Share("r_on", 1);
  devices.Share("r_off", 1e5);
  devices.Share("pos_write_threshold", 0);
  std::vector<float> start(n, 2e-5f);
  for (int64_t k = 30; k < n; ++k) start[k] = 0.1f + 0.9f * static_cast<float>(k % 7) / 7;
  SetConductance("LinearIonDrift", devices.View(), {start.data(), nullptr});
  const Columns<LinearIonDrift> before = devices;
  ProgramOptions options = Suitable<LinearIonDrift>();
  options.max_pulses = 2;
  options.wires = {1e6, 1e6, 0, 0};
  std::vector<uint8_t> selected(n, 1);
  const std::vector<double> target(n, 0.5);
  const auto message = [&] {
    Report report(n);
    try {
      Program("LinearIonDrift", devices.View(), {2, 5, 6}, target.data(), selected.data(), options, report.View());
    } catch (const std::runtime_error& error) {
      EXPECT_TRUE(SameReports(report, Report(n)));
      return std::string(error.what());
    }
    return std::string();
  };
  SetNumThreads(1);  // the first tile is written before the second fails
  EXPECT_EQ(message().rfind("[solve_nodes] residual (", 0), 0u);
  EXPECT_TRUE(SameDevices(devices, before));
  for (int64_t k = 30; k < n; ++k) selected[k] = 0;
  EXPECT_EQ(message(), "");
  EXPECT_FALSE(SameDevices(devices, before));
  SetNumThreads(0);
}

// ---- Voltages ----

// Devices whose state tells the voltage of the last sample: dx = 1e-6 v d, either sign.
Columns<Vteam> Voltmeters(const std::vector<double>& ohm) {
  const int64_t n = static_cast<int64_t>(ohm.size());
  Columns<Vteam> devices(n, false);
  for (const auto& [name, value] : std::vector<std::pair<std::string, double>>{{"r_on", 1},
                                                                               {"r_off", 2000},
                                                                               {"v_off", 1e-20},
                                                                               {"v_on", -1e-20},
                                                                               {"alpha_off", 1},
                                                                               {"alpha_on", 1},
                                                                               {"k_off", 1e-20},
                                                                               {"k_on", -1e-20}}) {
    devices.Share(name, value);
  }
  std::vector<double> siemens;
  for (const double r : ohm) siemens.push_back(1 / r);
  SetConductance("VTEAM", devices.View(), {nullptr, siemens.data()});
  return devices;
}

// What they read after one pulse of 1 V on a cell.
std::vector<double> Readings(Columns<Vteam> devices, const TileShape& shape, int64_t cell, ProgramOptions options) {
  options.dt = 3e-15;
  options.negative_voltage = -1;
  options.positive_voltage = 1;
  options.max_pulses = 1;
  options.force_conductance = 0;
  options.timeout = 1e9;
  std::vector<uint8_t> selected(devices.n, 0);
  selected[cell] = 1;
  const std::vector<double> target(devices.n, 1.0 / 2000);  // away from all: the pulse is positive
  const std::vector<double> before = devices.state[0];
  Report report(devices.n);
  Program("VTEAM", devices.View(), shape, target.data(), selected.data(), options, report.View());
  std::vector<double> volts;
  for (int64_t k = 0; k < devices.n; ++k) volts.push_back((devices.state[0][k] - before[k]) / options.dt);
  return volts;
}

const std::vector<double> kOhm = {345, 903, 755, 257, 646, 652, 401, 508, 166, 454, 442, 874, 190, 244, 635};

// Voltages from nodal analysis with badcrossbar 1.1.0, printed to 8 decimals.
TEST(ProgramVoltagesTest, AreThoseOfRecordedWriteDisturb) {
  ProgramOptions options;
  options.wires = {0.5, 0.5, 0.5, 0.5};
  const auto volts = Readings(Voltmeters(kOhm), {1, 3, 5}, 7, options);
  const std::vector<double> recorded = {-.00106924, -.00185394, 0.49482542, -.00382967, -.00200413,
                                        0.49528808, 0.49124415, 0.98560604, 0.48461198, 0.48590674,
                                        -.00165729, -.00317335, 0.49355514, -.00527542, -.00436073};
  for (size_t k = 0; k < volts.size(); ++k) EXPECT_NEAR(volts[k], recorded[k], 5.1e-9);  // half of the last digit
}

// With one device apart from the pulsed one in either of its lines, the way around it is three devices in series.
TEST(ProgramVoltagesTest, OfFourDevicesWithOpenLinesDivideLikeThreeInSeries) {
  ProgramOptions options;
  options.floating = true;
  const auto volts = Readings(Voltmeters({500, 200, 300, 700}), {1, 2, 2}, 0, options);
  EXPECT_NEAR(volts[0], 1, 1e-11);  // what a state of 1e-9 m resolves of a step of 3e-15 m/V: 1e-10 at worst
  EXPECT_NEAR(volts[1], 200.0 / 1200, 1e-9);
  EXPECT_NEAR(volts[2], 300.0 / 1200, 1e-9);
  EXPECT_NEAR(volts[3], -700.0 / 1200, 1e-9);
}

// Turned so that word lines become bit lines and drivers sense ends, a tile sees the same pulse, from the other end.
TEST(ProgramVoltagesTest, OfATurnedTileAreTheSame) {
  const std::vector<double> turned_ohm = [] {
    std::vector<double> turned(15);
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t j = 0; j < 5; ++j) turned[(4 - j) * 3 + (2 - i)] = kOhm[i * 5 + j];
    }
    return turned;
  }();
  for (const bool floating : {false, true}) {
    ProgramOptions options;
    options.floating = floating;
    options.wires = {1, 2, 10, 30};
    const auto volts = Readings(Voltmeters(kOhm), {1, 3, 5}, 3, options);
    options.wires = {2, 1, 30, 10};
    const auto turned = Readings(Voltmeters(turned_ohm), {1, 5, 3}, (4 - 3) * 3 + 2, options);
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t j = 0; j < 5; ++j) EXPECT_NEAR(turned[(4 - j) * 3 + (2 - i)], volts[i * 5 + j], 1e-9);
    }
  }
}

TEST(ProgramVoltagesTest, LeaveTheFarCornerMorePulses) {
  const TileShape shape{1, 16, 16};
  ProgramOptions options = Suitable<LinearIonDrift>();
  options.wires = {5, 5, 5, 5};
  options.positive_voltage = 2;
  options.rel_tol = 0.1;
  int64_t pulses[2];
  for (const int64_t cell : {15 * 16, 15}) {  // next to driver and sense end; far from both
    Columns<LinearIonDrift> devices(256);
    std::vector<float> start(256, 1e-3f);
    SetConductance("LinearIonDrift", devices.View(), {start.data(), nullptr});
    std::vector<uint8_t> selected(256, 0);
    selected[cell] = 1;
    Report report(256);
    Program("LinearIonDrift", devices.View(), shape, std::vector<double>(256, 3e-3).data(), selected.data(), options,
            report.View());
    EXPECT_EQ(report.outcome[cell], Outcome::kConverged);
    pulses[cell == 15] = report.pulses[cell];
  }
  EXPECT_GT(pulses[1], pulses[0]);
}

// ---- Noise, errors ----

TEST(ProgramWiresNoiseTest, DrawsOnlyForDevicesAndSamples) {
  for (const bool neighbours : {true, false}) {
    Columns<StanfordPku> slow(24, false);
    slow.Share("model_switch", 1);
    std::vector<double> start(24, 1e-4);
    SetConductance("Stanford_PKU", slow.View(), {nullptr, start.data()});
    Columns<StanfordPku> fast = slow;
    ProgramOptions options = Suitable<StanfordPku>();
    options.off_samples = 2;
    options.max_pulses = 20;
    options.neighbours = neighbours;
    options.seed = 11;
    options.first_device = 5;
    options.wires = {10, 20, 100, 50};
    const auto target = Targets(slow);
    const std::vector<uint8_t> selected(24, 1);
    Report slow_report(24), fast_report(24);
    SlowProgram<StanfordPku>(slow, {2, 3, 4}, options, slow_report).Run(target, selected);
    Program("Stanford_PKU", fast.View(), {2, 3, 4}, target.data(), selected.data(), options, fast_report.View());
    ExpectNear(fast, slow, 1e-9);  // as above
    EXPECT_EQ(fast_report.pulses, slow_report.pulses);
  }
}

TEST(ProgramWiresErrorsTest, NameWhatIsWrongAndChangeNothing) {
  Columns<Vteam> devices = SpreadDevices<Vteam>(6, false, false);
  const Columns<Vteam> before = devices;
  const auto target = Targets(devices);
  const std::vector<uint8_t> selected(6, 1);
  Report report(6);
  const auto error = [&](void (*change)(ProgramOptions&)) {
    ProgramOptions options = Suitable<Vteam>();
    change(options);
    return ErrorOf(
        [&] { Program("VTEAM", devices.View(), {1, 2, 3}, target.data(), selected.data(), options, report.View()); });
  };
  EXPECT_EQ(error([](ProgramOptions& o) { o.unselected_word = -0.1; }),
            "[program] unselected_word (-0.1) must be in [0, 1]");
  EXPECT_EQ(error([](ProgramOptions& o) { o.unselected_bit = NAN; }),
            "[program] unselected_bit (nan) must be in [0, 1]");
  EXPECT_EQ(error([](ProgramOptions& o) { o.wires.word = -1; }), "[program] word (-1 ohm) must be in [0, 1e+12]");
  EXPECT_EQ(error([](ProgramOptions& o) { o.wires.load = INFINITY; }),
            "[program] load (inf ohm) must be in [0, 1e+12]");
  EXPECT_TRUE(SameDevices(devices, before));
  devices.g64[4] = 1e7;
  const std::string of_device = error([](ProgramOptions& o) { o.floating = true; });
  EXPECT_EQ(of_device, "[program] g[0, 1, 1] (1e+07 S) must be in [0, 1e+06]");
  EXPECT_TRUE(SameReports(report, Report(6)));
}

}  // namespace
}  // namespace memtorch
