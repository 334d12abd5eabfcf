// Programming where voltages are solved: engine/cuda/program.h does what engine/program.h does.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/cuda/program.h"
#include "tests/cpp/cuda/columns.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/models.h"
#include "tests/cpp/testing/slow_program.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::ErrorOf;
using testing::ExpectNear;
using testing::GpuColumns;
using testing::OnGpu;
using testing::Report;
using testing::SameDevices;
using testing::SameReports;

class CudaProgramWiresTest : public testing::GpuTest {};

// Crossbars of model M, what they are programmed to, and how.
template <class M>
struct Writing {
  TileShape shape;
  Columns<M> columns;
  ProgramOptions options;
  std::vector<double> target;
  std::vector<uint8_t> selected;

  Writing(const TileShape& tiles, const ProgramOptions& pulses, bool single)
      : shape(tiles),
        columns(testing::SpreadDevices<M>(tiles.tiles * tiles.rows * tiles.cols, single, single)),
        options(pulses),
        target(testing::Targets(columns)),
        selected(target.size(), 1) {
    for (size_t k = 0; testing::kWatched && k < selected.size(); ++k) selected[k] = k % 5 == 0;
  }

  struct Found {
    Columns<M> devices;
    Report report;
    std::vector<double> residual;
  };
  Found OnCpu() const {
    Found found{columns, Report(columns.n), {}};
    Program(M::kName, found.devices.View(), shape, target.data(), selected.data(), options, found.report.View());
    return found;
  }
  Found OnTheGpu() const {
    GpuColumns<M> gpu(columns);
    Found found{columns, Report(columns.n), {}};
    const OnGpu<int64_t> pulses(found.report.pulses), forced(found.report.forced);
    const OnGpu<double> error(found.report.error), targets(target), residual(std::vector<double>(shape.tiles, -1));
    const OnGpu<Outcome> outcome(found.report.outcome);
    const OnGpu<uint8_t> cells(selected);
    const OnGpu<char> workspace(cuda::ProgramWorkspaceBytes(shape, options));
    cuda::Program(M::kName, gpu.View(), shape, targets.data(), cells.data(), options,
                  {pulses.data(), error.data(), outcome.data(), forced.data()}, residual.data(), workspace.data(),
                  nullptr);
    found.devices = gpu.Get();
    found.report.pulses = pulses.Get();
    found.report.forced = forced.Get();
    found.report.error = error.Get();
    found.report.outcome = outcome.Get();
    found.residual = residual.Get();
    return found;
  }
};

// Both sides solve to 1e-12 of the largest current, which can be some 1e3 of a voltage's own part in it; float32
// conductances of either side may round to neighbours, 6e-8 apart, and then do for some pulses.
template <class M>
void ExpectSame(const Writing<M>& writing, bool single) {
  const auto found = writing.OnTheGpu(), expected = writing.OnCpu();
  ExpectNear(found.devices, expected.devices, single ? 1e-6 : 1e-9);
  EXPECT_EQ(found.report.pulses, expected.report.pulses);
  EXPECT_EQ(found.report.forced, expected.report.forced);
  EXPECT_EQ(found.report.outcome, expected.report.outcome);
  ExpectNear(found.report.error, expected.report.error, single ? 1e-6 : 1e-9);
  for (const double residual : found.residual) {
    EXPECT_GE(residual, 0);
    EXPECT_LE(residual, kProgramTolerance);
  }
}

TEST_P(CudaProgramWiresTest, WritesWhatTheCpuWrites) {
  ForEachModel([](auto m) {
    using M = decltype(m);
    bool single = false;
    int count = 0;
    for (ProgramOptions options : testing::Varieties<M>()) {
      options.max_pulses = options.max_pulses < 12 ? options.max_pulses : 12;
      for (const auto& circuit : testing::Circuits()) {  // an odd number: each meets both
        single = !single;
        if (testing::kWatched && count++ % 26 != 7) continue;  // strong pulses, and thirds
        SCOPED_TRACE(M::kName);
        Writing<M> writing({2, 3, 4}, options, single);
        circuit(writing.options, writing.columns.ParamsOf(0).r_on);
        writing.selected[3] = writing.selected[14] = 0;
        writing.columns.stuck.assign(24, 0);
        writing.columns.stuck[7] = writing.columns.stuck[20] = single;
        ExpectSame(writing, single);
      }
    }
  });
}

TEST_P(CudaProgramWiresTest, TilesOfAnyShape) {
  using M = DataDriven;
  for (const TileShape& shape : {TileShape{2, 1, 1}, {3, 1, 33}, {1, 31, 2}, {1, 2, 300}}) {
    SCOPED_TRACE(::testing::Message() << shape.tiles << " x " << shape.rows << " x " << shape.cols);
    ProgramOptions options = testing::Varieties<M>()[1];
    options.max_pulses = 3;
    Writing<M> writing(shape, options, false);
    writing.options.wires = {1, 2, 10, 5};
    for (size_t k = 0; k < writing.selected.size(); ++k) writing.selected[k] = k % 7 < 2;
    ExpectSame(writing, false);
  }
}

