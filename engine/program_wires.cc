#include "engine/program_wires.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <vector>

#include "engine/devices/models.h"
#include "engine/grid/nodes.h"
#include "engine/program_checks.h"
#include "engine/program_holds.h"

namespace memtorch {
namespace {

// The tile while one of its cells is pulsed.
//
// Devices conduct g v. The circuit is linear, so that voltages at a pulse of 1 V, the shares, serve pulses of any
// height, until a conductance changes. If only that of the pulsed cell does, no circuit is solved either: by Thevenin's
// theorem the cell's own share is proportional to 1 / (1 + g R), R being what it sees of the rest of the circuit, and
// all shares are linear in it. Two solutions then give those at any g.
class SolvedTile final : public PulseSink {
 public:
  SolvedTile(int model, const ProgramJob& job, const TileShape& shape, int64_t tile)
      : model_(model),
        job_(job),
        o_(job.options),
        rows_(shape.rows),
        cols_(shape.cols),
        first_(tile * rows_ * cols_),
        g_(rows_ * cols_),
        shares_(g_.size()),
        near_(g_.size()),
        far_(g_.size()),
        word_(g_.size()),
        bit_(g_.size()),
        word_volts_(rows_),
        bit_volts_(cols_),
        word_open_(new bool[rows_]),
        bit_open_(new bool[cols_]) {
    for (int64_t k = 0; k < size(); ++k) g_[k] = ConductanceOf(job.devices, first_ + k);
    WithModelAt(model, [&](auto m) {
      using M = decltype(m);
      const int64_t end = first_ + size();
      skips_ = !job.noise && AllHold<M>(job.devices, first_, end, {0}, o_.dt) &&
               AllSettled<M>(job.devices, first_, end, o_.dt);
    });
  }

  // Another cell. All solutions start afresh, so that they do not depend on what was programmed before.
  void Begin(int64_t cell, int64_t sample) {
    g_[at_] = ConductanceOf(job_.devices, first_ + at_);  // after the last pulse on the cell before
    at_ = cell - first_;
    sample_ = sample;
    has_near_ = has_far_ = false;
    quiet_ = !o_.neighbours;
    others_.clear();
    for (int64_t other = first_; other < first_ + size(); ++other) {
      if (other != cell && o_.neighbours && !IsStuck(job_.devices, other)) others_.push_back(other);
    }
    WithModelAt(model_, [&](auto m) {
      const auto p = ParamsOf<decltype(m)>(job_.devices, cell);
      low_ = 1 / p.r_off;
      high_ = 1 / p.r_on;
    });
    SetSources();
  }

  double Share(double g) override {
    if (has_near_ && g == g_[at_]) return shares_[at_];
    g_[at_] = g;
    if (has_near_ && near_[at_] > kSmallShare) {
      if (!has_far_) SolveFar();
      if (far_[at_] > kSmallShare) {
        MixShares(g);
        return shares_[at_];
      }
    }
    Solve(bit_.data(), near_.data());
    shares_ = near_;
    near_g_ = g;
    has_near_ = true;
    has_far_ = false;
    return shares_[at_];
  }

  void Add(double v) override {
    const int64_t sample = sample_;
    sample_ += o_.on_samples + o_.off_samples;
    if (quiet_) return;
    Collect(v);
    const int64_t count = static_cast<int64_t>(moving_.size());
    if (!ActiveProgramKernels().pulse(model_, job_, moving_.data(), count, volts_.data(), sample)) return;
    for (const int64_t other : moving_) g_[other - first_] = ConductanceOf(job_.devices, other);
    has_near_ = has_far_ = false;
  }

  // Noise draws of the tile so far.
  int64_t sample() const { return sample_; }

 private:
  int64_t size() const { return static_cast<int64_t>(g_.size()); }

  void SetSources() {
    const int64_t row = at_ / cols_, col = at_ % cols_;
    for (int64_t i = 0; i < rows_; ++i) {
      word_volts_[i] = i == row ? 1 : o_.unselected_word;
      word_open_[i] = o_.floating && i != row;
    }
    for (int64_t j = 0; j < cols_; ++j) {
      bit_volts_[j] = j == col ? 0 : o_.unselected_bit;
      bit_open_[j] = o_.floating && j != col;
    }
    for (int64_t i = 0; i < rows_; ++i) std::copy(bit_volts_.begin(), bit_volts_.end(), bit_.begin() + i * cols_);
  }

  // Shares at the conductances g, from potentials of the bit lines that are near to the solution; these become it.
  void Solve(double* bit, double* shares) {
    GridSources sources;
    sources.word = {word_volts_.data(), 1, rows_, rows_};
    sources.bit = {bit_volts_.data(), 1, cols_, cols_};
    sources.word_open = word_open_.get();
    sources.bit_open = bit_open_.get();
    const MatrixView<const double> g{g_.data(), rows_, cols_, cols_};
    const GridNodes nodes{word_.data(), bit};
    try {
      SolveNodes(g, o_.wires, sources, {kProgramAim, true}, nodes);
    } catch (const std::runtime_error&) {
      SolveNodes(g, o_.wires, sources, {kProgramTolerance, true}, nodes);
    }
    for (int64_t k = 0; k < size(); ++k) shares[k] = Bounded(word_[k] - bit[k]);
  }

