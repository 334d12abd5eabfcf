#include "engine/grid/nodes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "engine/grid/curve_kernels.h"
#include "engine/grid/linear_nodes.h"
#include "engine/grid/node_checks.h"
#include "engine/parallel.h"

namespace memtorch {
namespace {

constexpr const char* kOp = "solve_nodes";
constexpr int kNewtonSteps = 100;
constexpr int kHalvings = 30;  // of a Newton step
// How far a Newton step solves its linear circuit, in parts of the largest current: kPart times the square of what is
// lacking, some ten times what the curves will leave, but at most kFirstPart, and at least kLastPart of the tolerance.
constexpr double kPart = 0.5, kFirstPart = 1e-2, kLastPart = 0.5;

// Puts arrays of nodes without gaps into ones with, where the gaps are zero, and back.
void Pack(const Lines& lines, const double* from, double* to) {
  for (int64_t i = 0; i < lines.rows; ++i) {
    double* end = std::copy_n(from + i * lines.cols, lines.cols, to + i * lines.stride);
    std::fill_n(end, lines.stride - lines.cols, 0.0);
  }
}
void Unpack(const Lines& lines, const double* from, double* to) {
  for (int64_t i = 0; i < lines.rows; ++i) std::copy_n(from + i * lines.stride, lines.cols, to + i * lines.cols);
}

void Report(const GridNodes& nodes, int64_t vector, double residual, double tolerance) {
  if (nodes.residual != nullptr) nodes.residual[vector] = residual;
  if (residual <= tolerance) return;
  std::ostringstream text;
  text << '[' << kOp << "] residual (" << residual << ") of vector " << vector << " must be at most " << tolerance;
  throw std::runtime_error(text.str());
}

void CheckVolts(const char* name, const MatrixView<const double>& v) {
  for (int64_t k = 0; k < v.rows; ++k) {
    for (int64_t i = 0; i < v.cols; ++i) {
      if (!(std::abs(v(k, i)) <= kMaxVolts)) {
        Invalid(kOp, name, "[", k, ", ", i, "] (", v(k, i), " V) must be in [", -kMaxVolts, ", ", kMaxVolts, "]");
      }
    }
  }
}

// Newton's method, one vector at a time. What the wires bring to either side of every device is carried along, so that no
// conductance of a wire multiplies a difference of potentials.
class NewtonNodes {
 public:
  NewtonNodes(int64_t rows, int64_t cols, const Wires& wires, const GridSources& sources, const DeviceCurve& curve)
      : grid_(rows, cols, wires, sources),
        lines_(grid_.get()),
        linear_(lines_),
        curve_(curve),
        arrays_(rows, cols, 6),
        w_(arrays_.Nodes()),
        b_(arrays_.Nodes()),
        bring_(arrays_.Nodes()),
        take_(arrays_.Nodes()),
        into_word_(arrays_.Nodes()),
        into_bit_(arrays_.Nodes()),
        v_(arrays_.OfCols()),
        current_(arrays_.OfCols()) {}

  void Solve(const GridSources& sources, int64_t vector, const NodeOptions& options, const GridNodes& nodes) {
    double* word = nodes.word + vector * lines_.rows * lines_.cols;
    double* bit = nodes.bit + vector * lines_.rows * lines_.cols;
    linear_.SetSources(sources, vector);
    if (!options.warm || !StartAt(word, bit)) Start();
    bool renewed = false;
    for (int step = 0; step < kNewtonSteps && lacking_ < 1e300; ++step) {
      if (lacking_ > options.tolerance) {
        Step(options.tolerance);
      } else if (Rounding() > 0.5 * options.tolerance && !renewed) {
        Renew(kLastPart * options.tolerance);
        renewed = true;
      } else {
        break;
      }
    }
    Unpack(lines_, w_, word);
    Unpack(lines_, b_, bit);
    Report(nodes, vector, std::max(lacking_, Rounding()), options.tolerance);
  }

