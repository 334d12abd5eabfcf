// A tile while one of its cells is pulsed, its voltages solved by one block of threads: SolvedTile of
// engine/program_wires.cc, which says why it is right.
#ifndef MEMTORCH_ENGINE_CUDA_SOLVED_TILE_H_
#define MEMTORCH_ENGINE_CUDA_SOLVED_TILE_H_

#include "engine/cuda/cell_writer.h"
#include "engine/cuda/linear_nodes.h"
#include "engine/cuda/node_blocks.h"
#include "engine/program_checks.h"

namespace memtorch::cuda {

// Where a block solves its circuits.
struct SolvedTileMemory {
  static constexpr int64_t kArrays = 11;

  double *g, *near, *far;          // conductances; shares of the pulse in the two solutions
  double *word_volts, *bit_volts;  // of the sources
  bool *word_open, *bit_open;
  double *bit_ratio, *word_ratio;
  LinearArrays linear;

  MT_HD static int64_t Doubles(int64_t rows, int64_t cols) {
    constexpr int64_t kWord = sizeof(double);
    return kArrays * rows * cols + rows + cols + (rows + cols + kWord - 1) / kWord;
  }
  MT_HD SolvedTileMemory(double* memory, int64_t rows, int64_t cols) {
    const int64_t size = rows * cols;
    const auto at = [&](int64_t k) { return memory + k * size; };
    g = at(0);
    near = at(1);
    far = at(2);
    bit_ratio = at(3);
    word_ratio = at(4);
    linear = {at(5), at(6), at(7), at(8), at(9), at(10)};
    word_volts = at(kArrays);
    bit_volts = word_volts + rows;
    word_open = reinterpret_cast<bool*>(bit_volts + cols);
    bit_open = word_open + rows;
  }
};

// All threads of the block hold the same numbers.
template <class M>
class SolvedTile {
 public:
  // `circuit`: without devices and open lines.
  MT_HD SolvedTile(const Block& block, const ProgramJob& job, const NodeLines& circuit, int64_t first,
                   const SolvedTileMemory& memory)
      : block_(block), job_(job), first_(first), at_(first), memory_(memory), lines_(LinesOf(circuit, memory)) {
    const Sum restless = Over<Sum>(block_, size(), [&](int64_t k, Sum* count) {
      const int64_t cell = first_ + k;
      memory_.g[k] = job_.devices.ConductanceAt(cell);
      const auto p = job_.devices.template ParamsAt<M>(cell);
      bool rests = !M::UsesNoise(p) && M::Holds(p, M::MakeDrive(p, 0, job_.options.dt));
      if (!job_.devices.IsStuckAt(cell)) rests = rests && IsSettled<M>(job_.devices, cell, p, job_.options.dt);
      if (!rests) count->Add({1});
    });
    skips_ = restless.value == 0;
  }
  SolvedTile(const SolvedTile&) = delete;
  SolvedTile& operator=(const SolvedTile&) = delete;

  // Another cell. All solutions start afresh, so that they do not depend on what was programmed before.
  MT_HD void Begin(int64_t cell) {
    const int64_t before = at_;
    at_ = cell;
    if (!job_.options.neighbours) sample_ = 0;
    has_near_ = has_far_ = false;
    quiet_ = !job_.options.neighbours;
    part_ = 0;
    const auto p = job_.devices.template ParamsAt<M>(cell);
    low_ = 1 / p.r_off;
    high_ = 1 / p.r_on;
    block_.Each(1, [&](int) { memory_.g[before - first_] = job_.devices.ConductanceAt(before); });
    SetSources();
  }

  // What the cell, which has a conductance of g siemens, sees of the next pulse, in parts of its voltage.
  MT_HD double Share(double g) {
    if (has_near_ && g == here_) return Mixed(at_ - first_, part_);
    here_ = g;
    const int64_t k = at_ - first_;
    for (;;) {
      const bool serves = has_near_ && memory_.near[k] > kSmallShare;
      if (serves && has_far_ && memory_.far[k] > kSmallShare) {
        part_ = PartOfFar(g);
        return Mixed(k, part_);
      }
      const bool far = serves && !has_far_;
      Solve(far, g);
      if (!far || !solved()) return memory_.near[k];
      quiet_ = quiet_ || OthersHold();
    }
  }

  // Applies the pulse, of v volts, to the other cells.
  MT_HD void Disturb(double v) {
    const ProgramOptions& o = job_.options;
    const uint64_t sample = static_cast<uint64_t>(sample_);
    sample_ += o.on_samples + o.off_samples;
    if (quiet_) return;
    const Sum moved = Over<Sum>(block_, size(), [&](int64_t k, Sum* count) {
      const int64_t cell = first_ + k;
      if (cell == at_ || job_.devices.IsStuckAt(cell)) return;
      const auto p = job_.devices.template ParamsAt<M>(cell);
      const double seen = v * Mixed(k, part_);
      if (skips_ && M::Holds(p, M::MakeDrive(p, seen, o.dt))) return;
      auto s = job_.devices.template StateAt<M>(cell);
      ApplyPulse<M>(o, p, seen, static_cast<uint64_t>(o.first_device + cell), sample, s);
      job_.devices.template Write<M>(cell, p, s);
      const double g = job_.devices.ConductanceAt(cell);
      if (g == memory_.g[k]) return;
      memory_.g[k] = g;
      count->Add({1});
    });
    if (moved.value != 0) has_near_ = has_far_ = false;
  }

