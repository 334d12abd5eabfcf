#include "engine/program_kernels.h"

#include <cstring>
#include <type_traits>
#include <utility>

#include "engine/device_model.h"
#include "engine/devices/models.h"
#include "engine/lanes.h"
#include "engine/math.h"
#include "engine/random.h"

namespace memtorch {
namespace MT_ISA {
namespace {

// Samples between looks whether anything still moves, and about as many between looks at the clock.
constexpr int64_t kSamplesPerLook = 16;
constexpr int64_t kSamplesPerClock = 64;

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
        remembers_(!job.noise && o_.on_samples + o_.off_samples > kSamplesPerLook) {}

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
    StoreDrive<M>(M::MakeDrive(lanes_.params.At(lane), v, o_.dt), lanes_.on, lane);
    return true;
  }

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
void DisturbBlock(const ProgramJob& job, const CellSpan& span, const PulseRun* runs, int64_t count, int64_t sample) {
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
      StoreDrive<M>(M::MakeDrive(lanes.params.At(lane), 0.5 * run->v, job.options.dt), lanes.on, lane);
    }
    alignas(64) typename Lanes::States old;
    for (int64_t pulse = 0; pulse < run->pulses; ++pulse) {
      memcpy(old, lanes.states, sizeof old);
      lanes.Pulse(job, span.devices);
      if (!job.noise && lanes.StatesEqual(old, span.devices))
        break;  // pulses start without current: no later one moves
    }
  }
  for (int lane = 0; lane < span.devices; ++lane) {
    const int64_t cell = span.cells[lane];
    for (int i = 0; i < kStateCount<M>; ++i) job.devices.state[i][cell] = lanes.states[i][lane];
    const double g = StoredConductance<M, Real>(lanes.params, lanes.states, lane);
    if constexpr (std::is_same_v<Real, float>) {
      job.devices.g.f32[cell] = static_cast<float>(g);
    } else {
      job.devices.g.f64[cell] = g;
    }
  }
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

void DisturbCells(int model, const ProgramJob& job, const int64_t* cells, int64_t n, const PulseRun* runs,
                  int64_t count, int64_t sample) {
  if (count == 0) return;
  WithTypes(model, job.devices, [&](auto m, auto params, auto real) {
    for (int64_t first = 0; first < n; first += kLanes) {
      DisturbBlock<decltype(m), typename decltype(params)::type, typename decltype(real)::type>(
          job, CellSpan(cells + first, n - first), runs, count, sample);
    }
  });
}

}  // namespace

const ProgramKernels kProgram = {WriteCells, DisturbCells};

}  // namespace MT_ISA
}  // namespace memtorch
