#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/grid/branches.h"
#include "engine/grid/potentials.h"
#include "engine/grid/solver.h"
#include "engine/parallel.h"

namespace memtorch {
namespace {

constexpr const char* kOp = "grid_wire_gradient";
constexpr int64_t kMostNodes = int64_t{1} << 22;  // of each kind of line whose potentials a thread holds

// Word, bit, source, load.
using ByWire = std::array<double, 4>;

// Sum of the products of two vectors' branches, by kind of wire.
ByWire Products(int64_t rows, int64_t cols, const GridBranches& a, const GridBranches& b) {
  ByWire sum{};
  for (int64_t i = 0; i < rows; ++i) {
    const double *one = a.word + i * (cols + 1), *other = b.word + i * (cols + 1);
    for (int64_t j = 1; j < cols; ++j) sum[0] += one[j] * other[j];
    sum[2] += one[0] * other[0] + one[cols] * other[cols];
  }
  for (int64_t i = 0; i <= rows; ++i) {
    double line = 0;
    for (int64_t k = i * cols; k < (i + 1) * cols; ++k) line += a.bit[k] * b.bit[k];
    sum[i == 0 || i == rows ? 3 : 1] += line;
  }
  return sum;
}

// Takes some drivers of one grid at a time. With one volt on a driver, and again with its row of upstream on the senses,
// a segment carries two currents. Their product, added up over the drivers and the segments of a kind, is the derivative
// by its resistance: Tellegen's theorem; an effective conductance is minus the transfer admittance, which turns the
// sign. No conductance of a wire appears: an ideal wire has its derivative like any other.
template <class T>
class DriverTask {
 public:
  DriverTask(const Potentials<T>& potentials, MatrixView<const double> g, const Wires& wires, double tolerance,
             int64_t drivers)
      : potentials_(potentials),
        g_(g),
        wires_(wires),
        tolerance_(tolerance),
        word_volts_(Sized(2 * drivers * g.rows)),
        bit_volts_(Sized(2 * drivers * g.cols)),
        word_(Sized(2 * drivers * g.rows * g.cols)),
        bit_(word_.size()) {
    for (Branches& branches : branches_) {
      branches.word = Sized(g.rows * (g.cols + 1));
      branches.bit = Sized((g.rows + 1) * g.cols);
    }
  }

  // Drivers [begin, end), as many as were announced at most.
  ByWire Solve(const double* upstream, int64_t begin, int64_t end) {
    const int64_t count = end - begin;
    for (int64_t d = 0; d < count; ++d) {
      word_volts_[static_cast<size_t>(d * g_.rows + begin + d)] = 1;
      std::copy_n(upstream + (begin + d) * g_.cols, g_.cols, &bit_volts_[static_cast<size_t>((count + d) * g_.cols)]);
    }
    GridSources sources;
    sources.word = {word_volts_.data(), 2 * count, g_.rows, g_.rows};
    sources.bit = {bit_volts_.data(), 2 * count, g_.cols, g_.cols};
    potentials_.Solve(sources, 0, 2 * count, bit_.data());
    SolveNodes(g_, wires_, sources, {tolerance_, true}, {word_.data(), bit_.data()});
    ByWire sum{};
    for (int64_t d = 0; d < count; ++d) {
      const ByWire one = Products(g_.rows, g_.cols, BranchesOf(d, 0), BranchesOf(count + d, 1));
      for (size_t k = 0; k < 4; ++k) sum[k] += one[k];
    }
    return sum;
  }

 private:
  struct Branches {
    std::vector<double> word, bit;
  };

  static std::vector<double> Sized(int64_t size) { return std::vector<double>(static_cast<size_t>(size)); }

