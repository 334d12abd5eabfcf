// Memory of a real GPU.

#include <cuda_runtime.h>

#include <stdexcept>

#include "tests/cpp/cuda/gpu.h"

namespace memtorch::testing {
namespace {

void Check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

}  // namespace

void* GpuAllocate(size_t bytes) {
  void* memory = nullptr;
  Check(cudaMalloc(&memory, bytes));
  return memory;
}
void GpuFree(void* memory) { static_cast<void>(cudaFree(memory)); }
void GpuCopyIn(void* gpu, const void* host, size_t bytes) {
  Check(cudaMemcpy(gpu, host, bytes, cudaMemcpyHostToDevice));
}
void GpuCopyOut(void* host, const void* gpu, size_t bytes) {
  Check(cudaDeviceSynchronize());
  Check(cudaMemcpy(host, gpu, bytes, cudaMemcpyDeviceToHost));
}

}  // namespace memtorch::testing
