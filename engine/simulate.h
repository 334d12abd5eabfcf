// What devices do: follow voltage waveforms, take conductances, report conductances.
//
// All functions are stateless and threaded over devices; results do not depend on the number of threads.
// No function changes state or g of a device that the view says is stuck; its currents are those of that state.
// `model` is a name of engine/devices/models.h. All throw std::invalid_argument naming the argument, before any
// column is touched.
#ifndef MEMTORCH_ENGINE_SIMULATE_H_
#define MEMTORCH_ENGINE_SIMULATE_H_

#include "engine/device_array.h"

namespace memtorch {

// Voltages, volts, one sample every dt seconds. device_stride 0: one waveform [steps] for all devices;
// otherwise [size, steps] with that many doubles from one device to the next.
struct Waveform {
  const double* v = nullptr;
  int64_t steps = 0;
  int64_t device_stride = 0;
  double dt = 0;  // seconds, > 0
};

struct SimulateOptions {
  uint64_t seed = 0;         // key of the noise draws, keyed by (seed, device, sample)
  int64_t first_device = 0;  // index of the view's first device in those keys
  // 0: one explicit step per sample, as MemTorch 1.1.6. Above 0, below 1: error control (engine/refine.h). The voltage
  // is then linear between samples and held after the last, each sample is halved until the state moves by the same
  // amount to within rel_tol of its range, and a sample's current is the one at its own time, for every model.
  // Intervals needed: about 1 / sqrt(rel_tol), but 1 / rel_tol while a state follows a moving threshold (F_min of
  // Stanford_PKU).
  double rel_tol = 0;
};

// Applies the waveform; state and g are updated in place. current: [size, steps] amperes, out, or null.
void Simulate(const std::string& model, const DeviceView& devices, const Waveform& waveform,
              const SimulateOptions& options, double* current);

// Sets each device to target [size] siemens, clipped to its own [1/r_off, 1/r_on]; g becomes the conductance of the
// state that results. target may be devices.g itself (state follows g). Throws on a non-finite target.
void SetConductance(const std::string& model, const DeviceView& devices, const ConductanceColumn& target);

// Recomputes g from the state.
void UpdateConductance(const std::string& model, const DeviceView& devices);

// Puts every device into its model's initial state.
void Reset(const std::string& model, const DeviceView& devices);

// Checks every parameter of every device against the model's table and its cross conditions (r_on < r_off, ...).
// op names the caller in the message, where the first device is number `first_device`.
void CheckParams(const char* op, const std::string& model, const DeviceView& devices, int64_t first_device = 0);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_SIMULATE_H_
