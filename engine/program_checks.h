// What the CPU's Program and the GPU's share: checks of arguments, what they mean for cells that are not pulsed, and how
// far voltages are solved.
#ifndef MEMTORCH_ENGINE_PROGRAM_CHECKS_H_
#define MEMTORCH_ENGINE_PROGRAM_CHECKS_H_

#include <cmath>
#include <vector>

#include "engine/column_checks.h"
#include "engine/device_model.h"
#include "engine/program.h"

namespace memtorch {

constexpr const char* kProgramOp = "program";

// How far voltages are solved at first: what rounding leaves of usual circuits. Where it leaves more, kProgramTolerance.
constexpr double kProgramAim = 1e-12;
// Below this share of the pulse a cell is solved anew for every conductance: a ratio of shares would have few digits.
constexpr double kSmallShare = 1e-3;

inline void CheckProgramNumber(const char* name, double value, const char* unit, bool fine, const char* must) {
  if (!Finite(value) || !fine) Invalid(kProgramOp, name, " ", Quantity(value, unit), " must be ", must);
}

inline void CheckProgramOptions(const ProgramOptions& o) {
  CheckProgramNumber("dt", o.dt, "s", o.dt > 0, "finite and above 0");
  if (o.on_samples < 1) Invalid(kProgramOp, "on_samples (", o.on_samples, ") must be at least 1");
  if (o.off_samples < 0) Invalid(kProgramOp, "off_samples (", o.off_samples, ") must be at least 0");
  CheckProgramNumber("positive_voltage", o.positive_voltage, "V", o.positive_voltage > 0, "finite and above 0");
  CheckProgramNumber("negative_voltage", o.negative_voltage, "V", o.negative_voltage < 0, "finite and below 0");
  CheckProgramNumber("rel_tol", o.rel_tol, "", o.rel_tol >= 0, "finite and at least 0");
  if (o.max_pulses < 0) Invalid(kProgramOp, "max_pulses (", o.max_pulses, ") must be at least 0");
  CheckProgramNumber("timeout", o.timeout, "s", o.timeout >= 0, "finite and at least 0");
  CheckProgramNumber("force_conductance", o.force_conductance, "S", o.force_conductance >= 0, "finite and at least 0");
  CheckProgramNumber("force_voltage", o.force_voltage, "V", o.force_voltage >= 0, "finite and at least 0");
  const double raised = std::fmax(o.positive_voltage, -o.negative_voltage) + o.force_voltage;
  CheckProgramNumber("voltage raised by force_voltage", raised, "V", true, "finite");
  CheckProgramNumber("force_rel_tol", o.force_rel_tol, "", o.force_rel_tol >= 0, "finite and at least 0");
  CheckProgramNumber("positive_threshold", o.positive_threshold, "V", true, "finite");
  CheckProgramNumber("negative_threshold", o.negative_threshold, "V", true, "finite");
  CheckProgramNumber("unselected_word", o.unselected_word, "", o.unselected_word >= 0 && o.unselected_word <= 1,
                     "in [0, 1]");
  CheckProgramNumber("unselected_bit", o.unselected_bit, "", o.unselected_bit >= 0 && o.unselected_bit <= 1,
                     "in [0, 1]");
  CheckWires(kProgramOp, o.wires);
  if (o.first_device < 0) Invalid(kProgramOp, "first_device (", o.first_device, ") must be at least 0");
}

inline void CheckTileShape(const DeviceView& devices, const TileShape& shape) {
  const bool counts = shape.tiles >= 0 && shape.rows >= 0 && shape.cols >= 0;
  if (!counts || shape.tiles * shape.rows * shape.cols != devices.size) {
    Invalid(kProgramOp, "shape (", shape.tiles, " x ", shape.rows, " x ", shape.cols, ") must hold the ", devices.size,
            " devices");
  }
}

// Whether device voltages must be solved, because wires resist or lines are open.
inline bool IsSolved(const ProgramOptions& o) {
  return o.floating || o.wires.word > 0 || o.wires.bit > 0 || o.wires.source > 0 || o.wires.load > 0;
}

// The voltages that cells other than the pulsed one can see where none is solved.
inline std::vector<double> NeighbourVoltages(const ProgramOptions& o) {
  std::vector<double> volts = {0};
  for (const double part : {1 - o.unselected_bit, o.unselected_word, o.unselected_word - o.unselected_bit}) {
    for (const double raised : {0.0, o.force_voltage}) {
      volts.push_back(part * (o.positive_voltage + raised));
      volts.push_back(part * (o.negative_voltage - raised));
    }
  }
  return volts;
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_PROGRAM_CHECKS_H_