  // Those of one vector, in place `which`; its word potentials become the currents of its devices.
  GridBranches BranchesOf(int64_t vector, size_t which) {
    double* device = &word_[static_cast<size_t>(vector * g_.rows * g_.cols)];
    const double* bit = &bit_[static_cast<size_t>(vector * g_.rows * g_.cols)];
    for (int64_t i = 0; i < g_.rows; ++i) {
      for (int64_t j = 0; j < g_.cols; ++j) {
        const int64_t k = i * g_.cols + j;
        device[k] = g_(i, j) * (device[k] - bit[k]);
      }
    }
    const GridBranches branches{branches_[which].word.data(), branches_[which].bit.data()};
    SolveBranches(g_.rows, g_.cols, device, wires_, {}, branches);
    return branches;
  }

  const Potentials<T>& potentials_;
  MatrixView<const double> g_;
  const Wires& wires_;
  double tolerance_;
  std::vector<double> word_volts_, bit_volts_, word_, bit_;
  std::array<Branches, 2> branches_;
};

// Divides by the largest magnitude, which it returns: voltages have bounds, derivatives have none. Derivatives that are
// not finite have no voltages; they make the result so.
double ScaleToOne(std::vector<double>* values) {
  double largest = 0;
  bool finite = true;
  for (const double value : *values) {
    finite &= std::isfinite(value);
    largest = std::max(largest, std::abs(value));
  }
  for (double& value : *values) value = finite && largest > 0 ? value / largest : 0;
  return finite ? largest : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

template <class T>
template <class G>
void GridSolver<T>::WireGradient(const GridView<const G>& g, const GridView<const T>& upstream, double tolerance,
                                 const MatrixView<double>& gradient) const {
  CheckShape(kOp, "g", g, g.tiles, rows_, cols_);
  CheckShape(kOp, "upstream", upstream, g.tiles, rows_, cols_);
  if (gradient.rows != g.tiles || gradient.cols != 4) {
    Invalid(kOp, "gradient ([", gradient.rows, ", ", gradient.cols, "]) must have shape [", g.tiles, ", 4]");
  }
  CheckConductances(kOp, g);
  if (!(tolerance > 0)) Invalid(kOp, "tolerance (", tolerance, ") must be above 0");
  const int64_t drivers = std::clamp<int64_t>(kMostNodes / (rows_ * cols_), 2, Potentials<T>::GroupSize()) / 2;
  std::vector<ByWire> sums(static_cast<size_t>(g.tiles));
  for (int64_t tile = 0; tile < g.tiles; ++tile) {
    const std::vector<double> devices = CopyOfTile(g, tile);
    std::vector<double> weights = CopyOfTile(upstream, tile);
    const double scale = ScaleToOne(&weights);
    const MatrixView<const double> matrix{devices.data(), rows_, cols_, cols_};
    const Potentials<T> potentials(plan_, ViewOfOne(matrix), &pool_);
    std::vector<ByWire> parts(static_cast<size_t>((rows_ + drivers - 1) / drivers));
    ParallelFor(rows_, drivers, [&](int64_t begin, int64_t end) {
      DriverTask<T> task(potentials, matrix, wires_, tolerance, drivers);
      parts[static_cast<size_t>(begin / drivers)] = task.Solve(weights.data(), begin, end);
    });
    for (const ByWire& part : parts) {
      for (size_t k = 0; k < 4; ++k) sums[static_cast<size_t>(tile)][k] += scale * part[k];
    }
  }
  for (int64_t tile = 0; tile < g.tiles; ++tile) {
    std::copy_n(sums[static_cast<size_t>(tile)].data(), 4, &gradient(tile, 0));
  }
}

template void GridSolver<float>::WireGradient(const GridView<const float>&, const GridView<const float>&, double,
                                              const MatrixView<double>&) const;
template void GridSolver<float>::WireGradient(const GridView<const double>&, const GridView<const float>&, double,
                                              const MatrixView<double>&) const;
template void GridSolver<double>::WireGradient(const GridView<const float>&, const GridView<const double>&, double,
                                               const MatrixView<double>&) const;
template void GridSolver<double>::WireGradient(const GridView<const double>&, const GridView<const double>&, double,
                                               const MatrixView<double>&) const;

}  // namespace memtorch