  MT_HD int64_t sample() const { return sample_; }  // noise draws of the tile so far
  MT_HD double residual() const { return worst_; }
  MT_HD bool solved() const { return worst_ <= kProgramTolerance; }

 private:
  MT_HD static NodeLines LinesOf(const NodeLines& circuit, const SolvedTileMemory& memory) {
    NodeLines lines = circuit.With(memory.g, memory.bit_ratio, memory.word_ratio);
    lines.word_open = memory.word_open;
    lines.bit_open = memory.bit_open;
    return lines;
  }

  MT_HD int64_t size() const { return lines_.nodes(); }

  MT_HD void SetSources() {
    const ProgramOptions& o = job_.options;
    const int64_t cols = lines_.cols, row = (at_ - first_) / cols, col = (at_ - first_) % cols;
    block_.Each(static_cast<int>(lines_.rows), [&](int i) {
      memory_.word_volts[i] = i == row ? 1 : o.unselected_word;
      memory_.word_open[i] = o.floating && i != row;
    });
    block_.Each(static_cast<int>(cols), [&](int j) {
      memory_.bit_volts[j] = j == col ? 0 : o.unselected_bit;
      memory_.bit_open[j] = o.floating && j != col;
    });
    block_.Each(static_cast<int>(size()), [&](int k) { memory_.linear.b[k] = memory_.bit_volts[k % cols]; });
  }

  // Shares with the cell at g siemens, from potentials of the bit lines that are near to the solution; or, far, at the
  // end of the cell's range that is farther from there: a mixture of both magnifies no error.
  MT_HD void Solve(bool far, double g) {
    LinearArrays arrays = memory_.linear;
    double* shares = memory_.near;
    if (far) {
      far_g_ = g = high_ - near_g_ > near_g_ - low_ ? high_ : low_;
      arrays.b = shares = memory_.far;
      block_.Each(static_cast<int>(size()), [&](int k) { arrays.b[k] = memory_.linear.b[k]; });
    } else {
      near_g_ = g;
      part_ = 0;
    }
    block_.Each(1, [&](int) { memory_.g[at_ - first_] = g; });
    FactorNodes(block_, lines_);
    LinearNodes linear(block_, lines_, arrays);
    double lacking = 1;
    for (int attempt = 0; attempt < 2 && !(lacking <= kProgramAim); ++attempt) {
      const double tolerance = attempt == 0 ? kProgramAim : kProgramTolerance;
      lacking = linear.Solve({nullptr, nullptr, memory_.word_volts, memory_.bit_volts}, true, 0, tolerance);
    }
    worst_ = LargerOrNaN(worst_, lacking);
    block_.Each(static_cast<int>(size()), [&](int k) { shares[k] = Bounded(linear.w()[k] - arrays.b[k]); });
    has_near_ = true;
    has_far_ = far;
  }

  // The part of the second solution in the shares at a conductance of g siemens.
  MT_HD double PartOfFar(double g) const {
    const int64_t k = at_ - first_;
    const double t = (g - near_g_) / (far_g_ - near_g_), ratio = memory_.near[k] / memory_.far[k];
    return t * ratio / (1 + t * (ratio - 1));
  }

  MT_HD double Mixed(int64_t k, double part) const {
    const double near = memory_.near[k];
    return part == 0 ? near : Bounded(near + (memory_.far[k] - near) * part);
  }

  // No node is beyond the sources but for rounding, which would make the largest voltages infinite.
  MT_HD static double Bounded(double share) { return Clamp(share, -1.0, 1.0); }

  // Whether no pulse moves any other cell, wherever in its range the pulsed one is.
  MT_HD bool OthersHold() const {
    const int64_t at = at_ - first_;
    if (!skips_ || !(memory_.near[at] > kSmallShare && memory_.far[at] > kSmallShare)) return false;
    const ProgramOptions& o = job_.options;
    const double positive = o.positive_voltage + o.force_voltage, negative = o.negative_voltage - o.force_voltage;
    const double at_low = PartOfFar(low_), at_high = PartOfFar(high_);
    const Sum moves = Over<Sum>(block_, size(), [&](int64_t k, Sum* count) {
      if (k == at || job_.devices.IsStuckAt(first_ + k)) return;
      const double a = Mixed(k, at_low), b = Mixed(k, at_high);
      const double least = Min(0.0, Min(a, b)), most = Max(0.0, Max(a, b));
      const auto p = job_.devices.template ParamsAt<M>(first_ + k);
      const auto holds = [&](double v) { return M::Holds(p, M::MakeDrive(p, v, o.dt)); };
      const bool quiet = holds(Min(positive * least, negative * most)) && holds(Max(positive * most, negative * least));
      if (!quiet) count->Add({1});
    });
    return moves.value == 0;
  }

  const Block block_;
  const ProgramJob& job_;
  const int64_t first_;  // cell of the tile
  int64_t at_;           // the pulsed cell
  const SolvedTileMemory memory_;
  const NodeLines lines_;
  bool skips_ = false;  // cells whose voltage moves no state are not simulated
  bool has_near_ = false, has_far_ = false;
  bool quiet_ = false;  // no other cell needs to be looked at
  int64_t sample_ = 0;
  double here_ = 0;  // the cell's conductance
  double low_ = 0, high_ = 0, near_g_ = 0, far_g_ = 0, part_ = 0;
  double worst_ = 0;  // residual of a solution
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_SOLVED_TILE_H_
