// Reading a crossbar whose devices follow their own current-voltage curves, through wires that resist.
//
// As nonlinear_read.h, but every tile is a circuit of its own, padding cells included: their word lines are at 0 V,
// their bit lines grounded. Newton's method solves it for every input vector (engine/grid/nodes.h). All functions throw
// std::invalid_argument as those there, and std::runtime_error, naming the residual, where Kirchhoff's law is not met
// to kWiredReadTolerance; no device has moved then. Lines are driven and sensed at one end only.
#ifndef MEMTORCH_ENGINE_WIRED_READ_H_
#define MEMTORCH_ENGINE_WIRED_READ_H_

#include <string>

#include "engine/grid/grid.h"
#include "engine/nonlinear_read.h"

namespace memtorch {

// What is left of Kirchhoff's law, in parts of the largest device current.
constexpr double kWiredReadTolerance = 1e-10;

// partial: the currents into the senses.
void ReadThroughWires(const std::string& model, const NonlinearRead& read, const Wires& wires, double* partial);

// Where the gradient of a read goes; null: not wanted.
struct WiredGradients {
  double* v = nullptr;      // [rows, inputs]
  double* g = nullptr;      // [cells], padding included
  double* wires = nullptr;  // [4]: of the resistances word, bit, source, load
};

// The derivative of ReadThroughWires, from partial_grad [tiles down, inputs, cols]: the circuit is solved again, and then
// the linear one of the devices' slopes at the solution, driven from the senses.
void ReadThroughWiresGradient(const std::string& model, const NonlinearRead& read, const Wires& wires,
                              const double* partial_grad, const WiredGradients& gradients);

// ReadSimulated through wires. For every input vector the circuit is solved with the devices as they are, and each device
// makes one step at the voltage that it then has. Models that record a sample's current before they move (kReadsFirst)
// give the currents of that solution; the others are solved once more as they are then, so that what is read always
// meets Kirchhoff's law.
void ReadSimulatedThroughWires(const std::string& model, const NonlinearRead& read, const Wires& wires,
                               const SimulatedReadOptions& options, double* partial);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_WIRED_READ_H_
