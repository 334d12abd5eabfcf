// The inner loops of program.h, one table per instruction set (engine/simd.h).
//
// Every function takes a list of n cells, already checked, of the model at position `model` of engine/devices/models.h.
#ifndef MEMTORCH_ENGINE_PROGRAM_KERNELS_H_
#define MEMTORCH_ENGINE_PROGRAM_KERNELS_H_

#include "engine/program.h"

namespace memtorch {

// The arguments of Program that are the same for all cells.
struct ProgramJob {
  DeviceView devices;
  const double* target;
  ProgramOptions options;
  ProgramReport report;
  bool noise;           // some device reads its normal draws
  bool solved;          // cells see what is left of a pulse's voltage at their place in the tile
  double (*seconds)();  // a clock that never goes back
};

// `pulses` pulses of the same voltage, one after the other.
struct PulseRun {
  double v;
  int64_t pulses;
};

// Where the pulses that a cell gets are reported, each as it is applied.
struct PulseSink {
  // Called before each pulse of a solved job: the voltage that the cell, which now has a conductance of g siemens, sees
  // in parts of the pulse's.
  virtual double Share(double g) = 0;
  virtual void Add(double v) = 0;

 protected:
  ~PulseSink() = default;
};

struct ProgramKernels {
  // Write-verifies cells that do not influence each other; nothing else moves. sample: of the noise draws at each cell's
  // first sample. sink: receives the pulses, or null; REQUIRES n == 1 if given, and given if the job is solved.
  void (*write)(int model, const ProgramJob& job, const int64_t* cells, int64_t n, int64_t sample, PulseSink* sink);
  // Applies a part of the voltage of `count` runs to every cell. The first sample is that of the noise draws.
  void (*disturb)(int model, const ProgramJob& job, const int64_t* cells, int64_t n, double part, const PulseRun* runs,
                  int64_t count, int64_t sample);
  // One pulse on every cell, each at its own voltage [n]. Returns whether a conductance has moved.
  bool (*pulse)(int model, const ProgramJob& job, const int64_t* cells, int64_t n, const double* volts, int64_t sample);
};

namespace baseline {
extern const ProgramKernels kProgram;
}
namespace avx2 {
extern const ProgramKernels kProgram;
}
namespace avx512 {
extern const ProgramKernels kProgram;
}

// Those of the best instruction set.
const ProgramKernels& ActiveProgramKernels();

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_PROGRAM_KERNELS_H_
