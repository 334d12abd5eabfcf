#include "engine/simulate.h"

#include "engine/column_checks.h"
#include "engine/device_model.h"
#include "engine/devices/models.h"
#include "engine/parallel.h"
#include "engine/random.h"
#include "engine/refine.h"
#include "engine/simd.h"
#include "engine/simulate_checks.h"
#include "engine/simulate_kernels.h"

namespace memtorch {
namespace {

// Devices per task where a device costs nanoseconds, and where it costs more.
constexpr int64_t kManyDevices = 8192;
constexpr int64_t kFewDevices = 128;

const SimulateKernels& Kernels() { return Select(baseline::kSimulate, avx2::kSimulate, avx512::kSimulate); }

void CheckVoltages(const char* op, const DeviceView& devices, const Waveform& waveform) {
  const int64_t stride = waveform.device_stride;
  const int64_t rows = stride == 0 ? 1 : devices.size;
  const int64_t n = rows * waveform.steps;
  const auto at = [&](int64_t i) { return waveform.v[i / waveform.steps * stride + i % waveform.steps]; };
  const int64_t bad = rows == 1 || stride == waveform.steps
                          ? FirstOf(n, [&](int64_t i) { return !Finite(waveform.v[i]); })
                          : FirstOf(n, [&](int64_t i) { return !Finite(at(i)); });
  if (bad == n) return;
  const std::string whose = stride == 0 ? "" : " of device " + std::to_string(bad / waveform.steps);
  Invalid(op, "waveform sample ", bad % waveform.steps, whose, " (", at(bad), " V) must be finite");
}

void WriteConductance(const DeviceView& devices, int64_t device, double g) {
  if (devices.g.f32 != nullptr) {
    devices.g.f32[device] = static_cast<float>(g);
  } else {
    devices.g.f64[device] = g;
  }
}

template <class M>
typename M::State StateOf(const DeviceView& devices, int64_t device) {
  return LoadState<M>([&](size_t i) { return devices.state[i][device]; });
}

template <class M>
void WriteDevice(const DeviceView& devices, int64_t device, const typename M::Params& p, const typename M::State& s) {
  if (IsStuck(devices, device)) return;
  StoreState<M>(s, [&](size_t i, double value) { devices.state[i][device] = value; });
  WriteConductance(devices, device, M::Conductance(p, s));
}

// One device with error control. Scalar: the number of steps differs from device to device.
template <class M>
void SimulateRefined(const SimulateJob& job, int64_t device) {
  const Waveform& w = job.waveform;
  const double* v = w.v + device * w.device_stride;
  const auto p = ParamsOf<M>(job.devices, device);
  const uint64_t stream = static_cast<uint64_t>(job.options.first_device + device);
  const bool stuck = IsStuck(job.devices, device);
  auto s = StateOf<M>(job.devices, device);
  for (int64_t t = 0; t < w.steps; ++t) {
    if (job.current != nullptr) job.current[device * w.steps + t] = M::Current(p, M::MakeDrive(p, v[t], w.dt), s);
    if (stuck) continue;
    const double normal = job.noise ? Normal(job.options.seed, stream, static_cast<uint64_t>(t)) : 0;
    const VoltageRamp ramp{v[t], v[t + 1 < w.steps ? t + 1 : t], w.dt};
    AdvanceRefined<M>(p, ramp, job.options.rel_tol, normal, s);
  }
  WriteDevice<M>(job.devices, device, p, s);
}

}  // namespace

void Simulate(const std::string& model, const DeviceView& devices, const Waveform& waveform,
              const SimulateOptions& options, double* current) {
  const char* op = "simulate";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckColumns<M>(op, devices);
    CheckWaveform(op, devices, waveform);
    CheckOptions(op, options);
    if (devices.size == 0) return;
    CheckVoltages(op, devices, waveform);
    CheckParamValues<M>(op, devices);
    CheckState<M>(op, devices);
    const SimulateJob job{devices, waveform, options, current, AnyNoise<M>(devices)};
    if (options.rel_tol == 0) {
      const int64_t grain = waveform.steps < 16 ? kManyDevices / 4 : kFewDevices;
      ParallelFor(devices.size, grain, [&](int64_t begin, int64_t end) { Kernels().simulate(index, job, begin, end); });
      return;
    }
    ParallelFor(devices.size, 1, [&](int64_t begin, int64_t end) {
      for (int64_t device = begin; device < end; ++device) SimulateRefined<M>(job, device);
    });
  });
}

void SetConductance(const std::string& model, const DeviceView& devices, const ConductanceColumn& target) {
  const char* op = "set_conductance";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckColumns<M>(op, devices);
    CheckParamValues<M>(op, devices);
    CheckTarget(op, devices, target);
    const bool single = devices.g.f32 != nullptr;
    const int64_t bad = single ? FirstOf(devices.size, [&](int64_t i) { return !(target.f32[i] - target.f32[i] == 0); })
                               : FirstOf(devices.size, [&](int64_t i) { return !Finite(target.f64[i]); });
    if (bad < devices.size) {
      const double value = single ? static_cast<double>(target.f32[bad]) : target.f64[bad];
      Invalid(op, "target of device ", bad, " (", value, " S) must be finite");
    }
    ParallelFor(devices.size, kManyDevices,
                [&](int64_t begin, int64_t end) { Kernels().set_conductance(index, devices, target, begin, end); });
  });
}

void UpdateConductance(const std::string& model, const DeviceView& devices) {
  const char* op = "update_conductance";
  const int index = ModelIndex(op, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckColumns<M>(op, devices);
    CheckParamValues<M>(op, devices);
    CheckState<M>(op, devices);
    ParallelFor(devices.size, kManyDevices,
                [&](int64_t begin, int64_t end) { Kernels().update_conductance(index, devices, begin, end); });
  });
}

void Reset(const std::string& model, const DeviceView& devices) {
  const char* op = "reset";
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckColumns<M>(op, devices);
        CheckParamValues<M>(op, devices);
        ParallelFor(devices.size, kManyDevices, [&](int64_t begin, int64_t end) {
          for (int64_t device = begin; device < end; ++device) {
            const auto p = ParamsOf<M>(devices, device);
            WriteDevice<M>(devices, device, p, M::Initial(p));
          }
        });
      },
      op);
}

void CheckParams(const char* op, const std::string& model, const DeviceView& devices, int64_t first_device) {
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckParamColumns<M>(op, devices);
        CheckParamValues<M>(op, devices, first_device);
      },
      op);
}

}  // namespace memtorch
