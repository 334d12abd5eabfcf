#include <algorithm>
#include <cstring>

#include "engine/cuda/grid.h"
#include "engine/cuda/grid_factor.h"
#include "engine/cuda/grid_launch.h"
#include "engine/cuda/grid_square.h"

namespace memtorch::cuda {
namespace {

constexpr int64_t kAlignBytes = 256;
// Enough for the smallest launch of a batch, the last joints, to fill any GPU a few times.
constexpr int64_t kWorkspaceBytes = int64_t{2} << 30;
constexpr int kLeafThreads = 128;
constexpr int kLeafBlocks = 4;  // on a multiprocessor, as many as its shared memory holds in float64
constexpr int kFactorBlocks = 4;
constexpr int kPanelBlocks = 2;   // as many as shared memory holds in float64
constexpr int kSmallPorts = 128;  // of blocks whose products are cut into smaller squares

int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

int64_t TableBytes(const GridPlan& plan) {
  return RoundUp(static_cast<int64_t>(plan.words().size() * sizeof(int32_t)), kAlignBytes);
}

// A piece of a table that travels as an argument of its kernel: no copy from the host's memory, which would have to stay
// where it is until the GPU gets to it.
struct WriteWords {
  static constexpr int kMost = 960;
  int32_t words[kMost];
  int32_t* out;

  MT_HD void operator()(int64_t i) const { out[i] = words[i]; }
};

template <class T>
struct SolveLeaf {
  TileLeaves<T> leaves;

  static constexpr int64_t kSharedBytes =
      (LeafMemory::kEven + LeafMemory::kOdd + LeafMemory::kRows + LeafMemory::kRight + LeafMemory::kInverse) *
      static_cast<int64_t>(sizeof(T));

  MT_HD void operator()(const Block& block) const {
    T* even = block.Shared<T>();
    T* odd = even + LeafMemory::kEven;
    T* rows = odd + LeafMemory::kOdd;
    T* right = rows + LeafMemory::kRows;
    T* inverse = right + LeafMemory::kRight;
    const GridLeaf& leaf = leaves.LeafOf(block);
    const LeafCells<T> cells = leaves.CellsOf(leaf);
    const int64_t tile = leaves.TileOf(block);
    SolvePairs(block, cells, [&](int i, int j) { return leaves.DeviceOf(tile, leaf, i, j); }, even);
    T* below = even;
    T* out = odd;
    T* const matrix = leaves.MatrixOf(block);
    const int ports = cells.shape.ports();
    UpLeafLevels([&](auto level) {
      using Level = decltype(level);
      GatherLeafRows<Level>(block, cells.shape, below, rows);
      FactorLeafRows<Level>(block, cells.shape, rows, right, inverse);
      if (Level::kMost == 1) {
        LeafProducts<Level>(block, cells.shape, below, rows, [&](const LeafJoint&, int, int i, int j, T value) {
          matrix[i * ports + j] = matrix[j * ports + i] = value;
        });
        return;
      }
      StoreLeafProducts<Level>(block, cells.shape, below, rows, out);
      T* const former = below;
      below = out;
      out = former;
    });
  }
};

// The upper triangle of a joint's matrix, one block of threads for each square.
template <class T, int kSide>
struct JoinJoint {
  using Square = JointSquare<T, kSide, 1>;

  TileJoints<T> joints;
  int squares;  // most of any joint, along a side

  MT_HD void operator()(const Block& block) const {
    const int parts = PairCount(squares);
    const GridJoint& joint = joints.JointOf(block, parts);
    T* const tile = joints.TileOf(block, parts);
    const Pair pair = PairOf(static_cast<int>(block.index() % parts), squares);
    const int rows = joint.rows, ports = joint.ports;
    if (pair.j * kSide >= ports) return;
    T* const matrix = tile + joint.out;
    Square::ForEach(block, joint, tile, rows + pair.i * kSide, rows + pair.j * kSide, joint.width(), rows,
                    [&](int i, int j, const T* sum) { matrix[(i - rows) * ports + j - rows] = *sum; });
  }
};

// Of the root what lies between drivers and senses.
template <class T, int kSide>
struct JoinRoot {
  using Square = JointSquare<T, kSide, 2>;

