// CheckParams of simulate.h on a GPU: what is wrong is found there, and said by the CPU.
#ifndef MEMTORCH_ENGINE_CUDA_PARAMS_H_
#define MEMTORCH_ENGINE_CUDA_PARAMS_H_

#include <cstdint>
#include <string>

#include "engine/device_array.h"

namespace memtorch::cuda {

// Writes to `*found`, in device memory, -1 if CheckParams accepts the parameters of all devices; otherwise a number that
// leaves the first device of which it complains when divided by devices.size. Columns of parameters are memory of the
// current CUDA device; parameters that all devices share (stride 0) are the host's. Work is queued on `stream`, a
// cudaStream_t, and not waited for.
//
// Throws std::invalid_argument for an unknown model or a missing column, std::runtime_error when CUDA refuses the launch.
void FindBadParams(const std::string& model, const DeviceView& devices, int64_t* found, void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_PARAMS_H_