 private:
  int64_t size() const { return lines_.rows * lines_.stride; }
  // What may be wrong in what is carried along, in parts of the largest current: nobody else would see it.
  double Rounding() const { return worst_ == 0 ? 0 : std::numeric_limits<double>::epsilon() * worst_ / largest_; }

  // Wires without current: every node at its source, lines without one all along at the mean of what they cross. From
  // there devices see less voltage, so that chords tell more than tangents: for sinh curves and wires of 20 ohm 4 steps
  // with 66 iterations in them instead of 5 with 94.
  void Start() {
    const Inflow in = linear_.sources();
    const double word_mean = Mean(in.word_volts, lines_.source, lines_.rows);
    const double bit_mean = Mean(in.bit_volts, lines_.load, lines_.cols);
    for (int64_t i = 0; i < lines_.rows; ++i) {
      const double word = lines_.source[i] == 0 ? bit_mean : in.word_volts[i];
      for (int64_t j = 0; j < lines_.cols; ++j) {
        w_[i * lines_.stride + j] = word;
        b_[i * lines_.stride + j] = lines_.load[j] == 0 ? word_mean : in.bit_volts[j];
      }
    }
    std::fill_n(bring_, size(), 0.0);
    std::fill_n(take_, size(), 0.0);
    Evaluate(0, true);
    worst_ = largest_;
  }
  static double Mean(const double* volts, const double* conductance, int64_t n) {
    double sum = 0, count = 0;
    for (int64_t k = 0; k < n; ++k) {
      if (conductance[k] == 0) continue;
      sum += volts[k];
      ++count;
    }
    return count == 0 ? 0 : sum / count;
  }

  // The potentials given, and one step from there; false: it led nowhere.
  bool StartAt(const double* word, const double* bit) {
    Pack(lines_, word, w_);
    Pack(lines_, bit, b_);
    std::fill_n(bring_, size(), 0.0);
    std::fill_n(take_, size(), 0.0);
    Evaluate(0);
    const double before = squares_;
    if (lacking_ < 1e300) Renew(kFirstPart);
    return squares_ < before;
  }

  // A step that does not need to know what wires bring: all of it from the sources.
  void Renew(double tolerance) {
    for (int64_t k = 0; k < size(); ++k) {
      const double rest = (into_bit_[k] + take_[k]) - lines_.g[k] * (w_[k] - b_[k]);
      into_word_[k] = -rest;
      into_bit_[k] = rest;
      bring_[k] = take_[k] = 0;
    }
    linear_.Factor();
    std::copy_n(b_, size(), linear_.b);
    Inflow in = linear_.sources();
    in.word = into_word_;
    in.bit = into_bit_;
    linear_.Solve(in, true, largest_, tolerance);
    for (int64_t k = 0; k < size(); ++k) {
      linear_.w[k] -= w_[k];
      linear_.b[k] -= b_[k];
    }
    worst_ = linear_.largest().term;
    Evaluate(1);
  }

  // Goes `part` of the way to the linear solution. Currents and slopes of the devices there, and what these currents lack
  // at the nodes.
  void Evaluate(double part, bool chords = false) {
    NodeSums sums{};
    for (int64_t i = 0; i < lines_.rows; ++i) {
      const int64_t row = i * lines_.stride;
      const NodeState state = {w_ + row, b_ + row, bring_ + row, take_ + row};
      kernels_.move(lines_.stride, part, {linear_.w + row, linear_.b + row, linear_.change + row, linear_.flow + row},
                    state, v_);
      curve_(i, v_, current_, lines_.g + row);
      kernels_.judge(lines_.stride, state, chords ? v_ : nullptr, current_, lines_.g + row, into_word_ + row,
                     into_bit_ + row, &sums);
    }
    squares_ = sums.squares;
    largest_ = sums.largest;
    lacking_ = sums.lacking == 0 ? 0 : sums.lacking / sums.largest;
    if (!(squares_ < 1e300)) lacking_ = std::numeric_limits<double>::infinity();  // NaN too
  }

