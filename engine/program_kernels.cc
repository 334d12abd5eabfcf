#include "engine/program_kernels.h"

#include <cstring>
#include <type_traits>

#include "engine/device_model.h"
#include "engine/devices/models.h"
#include "engine/lanes.h"
#include "engine/math.h"
#include "engine/program_lanes.h"

namespace memtorch {
namespace MT_ISA {
namespace {

// Samples between looks at the clock, about.
constexpr int64_t kSamplesPerClock = 64;

// Cells that are being written, one per lane; a lane that is done takes the next cell of the list.
template <class M, class Params, class Real>
class Writer {
 public:
  Writer(const ProgramJob& job, const int64_t* cells, int64_t n, int64_t sample, PulseSink* sink)
      : job_(job),
        o_(job.options),
        cells_(cells),
        n_(n),
        sample_(sample),
        sink_(sink),
        span_(cells, n),
        lanes_(job, span_, sample),
        live_(span_.devices),
        next_(live_),
        remembers_(!job.noise && !job.solved && o_.on_samples + o_.off_samples > kSamplesPerLook) {}

  void Run() {
    for (int lane = 0; lane < span_.filled; ++lane) Begin(lane, span_.Device(lane));
    const int64_t samples = o_.on_samples + o_.off_samples;
    const int64_t rounds_per_clock = samples < kSamplesPerClock ? kSamplesPerClock / samples : 1;
    for (int64_t round = 0; live_ > 0; ++round) {
      const bool looks_at_clock = round % rounds_per_clock == 0;
      if (looks_at_clock) LookAtClock();
      if (looks_at_clock || AnyEvent()) {
        for (int lane = 0; lane < live_;) lane += Attend(lane, before_[round % 2]) ? 1 : 0;
      }
      if (live_ == 0) return;
      if (remembers_) memcpy(before_[round % 2], lanes_.states, sizeof lanes_.states);
      if (job_.solved) Load(0, volts_[0] * sink_->Share(g_[0]));
      lanes_.Pulse(job_, live_);
#pragma omp simd
      for (int lane = 0; lane < live_; ++lane) Verify(lane);
      if (sink_ != nullptr) sink_->Add(volts_[0]);
    }
  }

 private:
  using States = typename PulsedLanes<M, Params>::States;

  void Begin(int lane, int64_t cell) {
    cell_[lane] = cell;
    seconds_[lane] = 0;
    target_[lane] = job_.target[cell];
    g_[lane] = job_.devices.g.f32 != nullptr ? static_cast<double>(job_.devices.g.f32[cell]) : job_.devices.g.f64[cell];
    pulses_[lane] = raised_[lane] = direction_[lane] = volts_[lane] = 0;
    moved_[lane] = 1;
    forced_[lane] = 0;
    for (LaneColumn& field : lanes_.on) field[lane] = 0;
  }

  // Loads another cell into a lane.
  void Refill(int lane, int64_t cell) {
    lanes_.params.Load(job_.devices, lane, cell);
    for (int i = 0; i < kStateCount<M>; ++i) lanes_.states[i][lane] = job_.devices.state[i][cell];
    StoreDrive<M>(M::MakeDrive(lanes_.params.At(lane), 0, o_.dt), lanes_.rest, lane);
    lanes_.stream[lane] = static_cast<uint64_t>(o_.first_device + cell);
    lanes_.sample[lane] = static_cast<uint64_t>(sample_);
    Begin(lane, cell);
  }

  // Moves the last live lane into a free one.
  void MoveLane(int from, int to) {
    lanes_.params.Load(job_.devices, to, cell_[from]);
    for (LaneColumn& column : lanes_.states) column[to] = column[from];
    for (LaneColumn& column : lanes_.on) column[to] = column[from];
    for (LaneColumn& column : lanes_.rest) column[to] = column[from];
    for (States& states : before_) {
      for (LaneColumn& column : states) column[to] = column[from];
    }
    lanes_.stream[to] = lanes_.stream[from];
    lanes_.sample[to] = lanes_.sample[from];
    for (double* column : {target_, g_, volts_, direction_, pulses_, moved_, raised_, seconds_})
      column[to] = column[from];
    cell_[to] = cell_[from];
    forced_[to] = forced_[from];
  }

