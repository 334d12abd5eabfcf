// Blocks of devices side by side: what the kernel files that advance devices share (engine/simd.h).
//
// Only for files built by mt_simd_library: everything here belongs to the namespace of one instruction set.
#ifndef MEMTORCH_ENGINE_LANES_H_
#define MEMTORCH_ENGINE_LANES_H_

#include "engine/device_array.h"
#include "engine/device_model.h"

namespace memtorch {
namespace MT_ISA {

// Devices advance in blocks of up to kLanes: a block's columns stay in the first two levels of cache.
constexpr int kLanes = 128;

// Doubles per vector register. A block is filled up to a multiple with copies of its last device, which is cheaper than
// a scalar remainder: one device alone waits for the latency of one vector either way.
#if defined(__AVX512F__)
constexpr int kWidth = 8;
#elif defined(__AVX2__)
constexpr int kWidth = 4;
#else
constexpr int kWidth = 2;
#endif

using LaneColumn = double[kLanes];

// A type as a value.
template <class T>
struct Type {
  using type = T;
};

// The body of every "omp simd" loop below is one call: GCC turns structs that are declared in such a loop itself into
// arrays in memory, and then does not vectorise it.

// Which devices a block holds; any type with `filled` and `Device` can stand in its place. Lanes [0, devices) are
// [begin, begin + devices), lanes up to `filled` copy the last.
struct Span {
  int64_t begin;
  int devices;
  int filled;

  MT_HD Span(int64_t first, int64_t end)
      : begin(first),
        devices(static_cast<int>(end - first < kLanes ? end - first : kLanes)),
        filled((devices + kWidth - 1) / kWidth * kWidth) {}
  MT_HD int64_t Device(int lane) const { return begin + (lane < devices ? lane : devices - 1); }
};

struct LaneSource {
  const LaneColumn* columns;
  int lane;
  MT_HD double operator()(size_t i) const { return columns[i][lane]; }
};

struct DeviceSource {
  double* const* columns;
  int64_t device;
  MT_HD double operator()(size_t i) const { return columns[i][device]; }
};

struct LaneSink {
  LaneColumn* columns;
  int lane;
  MT_HD void operator()(size_t i, double value) const { columns[i][lane] = value; }
};

// Parameters shared by all devices, those that select a formula at their defaults: constants of the loops. (GCC does
// not vectorise a choice between formulas that is the same for all lanes, and computing both would cost as much as they
// do.)
template <class M>
struct SharedParams {
  struct First {
    const ParamColumn* columns;
    MT_HD double operator()(size_t i) const { return columns[i].data[0]; }
  };

  typename M::Params params;

  template <class AnySpan>
  MT_HD SharedParams(const DeviceView& devices, const AnySpan&) : params(LoadParams<M>(First{devices.params})) {
    SetDefaultSelectors<M>(params);
  }
  MT_HD void Load(const DeviceView&, int, int64_t) {}
  // The selectors once more, because not every function that calls this sees the constructor.
  MT_HD typename M::Params At(int) const {
    typename M::Params p = params;
    SetDefaultSelectors<M>(p);
    return p;
  }
};

// Parameters that differ: every column expanded to the lanes of a block. kDefaultSelectors: those that select a formula
// are at their defaults for all, and constants of the loops as above.
template <class M, bool kDefaultSelectors>
struct LaneParams {
  LaneColumn columns[kParamCount<M>];

  template <class AnySpan>
  MT_HD LaneParams(const DeviceView& devices, const AnySpan& span) {
    for (int lane = 0; lane < span.filled; ++lane) Load(devices, lane, span.Device(lane));
  }
  // Gives one lane the parameters of a device.
  MT_HD void Load(const DeviceView& devices, int lane, int64_t device) {
    for (int i = 0; i < kParamCount<M>; ++i) {
      columns[i][lane] = devices.params[i].data[device * devices.params[i].stride];
    }
  }
  MT_HD typename M::Params At(int lane) const {
    typename M::Params params = LoadParams<M>(LaneSource{columns, lane});
    if constexpr (kDefaultSelectors) SetDefaultSelectors<M>(params);
    return params;
  }
};

template <class M, class AnySpan>
MT_HD void LoadStates(const DeviceView& devices, const AnySpan& span, LaneColumn* states) {
  for (int i = 0; i < kStateCount<M>; ++i) {
    for (int lane = 0; lane < span.filled; ++lane) states[i][lane] = devices.state[i][span.Device(lane)];
  }
}

// Calls visit with a value of the type that holds the view's parameters best.
template <class M, class Visitor>
MT_HD void WithParamsType(const DeviceView& devices, const Visitor& visit) {
  const bool default_selectors = SelectorsPass<M>(
      [&](size_t i, double value) { return devices.params[i].stride == 0 && devices.params[i].data[0] == value; });
  if (!default_selectors) return visit(Type<LaneParams<M, false>>());
  bool shared = true;
  for (int i = 0; i < kParamCount<M>; ++i) shared = shared && devices.params[i].stride == 0;
  if (shared) return visit(Type<SharedParams<M>>());
  return visit(Type<LaneParams<M, true>>());
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_LANES_H_