  // One Newton step, halved until it brings the circuit nearer to Kirchhoff's law.
  void Step(double tolerance) {
    linear_.Factor();
    const double wanted = std::clamp(kPart * lacking_ * lacking_, kLastPart * tolerance, kFirstPart);
    linear_.Solve({into_word_, into_bit_, nullptr, nullptr}, false, largest_, wanted);
    worst_ = std::max(worst_, linear_.largest().term);
    const double before = squares_;
    Evaluate(1);
    double part = 1;
    for (int halving = 1; halving < kHalvings; ++halving) {
      if (lacking_ < 1e300 && squares_ <= (1 - 0.1 * part) * before) break;
      if (lacking_ <= tolerance) break;
      part /= 2;
      Evaluate(-part);
    }
    worst_ = std::max(worst_, largest_);
  }

  const NodeKernels& kernels_ = ActiveNodeKernels();
  GridLines grid_;
  const Lines& lines_;
  LinearNodes linear_;
  const DeviceCurve& curve_;
  NodeArrays arrays_;
  double *const w_, *const b_;
  double *const bring_, *const take_;          // amperes: wires to word nodes, and bit nodes to wires
  double *const into_word_, *const into_bit_;  // what nodes lack of that
  double *const v_, *const current_;           // of one row
  double squares_ = 0, largest_ = 0, lacking_ = 0;
  double worst_ = 0;  // the largest current that has entered what is carried along: its rounding stays in there
};

}  // namespace

void CheckNodes(int64_t rows, int64_t cols, const Wires& wires, const GridSources& sources,
                const NodeOptions& options) {
  CheckNodeShapes(kOp, rows, cols, wires, sources, options);
  CheckVolts("word", sources.word);
  if (sources.bit.data != nullptr) CheckVolts("bit", sources.bit);
}

DeviceCurve SinhCurve(MatrixView<const double> g, double steepness) {
  CheckSteepness(steepness);
  CheckConductances("sinh_curve", ViewOfOne(g));
  const CurveKernels& kernels = Select(baseline::kCurves, avx2::kCurves, avx512::kCurves);
  return [g, steepness, &kernels](int64_t row, const double* v, double* current, double* slope) {
    kernels.sinh(g.cols, &g(row, 0), steepness, v, current, slope);
  };
}

void SolveNodes(MatrixView<const double> g, const Wires& wires, const GridSources& sources, const NodeOptions& options,
                const GridNodes& nodes) {
  CheckNodes(g.rows, g.cols, wires, sources, options);
  CheckConductances(kOp, ViewOfOne(g));
  const GridLines grid(g.rows, g.cols, wires, sources);
  const Lines& lines = grid.get();
  for (int64_t i = 0; i < g.rows; ++i) std::copy_n(&g(i, 0), g.cols, lines.g + i * lines.stride);
  ActiveNodeKernels().factor(lines);
  const int64_t grain = std::max<int64_t>(1, sources.word.rows / (4 * NumThreads()));
  ParallelFor(sources.word.rows, grain, [&](int64_t begin, int64_t end) {
    LinearNodes linear(lines);
    for (int64_t k = begin; k < end; ++k) {
      linear.SetSources(sources, k);
      if (options.warm) Pack(lines, nodes.bit + k * g.rows * g.cols, linear.b);
      const double residual = linear.Solve(linear.sources(), options.warm, 0, options.tolerance);
      Unpack(lines, linear.w, nodes.word + k * g.rows * g.cols);
      Unpack(lines, linear.b, nodes.bit + k * g.rows * g.cols);
      Report(nodes, k, residual, options.tolerance);
    }
  });
}

void SolveNodes(int64_t rows, int64_t cols, const DeviceCurve& curve, const Wires& wires, const GridSources& sources,
                const NodeOptions& options, const GridNodes& nodes) {
  CheckNodes(rows, cols, wires, sources, options);
  const int64_t grain = std::max<int64_t>(1, sources.word.rows / (4 * NumThreads()));
  ParallelFor(sources.word.rows, grain, [&](int64_t begin, int64_t end) {
    NewtonNodes newton(rows, cols, wires, sources, curve);
    for (int64_t k = begin; k < end; ++k) newton.Solve(sources, k, options, nodes);
  });
}

}  // namespace memtorch
