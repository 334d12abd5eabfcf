// The inner loops of simulate.h, one table per instruction set (engine/simd.h).
//
// Every function takes a range [begin, end) of devices, already checked, of the model at position `model` of
// engine/devices/models.h.
#ifndef MEMTORCH_ENGINE_SIMULATE_KERNELS_H_
#define MEMTORCH_ENGINE_SIMULATE_KERNELS_H_

#include "engine/device_array.h"
#include "engine/simulate.h"

namespace memtorch {

// The arguments of Simulate that are the same for all devices.
struct SimulateJob {
  DeviceView devices;
  Waveform waveform;
  SimulateOptions options;
  double* current = nullptr;  // [size, steps] amperes, or null
  bool noise = false;         // some device reads its normal draws
};

struct SimulateKernels {
  void (*simulate)(int model, const SimulateJob& job, int64_t begin, int64_t end);
  void (*set_conductance)(int model, const DeviceView& devices, const ConductanceColumn& target, int64_t begin,
                          int64_t end);
  void (*update_conductance)(int model, const DeviceView& devices, int64_t begin, int64_t end);
};

namespace baseline {
extern const SimulateKernels kSimulate;
}
namespace avx2 {
extern const SimulateKernels kSimulate;
}
namespace avx512 {
extern const SimulateKernels kSimulate;
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_SIMULATE_KERNELS_H_
