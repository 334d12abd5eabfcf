#include "engine/grid/linear_nodes.h"

#include <algorithm>

namespace memtorch {
namespace {

constexpr int kRounds = 8;            // of conjugate gradients, each on what the one before left
constexpr double kMargin = 0.1;       // of the tolerance, at which a round ends
constexpr double kLeastPart = 1e-15;  // of what a round starts with, that it may hope to leave

int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// A cache line apart from a multiple of its size, so that equal places of two arrays do not meet in the cache.
int64_t Padded(int64_t size) { return Aligned<double>(size) + Aligned<double>(1); }

}  // namespace

NodeArrays::NodeArrays(int64_t rows, int64_t cols, int64_t node_arrays)
    : lanes_(ActiveNodeKernels().lanes),
      rows_(rows),
      padded_rows_(RoundUp(rows, lanes_)),
      stride_(RoundUp(cols, lanes_)),
      memory_(Allocate<double>(node_arrays * Padded(padded_rows_ * stride_) +
                               kLineArrays * Padded(std::max(padded_rows_, stride_)) +
                               Padded(NodeScratch(stride_, lanes_)))) {}

double* NodeArrays::Take(int64_t size) {
  double* array = memory_.get() + used_;
  used_ += Padded(size);
  return array;
}

double* NodeArrays::Zeros(int64_t size) {
  double* array = Take(size);
  std::fill_n(array, size, 0.0);
  return array;
}

double* NodeArrays::Nodes() {
  double* array = Take(padded_rows_ * stride_);
  std::fill_n(array + rows_ * stride_, (padded_rows_ - rows_) * stride_, 0.0);
  return array;
}

GridLines::GridLines(int64_t rows, int64_t cols, const Wires& wires, const GridSources& sources)
    : arrays_(rows, cols, 3) {
  double* source = arrays_.OfRows();
  double* far = arrays_.OfRows();
  double* load = arrays_.OfCols();
  double* top = arrays_.OfCols();
  for (int64_t i = 0; i < rows; ++i) {
    source[i] = sources.word_open != nullptr && sources.word_open[i] ? 0 : WireSiemens(wires.source);
    far[i] = wires.drive_both ? source[i] : 0;
  }
  for (int64_t j = 0; j < cols; ++j) {
    load[j] = sources.bit_open != nullptr && sources.bit_open[j] ? 0 : WireSiemens(wires.load);
    top[j] = wires.sense_both ? load[j] : 0;
  }
  lines_.rows = rows;
  lines_.cols = cols;
  lines_.stride = arrays_.stride();
  lines_.word = WireSiemens(wires.word);
  lines_.bit = WireSiemens(wires.bit);
  lines_.source = source;
  lines_.far = far;
  lines_.load = load;
  lines_.top = top;
  lines_.g = arrays_.Nodes();
  lines_.bit_ratio = arrays_.Nodes();
  lines_.word_ratio = arrays_.Nodes();
  lines_.scratch = arrays_.Scratch();
  std::fill_n(lines_.g, rows * lines_.stride, 0.0);
}

LinearNodes::LinearNodes(const Lines& lines)
    : lines_(lines),
      arrays_(lines.rows, lines.cols, 5),
      word_volts_(arrays_.OfRows()),
      bit_volts_(arrays_.OfCols()),
      r_(arrays_.Nodes()),
      p_(arrays_.Nodes()),
      t_(arrays_.Nodes()),
      x_(arrays_.Nodes()),
      b(arrays_.Nodes()),
      // The arrays of the iteration, which is over by then.
      w(p_),
      change(r_),
      flow(t_) {
  lines_.scratch = arrays_.Scratch();
}

void LinearNodes::SetSources(const GridSources& sources, int64_t vector) {
  for (int64_t i = 0; i < lines_.rows; ++i) word_volts_[i] = sources.word(vector, i);
  for (int64_t j = 0; j < lines_.cols; ++j) bit_volts_[j] = sources.bit.data == nullptr ? 0 : sources.bit(vector, j);
}

double LinearNodes::Solve(const Inflow& in, bool warm, double scale, double tolerance) {
  largest_ = {};
  double lacking = 0;
  if (warm) {
    lacking = Settle(in, nullptr, scale);
  } else {
    std::fill_n(b, lines_.rows * lines_.stride, 0.0);
    lacking = Round(in, in, scale, tolerance);
  }
  for (int round = 1; round < kRounds && lacking > tolerance; ++round) {
    lacking = Round(in, {change, nullptr, nullptr, nullptr}, scale, tolerance);
  }
  return lacking;
}

// Conjugate gradients for the change of b that the flows `missing` ask for.
double LinearNodes::Round(const Inflow& in, const Inflow& missing, double scale, double tolerance) {
  double guess = 0;
  const double product = kernels_.start(lines_, missing, r_, &guess);
  if (largest_.current > 0) guess = largest_.current;
  Iterate(product, kMargin * tolerance * (scale > 0 ? scale : guess));
  return Settle(in, x_, scale);
}

// Adds the change x (null: none) to b, then solves all word lines, then all bit lines, exactly.
double LinearNodes::Settle(const Inflow& in, const double* x, double scale) {
  kernels_.word(lines_, in, x, b, w);
  largest_ = kernels_.bit(lines_, in, w, b, change, flow);
  // Written so that NaN is not taken for 0.
  return largest_.lacking == 0 ? 0 : largest_.lacking / (scale > 0 ? scale : largest_.current);
}

// Conjugate gradients from r, whose square is `product`, until word nodes would lack `goal` amperes; x is the result.
void LinearNodes::Iterate(double product, double goal) {
  std::fill_n(x_, lines_.rows * lines_.stride, 0.0);
  const int64_t most = 20 * (lines_.rows + lines_.cols) + 100;
  double before = 1, least = 0;
  for (int64_t k = 0; k < most && product > least; ++k) {
    double change_of_b = 0;
    const double curvature = kernels_.turn(lines_, k == 0 ? 0 : product / before, r_, p_, t_, &change_of_b);
    if (k == 0) {
      // A bit line solved once more would change by L'^-1 D^-1 r, as here at first: in the square root of the product.
      const double part = std::max(goal / change_of_b, kLeastPart);
      least = product * part * part;
    }
    if (!(curvature > 0) || !(product > least)) return;
    before = product;
    product = kernels_.advance(lines_, product / curvature, p_, t_, x_, r_);
  }
}

}  // namespace memtorch
