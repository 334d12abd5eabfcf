// wired_read.h on a GPU: one block of threads solves the circuit of one tile for one input vector (cuda/nodes.h).
//
// Arrays are memory of the current CUDA device; parameters that all devices share (stride 0) are the host's. Work is
// queued on `stream`, a cudaStream_t, and not waited for: where Kirchhoff's law is not met is told by residual
// [tiles, inputs], the largest of the circuits solved for it, which should be at most kWiredReadTolerance (NaN is not).
// Shapes and single numbers are checked as on the CPU, values are not, because that would wait for the device: REQUIRES
// parameters and conductances within their bounds, and voltages at which every device carries a finite current.
#ifndef MEMTORCH_ENGINE_CUDA_WIRED_READ_H_
#define MEMTORCH_ENGINE_CUDA_WIRED_READ_H_

#include <string>

#include "engine/wired_read.h"

namespace memtorch::cuda {

// Bytes of scratch memory that the functions need.
int64_t WiredReadWorkspaceBytes(const TileGrid& grid, int64_t inputs);

// `workspace`, aligned to 16 bytes, is free again when the work on `stream` is done.
void ReadThroughWires(const std::string& model, const NonlinearRead& read, const Wires& wires, double* partial,
                      double* residual, void* workspace, void* stream);

// The circuits are solved again, and then the linear ones of the devices' slopes at the solution, driven from the
// senses.
void ReadThroughWiresGradient(const std::string& model, const NonlinearRead& read, const Wires& wires,
                              const double* partial_grad, const WiredGradients& gradients, double* residual,
                              void* workspace, void* stream);

// A block of threads takes one tile after another, all input vectors of each; residual [tiles]. Devices move as on the CPU
// up to the rounding of the solutions. The workspace holds them until all circuits are solved; where one is not, all
// devices stay as they were, and partial is not to be used.
int64_t SimulatedReadWorkspaceBytes(const TileGrid& grid);
void ReadSimulatedThroughWires(const std::string& model, const NonlinearRead& read, const Wires& wires,
                               const SimulatedReadOptions& options, double* partial, double* residual, void* workspace,
                               void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_WIRED_READ_H_
