// A batch of grids on its way through a plan: what grid.cu queues, as grid_gradient.cu needs it too.
#ifndef MEMTORCH_ENGINE_CUDA_GRID_LAUNCH_H_
#define MEMTORCH_ENGINE_CUDA_GRID_LAUNCH_H_

#include <mutex>
#include <optional>

#include "engine/cuda/grid.h"
#include "engine/cuda/grid_joint.h"
#include "engine/cuda/grid_leaf.h"
#include "engine/cuda/grid_plan.h"
#include "engine/grid/grid.h"

namespace memtorch::cuda {

inline int Groups(int n, int size) { return (n + size - 1) / size; }

// Bytes of a workspace: the plan's tables, and memory for `tiles` tiles, as many as keep a GPU busy at most.
int64_t GridWorkspaceBytes(const GridPlan& plan, int64_t tiles, int64_t element_bytes);

// Devices of either type, so that a kernel is compiled once for both.
struct GridDevices {
  GridView<const float> f32;  // no data if they are float64
  GridView<const double> f64;

  explicit GridDevices(const GridView<const float>& g) : f32(g) {}
  explicit GridDevices(const GridView<const double>& g) : f64(g) {}

  template <class T>
  MT_HD T At(int64_t tile, int64_t i, int64_t j) const {
    return f32.data != nullptr ? static_cast<T>(f32.row(tile, i)[j]) : static_cast<T>(f64.row(tile, i)[j]);
  }
};

// The leaves of a part of the tiles.
template <class T>
struct TileLeaves {
  GridDevices g;
  int64_t cols;  // of the grid
  int64_t first_tile;
  int row_pad, count;
  const GridLeaf* leaves;
  const double *word, *bit;
  T* memory;
  int64_t tile_size;

  MT_HD const GridLeaf& LeafOf(const Block& block) const { return leaves[block.index() % count]; }
  MT_HD T* MatrixOf(const Block& block) const { return memory + block.index() / count * tile_size + LeafOf(block).out; }
  MT_HD int64_t TileOf(const Block& block) const { return first_tile + block.index() / count; }
  MT_HD LeafCells<T> CellsOf(const GridLeaf& leaf) const {
    return {{leaf.rows, leaf.cols}, word + leaf.col, bit + leaf.row};
  }
  // The device of a cell of a leaf; padding has none.
  MT_HD bool Has(const GridLeaf& leaf, int i, int j) const { return leaf.row + i >= row_pad && leaf.col + j < cols; }
  MT_HD T DeviceOf(int64_t tile, const GridLeaf& leaf, int i, int j) const {
    return Has(leaf, i, j) ? g.At<T>(tile, leaf.row + i - row_pad, leaf.col + j) : T(0);
  }
};

// A plan on the GPU, with memory for some tiles.
template <class T>
class GridRun {
 public:
  // Throws std::invalid_argument unless the workspace holds a tile.
  GridRun(const char* op, const GridPlan& plan, void* workspace, int64_t workspace_bytes, void* stream);

  const GridPlan& plan() const { return plan_; }
  // Tiles to solve at a time, of `tiles`: parts of equal size.
  int64_t PartOf(int64_t tiles) const {
    const int64_t parts = (tiles + most_tiles_ - 1) / most_tiles_;
    return (tiles + parts - 1) / parts;
  }
  const char* op() const { return op_; }
  void* stream() const { return stream_; }

  TileLeaves<T> Leaves(const GridDevices& g, int64_t first_tile) const {
    return {g,
            plan_.cols(),
            first_tile,
            static_cast<int>(plan_.row_pad()),
            plan_.leaves(),
            Table<GridLeaf>(plan_.leaves_at()),
            Table<double>(plan_.word_segments_at()),
            Table<double>(plan_.bit_segments_at()),
            memory_,
            plan_.tile_size()};
  }
  TileJoints<T> Joints(const GridLevel& level) const {
    return {Table<GridJoint>(plan_.joints_at()) + level.first, level.count, memory_, plan_.tile_size()};
  }

  // The matrices of all leaves of tiles [first, first + tiles), then of all joints, level by level; of the root the
  // factors alone.
  void Up(const GridDevices& g, int64_t first, int64_t tiles) const;

 private:
  template <class X>
  const X* Table(int64_t bytes) const {
    return reinterpret_cast<const X*>(static_cast<const char*>(workspace_) + bytes);
  }

  const char* op_;
  const GridPlan& plan_;
  void* workspace_;
  T* memory_;
  int64_t most_tiles_;
  void* stream_;
};

// Plans of one shape; that of the gradient is made when it is first needed.
template <class T>
class GridSolver<T>::Plans {
 public:
  Plans(int64_t m, int64_t n, const Wires& wires) : rows(m), cols(n), forward(m, n, wires, false), wires_(wires) {}

  const GridPlan& Gradient() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!gradient_) gradient_.emplace(rows, cols, wires_, true);
    return *gradient_;
  }

  const int64_t rows, cols;
  const GridPlan forward;

 private:
  const Wires wires_;
  std::mutex mutex_;
  std::optional<GridPlan> gradient_;
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_GRID_LAUNCH_H_