  TileJoints<T> joints;
  GridView<T> out;
  int64_t first_tile;

  MT_HD void operator()(const Block& block) const {
    const int across = static_cast<int>((out.cols + kSide - 1) / kSide);
    const int parts = static_cast<int>((out.rows + kSide - 1) / kSide) * across;
    const GridJoint& joint = joints.JointOf(block, parts);
    const T* tile = joints.TileOf(block, parts);
    const int part = static_cast<int>(block.index() % parts);
    const int drivers = joint.rows, senses = drivers + static_cast<int>(out.rows);
    const int64_t number = first_tile + block.index() / parts;
    Square::ForEach(block, joint, tile, drivers + part / across * kSide, senses + part % across * kSide, senses,
                    joint.rows, [&](int i, int j, const T* sum) { out.row(number, i - drivers)[j - senses] = *sum; });
  }
};

// The factors of large joints.
template <class T>
void LaunchPanels(const char* op, const TileJoints<T>& joints, const GridLevel& level, int64_t tiles, void* stream) {
  using Update = UpdatePanel<T>;
  using Eliminate = EliminatePanel<T>;
  const int64_t count = tiles * level.count;
  for (int first = 0; first < level.rows; first += kPanel) {
    const int across = Groups(level.width - first, kPanelSide),
              groups = Groups(level.width - first, Eliminate::kColumns);
    ForBlocks<Update::Square::kThreads, Update::Square::kBlocks>(op, count * (kPanel / kPanelSide) * across,
                                                                 Update::Square::kSharedBytes,
                                                                 Update{joints, first, across}, stream);
    ForBlocks<kFactorThreads, kPanelBlocks>(op, count * groups, Eliminate::kSharedBytes,
                                            Eliminate{joints, first, groups}, stream);
  }
}

template <class T, int kSide>
void LaunchJoin(const char* op, const TileJoints<T>& joints, int ports, int64_t tiles, void* stream) {
  using Join = JoinJoint<T, kSide>;
  const int squares = Groups(ports, kSide);
  ForBlocks<Join::Square::kThreads, Join::Square::kBlocks>(op, tiles * joints.count * PairCount(squares),
                                                           Join::Square::kSharedBytes, Join{joints, squares}, stream);
}

template <class T, int kSide>
void LaunchRoot(const char* op, const TileJoints<T>& joints, const GridView<T>& out, int64_t first, int64_t tiles,
                void* stream) {
  using Join = JoinRoot<T, kSide>;
  const int64_t parts = (out.rows + kSide - 1) / kSide * ((out.cols + kSide - 1) / kSide);
  ForBlocks<Join::Square::kThreads, Join::Square::kBlocks>(op, tiles * parts, Join::Square::kSharedBytes,
                                                           Join{joints, out, first}, stream);
}

}  // namespace

int64_t GridWorkspaceBytes(const GridPlan& plan, int64_t tiles, int64_t element_bytes) {
  const int64_t tile = plan.tile_size() * element_bytes;
  return TableBytes(plan) + tile * std::max<int64_t>(1, std::min(tiles, kWorkspaceBytes / tile));
}

template <class T>
GridRun<T>::GridRun(const char* op, const GridPlan& plan, void* workspace, int64_t workspace_bytes, void* stream)
    : op_(op),
      plan_(plan),
      workspace_(workspace),
      memory_(reinterpret_cast<T*>(static_cast<char*>(workspace) + TableBytes(plan))),
      stream_(stream) {
  const int64_t tile_bytes = plan.tile_size() * static_cast<int64_t>(sizeof(T));
  const int64_t least = TableBytes(plan) + tile_bytes;
  if (workspace_bytes < least) {
    Invalid(op, "workspace (", workspace_bytes, " bytes) must hold a tile, at least ", least);
  }
  most_tiles_ = (workspace_bytes - TableBytes(plan)) / tile_bytes;
  const auto& words = plan.words();
  for (size_t at = 0; at < words.size(); at += WriteWords::kMost) {
    WriteWords write;
    const size_t count = std::min<size_t>(WriteWords::kMost, words.size() - at);
    std::memcpy(write.words, words.data() + at, count * sizeof(int32_t));
    write.out = static_cast<int32_t*>(workspace) + at;
    ForEach(op, static_cast<int64_t>(count), write, stream);
  }
}

template <class T>
void GridRun<T>::Up(const GridDevices& g, int64_t first, int64_t tiles) const {
  using Solve = SolveLeaf<T>;
  ForBlocks<kLeafThreads, kLeafBlocks>(op_, tiles * plan_.leaves(), Solve::kSharedBytes, Solve{Leaves(g, first)},
                                       stream_);
  for (const GridLevel& level : plan_.levels()) {
    const TileJoints<T> joints = Joints(level);
    if (level.in_panels) {
      LaunchPanels(op_, joints, level, tiles, stream_);
    } else {
      ForBlocks<kFactorThreads, kFactorBlocks>(op_, tiles * level.count, FactorJoint<T>::SharedBytes(level.rows),
                                               FactorJoint<T>{joints}, stream_);
    }
    if (&level == &plan_.levels().back()) return;
    if (level.ports <= kSmallPorts) {
      LaunchJoin<T, 32>(op_, joints, level.ports, tiles, stream_);
    } else {
      LaunchJoin<T, 64>(op_, joints, level.ports, tiles, stream_);
    }
  }
}

template <class T>
GridSolver<T>::GridSolver(int64_t rows, int64_t cols, const Wires& wires) {
  CheckGridShape("grid_solver", rows, cols, wires);
  plans_ = std::make_unique<Plans>(rows, cols, wires);
}

template <class T>
GridSolver<T>::~GridSolver() = default;

template <class T>
int64_t GridSolver<T>::EffectiveMatrixWorkspaceBytes(int64_t tiles) const {
  return GridWorkspaceBytes(plans_->forward, tiles, sizeof(T));
}

template <class T>
template <class G>
void GridSolver<T>::EffectiveMatrix(const GridView<const G>& g, const GridView<T>& out, void* workspace,
                                    int64_t workspace_bytes, void* stream) const {
  const char* op = "effective_matrix";
  CheckShape(op, "g", g, g.tiles, plans_->rows, plans_->cols);
  CheckShape(op, "out", out, g.tiles, plans_->rows, plans_->cols);
  if (g.tiles == 0) return;
  const GridRun<T> run(op, plans_->forward, workspace, workspace_bytes, stream);
  const TileJoints<T> root = run.Joints(plans_->forward.levels().back());
  const int64_t part = run.PartOf(g.tiles);
  for (int64_t first = 0; first < g.tiles; first += part) {
    const int64_t tiles = std::min(part, g.tiles - first);
    run.Up(GridDevices(g), first, tiles);
    if (std::max(g.rows, g.cols) <= kSmallPorts / 2) {
      LaunchRoot<T, 32>(op, root, out, first, tiles, stream);
    } else {
      LaunchRoot<T, 64>(op, root, out, first, tiles, stream);
    }
  }
}

#define MT_INSTANTIATE(T, G)                                                                                        \
  template void GridSolver<T>::EffectiveMatrix(const GridView<const G>&, const GridView<T>&, void*, int64_t, void*) \
      const;
template class GridRun<float>;
template class GridRun<double>;
template class GridSolver<float>;
template class GridSolver<double>;
MT_INSTANTIATE(float, float)
MT_INSTANTIATE(float, double)
MT_INSTANTIATE(double, float)
MT_INSTANTIATE(double, double)

}  // namespace memtorch::cuda
