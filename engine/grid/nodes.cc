#include "engine/grid/nodes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "engine/grid/curve_kernels.h"
#include "engine/grid/memory.h"
#include "engine/grid/node_kernels.h"
#include "engine/parallel.h"

namespace memtorch {
namespace {

constexpr const char* kOp = "solve_nodes";
constexpr int kRounds = 8;  // of conjugate gradients, each on what the one before left
constexpr int kNewtonSteps = 100;
constexpr int kHalvings = 30;  // of a Newton step

int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Arrays of nodes and of lines, aligned and zero, in one stretch of memory: the allocator keeps one for the next call.
class Arrays {
 public:
  Arrays(int64_t rows, int64_t cols, int64_t node_arrays)
      : lanes_(ActiveNodeKernels().lanes), rows_(RoundUp(rows, lanes_)), stride_(RoundUp(cols, lanes_)) {
    const int64_t size = node_arrays * Padded(rows_ * stride_) + kLineArrays * Padded(std::max(rows_, stride_)) +
                         Padded(stride_ * lanes_);
    memory_ = Allocate<double>(size);
    std::fill_n(memory_.get(), size, 0.0);
  }

  int64_t rows() const { return rows_; }
  int64_t stride() const { return stride_; }
  double* Nodes() { return Take(rows_ * stride_); }
  double* OfRows() { return Take(rows_); }
  double* OfCols() { return Take(stride_); }
  double* Line() { return Take(stride_ * lanes_); }  // once

 private:
  static constexpr int64_t kLineArrays = 4;

  // A cache line apart from a multiple of its size, so that equal places of two arrays do not meet in the cache.
  static int64_t Padded(int64_t size) { return Aligned<double>(size) + Aligned<double>(1); }
  double* Take(int64_t size) {
    double* array = memory_.get() + used_;
    used_ += Padded(size);
    return array;
  }

  int64_t lanes_, rows_, stride_, used_ = 0;
  Memory<double> memory_;
};

// The wires of a grid as its kernels take them.
Lines MakeLines(int64_t rows, int64_t cols, const Wires& wires, const GridSources& sources, Arrays* arrays) {
  Lines lines{};
  lines.rows = rows;
  lines.cols = cols;
  lines.stride = arrays->stride();
  lines.word = WireSiemens(wires.word);
  lines.bit = WireSiemens(wires.bit);
  double* source = arrays->OfRows();
  double* far = arrays->OfRows();
  double* load = arrays->OfCols();
  double* top = arrays->OfCols();
  for (int64_t i = 0; i < rows; ++i) {
    source[i] = sources.word_open != nullptr && sources.word_open[i] ? 0 : WireSiemens(wires.source);
    far[i] = wires.drive_both ? source[i] : 0;
  }
  for (int64_t j = 0; j < cols; ++j) {
    load[j] = sources.bit_open != nullptr && sources.bit_open[j] ? 0 : WireSiemens(wires.load);
    top[j] = wires.sense_both ? load[j] : 0;
  }
  lines.source = source;
  lines.far = far;
  lines.load = load;
  lines.top = top;
  lines.g = arrays->Nodes();
  lines.bit_inverse = arrays->Nodes();
  lines.g_lanes = arrays->Nodes();
  lines.word_inverse = arrays->Nodes();
  return lines;
}

// The potentials for one vector at a time of a linear circuit, in which `into` amperes may leave each word node through
// its device and enter the bit node, besides what the device's conductance carries.
class LinearNodes {
 public:
  LinearNodes(int64_t rows, int64_t cols)
      : arrays_(rows, cols, 7),
        w(arrays_.Nodes()),
        b(arrays_.Nodes()),
        p_(arrays_.Nodes()),
        u_(arrays_.Nodes()),
        r_(arrays_.Nodes()),
        q_(arrays_.Nodes()),
        z_(arrays_.Nodes()),
        word_(arrays_.OfRows()),
        bit_(arrays_.OfCols()),
        line_(arrays_.Line()) {}

  void SetSources(const GridSources& sources, int64_t vector, const Lines& lines) {
    for (int64_t i = 0; i < lines.rows; ++i) word_[i] = sources.word(vector, i);
    for (int64_t j = 0; j < lines.cols; ++j) bit_[j] = sources.bit.data == nullptr ? 0 : sources.bit(vector, j);
  }
  double word_source(int64_t i) const { return word_[i]; }
  double bit_source(int64_t j) const { return bit_[j]; }

