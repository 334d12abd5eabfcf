// weights.h on a GPU: weights, conductances and sums are memory of the current CUDA device. The same bits as on the CPU.
#ifndef MEMTORCH_ENGINE_CUDA_WEIGHTS_H_
#define MEMTORCH_ENGINE_CUDA_WEIGHTS_H_

#include "engine/weights.h"

namespace memtorch::cuda {

template <class T>
void MapWeights(const WeightMap& map, const T* w, int64_t n, T* positive, T* negative, void* stream);

// `workspace`: SumWeightsWorkspaceBytes(of.n) bytes of device memory.
int64_t SumWeightsWorkspaceBytes(int64_t n);
template <class T>
void SumWeights(const WeightDifferences<T>& of, double* sums, void* workspace, void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_WEIGHTS_H_
