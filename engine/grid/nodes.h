// Potentials at every node of a crossbar with resistive wires, for single input vectors and non-linear devices.
//
// GridSolver is cheaper for many vectors of which only the currents into the senses matter.
#ifndef MEMTORCH_ENGINE_GRID_NODES_H_
#define MEMTORCH_ENGINE_GRID_NODES_H_

#include <functional>

#include "engine/grid/grid.h"

namespace memtorch {

// What drives the lines, one row per vector. An open line has no source; with both ends driven both are open.
struct GridSources {
  MatrixView<const double> word;    // [vectors, rows] volts
  MatrixView<const double> bit;     // [vectors, cols] volts at the senses; data null: 0 V
  const bool* word_open = nullptr;  // [rows], null: none
  const bool* bit_open = nullptr;   // [cols], null: none
};

// Where the potentials go, [vectors, rows, cols] each, without gaps, and the residual of each vector (may be null): the
// largest current that Kirchhoff's law lacks at a node, in parts of the largest current through a device.
struct GridNodes {
  double* word;
  double* bit;
  double* residual = nullptr;  // [vectors]
};

struct NodeOptions {
  double tolerance = 1e-10;  // of the residual
  bool warm = false;         // start at the potentials that GridNodes holds
};

// Current [cols], amperes, and slope [cols], siemens, of the devices of one row at voltages v [cols], volts. It is
// called by several threads. A slope below 0 counts as 0.
using DeviceCurve = std::function<void(int64_t row, const double* v, double* current, double* slope)>;

// Devices whose current is g sinh(steepness v) / steepness; g [rows, cols], siemens, must live as long as the curve.
DeviceCurve SinhCurve(MatrixView<const double> g, double steepness);

// Throws std::invalid_argument for arguments out of range.
void CheckNodes(int64_t rows, int64_t cols, const Wires& wires, const GridSources& sources, const NodeOptions& options);

// Solves the circuit of devices g [rows, cols], siemens. Throws std::invalid_argument for arguments out of range, and
// std::runtime_error, naming the residual, if it stays above the tolerance; then the potentials are not to be used.
// Conjugate gradients on the bit-line nodes, preconditioned by solving every bit line exactly. Threaded over vectors.
void SolveNodes(MatrixView<const double> g, const Wires& wires, const GridSources& sources, const NodeOptions& options,
                const GridNodes& nodes);

// The same with devices of any increasing characteristic, by damped Newton steps.
void SolveNodes(int64_t rows, int64_t cols, const DeviceCurve& curve, const Wires& wires, const GridSources& sources,
                const NodeOptions& options, const GridNodes& nodes);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_NODES_H_