  // The second solution, at the end of the cell's range that is farther from the first. A mixture of the two then
  // magnifies no error.
  void SolveFar() {
    const double g = g_[at_];
    far_g_ = high_ - near_g_ > near_g_ - low_ ? high_ : low_;
    g_[at_] = far_g_;
    far_bit_ = bit_;
    Solve(far_bit_.data(), far_.data());
    g_[at_] = g;
    has_far_ = true;
    quiet_ = quiet_ || OthersHold();
  }

  // The part of the second solution in the shares at a conductance of g siemens.
  double PartOfFar(double g) const {
    const double t = (g - near_g_) / (far_g_ - near_g_), ratio = near_[at_] / far_[at_];
    return t * ratio / (1 + t * (ratio - 1));
  }

  void MixShares(double g) {
    const double part = PartOfFar(g);
    const int64_t begin = quiet_ ? at_ : 0, end = quiet_ ? at_ + 1 : size();
    for (int64_t k = begin; k < end; ++k) shares_[k] = Mixed(k, part);
  }

  double Mixed(int64_t k, double part) const { return Bounded(near_[k] + (far_[k] - near_[k]) * part); }

  // No node is beyond the sources but for rounding, which would make the largest voltages infinite.
  static double Bounded(double share) { return std::clamp(share, -1.0, 1.0); }

  // The other cells that may move under a pulse of v volts, and what they see of it.
  void Collect(double v) {
    moving_.clear();
    volts_.clear();
    WithModelAt(model_, [&](auto m) {
      using M = decltype(m);
      const bool shared = IsShared<M>(job_.devices);
      auto p = ParamsOf<M>(job_.devices, first_);
      for (const int64_t other : others_) {
        const double seen = v * shares_[other - first_];
        if (skips_ && shared && seen >= held_low_ && seen <= held_high_) continue;
        if (!shared) p = ParamsOf<M>(job_.devices, other);
        if (skips_ && M::Holds(p, M::MakeDrive(p, seen, o_.dt))) {
          held_low_ = std::fmin(held_low_, seen);
          held_high_ = std::fmax(held_high_, seen);
          continue;
        }
        moving_.push_back(other);
        volts_.push_back(seen);
      }
    });
  }

  // Whether no pulse moves any other cell, wherever in its range the pulsed one is.
  bool OthersHold() const {
    if (!skips_ || !(near_[at_] > kSmallShare && far_[at_] > kSmallShare)) return false;
    double least = 0, most = 0;
    for (const double part : {PartOfFar(low_), PartOfFar(high_)}) {
      for (const int64_t other : others_) {
        least = std::fmin(least, Mixed(other - first_, part));
        most = std::fmax(most, Mixed(other - first_, part));
      }
    }
    const double positive = o_.positive_voltage + o_.force_voltage, negative = o_.negative_voltage - o_.force_voltage;
    const std::vector<double> volts = {std::fmin(positive * least, negative * most), 0,
                                       std::fmax(positive * most, negative * least)};
    bool hold = false;
    WithModelAt(model_,
                [&](auto m) { hold = AllHold<decltype(m)>(job_.devices, first_, first_ + size(), volts, o_.dt); });
    return hold;
  }

  int model_;
  const ProgramJob& job_;
  const ProgramOptions& o_;
  int64_t rows_, cols_, first_;  // first_: the tile's first device; everything below is numbered within the tile
  std::vector<double> g_, shares_;
  std::vector<double> near_, far_;  // the two solutions
  std::vector<double> word_, bit_, far_bit_;
  std::vector<double> word_volts_, bit_volts_, volts_;
  std::unique_ptr<bool[]> word_open_, bit_open_;
  std::vector<int64_t> others_, moving_;  // cells that pulses reach, and that one may move, numbered within the view
  bool skips_ = false;                    // cells whose voltage moves no state are not simulated
  double held_low_ = 0, held_high_ = 0;   // between them no cell moves, where all have the same parameters
  bool has_near_ = false, has_far_ = false;
  bool quiet_ = false;  // no other cell needs to be looked at
  int64_t at_ = 0, sample_ = 0;
  double low_ = 0, high_ = 0, near_g_ = 0, far_g_ = 0;
};

}  // namespace

void ProgramSolvedTile(int model, const ProgramJob& job, const TileShape& shape, int64_t tile,
                       const uint8_t* selected) {
  const int64_t size = shape.rows * shape.cols;
  SolvedTile solved(model, job, shape, tile);
  for (int64_t cell = tile * size; cell < (tile + 1) * size; ++cell) {
    if (selected[cell] == 0 || IsStuck(job.devices, cell)) continue;
    solved.Begin(cell, job.options.neighbours ? solved.sample() : 0);
    ActiveProgramKernels().write(model, job, &cell, 1, solved.sample(), &solved);
  }
}

}  // namespace memtorch
