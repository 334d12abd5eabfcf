// What there is to run on: the build's architectures, the machine's GPUs, and which one is current.
#ifndef MEMTORCH_ENGINE_CUDA_RUNTIME_H_
#define MEMTORCH_ENGINE_CUDA_RUNTIME_H_

#include <string>
#include <vector>

namespace memtorch::cuda {

// Whether these functions run on a GPU here, and why not.
struct Availability {
  int devices = 0;     // GPUs that can be used
  std::string reason;  // why there are none; empty where there are
};
Availability Query();

// What the kernels were compiled for: "sm_80", ...; "emulated" for the host's loops; empty in a build without CUDA.
std::vector<std::string> Architectures();

// Whether the functions take the host's memory, because they only emulate a GPU.
bool Emulated();

// Makes a GPU current for this thread, and the former one again at the end. Throws std::runtime_error.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int former_;
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_RUNTIME_H_