  // From the potentials b to new w and b, Kirchhoff's law holding at every bit node and, to `tolerance` of the largest
  // current through a device, at every word node. Returns what is lacking there.
  double Solve(const Lines& lines, const double* into, const double* out_of, double tolerance) {
    double residual = Sweep(lines, into, out_of);
    for (int round = 0; round < kRounds && residual > tolerance; ++round) {
      Iterate(lines, std::max(0.1 * tolerance / residual, 1e-8));
      residual = Sweep(lines, into, out_of);
    }
    return residual;
  }

  // Currents of the devices at the last solution; it uses r.
  void Carried(const Lines& lines, const double* into, double* current) {
    for (int64_t k = 0; k < lines.rows * lines.stride; ++k) r_[k] = w[k] - b[k];
    kernels_.flow(lines, r_, into, current);
  }

 private:
  Arrays arrays_;

 public:
  double* const w;  // potentials
  double* const b;

 private:
  // Solves all word lines, then all bit lines, exactly; z is the change of b. Afterwards devices carry what the bit
  // lines take, while word lines miss g z at each node.
  double Sweep(const Lines& lines, const double* into, const double* out_of) {
    kernels_.word(lines, b, word_, out_of, line_, w);
    const int64_t size = lines.rows * lines.stride;
    kernels_.flow(lines, w, into, r_);
    std::copy_n(b, size, z_);
    kernels_.bit(lines, r_, bit_, b);
    double lacking = 0, current = 0;
    kernels_.change(lines, w, b, into, z_, &lacking, &current);
    // Written so that NaN is not taken for 0.
    return lacking == 0 ? 0 : lacking / current;
  }

  // Conjugate gradients for the change of b that the last sweep asks for, until its size is `factor` of that. Products
  // with B are carried along, so that a wire's conductance never multiplies a difference of potentials.
  void Iterate(const Lines& lines, double factor) {
    const int64_t size = lines.rows * lines.stride;
    std::fill_n(r_, size, 0.0);
    kernels_.image(lines, z_, r_, line_, q_);
    for (int64_t k = 0; k < size; ++k) r_[k] = -q_[k];
    std::fill_n(p_, size, 0.0);
    std::fill_n(u_, size, 0.0);
    double now = kernels_.bit(lines, r_, nullptr, z_), before = now;
    const double goal = now * factor * factor;
    const int64_t most = 20 * (lines.rows + lines.cols) + 100;
    for (int64_t k = 0; k < most && now > goal; ++k) {
      kernels_.turn(lines, k == 0 ? 0 : now / before, z_, r_, p_, u_);
      const double curvature = kernels_.image(lines, p_, u_, line_, q_);
      if (!(curvature > 0)) return;
      kernels_.advance(lines, now / curvature, p_, q_, b, r_);
      before = now;
      now = kernels_.bit(lines, r_, nullptr, z_);
    }
  }

