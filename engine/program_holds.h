// Whether pulses leave devices as they are: what need not be simulated.
#ifndef MEMTORCH_ENGINE_PROGRAM_HOLDS_H_
#define MEMTORCH_ENGINE_PROGRAM_HOLDS_H_

#include <cstring>
#include <vector>

#include "engine/column_checks.h"
#include "engine/device_array.h"
#include "engine/device_model.h"

namespace memtorch {

inline double ConductanceOf(const DeviceView& devices, int64_t device) {
  return devices.g.f32 != nullptr ? static_cast<double>(devices.g.f32[device]) : devices.g.f64[device];
}

// Whether each of these voltages leaves the state of devices [begin, end) as it is, wherever within its bounds it is.
template <class M>
bool AllHold(const DeviceView& devices, int64_t begin, int64_t end, const std::vector<double>& volts, double dt) {
  if (IsShared<M>(devices)) end = begin < end ? begin + 1 : end;
  for (int64_t device = begin; device < end; ++device) {
    const auto p = ParamsOf<M>(devices, device);
    for (const double v : volts) {
      if (!M::Holds(p, M::MakeDrive(p, v, dt))) return false;
    }
  }
  return true;
}

// Whether the states of devices [begin, end) stay where they are without voltage, and g is what they say. (A state
// beyond its bounds moves at any voltage.)
template <class M>
bool AllSettled(const DeviceView& devices, int64_t begin, int64_t end, double dt) {
  const bool shared = IsShared<M>(devices);
  typename M::Params p{};
  typename M::Drive rest{};
  for (int64_t device = begin; device < end; ++device) {
    if (device == begin || !shared) {
      p = ParamsOf<M>(devices, device);
      rest = M::MakeDrive(p, 0, dt);
    }
    if (IsStuck(devices, device)) continue;
    const auto before = LoadState<M>([&](size_t i) { return devices.state[i][device]; });
    auto s = before;
    M::Advance(p, rest, s, M::Current(p, rest, s), 0);
    if (std::memcmp(&s, &before, sizeof s) != 0) return false;
    const double g = M::Conductance(p, s);
    if (ConductanceOf(devices, device) != (devices.g.f32 != nullptr ? static_cast<float>(g) : g)) return false;
  }
  return true;
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_PROGRAM_HOLDS_H_
