// What the reads of non-linear devices check, and their kernels: what nonlinear_read.cc and wired_read.cc share.
#ifndef MEMTORCH_ENGINE_NONLINEAR_READ_CHECKS_H_
#define MEMTORCH_ENGINE_NONLINEAR_READ_CHECKS_H_

#include <algorithm>
#include <cmath>

#include "engine/column_checks.h"
#include "engine/device_model.h"
#include "engine/nonlinear_read.h"
#include "engine/nonlinear_read_kernels.h"
#include "engine/simd.h"
#include "engine/simulate_checks.h"

namespace memtorch {

inline const NonlinearReadKernels& ReadKernels() {
  return Select(baseline::kNonlinearRead, avx2::kNonlinearRead, avx512::kNonlinearRead);
}

// Whether devices share every parameter that their shape depends on.
template <class M>
bool IsShapeShared(const DeviceView& devices) {
  for (int i = 0; i < kParamCount<M>; ++i) {
    if (M::kParams[i].shapes && devices.params[i].stride != 0) return false;
  }
  return true;
}

// That voltages are finite, and so small that every device carries a finite current.
template <class M>
void CheckVoltages(const char* op, const DeviceView& devices, const double* v, int64_t n) {
  const int64_t infinite = FirstOf(n, [&](int64_t i) { return !Finite(v[i]); });
  if (infinite < n) Invalid(op, "voltage (", v[infinite], " V) must be finite");
  if (n == 0) return;
  const auto ends = std::minmax_element(v, v + n);
  const int64_t different = IsShapeShared<M>(devices) ? 1 : devices.size;
  for (const double peak : {*ends.first, *ends.second}) {
    const int64_t bad = FirstOf(different, [&](int64_t device) {
      return !(std::abs(M::Shape(ParamsOf<M>(devices, device), peak)) <= kLargestShape);
    });
    if (bad < different) {
      Invalid(op, "voltage (", peak, " V) must be small enough for ", M::kName, " to carry a finite current");
    }
  }
}

// Grid, columns and counts.
template <class M>
void CheckReadShape(const char* op, const NonlinearRead& read) {
  CheckGrid(op, read.grid);
  CheckParamColumns<M>(op, read.devices);
  if (read.devices.size != read.grid.cells()) {
    Invalid(op, "devices (", read.devices.size, ") must be the ", read.grid.cells(), " cells of the tiles");
  }
  if ((read.devices.g.f32 == nullptr) == (read.devices.g.f64 == nullptr)) {
    Invalid(op, "g must be either a float32 or a float64 column");
  }
  if (read.inputs < 0) Invalid(op, "inputs (", read.inputs, ") must be at least 0");
}

// The same, parameters, voltages.
template <class M>
void CheckRead(const char* op, const NonlinearRead& read) {
  CheckReadShape<M>(op, read);
  CheckParamValues<M>(op, read.devices);
  CheckVoltages<M>(op, read.devices, read.v, read.grid.rows * read.inputs);
}

// The same for reads that move the devices.
template <class M>
void CheckSimulatedRead(const char* op, const NonlinearRead& read, double dt) {
  CheckRead<M>(op, read);
  CheckColumns<M>(op, read.devices);
  CheckState<M>(op, read.devices);
  CheckWaveform(op, read.devices, {read.v, read.inputs, 0, dt});
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_NONLINEAR_READ_CHECKS_H_