  const NodeKernels& kernels_ = ActiveNodeKernels();
  double *const p_, *const u_, *const r_, *const q_, *const z_;
  double *const word_, *const bit_;
  double* const line_;
};

// Puts arrays of nodes without gaps into ones with, and back.
void Pack(const Lines& lines, const double* from, double* to) {
  for (int64_t i = 0; i < lines.rows; ++i) std::copy_n(from + i * lines.cols, lines.cols, to + i * lines.stride);
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

void CheckVolts(const char* name, const MatrixView<const double>& v, int64_t vectors, int64_t lines) {
  if (v.rows != vectors || v.cols != lines) {
    Invalid(kOp, name, " ([", v.rows, ", ", v.cols, "]) must have shape [", vectors, ", ", lines, "]");
  }
  for (int64_t k = 0; k < vectors; ++k) {
    for (int64_t i = 0; i < lines; ++i) {
      if (!(std::abs(v(k, i)) <= kMaxVolts)) {
        Invalid(kOp, name, "[", k, ", ", i, "] (", v(k, i), " V) must be in [", -kMaxVolts, ", ", kMaxVolts, "]");
      }
    }
  }
}

void Check(int64_t rows, int64_t cols, const Wires& wires, const GridSources& sources, const NodeOptions& options) {
  if (rows < 1) Invalid(kOp, "rows (", rows, ") must be at least 1");
  if (cols < 1) Invalid(kOp, "cols (", cols, ") must be at least 1");
  CheckWires(kOp, wires);
  CheckVolts("word", sources.word, sources.word.rows, rows);
  if (sources.bit.data != nullptr) CheckVolts("bit", sources.bit, sources.word.rows, cols);
  if (!(options.tolerance > 0)) Invalid(kOp, "tolerance (", options.tolerance, ") must be above 0");
}

// Newton's method for one vector.
class NewtonNodes {
 public:
  NewtonNodes(int64_t rows, int64_t cols, const Wires& wires, const GridSources& sources, const DeviceCurve& curve)
      : arrays_(rows, cols, 14),
        lines_(MakeLines(rows, cols, wires, sources, &arrays_)),
        linear_(rows, cols),
        curve_(curve),
        w_(arrays_.Nodes()),
        b_(arrays_.Nodes()),
        v_(arrays_.Nodes()),
        current_(arrays_.Nodes()),
        carried_(arrays_.Nodes()),
        carried_next_(arrays_.Nodes()),
        into_(arrays_.Nodes()),
        out_of_(arrays_.Nodes()) {}

  void Solve(const GridSources& sources, int64_t vector, const NodeOptions& options, const GridNodes& nodes) {
    double* word = nodes.word + vector * lines_.rows * lines_.cols;
    double* bit = nodes.bit + vector * lines_.rows * lines_.cols;
    linear_.SetSources(sources, vector, lines_);
    Start(options.warm, word, bit);
    double lacking = Evaluate(w_, b_, carried_), left = 0;
    int step = 0;
    for (; step < kNewtonSteps && !(lacking + left <= options.tolerance); ++step) {
      left = Step(&lacking, options.tolerance);
      if (!(lacking < 1e300)) break;
    }
    Unpack(lines_, w_, word);
    Unpack(lines_, b_, bit);
    Report(nodes, vector, lacking + left, options.tolerance);
  }

 private:
  int64_t size() const { return lines_.rows * lines_.stride; }

  // Wires without current: every node at its source. Or the potentials that are given; what wires bring is then unknown,
  // and the first step is judged as from nothing.
  void Start(bool warm, const double* word, const double* bit) {
    if (warm) {
      Pack(lines_, word, w_);
      Pack(lines_, bit, b_);
    } else {
      for (int64_t i = 0; i < lines_.rows; ++i) {
        for (int64_t j = 0; j < lines_.cols; ++j) {
          const bool word_open = lines_.source[i] == 0, bit_open = lines_.load[j] == 0;
          w_[i * lines_.stride + j] = word_open ? (bit_open ? 0 : linear_.bit_source(j)) : linear_.word_source(i);
          b_[i * lines_.stride + j] = bit_open ? w_[i * lines_.stride + j] : linear_.bit_source(j);
        }
      }
    }
    std::fill_n(carried_, size(), 0.0);
  }

  // Currents and slopes at the potentials w, b; returns the largest difference from what the wires bring, in parts of
  // the largest current.
  double Evaluate(const double* w, const double* b, const double* carried) {
    double lacking = 0, largest = 0;
    squares_ = 0;
    for (int64_t i = 0; i < lines_.rows; ++i) {
      const int64_t row = i * lines_.stride;
      Difference(lines_.cols, w + row, b + row, v_ + row);
      curve_(i, v_ + row, current_ + row, lines_.g + row);
      AddRow(lines_.cols, current_ + row, carried + row, lines_.g + row, &lacking, &largest);
    }
    if (!(squares_ < 1e300)) return std::numeric_limits<double>::infinity();  // NaN too
    return lacking == 0 ? 0 : lacking / largest;
  }

  static void Difference(int64_t n, const double* a, const double* b, double* out) {
    for (int64_t j = 0; j < n; ++j) out[j] = a[j] - b[j];
  }

  void AddRow(int64_t n, const double* current, const double* carried, double* slope, double* lacking,
              double* largest) {
    double most = *lacking, large = *largest, sum = 0;
#pragma omp simd reduction(max : most, large) reduction(+ : sum)
    for (int64_t j = 0; j < n; ++j) {
      slope[j] = slope[j] >= 0 ? (slope[j] < kMaxSiemens ? slope[j] : kMaxSiemens) : 0;
      const double difference = std::abs(current[j] - carried[j]);
      most = difference > most ? difference : most;
      large = std::abs(current[j]) > large ? std::abs(current[j]) : large;
      sum += difference * difference;
    }
    *lacking = most;
    *largest = large;
    squares_ += sum;
  }

  // One Newton step, halved until it brings the circuit nearer to Kirchhoff's law. Returns what the linear solution
  // left; *lacking is updated.
  double Step(double* lacking, double tolerance) {
    kernels_.chord(lines_, current_, v_, into_, out_of_);
    kernels_.factor(lines_);
    std::copy_n(b_, size(), linear_.b);
    const double wanted = std::clamp(0.1 * *lacking * *lacking, 0.1 * tolerance, 1e-3);
    const double left = linear_.Solve(lines_, into_, out_of_, wanted);
    linear_.Carried(lines_, into_, carried_next_);
    const double before = squares_;
    double part = 1;
    for (int halving = 0; halving < kHalvings; ++halving, part /= 2) {
      kernels_.blend(lines_, part, w_, linear_.w, next_w_);
      kernels_.blend(lines_, part, b_, linear_.b, next_b_);
      kernels_.blend(lines_, part, carried_, carried_next_, out_of_);
      *lacking = Evaluate(next_w_, next_b_, out_of_);
      if (*lacking < 1e300 && squares_ <= (1 - 0.1 * part) * before) break;
      if (*lacking <= tolerance) break;
    }
    std::swap(w_, next_w_);
    std::swap(b_, next_b_);
    std::copy_n(out_of_, size(), carried_);
    return left;
  }

  const NodeKernels& kernels_ = ActiveNodeKernels();
  Arrays arrays_;
  Lines lines_;
  LinearNodes linear_;
  const DeviceCurve& curve_;
  double *w_, *b_;
  double *const v_, *const current_, *const carried_, *const carried_next_, *const into_, *const out_of_;
  double *next_w_ = arrays_.Nodes(), *next_b_ = arrays_.Nodes();
  double squares_ = 0;
};

}  // namespace

DeviceCurve SinhCurve(MatrixView<const double> g, double steepness) {
  if (!(steepness > 0 && std::isfinite(steepness))) {
    Invalid("sinh_curve", "steepness (", steepness, " 1/V) must be finite and above 0");
  }
  GridView<const double> view(g.data, 1, g.rows, g.cols);
  view.stride = g.stride;
  CheckConductances("sinh_curve", view);
  const CurveKernels& kernels = Select(baseline::kCurves, avx2::kCurves, avx512::kCurves);
  return [g, steepness, &kernels](int64_t row, const double* v, double* current, double* slope) {
    kernels.sinh(g.cols, &g(row, 0), steepness, v, current, slope);
  };
}

void SolveNodes(MatrixView<const double> g, const Wires& wires, const GridSources& sources, const NodeOptions& options,
                const GridNodes& nodes) {
  Check(g.rows, g.cols, wires, sources, options);
  GridView<const double> view(g.data, 1, g.rows, g.cols);
  view.stride = g.stride;
  CheckConductances(kOp, view);
  Arrays arrays(g.rows, g.cols, 4);
  const Lines lines = MakeLines(g.rows, g.cols, wires, sources, &arrays);
  for (int64_t i = 0; i < g.rows; ++i) std::copy_n(&g(i, 0), g.cols, lines.g + i * lines.stride);
  ActiveNodeKernels().factor(lines);
  const int64_t grain = std::max<int64_t>(1, sources.word.rows / (4 * NumThreads()));
  ParallelFor(sources.word.rows, grain, [&](int64_t begin, int64_t end) {
    LinearNodes linear(g.rows, g.cols);
    for (int64_t k = begin; k < end; ++k) {
      linear.SetSources(sources, k, lines);
      std::fill_n(linear.b, lines.rows * lines.stride, 0.0);
      if (options.warm) Pack(lines, nodes.bit + k * g.rows * g.cols, linear.b);
      const double residual = linear.Solve(lines, nullptr, nullptr, options.tolerance);
      Unpack(lines, linear.w, nodes.word + k * g.rows * g.cols);
      Unpack(lines, linear.b, nodes.bit + k * g.rows * g.cols);
      Report(nodes, k, residual, options.tolerance);
    }
  });
}

void SolveNodes(int64_t rows, int64_t cols, const DeviceCurve& curve, const Wires& wires, const GridSources& sources,
                const NodeOptions& options, const GridNodes& nodes) {
  Check(rows, cols, wires, sources, options);
  const int64_t grain = std::max<int64_t>(1, sources.word.rows / (4 * NumThreads()));
  ParallelFor(sources.word.rows, grain, [&](int64_t begin, int64_t end) {
    NewtonNodes newton(rows, cols, wires, sources, curve);
    for (int64_t k = begin; k < end; ++k) newton.Solve(sources, k, options, nodes);
  });
}

}  // namespace memtorch
