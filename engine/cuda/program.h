// program.h on a GPU: columns, targets, selection and report are memory of the current CUDA device; shared parameters
// are the host's. Conductances, states and reports are those of the CPU, bit for bit, as long as no cell times out.
//
// Tiles run side by side, one block of threads each; where no cell influences another all cells do. Voltages are not
// solved here: with resistive wires or floating lines Program throws, and the CPU's Program serves copies of the columns.
//
// Columns are not checked, because that would wait for the device: REQUIRES parameters that pass CheckParams, finite
// states, targets within the range of their devices.
#ifndef MEMTORCH_ENGINE_CUDA_PROGRAM_H_
#define MEMTORCH_ENGINE_CUDA_PROGRAM_H_

#include <string>

#include "engine/program.h"

namespace memtorch::cuda {

// Bytes of scratch memory that Program needs.
int64_t ProgramWorkspaceBytes();

// `workspace` is free again when the work on `stream` is done.
void Program(const std::string& model, const DeviceView& devices, const TileShape& shape, const double* target,
             const uint8_t* selected, const ProgramOptions& options, const ProgramReport& report, void* workspace,
             void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_PROGRAM_H_
