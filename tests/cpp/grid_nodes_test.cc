#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/grid/branches.h"
#include "engine/grid/nodes.h"
#include "engine/parallel.h"
#include "tests/cpp/testing/dense_grid.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/grid_samples.h"

namespace memtorch {
namespace {

using testing::DenseGrid;
using testing::Devices;
using testing::Draw;
using testing::ErrorOf;

// One circuit and the room for its solution.
struct Circuit {
  int64_t rows, cols, vectors;
  Wires wires;
  std::vector<double> g, word_volts, bit_volts;
  std::vector<bool> word_open, bit_open;
  std::vector<double> word, bit, residual;
  NodeOptions options;

  Circuit(int64_t m, int64_t n, const Wires& given, std::vector<double> devices, int64_t count = 1)
      : rows(m), cols(n), vectors(count), wires(given), g(std::move(devices)) {
    word_volts = Draw(vectors * rows, 1, -1, 1);
    bit_volts = Draw(vectors * cols, 2, -0.5, 0.5);
    word.assign(static_cast<size_t>(vectors * rows * cols), 42);
    bit = word;
    residual.assign(static_cast<size_t>(vectors), 42);
  }

  template <class Call>
  void With(const Call& call) {
    const auto flags = [](const std::vector<bool>& open) { return std::vector<char>(open.begin(), open.end()); };
    const std::vector<char> word_flags = flags(word_open), bit_flags = flags(bit_open);
    GridSources sources;
    sources.word = {word_volts.data(), vectors, rows, rows};
    sources.bit = {bit_volts.data(), vectors, cols, cols};
    if (!word_open.empty()) sources.word_open = reinterpret_cast<const bool*>(word_flags.data());
    if (!bit_open.empty()) sources.bit_open = reinterpret_cast<const bool*>(bit_flags.data());
    call(sources, GridNodes{word.data(), bit.data(), residual.data()});
  }
  void Solve() {
    With([&](const GridSources& sources, const GridNodes& nodes) {
      SolveNodes(MatrixView<const double>{g.data(), rows, cols, cols}, wires, sources, options, nodes);
    });
  }
  void Solve(const DeviceCurve& curve) {
    With([&](const GridSources& sources, const GridNodes& nodes) {
      SolveNodes(rows, cols, curve, wires, sources, options, nodes);
    });
  }
  // Into each sense at the bottom, by Kirchhoff's law from the devices.
  std::vector<double> Currents(const std::vector<double>& devices) const {
    std::vector<double> currents(static_cast<size_t>(cols), 0);
    for (size_t k = 0; k < static_cast<size_t>(rows * cols); ++k) {
      currents[k % static_cast<size_t>(cols)] += devices[k];
    }
    return currents;
  }
};

// Against dense elimination. The potentials are those of a circuit whose residual is 1e-13 of the largest current; how
// far that may move them is set by the resistances alone, and 1e-10 of a volt is what is promised.
void ExpectPotentials(Circuit circuit) {
  circuit.options.tolerance = 1e-13;
  circuit.Solve();
  const DenseGrid dense(circuit.g, circuit.rows, circuit.cols, circuit.wires, circuit.word_open, circuit.bit_open);
  const std::vector<long double> expected = dense.Potentials(circuit.word_volts, circuit.bit_volts);
  for (size_t i = 0; i < static_cast<size_t>(circuit.rows); ++i) {
    for (size_t j = 0; j < static_cast<size_t>(circuit.cols); ++j) {
      const size_t k = i * static_cast<size_t>(circuit.cols) + j;
      ASSERT_NEAR(circuit.word[k], static_cast<double>(expected[dense.word(i, j)]), 1e-10) << i << ' ' << j;
      ASSERT_NEAR(circuit.bit[k], static_cast<double>(expected[dense.bit(i, j)]), 1e-10) << i << ' ' << j;
    }
  }
  EXPECT_LE(circuit.residual[0], 1e-13);
}

constexpr int64_t kShapes[][2] = {{1, 1}, {1, 5}, {5, 1}, {3, 8}, {16, 16}, {19, 13}, {13, 30}};

TEST(GridNodesTest, EqualDenseEliminationForAnyShapeAndWires) {
  for (const auto& [rows, cols] : kShapes) {
    for (const bool drive : {false, true}) {
      for (const bool sense : {false, true}) {
        const Wires wires{1.5, 2.5, 7, 3, drive, sense};
        ExpectPotentials({rows, cols, wires, Devices(rows * cols, 3, 1e-6, 1e-2, 0.2)});
      }
    }
  }
}

TEST(GridNodesTest, IdealWiresAreExactLimits) {
  for (const auto& [rows, cols] : kShapes) {
    for (int ideal = 1; ideal < 16; ++ideal) {
      const Wires wires{ideal & 1 ? 0. : 2, ideal & 2 ? 0. : 3, ideal & 4 ? 0. : 50, ideal & 8 ? 0. : 20};
      ExpectPotentials({rows, cols, wires, Devices(rows * cols, 4, 1e-6, 1e-2, 0.2)});
    }
    ExpectPotentials({rows, cols, {0, 0, 0, 0, true, true}, Devices(rows * cols, 4, 1e-6, 1e-2)});
  }
}

TEST(GridNodesTest, HardCircuits) {
  ExpectPotentials({32, 32, {20, 20, 20, 20}, Devices(1024, 5, 1e-6, 1e-2)});
  ExpectPotentials({32, 32, {100, 100, 1e3, 100}, Devices(1024, 6, 1e-9, 1e-2)});
  ExpectPotentials({32, 32, {20, 20, 20, 20}, Devices(1024, 7, 1e-6, 1e-4, 0.95)});
  ExpectPotentials({32, 32, {1e-6, 1e-6, 1e-6, 1e-6}, Devices(1024, 8, 1e-6, 1e-4)});
}

TEST(GridNodesTest, OpenLinesFloat) {
  Circuit circuit(12, 18, {1, 2, 3, 4}, Devices(12 * 18, 9, 1e-6, 1e-2, 0.1));
  circuit.word_open.assign(12, false);
  circuit.bit_open.assign(18, false);
  circuit.word_open[0] = circuit.word_open[7] = circuit.bit_open[3] = circuit.bit_open[17] = true;
  ExpectPotentials(circuit);
  circuit.wires.drive_both = circuit.wires.sense_both = true;
  ExpectPotentials(circuit);
}

TEST(GridNodesTest, VectorsDoNotTouchEachOther) {
  Circuit many(20, 30, {1, 1, 1, 1}, Devices(600, 10, 1e-6, 1e-3), 9);
  SetNumThreads(3);
  many.Solve();
  SetNumThreads(1);
  Circuit again = many;
  again.Solve();
  EXPECT_EQ(again.word, many.word);
  EXPECT_EQ(again.bit, many.bit);
  for (int64_t k = 0; k < 9; ++k) {
    Circuit one(20, 30, {1, 1, 1, 1}, many.g);
    one.word_volts.assign(&many.word_volts[static_cast<size_t>(k * 20)],
                          &many.word_volts[static_cast<size_t>(k * 20)] + 20);
    one.bit_volts.assign(&many.bit_volts[static_cast<size_t>(k * 30)],
                         &many.bit_volts[static_cast<size_t>(k * 30)] + 30);
    one.Solve();
    EXPECT_TRUE(std::equal(one.bit.begin(), one.bit.end(), many.bit.begin() + k * 600));
  }
  SetNumThreads(0);
}

TEST(GridNodesTest, WarmStartsEndAtTheSamePotentials) {
  Circuit circuit(40, 40, {5, 5, 5, 5}, Devices(1600, 12, 1e-6, 1e-3));
  circuit.options.tolerance = 1e-13;
  circuit.Solve();
  Circuit changed = circuit;
  for (size_t k = 0; k < 16; ++k) changed.g[k * 100] *= 2;
  Circuit cold = changed;
  changed.options.warm = true;
  changed.Solve();
  cold.Solve();
  // Both miss Kirchhoff's law by 1e-13 of a current; see ExpectPotentials.
  for (size_t k = 0; k < 1600; ++k) EXPECT_NEAR(changed.bit[k], cold.bit[k], 1e-10);
}

std::vector<double> RecordedDevices() {
  std::vector<double> g;
  for (const double ohm : {345, 903, 755, 257, 646, 652, 401, 508, 166, 454, 442, 874, 190, 244, 635}) {
    g.push_back(1 / ohm);
  }
  return g;
}

// ngspice 39 and badcrossbar 1.1.0, wires of 0.5 ohm.
TEST(GridNodesRecordedTest, PotentialsOfOneWordLine) {
  Circuit circuit(3, 5, {0.5, 0.5, 0.5, 0.5}, RecordedDevices());
  circuit.word_volts = {1.5, 2.3, 1.7};
  circuit.bit_volts.assign(5, 0);
  circuit.Solve();
  const double expected[] = {1.4921029068, 1.4863511405, 1.4814173697, 1.4774569106, 1.4763217091};
  for (size_t j = 0; j < 5; ++j) EXPECT_NEAR(circuit.word[j], expected[j], 1e-10);  // ten decimals are recorded
}

// The V/2 scheme: word line 1 and bit line 2 are selected at 1 V; recorded to eight decimals.
TEST(GridNodesRecordedTest, WriteDisturb) {
  Circuit circuit(3, 5, {0.5, 0.5, 0.5, 0.5}, RecordedDevices());
  circuit.word_volts = {0.5, 1, 0.5};
  circuit.bit_volts = {0.5, 0.5, 0, 0.5, 0.5};
  circuit.Solve();
  const double expected[] = {-.00106924, -.00185394, 0.49482542, -.00382967, -.00200413,
                             0.49528808, 0.49124415, 0.98560604, 0.48461198, 0.48590674,
                             -.00165729, -.00317335, 0.49355514, -.00527542, -.00436073};
  for (size_t k = 0; k < 15; ++k) EXPECT_NEAR(circuit.word[k] - circuit.bit[k], expected[k], 6e-9);
}

DeviceCurve Sinh(const std::vector<double>& g, int64_t cols, double steepness) {
  return SinhCurve({g.data(), static_cast<int64_t>(g.size()) / cols, cols, cols}, steepness);
}

TEST(GridNodesTest, SinhCurves) {
  const std::vector<double> g = Devices(2 * 9, 60, 1e-6, 1e-2), v = Draw(9, 61, -1, 1);
  std::vector<double> current(9), slope(9);
  Sinh(g, 9, 4)(1, v.data(), current.data(), slope.data());
  for (size_t j = 0; j < 9; ++j) {
    // sinh is within 2.2 ulp, the rest rounds a few times.
    EXPECT_NEAR(current[j], g[9 + j] * std::sinh(4 * v[j]) / 4, 2e-15 * g[9 + j] * std::cosh(4 * v[j]));
    EXPECT_NEAR(slope[j], g[9 + j] * std::cosh(4 * v[j]), 2e-15 * slope[j]);
  }
  EXPECT_EQ(ErrorOf([&] { Sinh(g, 9, 0); }), "[sinh_curve] steepness (0 1/V) must be finite and above 0");
}

// ngspice 39: I = 0.24 / R sinh(3 V).
TEST(GridNodesRecordedTest, CurrentsOfNonLinearDevices) {
  Circuit circuit(3, 5, {0.5, 0.5, 0.5, 0.5}, RecordedDevices());
  circuit.word_volts = {.15, .23, .17};
  circuit.bit_volts.assign(5, 0);
  std::vector<double> g = RecordedDevices();
  for (double& value : g) value *= 0.24 * 3;
  circuit.Solve(Sinh(g, 5, 3));
  std::vector<double> devices;
  for (size_t k = 0; k < 15; ++k) devices.push_back(g[k] * std::sinh(3 * (circuit.word[k] - circuit.bit[k])) / 3);
  const double expected[] = {0.0008788170814646, 0.0007063439312737, 0.001150847710819, 0.001982798002155,
                             0.0007518912957082};
  const std::vector<double> currents = circuit.Currents(devices);
  // ngspice at a relative tolerance of 1e-12 per iteration.
  for (size_t j = 0; j < 5; ++j) EXPECT_NEAR(currents[j], expected[j], 1e-8 * expected[j]);
}

// At the solution every device is a resistor of its own chord, and the linear circuit of these must agree.
void ExpectNewton(const Wires& wires, double steepness, double volts, uint64_t stream) {
  const int64_t n = 24;
  Circuit circuit(n, n, wires, Devices(n * n, stream, 1e-6, 1e-2));
  for (double& v : circuit.word_volts) v *= volts;
  for (double& v : circuit.bit_volts) v = 0;
  circuit.options.tolerance = 1e-12;
  circuit.Solve(Sinh(circuit.g, n, steepness));
  EXPECT_LE(circuit.residual[0], 1e-12);
  Circuit chords = circuit;
  for (size_t k = 0; k < chords.g.size(); ++k) {
    const double v = circuit.word[k] - circuit.bit[k];
    if (v != 0) chords.g[k] *= std::sinh(steepness * v) / (steepness * v);
  }
  chords.Solve();
  // Both hold Kirchhoff's law to 1e-12; see ExpectPotentials.
  for (size_t k = 0; k < chords.g.size(); ++k) {
    ASSERT_NEAR(circuit.word[k], chords.word[k], 1e-9 * volts);
    ASSERT_NEAR(circuit.bit[k], chords.bit[k], 1e-9 * volts);
  }
}

TEST(GridNodesTest, NewtonFindsTheChords) {
  ExpectNewton({1, 1, 1, 1}, 4, 0.5, 20);
  ExpectNewton({20, 20, 20, 20}, 4, 0.5, 21);
  ExpectNewton({0, 0, 0, 0}, 4, 0.5, 22);
  // Steep enough that whole steps overshoot by many orders of magnitude.
  ExpectNewton({20, 20, 20, 20}, 40, 1, 23);
}

TEST(GridNodesTest, NewtonFromPotentialsEndsAtTheSame) {
  Circuit circuit(24, 40, {20, 20, 20, 20}, Devices(24 * 40, 24, 1e-6, 1e-2));
  circuit.options.tolerance = 1e-12;
  Circuit changed = circuit;
  for (size_t k = 0; k < 9; ++k) changed.g[k * 100] *= 2;
  circuit.Solve(Sinh(changed.g, 40, 4));
  changed.Solve(Sinh(circuit.g, 40, 4));
  Circuit warm = changed;
  warm.options.warm = true;
  warm.Solve(Sinh(changed.g, 40, 4));
  // From where no current is finite it starts as if nothing were given.
  Circuit lost = changed;
  lost.options.warm = true;
  lost.word.assign(lost.word.size(), 1e3);
  lost.Solve(Sinh(changed.g, 40, 4));
  // All hold Kirchhoff's law to 1e-12; see ExpectPotentials.
  for (size_t k = 0; k < circuit.bit.size(); ++k) {
    ASSERT_NEAR(warm.bit[k], circuit.bit[k], 1e-9);
    ASSERT_NEAR(lost.bit[k], circuit.bit[k], 1e-9);
  }
}

TEST(GridNodesTest, NewtonIsTheSameForAnyNumberOfThreads) {
  Circuit many(20, 30, {20, 20, 20, 20}, Devices(600, 25, 1e-6, 1e-2), 9);
  Circuit again = many;
  const DeviceCurve curve = Sinh(many.g, 30, 4);
  SetNumThreads(3);
  many.Solve(curve);
  SetNumThreads(1);
  again.Solve(curve);
  SetNumThreads(0);
  EXPECT_EQ(again.word, many.word);
  EXPECT_EQ(again.bit, many.bit);
}

TEST(GridNodesTest, OpenLinesOfNonLinearDevicesFloat) {
  Circuit circuit(10, 12, {5, 5, 5, 5}, Devices(120, 26, 1e-5, 1e-2));
  circuit.word_open.assign(10, false);
  circuit.bit_open.assign(12, false);
  circuit.word_open[2] = circuit.bit_open[0] = circuit.bit_open[7] = true;
  circuit.options.tolerance = 1e-12;
  circuit.Solve(Sinh(circuit.g, 12, 4));
  Circuit chords = circuit;
  for (size_t k = 0; k < chords.g.size(); ++k) {
    const double v = 4 * (circuit.word[k] - circuit.bit[k]);
    if (v != 0) chords.g[k] *= std::sinh(v) / v;
  }
  chords.Solve();
  // Both hold Kirchhoff's law to 1e-12; see ExpectPotentials.
  for (size_t k = 0; k < chords.g.size(); ++k) {
    ASSERT_NEAR(circuit.word[k], chords.word[k], 1e-9);
    ASSERT_NEAR(circuit.bit[k], chords.bit[k], 1e-9);
  }
}

TEST(GridNodesTest, LinearCurvesAreLinearDevices) {
  Circuit newton(10, 20, {1, 2, 3, 4}, Devices(200, 30, 1e-6, 1e-2), 3);
  Circuit linear = newton;
  newton.Solve([&](int64_t row, const double* v, double* current, double* slope) {
    for (int64_t j = 0; j < 20; ++j) {
      slope[j] = linear.g[static_cast<size_t>(row * 20 + j)];
      current[j] = slope[j] * v[j];
    }
  });
  linear.Solve();
  // Both hold Kirchhoff's law to 1e-10, the default.
  for (size_t k = 0; k < linear.bit.size(); ++k) EXPECT_NEAR(newton.bit[k], linear.bit[k], 1e-8);
}

// The branches of a solved circuit of linear devices.
struct Branches {
  std::vector<double> device, word, bit;
  GridPower power{};

