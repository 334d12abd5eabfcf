// read.h on a GPU: conductances, voltages and currents are memory of the current CUDA device. The currents are those of
// the CPU, bit for bit. Values are not checked, because that would wait for the device: REQUIRES finite voltages and
// conductances.
#ifndef MEMTORCH_ENGINE_CUDA_READ_H_
#define MEMTORCH_ENGINE_CUDA_READ_H_

#include "engine/read.h"

namespace memtorch::cuda {

// Bytes of scratch memory that Read needs: the currents of every row of tiles.
template <class T>
int64_t ReadWorkspaceBytes(const TileGrid& grid, const MatrixView<T>& i);

// `workspace` is free again when the work on `stream` is done.
template <class T>
void Read(const TileGrid& grid, const float* g_pos, const float* g_neg, MatrixView<const T> v, const AdcOptions* adc,
          MatrixView<T> i, void* workspace, void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_READ_H_
