// The whole of program.h pulse by pulse, and what its tests start from.
#ifndef MEMTORCH_TESTS_CPP_TESTING_SLOW_PROGRAM_H_
#define MEMTORCH_TESTS_CPP_TESTING_SLOW_PROGRAM_H_

#include <cmath>
#include <vector>

#include "engine/program.h"
#include "tests/cpp/testing/dense_grid.h"
#include "tests/cpp/testing/models.h"

namespace memtorch::testing {

struct Report {
  explicit Report(int64_t n) : pulses(n, -1), forced(n, -1), error(n, -1), outcome(n, Outcome::kNotProgrammed) {}
  ProgramReport View() { return {pulses.data(), error.data(), outcome.data(), forced.data()}; }

  std::vector<int64_t> pulses, forced;
  std::vector<double> error;
  std::vector<Outcome> outcome;
};

inline bool SameReports(const Report& a, const Report& b) {
  return a.pulses == b.pulses && a.forced == b.forced && a.error == b.error && a.outcome == b.outcome;
}

// The whole of program.h in the order of its text: pulse by pulse, device by device, sample by sample.
template <class M>
class SlowProgram {
 public:
  SlowProgram(Columns<M>& devices, const TileShape& shape, const ProgramOptions& options, Report& report,
              const std::vector<uint8_t>& stuck = {})
      : devices_(devices), shape_(shape), o_(options), report_(report), stuck_(stuck) {}

  void Run(const std::vector<double>& target, const std::vector<uint8_t>& selected) {
    const int64_t size = shape_.rows * shape_.cols;
    for (int64_t tile = 0; tile < shape_.tiles; ++tile) {
      sample_ = 0;
      for (int64_t cell = tile * size; cell < (tile + 1) * size; ++cell) {
        if (!o_.neighbours) sample_ = 0;
        if (selected[cell]) Write(cell, target[cell]);
      }
    }
    for (int64_t cell = 0; cell < devices_.n; ++cell) {
      if (!selected[cell]) continue;
      report_.error[cell] = Error(cell, target[cell]);
      const bool near = Near(G(cell), target[cell], o_.rel_tol);
      if (report_.outcome[cell] == Outcome::kConverged && !near) report_.outcome[cell] = Outcome::kDisturbed;
    }
  }

 private:
  static bool Near(double a, double b, double rel_tol) {
    return std::fabs(a - b) <= rel_tol * std::fmax(std::fabs(a), std::fabs(b));
  }
  double G(int64_t cell) const { return devices_.g32.empty() ? devices_.g64[cell] : devices_.g32[cell]; }
  double Error(int64_t cell, double target) const {
    return std::fabs(target - G(cell)) / std::fmax(std::fabs(target), std::fabs(G(cell)));
  }
  double Rounded(double g) const { return devices_.g32.empty() ? g : static_cast<float>(g); }
  bool Stuck(int64_t cell) const { return !stuck_.empty() && stuck_[cell] != 0; }

  void Store(int64_t cell, const typename M::State& s) {
    StoreState<M>(s, [&](size_t i, double value) { devices_.state[i][cell] = value; });
    const double g = M::Conductance(devices_.ParamsOf(cell), s);
    if (devices_.g32.empty()) {
      devices_.g64[cell] = g;
    } else {
      devices_.g32[cell] = static_cast<float>(g);
    }
  }

  void Pulse(int64_t cell, double v) {
    if (Stuck(cell)) return;
    const auto p = devices_.ParamsOf(cell);
    auto s = devices_.StateOf(cell);
    double current = 0;
    for (int64_t t = 0; t < o_.on_samples + o_.off_samples; ++t) {
      const double normal =
          M::UsesNoise(p) ? Normal(o_.seed, static_cast<uint64_t>(o_.first_device + cell), sample_ + t) : 0;
      current = Step<M>(p, M::MakeDrive(p, t < o_.on_samples ? v : 0, o_.dt), s, current, normal);
    }
    Store(cell, s);
  }

