#include <cuda_runtime.h>

#include <new>
#include <stdexcept>

#include "engine/cuda/launch.h"
#include "engine/cuda/runtime.h"

namespace memtorch::cuda {
namespace {

[[noreturn]] void Fail(const char* op, cudaError_t error) {
  if (error == cudaErrorMemoryAllocation) throw std::bad_alloc();
  throw std::runtime_error(std::string("[") + op + "] CUDA: " + cudaGetErrorString(error));
}

}  // namespace

void CheckLaunch(const char* op) {
  // Takes the error with it: the next call starts clean.
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) Fail(op, error);
}

void FailShared(const char* op, int64_t bytes) {
  static_cast<void>(cudaGetLastError());
  throw std::runtime_error(std::string("[") + op + "] CUDA: this GPU has less shared memory than the " +
                           std::to_string((bytes + 1023) / 1024) + " KB that a block needs");
}

bool DescendingEmulation() { return false; }
void SetDescendingEmulation(bool) {}

Availability Query() {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaSuccess && devices > 0) return {devices, ""};
  static_cast<void>(cudaGetLastError());
  return {0, error == cudaSuccess ? "no CUDA device was found" : cudaGetErrorString(error)};
}

std::vector<std::string> Architectures() {
  std::vector<std::string> names;
  for (const int arch : {__CUDA_ARCH_LIST__}) names.push_back("sm_" + std::to_string(arch / 10));
  return names;
}

bool Emulated() { return false; }

DeviceGuard::DeviceGuard(int device) : former_(device) {
  cudaError_t error = cudaGetDevice(&former_);
  if (error == cudaSuccess && former_ != device) error = cudaSetDevice(device);
  if (error != cudaSuccess) Fail("cuda", error);
}

DeviceGuard::~DeviceGuard() { static_cast<void>(cudaSetDevice(former_)); }

}  // namespace memtorch::cuda
