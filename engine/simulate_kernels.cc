#include "engine/simulate_kernels.h"

#include <type_traits>

#include "engine/devices/models.h"
#include "engine/lanes.h"
#include "engine/simulate_lanes.h"

namespace memtorch {
namespace MT_ISA {
namespace {

// Replaces the currents of stuck devices, which the loop over lanes has moved like all others, by those of the state
// that they keep. One at a time: failures are few.
template <class M, class Params>
void CorrectStuckCurrents(const SimulateJob& job, const Params& params, const Span& span) {
  const Waveform& w = job.waveform;
  for (int lane = 0; lane < span.devices; ++lane) {
    const int64_t device = span.begin + lane;
    if (!IsStuck(job.devices, device)) continue;
    const typename M::Params& p = params.At(lane);
    const typename M::State s = LoadState<M>(DeviceSource{job.devices.state, device});
    const double* v = w.v + device * w.device_stride;
    double* row = job.current + device * w.steps;
    for (int64_t t = 0; t < w.steps; ++t) row[t] = M::Current(p, M::MakeDrive(p, v[t], w.dt), s);
  }
}

template <class M, class Params, class Drives>
void SimulateBlock(const SimulateJob& job, const Span& span) {
  const Params params(job.devices, span);
  Drives drives;
  alignas(64) LaneColumn states[kStateCount<M>];
  alignas(64) LaneColumn normals[2] = {};
  alignas(64) LaneColumn currents[kSamples + 1];  // row 0: those before the chunk's first sample
  LoadStates<M>(job.devices, span, states);
  for (double& current : currents[kSamples]) current = 0;
  const int64_t steps = job.waveform.steps;
  for (int64_t first = 0; first < steps; first += kSamples) {
    const int samples = static_cast<int>(steps - first < kSamples ? steps - first : kSamples);
    drives.Load(job.waveform, params, span, first, samples);
    for (int lane = 0; lane < span.filled; ++lane) currents[0][lane] = currents[kSamples][lane];
    for (int sample = 0; sample < samples; ++sample) {
      if (job.noise && sample % 2 == 0) Draw(job.options, span, first + sample, normals);
      const double* normal = normals[sample % 2];
#pragma omp simd
      for (int lane = 0; lane < span.filled; ++lane) {
        AdvanceLane<M>(params, drives, sample, lane, states, normal, currents[sample], currents[sample + 1]);
      }
    }
    if (job.current == nullptr) continue;
    for (int lane = 0; lane < span.devices; ++lane) {
      double* row = job.current + (span.begin + lane) * steps + first;
      for (int sample = 0; sample < samples; ++sample) row[sample] = currents[sample + 1][lane];
    }
  }
  StoreDevices<M>(job.devices, params, span, states);
  if (job.current != nullptr && job.devices.stuck != nullptr) CorrectStuckCurrents<M>(job, params, span);
}

template <class M>
void SimulateModel(const SimulateJob& job, int64_t begin, int64_t end) {
  WithParamsType<M>(job.devices, [&](auto type) {
    using Params = typename decltype(type)::type;
    for (; begin < end; begin += kLanes) {
      const Span span(begin, end);
      if constexpr (std::is_same_v<Params, SharedParams<M>>) {
        if (job.waveform.device_stride == 0) {
          SimulateBlock<M, Params, SharedDrives<M>>(job, span);
          continue;
        }
      }
      SimulateBlock<M, Params, LaneDrives<M>>(job, span);
    }
  });
}

template <class M, class Params, class Real>
MT_HD void SetLane(const Params& params, const Real* target, LaneColumn* states, int lane) {
  const typename M::Params& p = params.At(lane);
  const double g = Clamp(static_cast<double>(target[lane]), 1 / p.r_off, 1 / p.r_on);
  StoreState<M>(M::FromConductance(p, g), LaneSink{states, lane});
}

// `target` may be the view's own g.
template <class M, class Params, class Real>
MT_HD void SetBlock(const DeviceView& devices, const Real* target, const Span& span, Real* g) {
  const Params params(devices, span);
  alignas(64) LaneColumn states[kStateCount<M>];
#pragma omp simd
  for (int lane = 0; lane < span.devices; ++lane) SetLane<M>(params, target + span.begin, states, lane);
  StoreDevices<M>(devices, params, span, states, g);
}

template <class M, class Params>
void SetModel(const DeviceView& devices, const ConductanceColumn& target, int64_t begin, int64_t end) {
  for (; begin < end; begin += kLanes) {
    const Span span(begin, end);
    if (devices.g.f32 != nullptr) {
      SetBlock<M, Params>(devices, target.f32, span, devices.g.f32);
    } else {
      SetBlock<M, Params>(devices, target.f64, span, devices.g.f64);
    }
  }
}

template <class M, class Params>
void UpdateModel(const DeviceView& devices, int64_t begin, int64_t end) {
  for (; begin < end; begin += kLanes) {
    const Span span(begin, end);
    const Params params(devices, span);
    alignas(64) LaneColumn states[kStateCount<M>];
    LoadStates<M>(devices, span, states);
    StoreDevices<M>(devices, params, span, states);
  }
}

void SimulateRange(int model, const SimulateJob& job, int64_t begin, int64_t end) {
  WithModelAt(model, [&](auto m) { SimulateModel<decltype(m)>(job, begin, end); });
}

void SetRange(int model, const DeviceView& devices, const ConductanceColumn& target, int64_t begin, int64_t end) {
  WithModelAt(model, [&](auto m) {
    using M = decltype(m);
    WithParamsType<M>(devices,
                      [&](auto type) { SetModel<M, typename decltype(type)::type>(devices, target, begin, end); });
  });
}

void UpdateRange(int model, const DeviceView& devices, int64_t begin, int64_t end) {
  WithModelAt(model, [&](auto m) {
    using M = decltype(m);
    WithParamsType<M>(devices, [&](auto type) { UpdateModel<M, typename decltype(type)::type>(devices, begin, end); });
  });
}

}  // namespace

const SimulateKernels kSimulate = {SimulateRange, SetRange, UpdateRange};

}  // namespace MT_ISA
}  // namespace memtorch
