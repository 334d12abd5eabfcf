// Circuits of resistive wires whose devices are functions of Python.

#include <nanobind/stl/vector.h>

#include <algorithm>
#include <vector>

#include "bindings/arrays.h"
#include "engine/grid/nodes.h"

namespace memtorch {
namespace {

using namespace nb::literals;

// Calls a function of Python for the devices of a row; solutions run without the interpreter's lock.
DeviceCurve CurveOf(const char* op, const nb::callable& function, int64_t cols) {
  return [op, &function, cols](int64_t row, const double* v, double* current, double* slope) {
    nb::gil_scoped_acquire locked;
    nb::list volts;
    for (int64_t j = 0; j < cols; ++j) volts.append(v[j]);
    const nb::object result = function(row, volts);
    const auto values = nb::cast<Flat<const double>>(result);
    CheckSize(op, "what curve returns", values, 2 * cols);
    std::copy_n(values.data(), cols, current);
    std::copy_n(values.data() + cols, cols, slope);
  };
}

void BindSolve(const nb::callable& curve, const std::vector<double>& wires, const Flat<const double>& word_volts,
               const Flat<double>& word_nodes, const Flat<double>& bit_nodes, bool warm) {
  const char* op = "solve_curves";
  if (wires.size() != 4) Invalid(op, "wires must hold word, bit, source, load");
  if (word_nodes.ndim() != 2) Invalid(op, "word_nodes must have shape [rows, cols]");
  const int64_t rows = static_cast<int64_t>(word_nodes.shape(0)), cols = static_cast<int64_t>(word_nodes.shape(1));
  CheckSize(op, "bit_nodes", bit_nodes, rows * cols);
  CheckSize(op, "word_volts", word_volts, rows);
  GridSources sources;
  sources.word = {word_volts.data(), 1, rows, rows};
  NodeOptions options;
  options.warm = warm;
  const GridNodes nodes{word_nodes.data(), bit_nodes.data()};
  const DeviceCurve devices = CurveOf(op, curve, cols);
  nb::gil_scoped_release unlocked;
  SolveNodes(rows, cols, devices, {wires[0], wires[1], wires[2], wires[3]}, sources, options, nodes);
}

}  // namespace

void BindCurves(nb::module_& m) {
  m.def(
      "solve_curves", &BindSolve, "curve"_a, "wires"_a, "word_volts"_a, "word_nodes"_a.noconvert(),
      "bit_nodes"_a.noconvert(), "warm"_a = false,
      "Potentials word_nodes and bit_nodes [rows, cols], volts, where word lines are at word_volts [rows], senses at 0 "
      "V, wires, ohm, are word, bit, source, load, and curve(row, voltages) returns currents and slopes [2, cols] of "
      "the devices of a row. RuntimeError where the circuit is not solved to 1e-10 of the largest device current.");
}

}  // namespace memtorch
