// simulate.h on a GPU: the same functions on columns in device memory, one thread per device.
//
// Columns, waveforms and currents are memory of the current CUDA device; parameters that all devices share (stride 0)
// are the host's. Work is queued on `stream`, a cudaStream_t, and not waited for. The arithmetic and the random draws
// are those of the CPU, bit for bit.
//
// Shapes and single numbers, shared parameters among them, are checked as on the CPU. What the columns hold is not,
// because that would wait for the device: REQUIRES parameters that pass CheckParams, finite voltages, states and targets.
//
// engine/cuda:cuda is the kernels with --config=cuda; without, functions that throw std::runtime_error.
#ifndef MEMTORCH_ENGINE_CUDA_SIMULATE_H_
#define MEMTORCH_ENGINE_CUDA_SIMULATE_H_

#include <string>

#include "engine/simulate.h"

namespace memtorch::cuda {

// Throw std::invalid_argument for a bad argument, std::runtime_error when CUDA refuses the launch.
void Simulate(const std::string& model, const DeviceView& devices, const Waveform& waveform,
              const SimulateOptions& options, double* current, void* stream);
void SetConductance(const std::string& model, const DeviceView& devices, const ConductanceColumn& target, void* stream);
void UpdateConductance(const std::string& model, const DeviceView& devices, void* stream);
void Reset(const std::string& model, const DeviceView& devices, void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_SIMULATE_H_
