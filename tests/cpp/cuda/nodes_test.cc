// engine/cuda/nodes.h finds the potentials of engine/grid/nodes.h.

#include "engine/cuda/nodes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "engine/random.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/errors.h"

namespace memtorch {
namespace {

using testing::ErrorOf;
using testing::OnGpu;

std::vector<double> Uniform(int64_t count, uint64_t stream, double low, double high) {
  std::vector<double> values(static_cast<size_t>(count));
  FillUniform(23, stream, 0, values.data(), count);
  for (double& value : values) value = low + (high - low) * value;
  return values;
}

// Log-uniform conductances, a fraction of them open.
std::vector<double> Devices(int64_t count, uint64_t stream, double low, double high, double open = 0) {
  std::vector<double> g = Uniform(count, stream, std::log(low), std::log(high));
  const std::vector<double> kind = Uniform(count, stream + 1000, 0, 1);
  for (size_t k = 0; k < g.size(); ++k) g[k] = kind[k] < open ? 0 : std::exp(g[k]);
  return g;
}

struct Solution {
  std::vector<double> word, bit, residual;

  Solution(int64_t vectors, int64_t size)
      : word(static_cast<size_t>(vectors * size), 42), bit(word), residual(static_cast<size_t>(vectors), 42) {}
};

// One circuit. Steepness 0: linear devices.
struct Circuit {
  int64_t rows, cols, vectors;
  Wires wires;
  std::vector<double> g;
  double steepness = 0;
  std::vector<double> word_volts, bit_volts;  // bit_volts empty: none given
  std::vector<uint8_t> word_open, bit_open;   // empty: none
  NodeOptions options;

  Circuit(int64_t m, int64_t n, const Wires& ohm, std::vector<double> devices, int64_t count = 1)
      : rows(m), cols(n), vectors(count), wires(ohm), g(std::move(devices)) {
    word_volts = Uniform(vectors * rows, 1, -1, 1);
    bit_volts = Uniform(vectors * cols, 2, -0.5, 0.5);
    options.tolerance = 1e-13;
  }

  template <class Numbers, class Flags>
  GridSources Sources(const Numbers& word, const Numbers& bit, const Flags& no_word, const Flags& no_bit) const {
    GridSources sources;
    sources.word = {word.data(), vectors, rows, rows};
    if (!bit_volts.empty()) sources.bit = {bit.data(), vectors, cols, cols};
    if (!word_open.empty()) sources.word_open = reinterpret_cast<const bool*>(no_word.data());
    if (!bit_open.empty()) sources.bit_open = reinterpret_cast<const bool*>(no_bit.data());
    return sources;
  }

  void OnCpu(Solution* solution) const {
    const GridSources sources = Sources(word_volts, bit_volts, word_open, bit_open);
    const GridNodes nodes{solution->word.data(), solution->bit.data(), solution->residual.data()};
    const MatrixView<const double> devices{g.data(), rows, cols, cols};
    if (steepness == 0) {
      SolveNodes(devices, wires, sources, options, nodes);
    } else {
      SolveNodes(rows, cols, SinhCurve(devices, steepness), wires, sources, options, nodes);
    }
  }

