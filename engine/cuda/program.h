// program.h on a GPU: columns, targets, selection and report are memory of the current CUDA device; shared parameters
// are the host's. Conductances, states and reports are those of the CPU, bit for bit, as long as no cell times out.
//
// Tiles run side by side, one block of threads each; where no cell influences another all cells do. Where voltages are
// solved, because wires resist or lines are open, the block solves the circuit of its tile, as engine/program.h says.
// Results are then those of the CPU up to the rounding of the solutions. A circuit that is not solved is told by
// residual [tiles], the largest of a tile's solutions, which should be at most kProgramTolerance (NaN is not); devices and
// report are then as they were.
//
// Columns are not checked, because that would wait for the device: REQUIRES parameters that pass CheckParams, finite
// states, targets within the range of their devices.
#ifndef MEMTORCH_ENGINE_CUDA_PROGRAM_H_
#define MEMTORCH_ENGINE_CUDA_PROGRAM_H_

#include <string>

#include "engine/program.h"

namespace memtorch::cuda {

// Bytes of scratch memory that Program needs.
int64_t ProgramWorkspaceBytes(const TileShape& shape, const ProgramOptions& options);

// residual: null where no voltages are solved. `workspace`, aligned to 16 bytes, is free again when the work on `stream` is
// done.
void Program(const std::string& model, const DeviceView& devices, const TileShape& shape, const double* target,
             const uint8_t* selected, const ProgramOptions& options, const ProgramReport& report, double* residual,
             void* workspace, void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_PROGRAM_H_
