// grid/nodes.h on a GPU: each vector is solved by one block of threads, with the CPU's iterations and the CPU's
// residual. The potentials agree with those of the CPU to the tolerance of that.
//
// Arrays are memory of the current CUDA device. Work is queued on `stream`, a cudaStream_t, and not waited for: instead
// of throwing where a residual stays above the tolerance, these functions leave it in GridNodes::residual (not null), and
// the caller looks whether all are at most the tolerance (NaN is not). Shapes and single numbers are checked as on the
// CPU, values are not, because that would wait for the device: REQUIRES conductances in [0, kMaxSiemens] and voltages in
// [-kMaxVolts, kMaxVolts].
#ifndef MEMTORCH_ENGINE_CUDA_NODES_H_
#define MEMTORCH_ENGINE_CUDA_NODES_H_

#include "engine/grid/nodes.h"

namespace memtorch::cuda {

// Devices whose current is g sinh(steepness v) / steepness.
struct SinhDevices {
  MatrixView<const double> g;  // [rows, cols], siemens
  double steepness;            // 1/V, > 0
};

// Bytes of scratch memory that SolveNodes needs for so many vectors.
int64_t SolveNodesWorkspaceBytes(int64_t rows, int64_t cols, int64_t vectors, bool linear);

// `workspace`, aligned to 16 bytes, is free again when the work on `stream` is done.
void SolveNodes(MatrixView<const double> g, const Wires& wires, const GridSources& sources, const NodeOptions& options,
                const GridNodes& nodes, void* workspace, void* stream);
void SolveNodes(const SinhDevices& devices, const Wires& wires, const GridSources& sources, const NodeOptions& options,
                const GridNodes& nodes, void* workspace, void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_NODES_H_
