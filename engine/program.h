// Write-verify programming of passive crossbars by voltage pulses.
//
// A cell is read, pulsed towards its target, read again, until it is near enough or given up. A pulse of V volts puts its
// word line at V and its bit line at 0 V. The other lines of the tile are held at parts of V, or open, so that other
// cells see a part of the pulse, too. With ideal wires and no open line that part follows from a cell's row and column;
// else all device voltages of the tile are solved for the conductances before each pulse, and the pulsed cell sees less
// than V itself.
#ifndef MEMTORCH_ENGINE_PROGRAM_H_
#define MEMTORCH_ENGINE_PROGRAM_H_

#include "engine/device_array.h"
#include "engine/grid/grid.h"

namespace memtorch {

// The devices of a view as cells of equal tiles: [tiles, rows, cols], row-major.
struct TileShape {
  int64_t tiles = 1;
  int64_t rows = 0;
  int64_t cols = 0;
};

// A pulse: `on_samples` at the voltage whose sign moves the conductance towards the target, then `off_samples` at 0 V.
// Its first sample starts with no current flowing, as a call of Simulate does.
struct ProgramOptions {
  double dt = 0;  // seconds per sample, > 0
  int64_t on_samples = 1;
  int64_t off_samples = 0;
  double positive_voltage = 1;   // volts, > 0
  double negative_voltage = -1;  // volts, < 0
  double rel_tol = 0.01;         // near enough: |target - g| <= rel_tol * max(|target|, |g|)
  int64_t max_pulses = 1000;     // per cell
  double timeout = 5;            // seconds of computing per cell, looked at after at most 64 pulses
  // A cell is stuck if a pulse left g as it was, to the last bit, within force_rel_tol (relative) of 1/r_on or 1/r_off,
  // and the pulse's voltage reached the threshold of its sign. Its conductance is then moved by force_conductance
  // siemens towards the target, not past it; or, if force_voltage is above 0, it is pulsed at a voltage that much larger
  // until it moves.
  double force_conductance = 1e-3;
  double force_voltage = 0;
  double force_rel_tol = 0.1;
  double positive_threshold = 0;
  double negative_threshold = 0;
  // Potentials of the other lines in parts of the pulse's voltage, in [0, 1]: V/2 has 1/2 and 1/2, V/3 has 1/3 and 2/3.
  double unselected_word = 0.5;
  double unselected_bit = 0.5;
  bool floating = false;     // they are open instead
  Wires wires;               // driven and sensed at one end
  bool neighbours = true;    // whether the other cells feel pulses
  uint64_t seed = 0;         // key of the noise draws, with the cell and the tile's count of samples so far
  int64_t first_device = 0;  // index of the view's first device in those keys
};

enum class Outcome : uint8_t {
  kNotProgrammed = 0,
  kConverged = 1,
  kPulseLimit = 2,
  kTimeout = 3,
  kFaulty = 4,     // stuck for good: it takes no pulse
  kDisturbed = 5,  // converged, then moved out of tolerance by the pulses of later cells
};

// Columns [size], out; written for selected cells only, all others stay.
struct ProgramReport {
  int64_t* pulses = nullptr;
  double* error = nullptr;  // |target - g| / max(|target|, |g|) in the end
  Outcome* outcome = nullptr;
  int64_t* forced = nullptr;  // conductance steps, or pulses at the larger voltage
};

// Largest current that Kirchhoff's law may lack where voltages are solved, in parts of the largest device current.
constexpr double kProgramTolerance = 1e-10;

// Programs the cells where `selected` [size] is not 0 to `target` [size] siemens (read there only), row-major within a
// tile; tiles are independent of each other and run in parallel. The results do not depend on the number of threads, as
// long as no cell times out; nor, where no voltages are solved, on the instruction set.
//
// Throws std::invalid_argument naming the argument; targets must be within [1/r_off, 1/r_on] of their device up to the
// rounding of float32. Throws std::runtime_error if a circuit is not solved to kProgramTolerance. Nothing has changed
// then.
void Program(const std::string& model, const DeviceView& devices, const TileShape& shape, const double* target,
             const uint8_t* selected, const ProgramOptions& options, const ProgramReport& report);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_PROGRAM_H_
