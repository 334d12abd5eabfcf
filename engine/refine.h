// Error-controlled integration of one device over one sample, the same source on host and device.
//
// Step doubling: an interval is crossed in one step and in two halves, each with the voltage of its own middle, and in
// two halves with the voltages of its ends (which see a threshold voltage that the middles miss). Where they disagree,
// the interval is halved; where they agree, the extrapolation of the first two (2 two - one), second order in the
// length of the interval, is taken.
#ifndef MEMTORCH_ENGINE_REFINE_H_
#define MEMTORCH_ENGINE_REFINE_H_

#include "engine/device_model.h"
#include "engine/math.h"

namespace memtorch {

// A voltage that goes from `start` to `end` volts within dt seconds.
struct VoltageRamp {
  double start, end, dt;

  MT_HD double At(double fraction) const { return start + (end - start) * fraction; }
};

namespace internal {

template <class M>
struct StateVector {
  double x[kStateCount<M>];

  struct Source {
    const double* x;
    MT_HD double operator()(size_t i) const { return x[i]; }
  };
  struct Sink {
    double* x;
    MT_HD void operator()(size_t i, double value) const { x[i] = value; }
  };

  MT_HD explicit StateVector(const typename M::State& s) { Set(s); }
  MT_HD typename M::State Get() const { return LoadState<M>(Source{x}); }
  MT_HD void Set(const typename M::State& s) { StoreState<M>(s, Sink{x}); }
};

// One explicit step of dt seconds at v volts. The device's own current of that moment is what heats it.
template <class M>
MT_HD StateVector<M> ExplicitStep(const typename M::Params& p, double v, double dt, double normal,
                                  const StateVector<M>& from) {
  const typename M::Drive drive = M::MakeDrive(p, v, dt);
  typename M::State s = from.Get();
  M::Advance(p, drive, s, M::Current(p, drive, s), normal);
  return StateVector<M>(s);
}

}  // namespace internal

// Advances the device over the ramp. The error of an interval is at most rel_tol times the range of the state between
// r_on and r_off, and no interval moves the state by more than a quarter of it: a longer step could jump over a point
// where the motion stops. Intervals end at 2^-52 of the sample, or where rounding hides the difference; there the step
// is taken as it is (it crosses a threshold voltage).
template <class M>
MT_HD void AdvanceRefined(const typename M::Params& p, const VoltageRamp& ramp, double rel_tol, double normal,
                          typename M::State& s) {
  constexpr int kMaxLevel = 52;
  constexpr double kRounding = 16 * 2.220446049250313e-16;
  const internal::StateVector<M> off(M::FromConductance(p, 1 / p.r_off));
  const internal::StateVector<M> on(M::FromConductance(p, 1 / p.r_on));
  internal::StateVector<M> x(s);
  // The interval is [index, index + 1] * width of the sample, width = 2^-level.
  uint64_t index = 0;
  int level = 0;
  double width = 1;
  while (index == 0 || level > 0) {
    const double start = static_cast<double>(index) * width;
    const double dt = ramp.dt * width;
    const auto one = internal::ExplicitStep<M>(p, ramp.At(start + 0.5 * width), dt, normal, x);
    const auto half = internal::ExplicitStep<M>(p, ramp.At(start + 0.25 * width), 0.5 * dt, normal, x);
    const auto two = internal::ExplicitStep<M>(p, ramp.At(start + 0.75 * width), 0.5 * dt, normal, half);
    const auto left = internal::ExplicitStep<M>(p, ramp.At(start), 0.5 * dt, normal, x);
    const auto ends = internal::ExplicitStep<M>(p, ramp.At(start + width), 0.5 * dt, normal, left);
    bool fine = true;
    for (int i = 0; i < kStateCount<M>; ++i) {
      const double range = Abs(off.x[i] - on.x[i]);
      const double rounding = kRounding * Max(Abs(off.x[i]), Abs(on.x[i]));
      const double error = Max(Abs(two.x[i] - one.x[i]), Abs(two.x[i] - ends.x[i]));
      fine = fine && error <= Max(rel_tol * range, rounding) && Abs(one.x[i] - x.x[i]) <= Max(0.25 * range, rounding);
    }
    if (!fine && level < kMaxLevel) {
      ++level;
      index *= 2;
      width *= 0.5;
      continue;
    }
    for (int i = 0; i < kStateCount<M>; ++i) {
      x.x[i] = Clamp(2 * two.x[i] - one.x[i], Min(off.x[i], on.x[i]), Max(off.x[i], on.x[i]));
    }
    ++index;
    while (level > 0 && index % 2 == 0) {  // both halves of an interval are done: so is the interval
      --level;
      index /= 2;
      width *= 2;
    }
  }
  s = x.Get();
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_REFINE_H_
