// One cell that is being programmed: the decisions of program_kernels.cc for a single thread.
#ifndef MEMTORCH_ENGINE_CUDA_CELL_WRITER_H_
#define MEMTORCH_ENGINE_CUDA_CELL_WRITER_H_

#include <cstring>

#include "engine/cuda/device_columns.h"
#include "engine/cuda/launch.h"
#include "engine/program.h"
#include "engine/random.h"

namespace memtorch::cuda {

// math.isclose of Python.
MT_HD bool IsNear(double a, double b, double rel_tol) { return Abs(a - b) <= rel_tol * Max(Abs(a), Abs(b)); }

// Whether two states, structs of doubles, are the same to the last bit.
template <class State>
MT_HD bool AreSame(const State& a, const State& b) {
  constexpr int kVariables = sizeof(State) / sizeof(double);
  double x[kVariables], y[kVariables];
  memcpy(x, &a, sizeof x);
  memcpy(y, &b, sizeof y);
  bool same = true;
  for (int i = 0; i < kVariables; ++i) same = same && AsBits(x[i]) == AsBits(y[i]);
  return same;
}

// Whether a device stays where it is without voltage, and g is what its state says. (A state beyond its bounds moves at
// any voltage.)
template <class M>
MT_HD bool IsSettled(const DeviceColumns& devices, int64_t device, const typename M::Params& p, double dt) {
  const typename M::State before = devices.template StateAt<M>(device);
  const typename M::Drive rest = M::MakeDrive(p, 0, dt);
  typename M::State s = before;
  M::Advance(p, rest, s, M::Current(p, rest, s), 0);
  return AreSame(s, before) && devices.ConductanceAt(device) == devices.Stored(M::Conductance(p, s));
}

// The arguments of Program that are the same for all cells.
struct ProgramJob {
  DeviceColumns devices;
  const double* target;
  ProgramOptions options;
  ProgramReport report;
};

// One pulse of v volts on a device: on_samples at v, off_samples at 0 V. `sample` counts the noise draws.
template <class M>
MT_HD void ApplyPulse(const ProgramOptions& o, const typename M::Params& p, double v, uint64_t stream, uint64_t sample,
                      typename M::State& s) {
  const bool noise = M::UsesNoise(p);
  const typename M::Drive on = M::MakeDrive(p, v, o.dt), rest = M::MakeDrive(p, 0, o.dt);
  double current = 0;
  for (int64_t t = 0; t < o.on_samples + o.off_samples; ++t) {
    const double normal = noise ? Normal(o.seed, stream, sample + static_cast<uint64_t>(t)) : 0;
    const typename M::State before = s;
    const double last = current;
    current = Step<M>(p, t < o.on_samples ? on : rest, s, current, normal);
    // Once a sample changes nothing, to the last bit, no later one at this voltage will.
    if (!noise && AreSame(s, before) && last == current) {
      if (t >= o.on_samples) return;
      t = o.on_samples - 1;
    }
  }
}

template <class M>
class CellWriter {
 public:
  MT_HD void Begin(const ProgramJob& job, int64_t cell) {
    cell_ = cell;
    state_ = job.devices.template StateAt<M>(cell);
    g_ = job.devices.ConductanceAt(cell);
    volts_ = 0;
    pulses_ = forced_ = 0;
    moved_ = true;
    done_ = false;
    begun_ = Seconds();
  }

  MT_HD bool done() const { return done_; }
  MT_HD double g() const { return g_; }          // as it is stored
  MT_HD double volts() const { return volts_; }  // of the next pulse, or the last

  // Decides about the cell: it is done, or its next pulse has volts().
  MT_HD void Decide(const ProgramJob& job) {
    const ProgramOptions& o = job.options;
    const typename M::Params p = job.devices.template ParamsAt<M>(cell_);
    const double target = job.target[cell_];
    bool raise = false;
    if (!moved_ && IsAtBound(o, p)) {
      raise = o.force_voltage > 0;
      if (!raise && o.force_conductance > 0) ForceConductance(job, p, target);
    }
    if (IsNear(target, g_, o.rel_tol)) return Finish(job, p, Outcome::kConverged);
    if (pulses_ >= o.max_pulses) return Finish(job, p, Outcome::kPulseLimit);
    if (pulses_ > 0 && Seconds() - begun_ >= o.timeout) return Finish(job, p, Outcome::kTimeout);
    forced_ += raise ? 1 : 0;
    const bool positive = (g_ < target ? 1 : -1) * M::kPolarity > 0;
    const double step = raise ? o.force_voltage : 0;
    volts_ = positive ? o.positive_voltage + step : o.negative_voltage - step;
  }

  // Applies the next pulse, of which the cell sees v volts. sample: of the noise draws at the pulse's first sample.
  MT_HD void Pulse(const ProgramJob& job, double v, uint64_t sample) {
    const typename M::Params p = job.devices.template ParamsAt<M>(cell_);
    ApplyPulse<M>(job.options, p, v, static_cast<uint64_t>(job.options.first_device + cell_), sample, state_);
    const double g = job.devices.Stored(M::Conductance(p, state_));
    moved_ = g != g_;
    g_ = g;
    ++pulses_;
  }

 private:
  // Whether the cell is near one of its bounds and its last pulse was strong enough to force it.
  MT_HD bool IsAtBound(const ProgramOptions& o, const typename M::Params& p) const {
    const bool at_bound = IsNear(g_, 1 / p.r_on, o.force_rel_tol) || IsNear(g_, 1 / p.r_off, o.force_rel_tol);
    return at_bound && (volts_ >= o.positive_threshold || volts_ <= o.negative_threshold);
  }

  MT_HD void ForceConductance(const ProgramJob& job, const typename M::Params& p, double target) {
    const double step = job.options.force_conductance;
    const double wanted = g_ < target ? Min(g_ + step, target) : Max(g_ - step, target);
    state_ = M::FromConductance(p, Clamp(job.devices.Stored(wanted), 1 / p.r_off, 1 / p.r_on));
    g_ = job.devices.Stored(M::Conductance(p, state_));
    ++forced_;
  }

  MT_HD void Finish(const ProgramJob& job, const typename M::Params& p, Outcome outcome) {
    if (pulses_ > 0) job.devices.template Write<M>(cell_, p, state_);
    job.report.pulses[cell_] = pulses_;
    job.report.outcome[cell_] = outcome;
    job.report.forced[cell_] = forced_;
    done_ = true;
  }

  int64_t cell_;
  typename M::State state_;
  double g_, volts_;
  int64_t pulses_, forced_;
  bool moved_, done_;
  double begun_;  // seconds
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_CELL_WRITER_H_