// More tiles than blocks of threads.
TEST_P(CudaProgramWiresTest, BlocksTakeTilesInTurn) {
  ProgramOptions options = testing::Varieties<Vteam>()[1];
  options.max_pulses = 4;
  options.wires = {1, 1, 1, 1};
  ExpectSame(Writing<Vteam>({testing::kWatched ? 30 : 2500, 2, 1}, options, false), false);
}

TEST_P(CudaProgramWiresTest, DrawsTheNoiseOfTheCpu) {
  using M = StanfordPku;
  for (const bool neighbours : {true, false}) {
    Writing<M> writing({2, 3, 4}, testing::Varieties<M>()[1], false);
    writing.columns.Share("model_switch", 1);
    ASSERT_TRUE(M::UsesNoise(writing.columns.ParamsOf(0)));
    writing.options.max_pulses = 6;
    writing.options.seed = 5;
    writing.options.first_device = 100;
    writing.options.neighbours = neighbours;
    writing.options.wires = {1e3, 1e3, 1e3, 1e3};
    ExpectSame(writing, false);
    const auto found = writing.OnTheGpu();
    writing.options.seed = 6;
    EXPECT_FALSE(SameDevices(writing.OnTheGpu().devices, found.devices));
  }
}

TEST_P(CudaProgramWiresTest, SameBitsInEveryRun) {
  using M = LinearIonDrift;
  Writing<M> writing({3, 5, 7}, testing::Varieties<M>()[6], true);
  writing.options.max_pulses = 5;
  writing.options.floating = true;
  const auto first = writing.OnTheGpu(), second = writing.OnTheGpu();
  EXPECT_TRUE(SameDevices(first.devices, second.devices));
  EXPECT_TRUE(SameReports(first.report, second.report));
}

// Wires of 1e6 ohm leave rounding above the tolerance between devices of 1 ohm, those of the second tile.
TEST_P(CudaProgramWiresTest, ACircuitThatIsNotSolvedChangesNothing) {
  using M = LinearIonDrift;
  Writing<M> writing({2, 5, 6}, testing::Suitable<M>(), true);
  Columns<M>& devices = writing.columns;
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, double>>{{"r_on", 1}, {"r_off", 1e5}, {"pos_write_threshold", 0}}) {
    devices.Share(name, value);
  }
  std::vector<float> start(60, 2e-5f);
  for (int64_t k = 30; k < 60; ++k) start[k] = 0.1f + 0.9f * static_cast<float>(k % 7) / 7;
  SetConductance(M::kName, devices.View(), {start.data(), nullptr});
  writing.target.assign(60, 0.5);
  writing.options.max_pulses = 2;
  writing.options.wires = {1e6, 1e6, 0, 0};
  const auto found = writing.OnTheGpu();
  EXPECT_LE(found.residual[0], kProgramTolerance);
  EXPECT_FALSE(found.residual[1] <= kProgramTolerance);
  EXPECT_TRUE(SameDevices(found.devices, devices));
  EXPECT_TRUE(SameReports(found.report, Report(60)));
  for (int64_t k = 30; k < 60; ++k) writing.selected[k] = 0;
  const auto solved = writing.OnTheGpu();
  EXPECT_EQ(solved.residual[1], 0);
  EXPECT_FALSE(SameDevices(solved.devices, devices));
}

TEST_P(CudaProgramWiresTest, NothingToProgramIsNothing) {
  ProgramOptions options = testing::Suitable<Vteam>();
  options.floating = true;
  Writing<Vteam> none({1, 2, 2}, options, true);
  none.selected.assign(4, 0);
  const auto found = none.OnTheGpu();
  EXPECT_TRUE(SameDevices(found.devices, none.columns));
  EXPECT_TRUE(SameReports(found.report, Report(4)));
  const Writing<Vteam> empty({2, 0, 3}, options, false);
  EXPECT_EQ(empty.OnTheGpu().residual, std::vector<double>(2, 0));
}

TEST_P(CudaProgramWiresTest, ErrorsNameTheArgument) {
  const auto message = [](const auto& change) {
    Writing<Vteam> writing({1, 2, 2}, testing::Suitable<Vteam>(), true);
    writing.options.wires.load = 1;
    change(writing);
    return ErrorOf([&] { writing.OnTheGpu(); });
  };
  EXPECT_EQ(message([](auto& w) { w.options.wires.word = -1; }), "[program] word (-1 ohm) must be in [0, 1e+12]");
  EXPECT_EQ(message([](auto& w) { w.options.dt = 0; }), "[program] dt (0 s) must be finite and above 0");
  EXPECT_EQ(message([](auto& w) { w.shape.cols = 3; }), "[program] shape (1 x 2 x 3) must hold the 4 devices");
}

MT_GPU_SUITE(CudaProgramWiresTest);

}  // namespace
}  // namespace memtorch
