// random.h on a GPU: the same draws, bit for bit, into memory of the current CUDA device.
#ifndef MEMTORCH_ENGINE_CUDA_RANDOM_H_
#define MEMTORCH_ENGINE_CUDA_RANDOM_H_

#include <cstdint>

#include "engine/random.h"

namespace memtorch::cuda {

// REQUIRES first >= 0.
void FillUniform(uint64_t seed, uint64_t stream_id, int64_t first, double* out, int64_t n, void* stream);
void FillNormal(uint64_t seed, uint64_t stream_id, int64_t first, double* out, int64_t n, void* stream);
void FillDistributed(const Distribution& distribution, uint64_t seed, uint64_t stream_id, int64_t first, double* out,
                     int64_t n, void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_RANDOM_H_
