// Devices that get voltage pulses, side by side: what the inner loops of program.h stand on.
//
// Only for files built by mt_simd_library: everything here belongs to the namespace of one instruction set.
#ifndef MEMTORCH_ENGINE_PROGRAM_LANES_H_
#define MEMTORCH_ENGINE_PROGRAM_LANES_H_

#include <cstring>
#include <type_traits>
#include <utility>

#include "engine/lanes.h"
#include "engine/math.h"
#include "engine/program_kernels.h"
#include "engine/random.h"

namespace memtorch {
namespace MT_ISA {

// Samples between looks whether anything still moves.
constexpr int64_t kSamplesPerLook = 16;

MT_HD int Filled(int lanes) { return (lanes + kWidth - 1) / kWidth * kWidth; }

// Which cells a block holds; lanes beyond them copy the last.
struct CellSpan {
  const int64_t* cells;
  int devices;
  int filled;

  MT_HD CellSpan(const int64_t* list, int64_t n)
      : cells(list), devices(static_cast<int>(n < kLanes ? n : kLanes)), filled(Filled(devices)) {}
  MT_HD int64_t Device(int lane) const { return cells[lane < devices ? lane : devices - 1]; }
};

// Drives lie in columns like states: they are structs of doubles only.
template <class M>
constexpr int kDriveFields = sizeof(typename M::Drive) / sizeof(double);

template <class M, size_t... i>
MT_HD typename M::Drive DriveFrom(const LaneColumn* columns, int lane, std::index_sequence<i...>) {
  return {columns[i][lane]...};
}

template <class M>
MT_HD void StoreDrive(const typename M::Drive& drive, LaneColumn* columns, int lane) {
  double fields[kDriveFields<M>];
  memcpy(fields, &drive, sizeof fields);
  for (int i = 0; i < kDriveFields<M>; ++i) columns[i][lane] = fields[i];
}

// One sample of one lane.
template <class M, class Params>
MT_HD void AdvanceLane(const Params& params, const LaneColumn* drive, int lane, LaneColumn* states,
                       const double* normals, double* currents) {
  const typename M::Params& p = params.At(lane);
  const typename M::Drive d = DriveFrom<M>(drive, lane, std::make_index_sequence<kDriveFields<M>>());
  typename M::State s = LoadState<M>(LaneSource{states, lane});
  currents[lane] = Step<M>(p, d, s, currents[lane], normals[lane]);
  StoreState<M>(s, LaneSink{states, lane});
}

// One sample of all lanes. A function of its own: where it is inlined into a larger one, GCC does not vectorise it.
template <class M, class Params>
__attribute__((noinline)) void AdvanceLanes(const Params& params, const LaneColumn* drive, const double* normals,
                                            int filled, LaneColumn* states, double* currents) {
#pragma omp simd
  for (int lane = 0; lane < filled; ++lane) AdvanceLane<M>(params, drive, lane, states, normals, currents);
}

// The conductance of a lane as g stores it.
template <class M, class Real, class Params>
MT_HD double StoredConductance(const Params& params, const LaneColumn* states, int lane) {
  return static_cast<double>(
      static_cast<Real>(M::Conductance(params.At(lane), LoadState<M>(LaneSource{states, lane}))));
}

// math.isclose of Python.
MT_HD bool Near(double a, double b, double rel_tol) { return Abs(a - b) <= rel_tol * Max(Abs(a), Abs(b)); }

// Devices side by side that get pulses, each lane at its own voltage.
template <class M, class Params>
struct PulsedLanes {
  using States = LaneColumn[kStateCount<M>];
  using Drives = LaneColumn[kDriveFields<M>];

  Params params;
  alignas(64) States states;
  alignas(64) Drives on;    // at the voltage of the pulse
  alignas(64) Drives rest;  // at 0 V
  alignas(64) LaneColumn currents;
  alignas(64) LaneColumn normals = {};
  uint64_t stream[kLanes];  // of the noise draws
  uint64_t sample[kLanes];  // index of the next noise draw

  template <class AnySpan>
  PulsedLanes(const ProgramJob& job, const AnySpan& span, int64_t first_sample) : params(job.devices, span) {
    LoadStates<M>(job.devices, span, states);
    for (int lane = 0; lane < span.filled; ++lane) {
      StoreDrive<M>(M::MakeDrive(params.At(lane), 0, job.options.dt), rest, lane);
      stream[lane] = static_cast<uint64_t>(job.options.first_device + span.Device(lane));
      sample[lane] = static_cast<uint64_t>(first_sample);
    }
  }

  // One pulse on lanes [0, live).
  void Pulse(const ProgramJob& job, int live) {
    for (int lane = 0; lane < Filled(live); ++lane) currents[lane] = 0;
    Hold(job, on, job.options.on_samples, live);
    Hold(job, rest, job.options.off_samples, live);
  }

  bool StatesEqual(const States& old, int live) const {
    for (int i = 0; i < kStateCount<M>; ++i) {
      if (memcmp(old[i], states[i], live * sizeof(double)) != 0) return false;
    }
    return true;
  }

 private:
  // A number of samples at constant voltages. Once a sample changes nothing, to the last bit, no later one will.
  void Hold(const ProgramJob& job, const Drives& drive, int64_t samples, int live) {
    const int filled = Filled(live);
    alignas(64) States old_states;
    alignas(64) LaneColumn old_currents;
    for (int64_t t = 0; t < samples; ++t) {
      const bool looks = !job.noise && t % kSamplesPerLook == kSamplesPerLook - 1;
      if (looks) {
        memcpy(old_states, states, sizeof states);
        memcpy(old_currents, currents, sizeof currents);
      }
      if (job.noise) Draw(job.options.seed, filled);
      AdvanceLanes<M>(params, drive, normals, filled, states, currents);
      if (looks && StatesEqual(old_states, live) && memcmp(old_currents, currents, live * sizeof(double)) == 0) return;
    }
  }

  void Draw(uint64_t seed, int filled) {
#pragma omp simd
    for (int lane = 0; lane < filled; ++lane) normals[lane] = Normal(seed, stream[lane], sample[lane]++);
  }
};

// Writes lanes [0, span.devices) back to their cells. Returns whether a conductance is another than before.
template <class M, class Real, class Params>
bool StoreLanes(const PulsedLanes<M, Params>& lanes, const CellSpan& span, const DeviceView& devices) {
  bool moved = false;
  for (int lane = 0; lane < span.devices; ++lane) {
    const int64_t cell = span.cells[lane];
    for (int i = 0; i < kStateCount<M>; ++i) devices.state[i][cell] = lanes.states[i][lane];
    const Real g = static_cast<Real>(StoredConductance<M, Real>(lanes.params, lanes.states, lane));
    Real* stored = nullptr;
    if constexpr (std::is_same_v<Real, float>) {
      stored = devices.g.f32 + cell;
    } else {
      stored = devices.g.f64 + cell;
    }
    moved |= *stored != g;
    *stored = g;
  }
  return moved;
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_PROGRAM_LANES_H_