  explicit Branches(Circuit* circuit) {
    const int64_t m = circuit->rows, n = circuit->cols;
    for (size_t k = 0; k < circuit->g.size(); ++k) {
      device.push_back(circuit->g[k] * (circuit->word[k] - circuit->bit[k]));
    }
    word.resize(static_cast<size_t>(m * (n + 1)));
    bit.resize(static_cast<size_t>((m + 1) * n));
    circuit->With([&](const GridSources& sources, const GridNodes& nodes) {
      const GridBranches branches{word.data(), bit.data()};
      SolveBranches(m, n, device.data(), circuit->wires, sources, branches);
      power = PowerOf(m, n, device.data(), nodes.word, nodes.bit, circuit->wires, sources, 0, branches);
    });
  }
};

TEST(GridBranchesTest, EqualOhmsLawOnEverySegment) {
  for (const bool both : {false, true}) {
    Circuit circuit(9, 14, {2, 3, 5, 7, both, both}, Devices(9 * 14, 50, 1e-6, 1e-2, 0.1));
    circuit.options.tolerance = 1e-13;
    circuit.Solve();
    const Branches branches(&circuit);
    // The largest currents are some 10 mA; potentials are known to 1e-10 V, see ExpectPotentials.
    const double tolerance = 1e-10;
    const auto at = [](const std::vector<double>& nodes, int64_t i, int64_t j) {
      return nodes[static_cast<size_t>(i * 14 + j)];
    };
    for (int64_t i = 0; i < 9; ++i) {
      const double* line = &branches.word[static_cast<size_t>(i * 15)];
      const double source = circuit.word_volts[static_cast<size_t>(i)];
      EXPECT_NEAR(line[0], (source - at(circuit.word, i, 0)) / 5, tolerance);
      EXPECT_NEAR(line[14], both ? (at(circuit.word, i, 13) - source) / 5 : 0, tolerance);
      for (int64_t j = 1; j < 14; ++j) {
        EXPECT_NEAR(line[j], (at(circuit.word, i, j - 1) - at(circuit.word, i, j)) / 2, tolerance);
      }
    }
    for (int64_t j = 0; j < 14; ++j) {
      const auto line = [&](int64_t i) { return branches.bit[static_cast<size_t>(i * 14 + j)]; };
      const double sense = circuit.bit_volts[static_cast<size_t>(j)];
      EXPECT_NEAR(line(9), (at(circuit.bit, 8, j) - sense) / 7, tolerance);
      EXPECT_NEAR(line(0), both ? (sense - at(circuit.bit, 0, j)) / 7 : 0, tolerance);
      for (int64_t i = 1; i < 9; ++i) {
        EXPECT_NEAR(line(i), (at(circuit.bit, i - 1, j) - at(circuit.bit, i, j)) / 3, tolerance);
      }
    }
  }
}

TEST(GridBranchesTest, PowerBalances) {
  for (const Wires& wires :
       {Wires{2, 3, 5, 7}, Wires{2, 3, 5, 7, true, true}, Wires{0, 3, 0, 7}, Wires{}, Wires{0, 0, 0, 0, true, true}}) {
    Circuit circuit(20, 11, wires, Devices(220, 51, 1e-6, 1e-2, 0.1));
    circuit.options.tolerance = 1e-13;
    circuit.Solve();
    const GridPower power = Branches(&circuit).power;
    const double dissipated = power.devices + power.word + power.bit + power.source + power.load;
    // Both are sums of some hundred products of currents with a relative error of 1e-13.
    EXPECT_NEAR(power.delivered, dissipated, 1e-11 * dissipated);
    EXPECT_GT(power.devices, 0);
    EXPECT_EQ(power.word > 0, wires.word > 0);
  }
}

TEST(GridNodesErrorsTest, NameTheArgument) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto message = [](auto change) {
    Circuit circuit(2, 3, {1, 1, 1, 1}, std::vector<double>(6, 1e-3));
    change(circuit);
    const std::string text = ErrorOf([&] { circuit.Solve(); });
    EXPECT_EQ(circuit.word, std::vector<double>(6, 42));
    return text;
  };
  EXPECT_EQ(message([](auto& c) { c.wires.bit = -1; }), "[solve_nodes] bit (-1 ohm) must be in [0, 1e+12]");
  EXPECT_EQ(message([&](auto& c) { c.g[4] = nan; }), "[solve_nodes] g[0, 1, 1] (nan S) must be in [0, 1e+06]");
  EXPECT_EQ(message([&](auto& c) { c.word_volts[1] = nan; }),
            "[solve_nodes] word[0, 1] (nan V) must be in [-1e+06, 1e+06]");
  EXPECT_EQ(message([&](auto& c) { c.bit_volts[2] = 1e7; }),
            "[solve_nodes] bit[0, 2] (1e+07 V) must be in [-1e+06, 1e+06]");
  EXPECT_EQ(message([](auto& c) { c.options.tolerance = 0; }), "[solve_nodes] tolerance (0) must be above 0");
}

TEST(GridNodesErrorsTest, AResidualAboveTheToleranceIsAnError) {
  Circuit circuit(4, 4, {1, 1, 1, 1}, {});
  // Falling characteristics are beyond what is promised: wires of some ohm and devices of -1 S run away.
  EXPECT_THROW(circuit.Solve([](int64_t, const double* v, double* current, double* slope) {
    for (int j = 0; j < 4; ++j) {
      current[j] = -v[j];
      slope[j] = -1;
    }
  }),
               std::runtime_error);
  EXPECT_GT(circuit.residual[0], circuit.options.tolerance);
  // Shorts between wires of kilohms: currents are differences that hold fewer digits than asked for.
  Circuit hard(16, 16, {1e3, 1e3, 1e3, 1e3}, Devices(256, 40, 1e-6, 1e-4));
  for (size_t k = 0; k < 256; k += 37) hard.g[k] = 1e5;
  EXPECT_THROW(hard.Solve(), std::runtime_error);
  EXPECT_GT(hard.residual[0], hard.options.tolerance);
  EXPECT_THROW(hard.Solve(Sinh(hard.g, 16, 4)), std::runtime_error);
  EXPECT_GT(hard.residual[0], hard.options.tolerance);
  // A current that is no number is never taken for a solution.
  EXPECT_THROW(circuit.Solve([](int64_t, const double*, double* current, double* slope) {
    for (int j = 0; j < 4; ++j) current[j] = slope[j] = std::nan("");
  }),
               std::runtime_error);
  EXPECT_FALSE(circuit.residual[0] <= circuit.options.tolerance);
}

}  // namespace
}  // namespace memtorch