  // Shares the time since the last look among the lanes.
  void LookAtClock() {
    const double now = job_.seconds();
    const double share = last_look_ < 0 ? 0 : (now - last_look_) / live_;
    for (int lane = 0; lane < live_; ++lane) seconds_[lane] += share;
    last_look_ = now;
  }

  // What a pulse has done to a lane.
  MT_HD void Verify(int lane) {
    const double g = StoredConductance<M, Real>(lanes_.params, lanes_.states, lane);
    moved_[lane] = g != g_[lane] ? 1 : 0;
    g_[lane] = g;
    pulses_[lane] += 1;
  }

  // 1 unless the lane only needs another pulse like the last.
  MT_HD double Event(int lane) const {
    const bool near = Near(target_[lane], g_[lane], o_.rel_tol);
    const double wanted = g_[lane] < target_[lane] ? 1 : -1;
    const bool spent = pulses_[lane] >= static_cast<double>(o_.max_pulses);
    return near || spent || wanted != direction_[lane] || moved_[lane] == 0 || raised_[lane] != 0 ? 1 : 0;
  }

  bool AnyEvent() const {
    double any = 0;
#pragma omp simd reduction(max : any)
    for (int lane = 0; lane < live_; ++lane) any = Max(any, Event(lane));
    return any != 0;
  }

  // Decides about a lane after a pulse. Returns whether it is ready for the next; otherwise another cell is in it.
  // before: the states before the last pulse but one.
  bool Attend(int lane, const States& before) {
    bool raise = false;
    if (moved_[lane] == 0 && IsAtBound(lane)) {
      raise = o_.force_voltage > 0;
      if (!raise && o_.force_conductance > 0) ForceConductance(lane);
    }
    moved_[lane] = 1;
    if (Near(target_[lane], g_[lane], o_.rel_tol)) return Finish(lane, Outcome::kConverged);
    if (pulses_[lane] >= static_cast<double>(o_.max_pulses)) return Finish(lane, Outcome::kPulseLimit);
    if (pulses_[lane] > 0 && seconds_[lane] >= o_.timeout) return Finish(lane, Outcome::kTimeout);
    direction_[lane] = g_[lane] < target_[lane] ? 1 : -1;
    raised_[lane] = raise ? 1 : 0;
    forced_[lane] += raise ? 1 : 0;
    const bool positive = direction_[lane] * M::kPolarity > 0;
    const double v = positive ? o_.positive_voltage + (raise ? o_.force_voltage : 0)
                              : o_.negative_voltage - (raise ? o_.force_voltage : 0);
    if (remembers_ && IsCircle(lane, before)) {
      GoRound(lane, v);
      if (pulses_[lane] >= static_cast<double>(o_.max_pulses)) return Finish(lane, Outcome::kPulseLimit);
    }
    if (v == volts_[lane]) return true;
    volts_[lane] = v;
    if (!job_.solved) Load(lane, v);
    return true;
  }

  // Gives a lane the voltage of its next pulse.
  void Load(int lane, double v) { StoreDrive<M>(M::MakeDrive(lanes_.params.At(lane), v, o_.dt), lanes_.on, lane); }

  // Whether the last two pulses have brought a lane back to where it was, as they will for ever: it misses its target
  // between them, or nothing moves it.
  bool IsCircle(int lane, const States& before) const {
    if (pulses_[lane] < 3 || forced_[lane] > 0) return false;
    for (int i = 0; i < kStateCount<M>; ++i) {
      if (memcmp(&before[i][lane], &lanes_.states[i][lane], sizeof(double)) != 0) return false;
    }
    return true;
  }

