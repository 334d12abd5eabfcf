#include "engine/column_checks.h"
#include "engine/cuda/device_columns.h"
#include "engine/cuda/launch.h"
#include "engine/cuda/simulate.h"
#include "engine/devices/models.h"
#include "engine/random.h"
#include "engine/refine.h"
#include "engine/simulate_checks.h"

namespace memtorch::cuda {
namespace {

// Devices that follow waveforms.
struct Motion {
  DeviceColumns devices;
  Waveform waveform;
  SimulateOptions options;
  double* current;

  MT_HD const double* Volts(int64_t device) const { return waveform.v + device * waveform.device_stride; }
  MT_HD double Noise(int64_t device, int64_t t) const {
    return Normal(options.seed, static_cast<uint64_t>(options.first_device + device), static_cast<uint64_t>(t));
  }
  MT_HD void Record(int64_t device, int64_t t, double amperes) const {
    if (current != nullptr) current[device * waveform.steps + t] = amperes;
  }
};

// One explicit step per sample.
template <class M>
struct StepDevice {
  Motion motion;

  MT_HD void operator()(int64_t device) const {
    const auto p = motion.devices.template ParamsAt<M>(device);
    auto s = motion.devices.template StateAt<M>(device);
    const double* v = motion.Volts(device);
    const bool noise = M::UsesNoise(p), stuck = motion.devices.IsStuckAt(device);
    double last_current = 0;
    for (int64_t t = 0; t < motion.waveform.steps; ++t) {
      const auto drive = M::MakeDrive(p, v[t], motion.waveform.dt);
      last_current =
          stuck ? M::Current(p, drive, s) : Step<M>(p, drive, s, last_current, noise ? motion.Noise(device, t) : 0);
      motion.Record(device, t, last_current);
    }
    motion.devices.template Write<M>(device, p, s);
  }
};

// With error control.
template <class M>
struct RefineDevice {
  Motion motion;

  MT_HD void operator()(int64_t device) const {
    const auto p = motion.devices.template ParamsAt<M>(device);
    auto s = motion.devices.template StateAt<M>(device);
    const double* v = motion.Volts(device);
    const bool noise = M::UsesNoise(p), stuck = motion.devices.IsStuckAt(device);
    const int64_t steps = motion.waveform.steps;
    for (int64_t t = 0; t < steps; ++t) {
      motion.Record(device, t, M::Current(p, M::MakeDrive(p, v[t], motion.waveform.dt), s));
      if (stuck) continue;
      const VoltageRamp ramp{v[t], v[t + 1 < steps ? t + 1 : t], motion.waveform.dt};
      AdvanceRefined<M>(p, ramp, motion.options.rel_tol, noise ? motion.Noise(device, t) : 0, s);
    }
    motion.devices.template Write<M>(device, p, s);
  }
};

template <class M>
struct SetDevice {
  DeviceColumns devices;
  ConductanceColumn target;

  MT_HD void operator()(int64_t device) const {
    const auto p = devices.template ParamsAt<M>(device);
    const double wanted = target.f32 != nullptr ? static_cast<double>(target.f32[device]) : target.f64[device];
    devices.template Write<M>(device, p, M::FromConductance(p, Clamp(wanted, 1 / p.r_off, 1 / p.r_on)));
  }
};

template <class M>
struct UpdateDevice {
  DeviceColumns devices;

  MT_HD void operator()(int64_t device) const {
    devices.template Write<M>(device, devices.template ParamsAt<M>(device), devices.template StateAt<M>(device));
  }
};

template <class M>
struct ResetDevice {
  DeviceColumns devices;

  MT_HD void operator()(int64_t device) const {
    const auto p = devices.template ParamsAt<M>(device);
    devices.template Write<M>(device, p, M::Initial(p));
  }
};

// body(model, columns) for the model of that name, its columns checked.
template <class Body>
void WithColumns(const char* op, const std::string& model, const DeviceView& devices, const Body& body) {
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckColumns<M>(op, devices);
        CheckSharedParams<M>(op, devices);
        body(m, DeviceColumns(devices, kParamCount<M>));
      },
      op);
}

}  // namespace

void Simulate(const std::string& model, const DeviceView& devices, const Waveform& waveform,
              const SimulateOptions& options, double* current, void* stream) {
  const char* op = "simulate";
  WithColumns(op, model, devices, [&](auto m, const DeviceColumns& columns) {
    using M = decltype(m);
    CheckWaveform(op, devices, waveform);
    CheckOptions(op, options);
    const Motion motion{columns, waveform, options, current};
    if (options.rel_tol > 0) {
      ForEach(op, devices.size, RefineDevice<M>{motion}, stream);
    } else {
      ForEach(op, devices.size, StepDevice<M>{motion}, stream);
    }
  });
}

void SetConductance(const std::string& model, const DeviceView& devices, const ConductanceColumn& target,
                    void* stream) {
  const char* op = "set_conductance";
  WithColumns(op, model, devices, [&](auto m, const DeviceColumns& columns) {
    CheckTarget(op, devices, target);
    ForEach(op, devices.size, SetDevice<decltype(m)>{columns, target}, stream);
  });
}

void UpdateConductance(const std::string& model, const DeviceView& devices, void* stream) {
  const char* op = "update_conductance";
  WithColumns(op, model, devices, [&](auto m, const DeviceColumns& columns) {
    ForEach(op, devices.size, UpdateDevice<decltype(m)>{columns}, stream);
  });
}

void Reset(const std::string& model, const DeviceView& devices, void* stream) {
  const char* op = "reset";
  WithColumns(op, model, devices, [&](auto m, const DeviceColumns& columns) {
    ForEach(op, devices.size, ResetDevice<decltype(m)>{columns}, stream);
  });
}

}  // namespace memtorch::cuda
