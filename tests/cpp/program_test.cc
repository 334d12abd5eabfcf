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

namespace memtorch {
namespace {

using testing::Columns;
using testing::ErrorOf;
using testing::SameBits;
using testing::SameDevices;

struct Report {
  explicit Report(int64_t n) : pulses(n, -1), forced(n, -1), error(n, -1), outcome(n, Outcome::kNotProgrammed) {}
  ProgramReport View() { return {pulses.data(), error.data(), outcome.data(), forced.data()}; }

  std::vector<int64_t> pulses, forced;
  std::vector<double> error;
  std::vector<Outcome> outcome;
};

bool SameReports(const Report& a, const Report& b) {
  return a.pulses == b.pulses && a.forced == b.forced && a.error == b.error && a.outcome == b.outcome;
}

// The whole of program.h in the order of its text: pulse by pulse, device by device, sample by sample.
template <class M>
class SlowProgram {
 public:
  SlowProgram(Columns<M>& devices, const TileShape& shape, const ProgramOptions& options, Report& report,
              const std::vector<uint8_t>& stuck = {})
      : devices_(devices), shape_(shape), o_(options), report_(report), stuck_(stuck) {}

  void Run(const std::vector<double>& target, const std::vector<uint8_t>& selected) {
    const int64_t size = shape_.rows * shape_.cols;
    for (int64_t tile = 0; tile < shape_.tiles; ++tile) {
      sample_ = 0;
      for (int64_t cell = tile * size; cell < (tile + 1) * size; ++cell) {
        if (!o_.neighbours) sample_ = 0;
        if (selected[cell]) Write(cell, target[cell]);
      }
    }
    for (int64_t cell = 0; cell < devices_.n; ++cell) {
      if (!selected[cell]) continue;
      report_.error[cell] = Error(cell, target[cell]);
      const bool near = Near(G(cell), target[cell], o_.rel_tol);
      if (report_.outcome[cell] == Outcome::kConverged && !near) report_.outcome[cell] = Outcome::kDisturbed;
    }
  }

 private:
  static bool Near(double a, double b, double rel_tol) {
    return std::fabs(a - b) <= rel_tol * std::fmax(std::fabs(a), std::fabs(b));
  }
  double G(int64_t cell) const { return devices_.g32.empty() ? devices_.g64[cell] : devices_.g32[cell]; }
  double Error(int64_t cell, double target) const {
    return std::fabs(target - G(cell)) / std::fmax(std::fabs(target), std::fabs(G(cell)));
  }
  double Rounded(double g) const { return devices_.g32.empty() ? g : static_cast<float>(g); }
  bool Stuck(int64_t cell) const { return !stuck_.empty() && stuck_[cell] != 0; }

  void Store(int64_t cell, const typename M::State& s) {
    StoreState<M>(s, [&](size_t i, double value) { devices_.state[i][cell] = value; });
    const double g = M::Conductance(devices_.ParamsOf(cell), s);
    if (devices_.g32.empty()) {
      devices_.g64[cell] = g;
    } else {
      devices_.g32[cell] = static_cast<float>(g);
    }
  }

  void Pulse(int64_t cell, double v) {
    if (Stuck(cell)) return;
    const auto p = devices_.ParamsOf(cell);
    auto s = devices_.StateOf(cell);
    double current = 0;
    for (int64_t t = 0; t < o_.on_samples + o_.off_samples; ++t) {
      const double normal =
          M::UsesNoise(p) ? Normal(o_.seed, static_cast<uint64_t>(o_.first_device + cell), sample_ + t) : 0;
      current = Step<M>(p, M::MakeDrive(p, t < o_.on_samples ? v : 0, o_.dt), s, current, normal);
    }
    Store(cell, s);
  }

  void Write(int64_t cell, double target) {
    int64_t pulses = 0, forced = 0;
    double raised = 0;
    Outcome outcome = Outcome::kFaulty;
    while (!Stuck(cell)) {
      const double g = G(cell);
      outcome = Near(target, g, o_.rel_tol) ? Outcome::kConverged : Outcome::kPulseLimit;
      if (outcome == Outcome::kConverged || pulses == o_.max_pulses) break;
      const bool positive = (g < target) == (M::kPolarity > 0);
      const double v = positive ? o_.positive_voltage + raised : o_.negative_voltage - raised;
      if (raised > 0) ++forced;
      Pulse(cell, v);
      const int64_t size = shape_.rows * shape_.cols;
      for (int64_t other = cell / size * size; o_.neighbours && other < (cell / size + 1) * size; ++other) {
        const bool same_row = other / shape_.cols == cell / shape_.cols;
        const bool same_column = other % shape_.cols == cell % shape_.cols;
        if (other != cell && (same_row || same_column)) Pulse(other, 0.5 * v);
      }
      sample_ += o_.on_samples + o_.off_samples;
      ++pulses;
      const auto p = devices_.ParamsOf(cell);
      raised = 0;
      const bool at_bound = Near(g, 1 / p.r_on, o_.force_rel_tol) || Near(g, 1 / p.r_off, o_.force_rel_tol);
      if (G(cell) != g || !at_bound || (v < o_.positive_threshold && v > o_.negative_threshold)) continue;
      raised = o_.force_voltage;
      if (raised > 0 || o_.force_conductance == 0) continue;
      const double step = o_.force_conductance;
      const double wanted = Rounded(g < target ? std::fmin(g + step, target) : std::fmax(g - step, target));
      Store(cell, M::FromConductance(p, std::fmin(std::fmax(wanted, 1 / p.r_off), 1 / p.r_on)));
      ++forced;
    }
    report_.pulses[cell] = pulses;
    report_.forced[cell] = forced;
    report_.outcome[cell] = outcome;
  }

