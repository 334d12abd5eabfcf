// engine/grid/solver.h on a GPU: many crossbars with resistive wires at once.
//
// Matrices are memory of the current CUDA device, the workspace too, aligned to 256 bytes. Work is queued on `stream`, a
// cudaStream_t, and not waited for. Results agree with the CPU's to rounding, and are the same bits in every run and for
// any batch. Shapes are checked as on the CPU; conductances are not, because that would wait for the device: REQUIRES
// them in [0, kMaxSiemens].
#ifndef MEMTORCH_ENGINE_CUDA_GRID_H_
#define MEMTORCH_ENGINE_CUDA_GRID_H_

#include <memory>

#include "engine/grid/grid.h"

namespace memtorch::cuda {

// Solves grids of one shape with one set of wires; T, float or double, is the precision inside. Const calls may run at
// the same time, each with a workspace of its own.
template <class T>
class GridSolver {
 public:
  // Throws std::invalid_argument unless rows and cols are at least 1 and the wires in their range.
  GridSolver(int64_t rows, int64_t cols, const Wires& wires);
  ~GridSolver();

  // A workspace that serves `tiles` well. Tiles are solved in as many parts as the workspace asks for; it holds one at
  // least, or std::invalid_argument says so.
  int64_t EffectiveMatrixWorkspaceBytes(int64_t tiles) const;
  int64_t GradientWorkspaceBytes(int64_t tiles) const;

  template <class G>
  void EffectiveMatrix(const GridView<const G>& g, const GridView<T>& out, void* workspace, int64_t workspace_bytes,
                       void* stream) const;
  template <class G>
  void Gradient(const GridView<const G>& g, const GridView<const T>& upstream, const GridView<T>& gradient,
                void* workspace, int64_t workspace_bytes, void* stream) const;

 private:
  class Plans;
  std::unique_ptr<Plans> plans_;
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_GRID_H_
