// A million VTEAM devices on a GPU: their columns lie in its memory, pulses move them there, and the CPU agrees.
//
//   bazel run --config=cuda //examples/cpp:devices_on_gpu
#include <cuda_runtime.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <vector>

#include "engine/cuda/simulate.h"
#include "engine/device_array.h"
#include "engine/simulate.h"

namespace {

void Check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

// Values in memory of the GPU.
template <class T>
class OnGpu {
 public:
  OnGpu(const T* values, size_t size) : bytes_(size * sizeof(T)) {
    Check(cudaMalloc(&data_, bytes_));
    Check(cudaMemcpy(data_, values, bytes_, cudaMemcpyHostToDevice));
  }
  OnGpu(const OnGpu&) = delete;
  OnGpu& operator=(const OnGpu&) = delete;
  ~OnGpu() { static_cast<void>(cudaFree(data_)); }

  T* data() const { return static_cast<T*>(data_); }
  void CopyTo(T* values) const { Check(cudaMemcpy(values, data_, bytes_, cudaMemcpyDeviceToHost)); }

 private:
  size_t bytes_;
  void* data_ = nullptr;
};

}  // namespace

int main() try {
  constexpr size_t kDevices = 1 << 20;
  const std::vector<double> pulse(50, 0.3);  // volts
  memtorch::DeviceArray devices("VTEAM", kDevices, {{"r_on", 50}, {"r_off", 1000}});
  const memtorch::DeviceView host = devices.view();

  // The same view with columns of the GPU; parameters that all devices share stay where they are.
  const OnGpu<double> state(host.state[0], kDevices), volts(pulse.data(), pulse.size());
  const OnGpu<float> g(host.g.f32, kDevices);
  memtorch::DeviceView gpu = host;
  gpu.state[0] = state.data();
  gpu.g.f32 = g.data();

  memtorch::Waveform wave{pulse.data(), static_cast<int64_t>(pulse.size()), 0, 1e-10};
  memtorch::Simulate("VTEAM", host, wave, {}, nullptr);
  cudaStream_t stream;
  Check(cudaStreamCreate(&stream));
  wave.v = volts.data();
  memtorch::cuda::Simulate("VTEAM", gpu, wave, {}, nullptr, stream);  // queued: returns at once
  Check(cudaStreamSynchronize(stream));
  Check(cudaStreamDestroy(stream));

  std::vector<float> found(kDevices);
  g.CopyTo(found.data());
  size_t differing = 0;
  for (size_t i = 0; i < kDevices; ++i) differing += found[i] != host.g.f32[i];
  std::printf("%zu devices at %.6f mS; %zu differ from the CPU's\n", kDevices, 1e3 * found[0], differing);
  return differing == 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