  Columns<M>& devices_;
  TileShape shape_;
  ProgramOptions o_;
  Report& report_;
  std::vector<uint8_t> stuck_;
  int64_t sample_ = 0;
};

template <class M>
ProgramOptions Suitable() {
  ProgramOptions o;
  o.dt = M::kPulses.time_step;
  o.on_samples = std::lround(M::kPulses.duration / M::kPulses.time_step);
  o.off_samples = std::lround(M::kPulses.refractory_period / M::kPulses.time_step);
  o.positive_voltage = M::kPulses.positive_voltage;
  o.negative_voltage = M::kPulses.negative_voltage;
  o.rel_tol = M::kPulses.rel_tol;
  o.max_pulses = M::kPulses.max_pulses;
  o.timeout = 1e9;  // results must not depend on the load of the machine
  return o;
}

// Pulses that disturb neighbours, overshoot, get stuck, rest, or last long.
template <class M>
std::vector<ProgramOptions> Varieties() {
  ProgramOptions quiet = Suitable<M>();
  quiet.max_pulses = 150;
  ProgramOptions strong = quiet;
  strong.positive_voltage = 1.3 * testing::WorkingVoltage<M>();
  strong.negative_voltage = -1.1 * testing::WorkingVoltage<M>();
  strong.dt = M::kTimeStep;
  strong.off_samples = 2;
  strong.max_pulses = 40;
  ProgramOptions raised = strong;
  raised.force_voltage = 0.25;
  raised.force_rel_tol = 0.5;
  ProgramOptions slow = quiet;  // nothing of the size of a pulse moves: stuck at the bounds
  slow.positive_voltage = 0.01;
  slow.negative_voltage = -0.01;
  slow.force_conductance = 1e-5;
  slow.force_rel_tol = 0.5;
  slow.positive_threshold = 0.005;
  slow.negative_threshold = -0.005;
  ProgramOptions alone = strong;
  alone.neighbours = false;
  ProgramOptions lasting = strong;
  lasting.on_samples = 70;
  lasting.max_pulses = 90;  // round in circles
  return {quiet, strong, raised, slow, alone, lasting};
}

template <class M>
std::vector<double> Targets(const Columns<M>& devices, double power = 1) {
  std::vector<double> target(devices.n);
  for (int64_t i = 0; i < devices.n; ++i) {
    const auto p = devices.ParamsOf(i);
    target[i] = 1 / p.r_off + (1 / p.r_on - 1 / p.r_off) * std::pow(i * 7 % devices.n / (devices.n - 1.0), power);
  }
  return target;
}

template <class M>
class ProgramTest : public ::testing::Test {
 protected:
  void TearDown() override { SetNumThreads(0); }

  // Conductances spread over the range.
  static Columns<M> Devices(int64_t n, bool single, bool own_params) {
    Columns<M> devices(n, single);
    if (own_params) {
      devices.Spread("r_on", 0.1);
      devices.Spread("r_off", 0.1);
    }
    const auto target = Targets(devices, 3);
    std::vector<float> single_target(target.begin(), target.end());
    SetConductance(M::kName, devices.View(),
                   {single ? single_target.data() : nullptr, single ? nullptr : const_cast<double*>(target.data())});
    return devices;
  }
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
        Columns<M> slow = this->Devices(n, single, own_params);
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
    Columns<M> first = this->Devices(n, true, false);
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
  for (int64_t i = 0; i < n; i += 1 + i % 3) cells.push_back(i);
  std::vector<Columns<M>> results;
  for (const ProgramKernels* kernels : testing::Runnable(baseline::kProgram, avx2::kProgram, avx512::kProgram)) {
    Columns<M> devices = this->Devices(n, true, true);
    const auto target = Targets(devices);
    Report report(n);
    const ProgramJob job{devices.View(), target.data(), Varieties<M>()[1], report.View(), false, false, [] { return 0.0; }};
    kernels->disturb(model, job, cells.data(), cells.size(), 0.5, runs.data(), runs.size(), 0);
    kernels->write(model, job, cells.data(), cells.size(), 0, nullptr);
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
  Columns<M> devices = this->Devices(6, true, false);
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