  // Counts such pulses, the first of them at v volts, without applying them: an even number, few at a time if others
  // have to follow.
  void GoRound(int lane, double v) {
    const int64_t left = o_.max_pulses - static_cast<int64_t>(pulses_[lane]);
    const int64_t pairs = sink_ != nullptr && left > kSamplesPerClock ? kSamplesPerClock / 2 : left / 2;
    pulses_[lane] += static_cast<double>(2 * pairs);
    for (int64_t pair = 0; sink_ != nullptr && pair < pairs; ++pair) {
      sink_->Add(v);
      sink_->Add(volts_[lane]);
    }
  }

  // Whether a lane is near one of its bounds and its last pulse was strong enough to force it.
  bool IsAtBound(int lane) const {
    const typename M::Params& p = lanes_.params.At(lane);
    const bool at_bound = Near(g_[lane], 1 / p.r_on, o_.force_rel_tol) || Near(g_[lane], 1 / p.r_off, o_.force_rel_tol);
    return at_bound && (volts_[lane] >= o_.positive_threshold || volts_[lane] <= o_.negative_threshold);
  }

  void ForceConductance(int lane) {
    const typename M::Params& p = lanes_.params.At(lane);
    const double step = o_.force_conductance;
    const double wanted =
        g_[lane] < target_[lane] ? Min(g_[lane] + step, target_[lane]) : Max(g_[lane] - step, target_[lane]);
    const double g = Clamp(static_cast<double>(static_cast<Real>(wanted)), 1 / p.r_off, 1 / p.r_on);
    StoreState<M>(M::FromConductance(p, g), LaneSink{lanes_.states, lane});
    g_[lane] = StoredConductance<M, Real>(lanes_.params, lanes_.states, lane);
    ++forced_[lane];
  }

  bool Finish(int lane, Outcome outcome) {
    const int64_t cell = cell_[lane];
    if (pulses_[lane] > 0) {
      for (int i = 0; i < kStateCount<M>; ++i) job_.devices.state[i][cell] = lanes_.states[i][lane];
      if constexpr (std::is_same_v<Real, float>) {
        job_.devices.g.f32[cell] = static_cast<float>(g_[lane]);
      } else {
        job_.devices.g.f64[cell] = g_[lane];
      }
    }
    job_.report.pulses[cell] = static_cast<int64_t>(pulses_[lane]);
    job_.report.outcome[cell] = outcome;
    job_.report.forced[cell] = forced_[lane];
    if (next_ < n_) {
      Refill(lane, cells_[next_++]);
    } else if (lane != --live_) {
      MoveLane(live_, lane);
    }
    return false;
  }

