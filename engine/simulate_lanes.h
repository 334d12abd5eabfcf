// How blocks of devices (engine/lanes.h) follow voltages: what the kernel files that simulate or read devices share.
//
// Only for files built by mt_simd_library: everything here belongs to the namespace of one instruction set.
#ifndef MEMTORCH_ENGINE_SIMULATE_LANES_H_
#define MEMTORCH_ENGINE_SIMULATE_LANES_H_

#include "engine/device_array.h"
#include "engine/device_model.h"
#include "engine/lanes.h"
#include "engine/math.h"
#include "engine/random.h"
#include "engine/simulate.h"

namespace memtorch {
namespace MT_ISA {

// Samples advance in chunks of up to kSamples: a chunk's voltages and currents stay in the first two levels of cache.
constexpr int kSamples = 32;

// One waveform for all: a drive per sample of the chunk, computed ahead as a vector over the samples.
template <class M>
struct SharedDrives {
  typename M::Drive drives[kSamples];

  MT_HD void Load(const Waveform& waveform, const SharedParams<M>& params, const Span&, int64_t first, int samples) {
    const double* v = waveform.v + first;
    const typename M::Params p = params.params;
#pragma omp simd
    for (int sample = 0; sample < samples; ++sample) Make(p, v, waveform.dt, sample);
  }
  MT_HD void Make(const typename M::Params& p, const double* v, double dt, int sample) {
    drives[sample] = M::MakeDrive(p, v[sample], dt);
  }
  MT_HD const typename M::Drive& At(const typename M::Params&, int sample, int) const { return drives[sample]; }
};

// Voltages or parameters differ: a drive per lane and sample.
template <class M>
struct LaneDrives {
  // A few doubles longer than a block: rows a power of two apart would fall into the same sets of the cache.
  double v[kSamples][kLanes + 8];
  double dt;

  template <class Params>
  MT_HD void Load(const Waveform& waveform, const Params&, const Span& span, int64_t first, int samples) {
    dt = waveform.dt;
    for (int lane = 0; lane < span.filled; ++lane) {
      const double* row = waveform.v + span.Device(lane) * waveform.device_stride + first;
      for (int sample = 0; sample < samples; ++sample) v[sample][lane] = row[sample];
    }
  }
  MT_HD typename M::Drive At(const typename M::Params& p, int sample, int lane) const {
    return M::MakeDrive(p, v[sample][lane], dt);
  }
};

template <class M, class Params, class Real>
MT_HD void StoreConductance(const Params& params, const LaneColumn* states, Real* g, int lane) {
  const typename M::State s = LoadState<M>(LaneSource{states, lane});
  g[lane] = static_cast<Real>(M::Conductance(params.At(lane), s));
}

// StoreDevices where some devices may be stuck: those keep what they hold.
template <class M, class Params, class Real>
MT_HD void StoreFreeDevices(const DeviceView& devices, const Params& params, const Span& span, const LaneColumn* states,
                            Real* g) {
  alignas(64) Real fresh[kLanes];
#pragma omp simd
  for (int lane = 0; lane < span.devices; ++lane) StoreConductance<M>(params, states, fresh, lane);
  for (int lane = 0; lane < span.devices; ++lane) {
    const int64_t device = span.begin + lane;
    if (IsStuck(devices, device)) continue;
    for (int i = 0; i < kStateCount<M>; ++i) devices.state[i][device] = states[i][lane];
    g[device] = fresh[lane];
  }
}

// Writes back the states and the conductances that follow from them.
template <class M, class Params, class Real>
MT_HD void StoreDevices(const DeviceView& devices, const Params& params, const Span& span, const LaneColumn* states,
                        Real* g) {
  if (devices.stuck != nullptr) return StoreFreeDevices<M>(devices, params, span, states, g);
  for (int i = 0; i < kStateCount<M>; ++i) {
    for (int lane = 0; lane < span.devices; ++lane) devices.state[i][span.begin + lane] = states[i][lane];
  }
#pragma omp simd
  for (int lane = 0; lane < span.devices; ++lane) StoreConductance<M>(params, states, g + span.begin, lane);
}

template <class M, class Params>
MT_HD void StoreDevices(const DeviceView& devices, const Params& params, const Span& span, const LaneColumn* states) {
  if (devices.g.f32 != nullptr) {
    StoreDevices<M>(devices, params, span, states, devices.g.f32);
  } else {
    StoreDevices<M>(devices, params, span, states, devices.g.f64);
  }
}

// Normal draws of two samples at a time, as the generator makes them.
MT_HD void Draw(const SimulateOptions& options, const Span& span, int64_t sample, LaneColumn* normals) {
  const uint64_t first = static_cast<uint64_t>(options.first_device + span.begin);
#pragma omp simd
  for (int lane = 0; lane < span.filled; ++lane) {
    NormalPair(options.seed, first + static_cast<uint64_t>(lane), static_cast<uint64_t>(sample / 2), &normals[0][lane],
               &normals[1][lane]);
  }
}

// One sample of one lane.
template <class M, class Params, class Drives>
MT_HD void AdvanceLane(const Params& params, const Drives& drives, int sample, int lane, LaneColumn* states,
                       const double* normals, const double* last_currents, double* currents) {
  const typename M::Params& p = params.At(lane);
  typename M::State s = LoadState<M>(LaneSource{states, lane});
  currents[lane] = Step<M>(p, drives.At(p, sample, lane), s, last_currents[lane], normals[lane]);
  StoreState<M>(s, LaneSink{states, lane});
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_SIMULATE_LANES_H_
