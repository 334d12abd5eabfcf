#include <cuda_runtime.h>

#include <stdexcept>

#include "engine/cuda/kernels.h"
#include "engine/device_model.h"
#include "engine/devices/models.h"
#include "engine/random.h"
#include "engine/refine.h"
#include "engine/simulate_checks.h"

namespace memtorch::cuda {
namespace {

constexpr int kThreads = 128;

// The device of this thread; at or beyond the number of devices for the last threads.
__device__ int64_t ThisDevice() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

struct ParamSource {
  const ParamColumn* columns;
  int64_t device;
  __device__ __forceinline__ double operator()(size_t i) const { return columns[i].data[device * columns[i].stride]; }
};

struct StateSource {
  double* const* columns;
  int64_t device;
  __device__ __forceinline__ double operator()(size_t i) const { return columns[i][device]; }
};

struct StateSink {
  double* const* columns;
  int64_t device;
  __device__ __forceinline__ void operator()(size_t i, double value) const { columns[i][device] = value; }
};

template <class M>
__device__ __forceinline__ typename M::Params ParamsOf(const DeviceView& devices, int64_t device) {
  return LoadParams<M>(ParamSource{devices.params, device});
}

template <class M>
__device__ __forceinline__ void WriteDevice(const DeviceView& devices, int64_t device, const typename M::Params& p,
                                            const typename M::State& s) {
  if (IsStuck(devices, device)) return;
  StoreState<M>(s, StateSink{devices.state, device});
  const double g = M::Conductance(p, s);
  if (devices.g.f32 != nullptr) {
    devices.g.f32[device] = static_cast<float>(g);
  } else {
    devices.g.f64[device] = g;
  }
}

// One explicit step per sample.
template <class M>
__global__ void StepKernel(DeviceView devices, Waveform waveform, SimulateOptions options, double* current) {
  const int64_t device = ThisDevice();
  if (device >= devices.size) return;
  const auto p = ParamsOf<M>(devices, device);
  auto s = LoadState<M>(StateSource{devices.state, device});
  const double* v = waveform.v + device * waveform.device_stride;
  const uint64_t stream = static_cast<uint64_t>(options.first_device + device);
  const bool noise = M::UsesNoise(p);
  const bool stuck = IsStuck(devices, device);
  double last_current = 0;
  for (int64_t t = 0; t < waveform.steps; ++t) {
    const double normal = noise ? Normal(options.seed, stream, static_cast<uint64_t>(t)) : 0;
    const auto drive = M::MakeDrive(p, v[t], waveform.dt);
    last_current = stuck ? M::Current(p, drive, s) : Step<M>(p, drive, s, last_current, normal);
    if (current != nullptr) current[device * waveform.steps + t] = last_current;
  }
  WriteDevice<M>(devices, device, p, s);
}

// With error control.
template <class M>
__global__ void RefineKernel(DeviceView devices, Waveform waveform, SimulateOptions options, double* current) {
  const int64_t device = ThisDevice();
  if (device >= devices.size) return;
  const auto p = ParamsOf<M>(devices, device);
  auto s = LoadState<M>(StateSource{devices.state, device});
  const double* v = waveform.v + device * waveform.device_stride;
  const uint64_t stream = static_cast<uint64_t>(options.first_device + device);
  const bool noise = M::UsesNoise(p);
  const bool stuck = IsStuck(devices, device);
  for (int64_t t = 0; t < waveform.steps; ++t) {
    if (current != nullptr) {
      current[device * waveform.steps + t] = M::Current(p, M::MakeDrive(p, v[t], waveform.dt), s);
    }
    if (stuck) continue;
    const double normal = noise ? Normal(options.seed, stream, static_cast<uint64_t>(t)) : 0;
    const VoltageRamp ramp{v[t], v[t + 1 < waveform.steps ? t + 1 : t], waveform.dt};
    AdvanceRefined<M>(p, ramp, options.rel_tol, normal, s);
  }
  WriteDevice<M>(devices, device, p, s);
}

template <class M>
__global__ void SetKernel(DeviceView devices, ConductanceColumn target) {
  const int64_t device = ThisDevice();
  if (device >= devices.size) return;
  const auto p = ParamsOf<M>(devices, device);
  const double wanted = devices.g.f32 != nullptr ? static_cast<double>(target.f32[device]) : target.f64[device];
  WriteDevice<M>(devices, device, p, M::FromConductance(p, Clamp(wanted, 1 / p.r_off, 1 / p.r_on)));
}

template <class M>
__global__ void UpdateKernel(DeviceView devices) {
  const int64_t device = ThisDevice();
  if (device >= devices.size) return;
  WriteDevice<M>(devices, device, ParamsOf<M>(devices, device), LoadState<M>(StateSource{devices.state, device}));
}

template <class M>
__global__ void ResetKernel(DeviceView devices) {
  const int64_t device = ThisDevice();
  if (device >= devices.size) return;
  const auto p = ParamsOf<M>(devices, device);
  WriteDevice<M>(devices, device, p, M::Initial(p));
}

// Queues one thread per device.
template <class... Values>
void Launch(const char* op, void (*kernel)(DeviceView, Values...), void* stream, const DeviceView& devices,
            const Values&... values) {
  if (devices.size == 0) return;
  const int64_t blocks = (devices.size + kThreads - 1) / kThreads;
  if (blocks > INT32_MAX) Invalid(op, "size (", devices.size, ") must be at most ", int64_t{INT32_MAX} * kThreads);
  kernel<<<static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(devices, values...);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string("[") + op + "] CUDA: " + cudaGetErrorString(error));
  }
}

}  // namespace

void Simulate(const std::string& model, const DeviceView& devices, const Waveform& waveform,
              const SimulateOptions& options, double* current, void* stream) {
  const char* op = "simulate";
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckColumns<M>(op, devices);
        CheckWaveform(op, devices, waveform);
        CheckOptions(op, options);
        const auto kernel = options.rel_tol > 0 ? RefineKernel<M> : StepKernel<M>;
        Launch(op, kernel, stream, devices, waveform, options, current);
      },
      op);
}

void SetConductance(const std::string& model, const DeviceView& devices, const ConductanceColumn& target,
                    void* stream) {
  const char* op = "set_conductance";
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckColumns<M>(op, devices);
        CheckTarget(op, devices, target);
        Launch(op, SetKernel<M>, stream, devices, target);
      },
      op);
}

void UpdateConductance(const std::string& model, const DeviceView& devices, void* stream) {
  const char* op = "update_conductance";
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckColumns<M>(op, devices);
        Launch(op, UpdateKernel<M>, stream, devices);
      },
      op);
}

void Reset(const std::string& model, const DeviceView& devices, void* stream) {
  const char* op = "reset";
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckColumns<M>(op, devices);
        Launch(op, ResetKernel<M>, stream, devices);
      },
      op);
}

}  // namespace memtorch::cuda