  // What the devices of a tile see of a pulse on one of them, in parts of its voltage.
  std::vector<double> Parts(int64_t cell, int64_t tile) const {
    const int64_t rows = shape_.rows, cols = shape_.cols, row = cell / cols, col = cell % cols;
    std::vector<double> g(rows * cols), word(rows, o_.unselected_word), bit(cols, o_.unselected_bit), parts;
    word[row] = 1;
    bit[col] = 0;
    std::vector<bool> word_open(rows, o_.floating), bit_open(cols, o_.floating);
    word_open[row] = bit_open[col] = false;
    const bool solved = o_.floating || o_.wires.word + o_.wires.bit + o_.wires.source + o_.wires.load > 0;
    for (int64_t k = 0; k < rows * cols; ++k) {
      parts.push_back(word[k / cols] - bit[k % cols]);
      g[k] = G(tile + k);
    }
    if (!solved) return parts;
    const DenseGrid grid(g, rows, cols, o_.wires, word_open, bit_open);
    const auto volts = grid.Potentials(word, bit);
    for (int64_t k = 0; k < rows * cols; ++k) {
      parts[k] = static_cast<double>(volts[grid.word(k / cols, k % cols)] - volts[grid.bit(k / cols, k % cols)]);
    }
    return parts;
  }

  void Write(int64_t cell, double target) {
    int64_t pulses = 0, forced = 0;
    double raised = 0;
    Outcome outcome = Outcome::kFaulty;
    while (!Stuck(cell)) {
      const double g = G(cell);
      outcome = Near(target, g, o_.rel_tol) ? Outcome::kConverged : Outcome::kPulseLimit;
      if (outcome == Outcome::kConverged || pulses == o_.max_pulses) break;
      const bool positive = (g < target) == (M::kPolarity > 0);
      const double v = positive ? o_.positive_voltage + raised : o_.negative_voltage - raised;
      if (raised > 0) ++forced;
      const int64_t size = shape_.rows * shape_.cols, tile = cell / size * size;
      const std::vector<double> parts = Parts(cell - tile, tile);
      Pulse(cell, parts[cell - tile] * v);
      for (int64_t other = tile; o_.neighbours && other < tile + size; ++other) {
        if (other != cell && parts[other - tile] != 0) Pulse(other, parts[other - tile] * v);
      }
      sample_ += o_.on_samples + o_.off_samples;
      ++pulses;
      const auto p = devices_.ParamsOf(cell);
      raised = 0;
      const bool at_bound = Near(g, 1 / p.r_on, o_.force_rel_tol) || Near(g, 1 / p.r_off, o_.force_rel_tol);
      if (G(cell) != g || !at_bound || (v < o_.positive_threshold && v > o_.negative_threshold)) continue;
      raised = o_.force_voltage;
      if (raised > 0 || o_.force_conductance == 0) continue;
      const double step = o_.force_conductance;
      const double wanted = Rounded(g < target ? std::fmin(g + step, target) : std::fmax(g - step, target));
      Store(cell, M::FromConductance(p, std::fmin(std::fmax(wanted, 1 / p.r_off), 1 / p.r_on)));
      ++forced;
    }
    report_.pulses[cell] = pulses;
    report_.forced[cell] = forced;
    report_.outcome[cell] = outcome;
  }

