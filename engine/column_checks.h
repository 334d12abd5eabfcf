// Checks of columns of devices that look at every value. All throw std::invalid_argument; `op` names the caller.
#ifndef MEMTORCH_ENGINE_COLUMN_CHECKS_H_
#define MEMTORCH_ENGINE_COLUMN_CHECKS_H_

#include <atomic>
#include <string>

#include "engine/device_array.h"
#include "engine/device_model.h"
#include "engine/parallel.h"

namespace memtorch {

inline bool Finite(double x) { return x - x == 0; }

// The first i in [0, n) for which bad(i), or n. Threaded; bad must be cheap to evaluate for all.
template <class Predicate>
int64_t FirstOf(int64_t n, const Predicate& bad) {
  std::atomic<int64_t> first{n};
  ParallelFor(n, 32768, [&](int64_t begin, int64_t end) {
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

// Not a lambda, which nvcc would not let LoadParams call.
struct ParamSource {
  const DeviceView& devices;
  int64_t device;
  MT_HD double operator()(size_t i) const { return devices.params[i].data[device * devices.params[i].stride]; }
};

template <class M>
typename M::Params ParamsOf(const DeviceView& devices, int64_t device) {
  return LoadParams<M>(ParamSource{devices, device});
}

template <class M>
bool IsShared(const DeviceView& devices) {
  for (int i = 0; i < kParamCount<M>; ++i) {
    if (devices.params[i].stride != 0) return false;
  }
  return true;
}

// That the i-th parameter of every device is in its range. Messages count devices from `first_device`.
template <class M>
void CheckParamRange(const char* op, const DeviceView& devices, int i, int64_t first_device = 0) {
  const auto& field = M::kParams[i];
  const ParamColumn& column = devices.params[i];
  const int64_t n = column.stride == 0 ? 1 : devices.size;
  const int64_t bad = FirstOf(n, [&](int64_t device) { return !InRange(field.range, column.data[device]); });
  if (bad == n) return;
  const std::string whose = column.stride == 0 ? "" : " of device " + std::to_string(first_device + bad);
  Invalid(op, field.name, whose, " ", Quantity(column.data[bad], field.unit), " must be ",
          RangeText(field.range, column.data[bad]));
}

template <class M>
void CheckParamValues(const char* op, const DeviceView& devices, int64_t first_device = 0) {
  for (int i = 0; i < kParamCount<M>; ++i) CheckParamRange<M>(op, devices, i, first_device);
  const bool shared = IsShared<M>(devices);
  const int64_t n = shared ? 1 : devices.size;
  const int64_t bad = FirstOf(n, [&](int64_t device) { return !M::Conflict(ParamsOf<M>(devices, device)).empty(); });
  if (bad == n) return;
  Invalid(op, shared ? "" : "device " + std::to_string(first_device + bad) + ": ",
          M::Conflict(ParamsOf<M>(devices, bad)).Text());
}

// The same where the columns of parameters that differ cannot be read, because they are on a GPU.
template <class M>
void CheckSharedParams(const char* op, const DeviceView& devices) {
  if (IsShared<M>(devices)) return CheckParamValues<M>(op, devices);
  for (int i = 0; i < kParamCount<M>; ++i) {
    if (devices.params[i].stride == 0) CheckParamRange<M>(op, devices, i);
  }
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

template <class M>
bool AnyNoise(const DeviceView& devices) {
  const int64_t n = IsShared<M>(devices) ? 1 : devices.size;
  return FirstOf(n, [&](int64_t device) { return M::UsesNoise(ParamsOf<M>(devices, device)); }) < n;
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_COLUMN_CHECKS_H_