  void OnTheGpu(Solution* solution) const {
    const OnGpu<double> devices(g), word_in(word_volts), bit_in(bit_volts);
    const OnGpu<uint8_t> no_word(word_open), no_bit(bit_open);
    const OnGpu<double> word(solution->word), bit(solution->bit), residual(solution->residual);
    const OnGpu<char> workspace(cuda::SolveNodesWorkspaceBytes(rows, cols, vectors, steepness == 0));
    const GridSources sources = Sources(word_in, bit_in, no_word, no_bit);
    const GridNodes nodes{word.data(), bit.data(), residual.data()};
    const MatrixView<const double> view{devices.data(), rows, cols, cols};
    if (steepness == 0) {
      cuda::SolveNodes(view, wires, sources, options, nodes, workspace.data(), nullptr);
    } else {
      cuda::SolveNodes(cuda::SinhDevices{view, steepness}, wires, sources, options, nodes, workspace.data(), nullptr);
    }
    *solution = Solution(0, 0);
    solution->word = word.Get();
    solution->bit = bit.Get();
    solution->residual = residual.Get();
  }
};

void ExpectNear(const Circuit& circuit, const Solution& gpu, const Solution& cpu, double volts) {
  for (size_t k = 0; k < cpu.word.size(); ++k) {
    ASSERT_NEAR(gpu.word[k], cpu.word[k], volts) << k;
    ASSERT_NEAR(gpu.bit[k], cpu.bit[k], volts) << k;
  }
  for (const double residual : gpu.residual) EXPECT_LE(residual, circuit.options.tolerance);
}

// Both meet Kirchhoff's law to 1e-13 of the largest current; how far that may move potentials is set by the resistances
// alone, and 1e-10 V is what both promise.
void ExpectSame(const Circuit& circuit, double volts = 1e-10) {
  SCOPED_TRACE(::testing::Message() << circuit.rows << " x " << circuit.cols << ", word " << circuit.wires.word
                                    << ", bit " << circuit.wires.bit << ", source " << circuit.wires.source << ", load "
                                    << circuit.wires.load << ", both " << circuit.wires.drive_both
                                    << circuit.wires.sense_both);
  Solution cpu(circuit.vectors, circuit.rows * circuit.cols), gpu = cpu;
  circuit.OnCpu(&cpu);
  circuit.OnTheGpu(&gpu);
  ExpectNear(circuit, gpu, cpu, volts);
}

// Below, at and above the squares in which matrices are turned, and the threads of a block.
std::vector<std::pair<int64_t, int64_t>> Shapes() {
  if (testing::kWatched) return {{5, 1}, {40, 7}, {3, 140}};
  return {{1, 1}, {1, 5}, {5, 1}, {31, 33}, {32, 32}, {40, 7}, {3, 140}, {135, 70}};
}

class CudaNodesTest : public testing::GpuTest {};

TEST_P(CudaNodesTest, AnyShapeAndWires) {
  for (const auto& [rows, cols] : Shapes()) {
    for (const bool drive : {false, true}) {
      for (const bool sense : {false, true}) {
        ExpectSame({rows, cols, {1.5, 2.5, 7, 3, drive, sense}, Devices(rows * cols, 3, 1e-6, 1e-2, 0.2)});
      }
    }
  }
}

TEST_P(CudaNodesTest, IdealWires) {
  for (int ideal = 1; ideal < 16; ++ideal) {
    const Wires wires{ideal & 1 ? 0. : 2, ideal & 2 ? 0. : 3, ideal & 4 ? 0. : 50, ideal & 8 ? 0. : 20};
    ExpectSame({13, 40, wires, Devices(13 * 40, 4, 1e-6, 1e-2, 0.2)});
  }
  ExpectSame({13, 40, {0, 0, 0, 0, true, true}, Devices(13 * 40, 4, 1e-6, 1e-2)});
}

TEST_P(CudaNodesTest, HardCircuits) {
  ExpectSame({48, 48, {20, 20, 20, 20}, Devices(48 * 48, 5, 1e-6, 1e-2)});
  ExpectSame({32, 32, {100, 100, 1e3, 100}, Devices(1024, 6, 1e-9, 1e-2)});
  ExpectSame({32, 32, {20, 20, 20, 20}, Devices(1024, 7, 1e-6, 1e-4, 0.95)});
  ExpectSame({32, 32, {1e-6, 1e-6, 1e-6, 1e-6}, Devices(1024, 8, 1e-6, 1e-4)});
}

Circuit WithOpenLines() {
  Circuit circuit(12, 18, {1, 2, 3, 4}, Devices(12 * 18, 9, 1e-6, 1e-2, 0.1), 3);
  circuit.word_open.assign(12, 0);
  circuit.bit_open.assign(18, 0);
  circuit.word_open[0] = circuit.word_open[7] = circuit.bit_open[3] = circuit.bit_open[17] = 1;
  return circuit;
}

TEST_P(CudaNodesTest, OpenLinesFloat) {
  Circuit circuit = WithOpenLines();
  ExpectSame(circuit);
  circuit.wires.drive_both = circuit.wires.sense_both = true;
  ExpectSame(circuit);
  circuit.steepness = 4;
  ExpectSame(circuit);
}

TEST_P(CudaNodesTest, ManyVectorsWithSensesAtZero) {
  Circuit circuit(20, 30, {5, 5, 5, 5}, Devices(600, 10, 1e-6, 1e-3), 9);
  circuit.bit_volts.clear();
  ExpectSame(circuit);
  circuit.steepness = 3;
  ExpectSame(circuit);
  circuit.vectors = 0;
  ExpectSame(circuit);
}

TEST_P(CudaNodesTest, VectorsDoNotTouchEachOther) {
  // More vectors than there are blocks: a block solves several, one after the other.
  Circuit many(2, 3, {5, 5, 5, 5}, Devices(6, 10, 1e-6, 1e-3), testing::kWatched ? 50 : 5000);
  ExpectSame(many);
  many.steepness = 3;
  ExpectSame(many);
}

TEST_P(CudaNodesTest, WarmStartsEndAtTheSamePotentials) {
  for (const double steepness : {0., 4.}) {
    Circuit circuit(40, 40, {5, 5, 5, 5}, Devices(1600, 12, 1e-6, 1e-3), 2);
    circuit.steepness = steepness;
    circuit.options.tolerance = 1e-12;
    Solution warm(2, 1600), cold = warm, lost = warm;
    circuit.OnTheGpu(&warm);
    for (size_t k = 0; k < 16; ++k) circuit.g[k * 100] *= 2;
    circuit.OnCpu(&cold);
    circuit.options.warm = true;
    circuit.OnTheGpu(&warm);
    // Both meet Kirchhoff's law to 1e-12; see ExpectSame.
    ExpectNear(circuit, warm, cold, 1e-9);
    // From where no current of the curve is finite it starts as if nothing were given.
    std::fill(lost.word.begin(), lost.word.end(), 1e3);
    circuit.OnTheGpu(&lost);
    ExpectNear(circuit, lost, cold, 1e-9);
  }
}

TEST_P(CudaNodesTest, NonLinearDevices) {
  for (const auto& [rows, cols] : Shapes()) {
    Circuit circuit(rows, cols, {20, 20, 20, 20}, Devices(rows * cols, 21, 1e-6, 1e-2));
    for (double& v : circuit.word_volts) v /= 2;
    circuit.options.tolerance = 1e-12;
    circuit.steepness = 4;
    ExpectSame(circuit, 1e-9);  // ten times the tolerance of ExpectSame, and so the distance
    circuit.wires = {};
    ExpectSame(circuit, 1e-9);
  }
  // Steep enough that whole steps overshoot by many orders of magnitude.
  Circuit steep(24, 24, {20, 20, 20, 20}, Devices(576, 23, 1e-6, 1e-2));
  steep.bit_volts.clear();
  steep.options.tolerance = 1e-12;
  steep.steepness = 40;
  ExpectSame(steep, 1e-9);
}

TEST_P(CudaNodesTest, GapsBetweenRowsAreLeftOut) {
  const int64_t rows = 5, cols = 40, stride = 43;
  const std::vector<double> g = Devices(rows * stride, 30, 1e-6, 1e-2), volts = Uniform(2 * 9, 31, -1, 1);
  for (const double steepness : {0., 4.}) {
    Circuit circuit(rows, cols, {1, 2, 3, 4}, {}, 2);
    Solution expected(2, rows * cols), found = expected;
    for (int64_t k = 0; k < rows * cols; ++k) circuit.g.push_back(g[static_cast<size_t>(k / cols * stride + k % cols)]);
    for (int64_t k = 0; k < 2 * rows; ++k) {
      circuit.word_volts[static_cast<size_t>(k)] = volts[static_cast<size_t>(k / rows * 9 + k % rows)];
    }
    circuit.bit_volts.clear();
    circuit.steepness = steepness;
    circuit.OnTheGpu(&expected);
    const OnGpu<double> gpu_g(g), gpu_volts(volts), word(2 * rows * cols), bit(2 * rows * cols), residual(2);
    const OnGpu<char> workspace(cuda::SolveNodesWorkspaceBytes(rows, cols, 2, steepness == 0));
    GridSources sources;
    sources.word = {gpu_volts.data(), 2, rows, 9};
    const GridNodes nodes{word.data(), bit.data(), residual.data()};
    const MatrixView<const double> view{gpu_g.data(), rows, cols, stride};
    if (steepness == 0) {
      cuda::SolveNodes(view, circuit.wires, sources, circuit.options, nodes, workspace.data(), nullptr);
    } else {
      cuda::SolveNodes(cuda::SinhDevices{view, steepness}, circuit.wires, sources, circuit.options, nodes,
                       workspace.data(), nullptr);
    }
    EXPECT_EQ(word.Get(), expected.word);
    EXPECT_EQ(bit.Get(), expected.bit);
  }
}

TEST_P(CudaNodesTest, WhatIsNotSolvedIsToldByTheResidual) {
  Circuit circuit(8, 9, {1, 1, 1, 1}, Devices(72, 40, 1e-6, 1e-2), 2);
  circuit.options.tolerance = 1e-30;
  circuit.steepness = 4;
  Solution solution(2, 72);
  circuit.OnTheGpu(&solution);
  for (const double residual : solution.residual) {
    EXPECT_GT(residual, 1e-30);
    EXPECT_LT(residual, 1e-13);  // the rounding of currents, which Newton's method counts
  }
  circuit.g[3] = std::numeric_limits<double>::quiet_NaN();
  circuit.options.tolerance = 1e-10;
  for (const double steepness : {0., 4.}) {
    circuit.steepness = steepness;
    circuit.OnTheGpu(&solution);
    for (const double residual : solution.residual) EXPECT_FALSE(residual <= 1e-10);
  }
}

TEST_P(CudaNodesTest, ErrorsNameTheArgument) {
  const auto message = [](const auto& change) {
    Circuit circuit(2, 3, {1, 1, 1, 1}, Devices(6, 50, 1e-6, 1e-2));
    change(circuit);
    Solution solution(1, 6);
    return ErrorOf([&] { circuit.OnTheGpu(&solution); });
  };
  EXPECT_EQ(message([](auto& c) { c.wires.bit = -1; }), "[solve_nodes] bit (-1 ohm) must be in [0, 1e+12]");
  EXPECT_EQ(message([](auto& c) { c.options.tolerance = 0; }), "[solve_nodes] tolerance (0) must be above 0");
  EXPECT_EQ(message([](auto& c) { c.steepness = -1; }), "[sinh_curve] steepness (-1 1/V) must be finite and above 0");
  EXPECT_EQ(ErrorOf([] {
              GridSources sources;
              sources.word = {nullptr, 1, 3, 3};
              cuda::SolveNodes(MatrixView<const double>{nullptr, 2, 3, 3}, {}, sources, {}, {}, nullptr, nullptr);
            }),
            "[solve_nodes] word ([1, 3]) must have shape [1, 2]");
}

MT_GPU_SUITE(CudaNodesTest);

}  // namespace
}  // namespace memtorch
