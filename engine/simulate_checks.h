// Checks of the arguments of simulate.h that look at shapes and single numbers, not at columns: what the CPU and the
// CUDA front have in common. All throw std::invalid_argument; `op` names the caller.
#ifndef MEMTORCH_ENGINE_SIMULATE_CHECKS_H_
#define MEMTORCH_ENGINE_SIMULATE_CHECKS_H_

#include "engine/device_model.h"
#include "engine/simulate.h"

namespace memtorch {

// That every parameter has a column.
template <class M>
void CheckParamColumns(const char* op, const DeviceView& devices) {
  if (devices.size < 0) Invalid(op, "size (", devices.size, ") must be at least 0");
  for (int i = 0; i < kParamCount<M>; ++i) {
    const ParamColumn& column = devices.params[i];
    if (column.data == nullptr) Invalid(op, "params must hold a column for ", M::kParams[i].name);
    if (column.stride != 0 && column.stride != 1) {
      Invalid(op, "the stride of ", M::kParams[i].name, " (", column.stride, ") must be 0 or 1");
    }
  }
}

// That every column is there.
template <class M>
void CheckColumns(const char* op, const DeviceView& devices) {
  CheckParamColumns<M>(op, devices);
  if (devices.size == 0) return;
  for (int i = 0; i < kStateCount<M>; ++i) {
    if (devices.state[i] == nullptr) Invalid(op, "state must hold a column for ", M::kState[i].name);
  }
  if ((devices.g.f32 == nullptr) == (devices.g.f64 == nullptr)) {
    Invalid(op, "g must be either a float32 or a float64 column");
  }
}

inline void CheckTarget(const char* op, const DeviceView& devices, const ConductanceColumn& target) {
  if (devices.size == 0) return;
  if (devices.g.f32 != nullptr ? target.f32 == nullptr : target.f64 == nullptr) {
    Invalid(op, "target must be of the type of g");
  }
}

inline void CheckWaveform(const char* op, const DeviceView& devices, const Waveform& waveform) {
  if (!(waveform.dt > 0) || !(waveform.dt - waveform.dt == 0)) {
    Invalid(op, "dt (", waveform.dt, " s) must be finite and above 0");
  }
  if (waveform.steps < 0) Invalid(op, "steps (", waveform.steps, ") must be at least 0");
  if (waveform.device_stride != 0 && waveform.device_stride < waveform.steps) {
    Invalid(op, "device_stride (", waveform.device_stride, ") must be 0 or at least the ", waveform.steps,
            " steps of a waveform");
  }
  if (waveform.v == nullptr && waveform.steps > 0 && devices.size > 0) {
    Invalid(op, "waveform must hold ", waveform.steps, " voltages");
  }
}

inline void CheckOptions(const char* op, const SimulateOptions& options) {
  if (options.first_device < 0) Invalid(op, "first_device (", options.first_device, ") must be at least 0");
  if (!(options.rel_tol >= 0 && options.rel_tol < 1)) {
    Invalid(op, "rel_tol (", options.rel_tol, ") must be at least 0 and below 1");
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_SIMULATE_CHECKS_H_
