#include "engine/grid/potentials.h"

#include <cmath>

#include "engine/grid/solver.h"
#include "engine/parallel.h"

namespace memtorch {
namespace {

constexpr const char* kOp = "solve_nodes";

bool AnyOpen(const bool* open, int64_t lines) {
  return open != nullptr && std::any_of(open, open + lines, [](bool line) { return line; });
}

// Iterations that SolveNodes takes for a vector, more or less. A device in the slowest mode of its line sees the line
// as `lag` times its own resistance: driven at one end, a line of n segments has its lowest mode at 4 / pi^2 of n
// segments in series. Conjugate gradients need iterations like the square root of the condition that this gives; the
// factor is measured, 4 at condition 1, 10 at 3, 38 at 72.
double Iterations(const GridView<const double>& g, const Wires& wires) {
  double sum = 0;
  for (int64_t i = 0; i < g.rows; ++i) {
    for (int64_t j = 0; j < g.cols; ++j) sum += g.row(0, i)[j];
  }
  const auto lag = [&](int64_t n, int64_t lines, double end, double inner) {
    return sum / static_cast<double>(lines) * (end + 0.4 * static_cast<double>(n) * inner);
  };
  const double word = lag(g.cols, g.rows, wires.source, wires.word);
  const double bit = lag(g.rows, g.cols, wires.load, wires.bit);
  return 4.5 * std::sqrt((1 + word) * (1 + bit) / (1 + word + bit));
}

// What the elimination costs, and what one vector does then, in iterations of SolveNodes; measured.
constexpr double kFactorsCost = 110;
constexpr double kVectorCost = 2;

}  // namespace

template <class T>
void GridSolver<T>::CheckLinear(MatrixView<const double> g, const GridSources& sources,
                                const NodeOptions& options) const {
  if (g.rows != rows_ || g.cols != cols_) {
    Invalid(kOp, "g ([", g.rows, ", ", g.cols, "]) must have shape [", rows_, ", ", cols_, "]");
  }
  CheckNodes(rows_, cols_, wires_, sources, options);
  CheckConductances(kOp, ViewOfOne(g));
}

template <class T>
void GridSolver<T>::SolveNodesByFactors(MatrixView<const double> g, const GridSources& sources,
                                        const NodeOptions& options, const GridNodes& nodes) const {
  CheckLinear(g, sources, options);
  if (AnyOpen(sources.word_open, rows_)) Invalid(kOp, "word_open must hold no open line");
  if (AnyOpen(sources.bit_open, cols_)) Invalid(kOp, "bit_open must hold no open line");
  const Potentials<T> potentials(plan_, ViewOfOne(g), &pool_);
  ParallelFor(sources.word.rows, potentials.GroupSize(),
              [&](int64_t begin, int64_t end) { potentials.Solve(sources, begin, end, nodes.bit); });
  memtorch::SolveNodes(g, wires_, sources, {options.tolerance, true}, nodes);
}

template <class T>
void GridSolver<T>::SolveNodes(MatrixView<const double> g, const GridSources& sources, const NodeOptions& options,
                               const GridNodes& nodes) const {
  CheckLinear(g, sources, options);
  const bool open = AnyOpen(sources.word_open, rows_) || AnyOpen(sources.bit_open, cols_);
  // float32 factors lead to half the digits, from where the rest of the iterations goes on.
  const double part = sizeof(T) == sizeof(double) ? 1 : 0.5;
  const double saved = part * Iterations(ViewOfOne(g), wires_) - kVectorCost;
  if (!open && !options.warm && static_cast<double>(sources.word.rows) * saved > kFactorsCost) {
    SolveNodesByFactors(g, sources, options, nodes);
  } else {
    memtorch::SolveNodes(g, wires_, sources, options, nodes);
  }
}

template void GridSolver<float>::SolveNodesByFactors(MatrixView<const double>, const GridSources&, const NodeOptions&,
                                                     const GridNodes&) const;
template void GridSolver<double>::SolveNodesByFactors(MatrixView<const double>, const GridSources&, const NodeOptions&,
                                                      const GridNodes&) const;
template void GridSolver<float>::SolveNodes(MatrixView<const double>, const GridSources&, const NodeOptions&,
                                            const GridNodes&) const;
template void GridSolver<double>::SolveNodes(MatrixView<const double>, const GridSources&, const NodeOptions&,
                                             const GridNodes&) const;

}  // namespace memtorch