  Columns<M>& devices_;
  TileShape shape_;
  ProgramOptions o_;
  Report& report_;
  std::vector<uint8_t> stuck_;
  int64_t sample_ = 0;
};

template <class M>
ProgramOptions Suitable() {
  ProgramOptions o;
  o.dt = M::kPulses.time_step;
  o.on_samples = std::lround(M::kPulses.duration / M::kPulses.time_step);
  o.off_samples = std::lround(M::kPulses.refractory_period / M::kPulses.time_step);
  o.positive_voltage = M::kPulses.positive_voltage;
  o.negative_voltage = M::kPulses.negative_voltage;
  o.rel_tol = M::kPulses.rel_tol;
  o.max_pulses = M::kPulses.max_pulses;
  o.timeout = 1e9;  // results must not depend on the load of the machine
  return o;
}

// Pulses that disturb neighbours, overshoot, get stuck, rest, or last long.
template <class M>
std::vector<ProgramOptions> Varieties() {
  ProgramOptions quiet = Suitable<M>();
  quiet.max_pulses = 150;
  ProgramOptions strong = quiet;
  strong.positive_voltage = 1.3 * WorkingVoltage<M>();
  strong.negative_voltage = -1.1 * WorkingVoltage<M>();
  strong.dt = M::kTimeStep;
  strong.off_samples = 2;
  strong.max_pulses = 40;
  ProgramOptions raised = strong;
  raised.force_voltage = 0.25;
  raised.force_rel_tol = 0.5;
  ProgramOptions slow = quiet;  // nothing of the size of a pulse moves: stuck at the bounds
  slow.positive_voltage = 0.01;
  slow.negative_voltage = -0.01;
  slow.force_conductance = 1e-5;
  slow.force_rel_tol = 0.5;
  slow.positive_threshold = 0.005;
  slow.negative_threshold = -0.005;
  ProgramOptions alone = strong;
  alone.neighbours = false;
  ProgramOptions lasting = strong;
  lasting.on_samples = 70;
  lasting.max_pulses = 90;         // round in circles
  ProgramOptions thirds = strong;  // reaches every cell of the tile
  thirds.unselected_word = 1.0 / 3;
  thirds.unselected_bit = 2.0 / 3;
  ProgramOptions quiet_thirds = quiet;
  quiet_thirds.unselected_word = thirds.unselected_word;
  quiet_thirds.unselected_bit = thirds.unselected_bit;
  return {quiet, strong, raised, slow, alone, lasting, thirds, quiet_thirds};
}

inline void SetThirds(ProgramOptions& o) {
  o.unselected_word = 1.0 / 3;
  o.unselected_bit = 2.0 / 3;
}

// The circuits whose voltages are solved, for devices of some r ohm.
inline std::vector<void (*)(ProgramOptions&, double)> Circuits() {
  return {
      [](ProgramOptions& o, double) { o.floating = true; },
      [](ProgramOptions& o, double r) { o.wires = {0.01 * r, 0.02 * r, 0.1 * r, 0.05 * r}; },
      [](ProgramOptions& o, double r) {
        SetThirds(o);
        o.wires = {0.01 * r, 0, 0, 0.03 * r};
      },
      [](ProgramOptions& o, double r) {
        o.floating = true;
        o.wires = {0, 0.01 * r, 0.02 * r, 0};
      },
      [](ProgramOptions& o, double r) { o.wires = {10 * r, 10 * r, 50 * r, 1000 * r}; },  // little is left of a pulse
  };
}

template <class M>
std::vector<double> Targets(const Columns<M>& devices, double power = 1) {
  std::vector<double> target(devices.n);
  for (int64_t i = 0; i < devices.n; ++i) {
    const auto p = devices.ParamsOf(i);
    target[i] = 1 / p.r_off + (1 / p.r_on - 1 / p.r_off) * std::pow(i * 7 % devices.n / (devices.n - 1.0), power);
  }
  return target;
}

// Conductances spread over the range.
template <class M>
Columns<M> SpreadDevices(int64_t n, bool single, bool own_params) {
  Columns<M> devices(n, single);
  if (own_params) {
    devices.Spread("r_on", 0.1);
    devices.Spread("r_off", 0.1);
  }
  const auto target = Targets(devices, 3);
  std::vector<float> single_target(target.begin(), target.end());
  SetConductance(M::kName, devices.View(),
                 {single ? single_target.data() : nullptr, single ? nullptr : const_cast<double*>(target.data())});
  return devices;
}

}  // namespace memtorch::testing

#endif  // MEMTORCH_TESTS_CPP_TESTING_SLOW_PROGRAM_H_
