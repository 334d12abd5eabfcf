// engine/cuda/program.h gives the bits of engine/program.h.

#include "engine/cuda/program.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/program.h"
#include "tests/cpp/cuda/columns.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/models.h"
#include "tests/cpp/testing/samples.h"
#include "tests/cpp/testing/slow_program.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::GpuColumns;
using testing::OnGpu;
using testing::Report;
using testing::SameDevices;
using testing::SameReports;

class CudaProgramTest : public testing::GpuTest {};

template <class M>
ProgramOptions Pulses() {
  ProgramOptions o;
  o.dt = M::kPulses.time_step;
  o.on_samples = 3;
  o.off_samples = 2;
  o.positive_voltage = M::kPulses.positive_voltage;
  o.negative_voltage = M::kPulses.negative_voltage;
  o.max_pulses = 60;
  o.timeout = 1e6;
  o.rel_tol = 0.05;
  o.seed = 7;
  return o;
}

// Programs copies of `columns` on both sides.
template <class M>
void ExpectSame(const Columns<M>& columns, const TileShape& shape, const ProgramOptions& options) {
  const int64_t n = columns.n;
  std::vector<double> target;
  std::vector<uint8_t> selected;
  const std::vector<double> draws = testing::Normals<double>(n, 3, 1);
  for (int64_t i = 0; i < n; ++i) {
    const auto p = columns.ParamsOf(i);
    const double at = 0.5 + 0.45 * draws[i] / (1 + Abs(draws[i]));
    target.push_back(1 / p.r_off + at * (1 / p.r_on - 1 / p.r_off));
    selected.push_back(i % 5 != 2);
  }
  Columns<M> cpu = columns;
  GpuColumns<M> gpu(columns);
  Report want(n);
  const Report empty(n);
  OnGpu<int64_t> pulses(empty.pulses), forced(empty.forced);
  OnGpu<double> error(empty.error), gpu_target(target);
  OnGpu<char> workspace(cuda::ProgramWorkspaceBytes(shape, options));
  OnGpu<Outcome> outcome(empty.outcome);
  OnGpu<uint8_t> gpu_selected(selected);
  Program(M::kName, cpu.View(), shape, target.data(), selected.data(), options, want.View());
  cuda::Program(M::kName, gpu.View(), shape, gpu_target.data(), gpu_selected.data(), options,
                {pulses.data(), error.data(), outcome.data(), forced.data()}, nullptr, workspace.data(), nullptr);
  Report got(n);
  got.pulses = pulses.Get();
  got.forced = forced.Get();
  got.error = error.Get();
  got.outcome = outcome.Get();
  EXPECT_TRUE(SameDevices(gpu.Get(), cpu)) << M::kName;
  EXPECT_TRUE(SameReports(got, want)) << M::kName;
}

template <class Body>
void ForAllModels(const Body& body) {
  ForEachModel([&](auto m) {
    SCOPED_TRACE(decltype(m)::kName);
    body(m);
  });
}

TEST_P(CudaProgramTest, ProgramsTilesUnderAllSchemes) {
  ForAllModels([](auto m) {
    using M = decltype(m);
    for (const bool per_device : {false, true}) {
      Columns<M> columns(2 * 4 * 6, !per_device);
      if (per_device) {
        columns.Spread("r_on", 0.2);
        columns.stuck.assign(48, 0);
        columns.stuck[9] = columns.stuck[30] = 1;
        Reset(M::kName, columns.View());
      }
      ProgramOptions options = Pulses<M>();
      ExpectSame(columns, {2, 4, 6}, options);
      options.unselected_word = 1.0 / 3;
      options.unselected_bit = 2.0 / 3;
      ExpectSame(columns, {2, 4, 6}, options);
      options.neighbours = false;
      ExpectSame(columns, {2, 4, 6}, options);
    }
  });
}

TEST_P(CudaProgramTest, PulsesThatMoveNeighboursAreHandedOnInTrains) {
  // Twice the voltage, so that half of a pulse moves what a whole one is meant for; more runs than a train holds where
  // cells are missed from both sides.
  ForAllModels([](auto m) {
    using M = decltype(m);
    ProgramOptions options = Pulses<M>();
    options.positive_voltage *= 2;
    options.negative_voltage *= 2;
    options.rel_tol = 1e-6;
    options.max_pulses = 700;
    options.on_samples = 1;
    ExpectSame(Columns<M>(1 * 3 * 2), {1, 3, 2}, options);
  });
}

TEST_P(CudaProgramTest, ForcesCellsThatAreStuckAtABound) {
  ForAllModels([](auto m) {
    using M = decltype(m);
    ProgramOptions options = Pulses<M>();
    options.positive_voltage = 1e-3;
    options.negative_voltage = -1e-3;
    options.force_conductance = 1e-5;
    ExpectSame(Columns<M>(1 * 3 * 3), {1, 3, 3}, options);
    options.force_voltage = M::kPulses.positive_voltage;
    ExpectSame(Columns<M>(1 * 3 * 3), {1, 3, 3}, options);
  });
}

TEST_P(CudaProgramTest, DrawsTheNoiseOfTheCpu) {
  Columns<StanfordPku> columns(2 * 3 * 4);
  columns.Share("model_switch", 1);
  ASSERT_TRUE(StanfordPku::UsesNoise(columns.ParamsOf(0)));
  Reset("Stanford_PKU", columns.View());
  ProgramOptions options = Pulses<StanfordPku>();
  ExpectSame(columns, {2, 3, 4}, options);
}

MT_GPU_SUITE(CudaProgramTest);

}  // namespace
}  // namespace memtorch
