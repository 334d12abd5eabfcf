// Exact solution of crossbars with resistive wires.
#ifndef MEMTORCH_ENGINE_GRID_SOLVER_H_
#define MEMTORCH_ENGINE_GRID_SOLVER_H_

#include <memory>
#include <mutex>
#include <vector>

#include "engine/grid/grid.h"
#include "engine/grid/memory.h"
#include "engine/grid/merge_plan.h"
#include "engine/grid/nodes.h"

namespace memtorch {

// Solves grids of one shape with one set of wires; T, float or double, is the precision inside. Const calls may run at
// the same time. It keeps the memory that a solution needs for the next one.
template <class T>
class GridSolver {
 public:
  // Throws std::invalid_argument unless rows and cols are at least 1 and the wires in their range.
  GridSolver(int64_t rows, int64_t cols, const Wires& wires);
  ~GridSolver();

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

  // The effective conductances out [tiles, rows, cols], siemens, of devices g [tiles, rows, cols]: with voltages v on
  // the word lines and the senses at 0 V, the currents into the senses are v out. About 34 n^3 operations for n x n.
  // Threaded; the same bits for any number of threads and any batch.
  template <class G>
  void EffectiveMatrix(const GridView<const G>& g, const GridView<T>& out) const;

  // Looks whether effective conductances are those of devices g: under one vector of voltages from 0 V to 1 V the
  // currents that they give must be those of potentials that SolveNodes finds. Residual [tiles] is the largest
  // difference, in parts of the largest current through a device or a sense. Throws std::runtime_error if one is above
  // the tolerance, which the potentials have to meet too. Threaded over tiles.
  template <class G>
  void Verify(const GridView<const G>& g, const GridView<const T>& effective, double tolerance, double* residual) const;

  // The gradient [tiles, rows, cols] with respect to the devices g of the sum of upstream [tiles, rows, cols] times
  // EffectiveMatrix(g), element by element: the elimination in reverse, at about twice its cost. Threaded likewise.
  template <class G>
  void Gradient(const GridView<const G>& g, const GridView<const T>& upstream, const GridView<T>& gradient) const;

  // The gradient [tiles, 4] of the same sum with respect to the resistances word, bit, source and load of each tile,
  // ideal wires included: potentials of every node for 2 rows vectors, by factors of precision T. Throws
  // std::runtime_error if the residual of one (nodes.h) stays above the tolerance. In a loop of ideal wires alone, driven
  // or sensed at both ends, it is as for equal resistances (branches.h). Threaded; the same bits likewise.
  template <class G>
  void WireGradient(const GridView<const G>& g, const GridView<const T>& upstream, double tolerance,
                    const MatrixView<double>& gradient) const;

  // As the function SolveNodes for linear devices, by the faster of its algorithm and the next one. That depends on
  // the circuit and the number of vectors alone: a vector's last digits may differ from what it gets in another batch.
  void SolveNodes(MatrixView<const double> g, const GridSources& sources, const NodeOptions& options,
                  const GridNodes& nodes) const;

  // The same from the factors of one elimination of g, which takes the time of an effective matrix, then goes down
  // through them with each vector in a fraction of the time that SolveNodes takes, and lets that check the result. No
  // line may be open, and there is no warm start. T is the precision of the factors alone. Threaded over vectors.
  void SolveNodesByFactors(MatrixView<const double> g, const GridSources& sources, const NodeOptions& options,
                           const GridNodes& nodes) const;

 private:
  class Work;
  class Lease;
  template <class G>
  class Task;

  void CheckLinear(MatrixView<const double> g, const GridSources& sources, const NodeOptions& options) const;

  template <class G>
  void SolveSplit(const GridView<const G>& g, const GridView<T>& out, int64_t tile) const;

  int64_t rows_, cols_;
  Wires wires_;
  MergePlan plan_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Work>> idle_;
  mutable MemoryPool<T> pool_;
};

// The product kernel alone, `repeats` times on factors that stay in the first-level cache: what the speed of a solution
// is measured against. Returns the number of floating-point operations.
template <class T>
int64_t RunProductKernel(int64_t repeats);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_SOLVER_H_