  const ProgramJob& job_;
  const ProgramOptions& o_;
  const int64_t* cells_;
  int64_t n_;
  int64_t sample_;
  PulseSink* sink_;
  CellSpan span_;
  PulsedLanes<M, Params> lanes_;
  int live_;      // lanes [0, live_) hold cells
  int64_t next_;  // the first of the list that no lane has taken
  alignas(64) LaneColumn target_, g_, volts_;
  alignas(64) LaneColumn direction_;  // 1: g must rise, -1: fall, 0: no pulse yet
  alignas(64) LaneColumn pulses_, moved_, raised_;
  alignas(64) LaneColumn seconds_;  // each lane's share of the time so far
  int64_t cell_[kLanes];
  int64_t forced_[kLanes];
  double last_look_ = -1;
  bool remembers_;                // pulses are long enough that circles are worth finding
  alignas(64) States before_[2];  // the states before the last pulses, if so
};

template <class M, class Params, class Real>
void DisturbBlock(const ProgramJob& job, const CellSpan& span, double part, const PulseRun* runs, int64_t count,
                  int64_t sample) {
  using Lanes = PulsedLanes<M, Params>;
  Lanes lanes(job, span, sample);
  // States before the last two runs. A cell that misses its target between two pulses makes trains that alternate, and
  // its neighbours soon go round in a circle with it.
  alignas(64) typename Lanes::States before[2];
  for (int64_t k = 0; k < count; ++k) {
    const PulseRun* run = runs + k;
    const bool repeats = k >= 2 && run->v == runs[k - 2].v && run->pulses == runs[k - 2].pulses;
    if (repeats && !job.noise && lanes.StatesEqual(before[k % 2], span.devices)) {
      memcpy(lanes.states, before[(k - 1) % 2], sizeof lanes.states);  // what came out two runs ago
      continue;
    }
    memcpy(before[k % 2], lanes.states, sizeof lanes.states);
    for (int lane = 0; lane < span.filled; ++lane) {
      StoreDrive<M>(M::MakeDrive(lanes.params.At(lane), part * run->v, job.options.dt), lanes.on, lane);
    }
    alignas(64) typename Lanes::States old;
    for (int64_t pulse = 0; pulse < run->pulses; ++pulse) {
      memcpy(old, lanes.states, sizeof old);
      lanes.Pulse(job, span.devices);
      if (!job.noise && lanes.StatesEqual(old, span.devices))
        break;  // pulses start without current: no later one moves
    }
  }
  StoreLanes<M, Real>(lanes, span, job.devices);
}

template <class M, class Params, class Real>
bool PulseBlock(const ProgramJob& job, const CellSpan& span, const double* volts, int64_t sample) {
  PulsedLanes<M, Params> lanes(job, span, sample);
  for (int lane = 0; lane < span.filled; ++lane) {
    const double v = volts[lane < span.devices ? lane : span.devices - 1];
    StoreDrive<M>(M::MakeDrive(lanes.params.At(lane), v, job.options.dt), lanes.on, lane);
  }
  lanes.Pulse(job, span.devices);
  return StoreLanes<M, Real>(lanes, span, job.devices);
}

// Calls visit with values of the model, the parameters' type and the conductances' type.
template <class Visitor>
void WithTypes(int model, const DeviceView& devices, const Visitor& visit) {
  WithModelAt(model, [&](auto m) {
    using M = decltype(m);
    WithParamsType<M>(devices, [&](auto type) {
      if (devices.g.f32 != nullptr) {
        visit(m, type, Type<float>());
      } else {
        visit(m, type, Type<double>());
      }
    });
  });
}

void WriteCells(int model, const ProgramJob& job, const int64_t* cells, int64_t n, int64_t sample, PulseSink* sink) {
  if (n == 0) return;
  WithTypes(model, job.devices, [&](auto m, auto params, auto real) {
    Writer<decltype(m), typename decltype(params)::type, typename decltype(real)::type>(job, cells, n, sample, sink)
        .Run();
  });
}

void DisturbCells(int model, const ProgramJob& job, const int64_t* cells, int64_t n, double part, const PulseRun* runs,
                  int64_t count, int64_t sample) {
  if (count == 0) return;
  WithTypes(model, job.devices, [&](auto m, auto params, auto real) {
    for (int64_t first = 0; first < n; first += kLanes) {
      DisturbBlock<decltype(m), typename decltype(params)::type, typename decltype(real)::type>(
          job, CellSpan(cells + first, n - first), part, runs, count, sample);
    }
  });
}

bool PulseCells(int model, const ProgramJob& job, const int64_t* cells, int64_t n, const double* volts,
                int64_t sample) {
  bool moved = false;
  WithTypes(model, job.devices, [&](auto m, auto params, auto real) {
    for (int64_t first = 0; first < n; first += kLanes) {
      moved |= PulseBlock<decltype(m), typename decltype(params)::type, typename decltype(real)::type>(
          job, CellSpan(cells + first, n - first), volts + first, sample);
    }
  });
  return moved;
}

}  // namespace

const ProgramKernels kProgram = {WriteCells, DisturbCells, PulseCells};

}  // namespace MT_ISA
}  // namespace memtorch
