#include "engine/simulate.h"

#include <atomic>

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

bool Finite(double x) { return x - x == 0; }

// The first i in [0, n) for which bad(i), or n. Threaded; bad must be cheap to evaluate for all.
template <class Predicate>
int64_t FirstOf(int64_t n, const Predicate& bad) {
  std::atomic<int64_t> first{n};
  ParallelFor(n, 4 * kManyDevices, [&](int64_t begin, int64_t end) {
    bool any = false;
    for (int64_t i = begin; i < end; ++i) any |= bad(i);
    if (!any) return;
    while (!bad(begin)) ++begin;
    int64_t known = first.load();
    while (begin < known && !first.compare_exchange_weak(known, begin)) {
    }
  });
  return first.load();
}

template <class M>
typename M::Params ParamsOf(const DeviceView& devices, int64_t device) {
  return LoadParams<M>([&](size_t i) { return devices.params[i].data[device * devices.params[i].stride]; });
}

template <class M>
bool IsShared(const DeviceView& devices) {
  for (int i = 0; i < kParamCount<M>; ++i) {
    if (devices.params[i].stride != 0) return false;
  }
  return true;
}

template <class M>
void CheckParamValues(const char* op, const DeviceView& devices) {
  for (int i = 0; i < kParamCount<M>; ++i) {
    const auto& field = M::kParams[i];
    const ParamColumn& column = devices.params[i];
    const int64_t n = column.stride == 0 ? 1 : devices.size;
    const int64_t bad = FirstOf(n, [&](int64_t device) { return !InRange(field.range, column.data[device]); });
    if (bad == n) continue;
    const std::string whose = column.stride == 0 ? "" : " of device " + std::to_string(bad);
    Invalid(op, field.name, whose, " ", Quantity(column.data[bad], field.unit), " must be ",
            RangeText(field.range, column.data[bad]));
  }
  const bool shared = IsShared<M>(devices);
  const int64_t n = shared ? 1 : devices.size;
  const int64_t bad = FirstOf(n, [&](int64_t device) { return !M::Conflict(ParamsOf<M>(devices, device)).empty(); });
  if (bad == n) return;
  Invalid(op, shared ? "" : "device " + std::to_string(bad) + ": ", M::Conflict(ParamsOf<M>(devices, bad)));
}

template <class M>
void CheckState(const char* op, const DeviceView& devices) {
  for (int i = 0; i < kStateCount<M>; ++i) {
    const double* column = devices.state[i];
    const int64_t bad = FirstOf(devices.size, [&](int64_t device) { return !Finite(column[device]); });
    if (bad == devices.size) continue;
    Invalid(op, M::kState[i].name, " of device ", bad, " ", Quantity(column[bad], M::kState[i].unit),
            " must be finite");
  }
}

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

template <class M>
bool AnyNoise(const DeviceView& devices) {
  const int64_t n = IsShared<M>(devices) ? 1 : devices.size;
  return FirstOf(n, [&](int64_t device) { return M::UsesNoise(ParamsOf<M>(devices, device)); }) < n;
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

void CheckParams(const char* op, const std::string& model, const DeviceView& devices) {
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckParamColumns<M>(op, devices);
        CheckParamValues<M>(op, devices);
      },
      op);
}

}  // namespace memtorch
