#include <algorithm>

#include "engine/cuda/grid_launch.h"
#include "engine/cuda/grid_leaf_adjoint.h"
#include "engine/cuda/product_square.h"

namespace memtorch::cuda {
namespace {

constexpr int kLeafThreads = 256;
constexpr int kLeafBlocks = 2;  // on a multiprocessor, as many as its shared memory holds in float64
constexpr int kColumnThreads = 128;
constexpr int kColumnBlocks = 4;
constexpr int kScatterThreads = 256;
constexpr int kScatterRows = 32;

// h of the root: with A = -n between a driver and a sense, half of -upstream on either side of the diagonal.
template <class T>
struct SetRoot {
  TileJoints<T> joints;
  GridView<const T> upstream;
  int64_t first_tile;

  MT_HD void operator()(int64_t k) const {
    const GridJoint& root = joints.joints[0];
    const int64_t ports = root.ports, tile = k / (ports * ports), i = k / ports % ports, j = k % ports;
    const int64_t drivers = upstream.rows, row = i < j ? i : j, col = (i < j ? j : i) - drivers;
    T value = 0;
    if (row < drivers && col >= 0) value = -upstream.row(first_tile + tile, row)[col] / 2;
    joints.memory[tile * joints.tile_size + root.out + i * ports + j] = value;
  }
};

// What rows from `after` on add to the outer columns of a panel, rows [first, after) of a joint's factors, before it is
// substituted: as squares of a product, one block of threads each.
template <class T>
struct AddLaterRows {
  static constexpr int kSide = kPanelSide;

  TileJoints<T> joints;
  int first;
  int across;  // squares along the outer columns, most of any joint

  MT_HD void operator()(const Block& block) const {
    const int parts = kPanel / kSide * across, part = static_cast<int>(block.index() % parts);
    const GridJoint& joint = joints.JointOf(block, parts);
    const int width = joint.width(), rows = joint.rows, after = first + kPanel;
    const int first_row = first + part / across * kSide, first_col = part % across * kSide;
    if (after >= rows || first_col >= joint.ports) return;
    T* const factors = joints.TileOf(block, parts) + joint.factors;
    T* const outer = factors + rows + first_col;
    ProductSquare<T, kSide> square;
    square.Clear(block);
    square.AddProduct(block, rows - after, Operand<T, true>{factors + first_row * width + after, width, kSide},
                      Operand<T, false>{outer + after * width, width, joint.ports - first_col});
    square.ForEachSum(block, [&](int row, int col, const T* sum) {
      if (first_col + col < joint.ports) outer[(first_row + row) * width + col] += *sum;
    });
  }
};

// The outer columns of rows [begin, end) of a joint's factors become w, the potentials of what it shares:
// back-substitution. A thread has a column.
template <class T>
struct SubstituteRows {
  TileJoints<T> joints;
  int parts;  // groups of kColumnThreads columns
  int begin, end;

  static constexpr int kAhead = 8;  // rows that are loaded together

  int64_t SharedBytes() const { return kSlab * (end - begin) * static_cast<int64_t>(sizeof(T)); }

  MT_HD void operator()(const Block& block) const {
    const GridJoint& joint = joints.JointOf(block, parts);
    T* const factors = joints.TileOf(block, parts) + joint.factors;
    const int width = joint.width(), after = Least(end, joint.rows);
    const int first_col = static_cast<int>(block.index() % parts) * kColumnThreads;
    const int cols = Least(kColumnThreads, joint.ports - first_col);
    if (cols <= 0) return;
    T* const slab = block.Shared<T>();  // from its first column on, column by column
    for (int first = after - kSlab; first >= begin; first -= kSlab) {
      block.Each((after - first) * kSlab, [&](int e) {
        const int col = e % (after - first), row = e / (after - first);
        slab[col * kSlab + row] = factors[(first + row) * width + first + col];
      });
      block.EachThread([&](int thread) {
        if (thread >= cols) return;
        T* const out = factors + joint.rows + first_col + thread;
        Column<T> column;
        MT_UNROLL
        for (int r = 0; r < kSlab; ++r) column.x[r] = out[(first + r) * width];
        for (int k = kSlab; k < after - first; k += kAhead) {
          T later[kAhead];
          MT_UNROLL
          for (int a = 0; a < kAhead; ++a) later[a] = out[(first + k + a) * width];
          MT_UNROLL
          for (int a = 0; a < kAhead; ++a) {
            MT_UNROLL
            for (int r = 0; r < kSlab; ++r) column.x[r] += slab[(k + a) * kSlab + r] * later[a];
          }
        }
        MT_UNROLL
        for (int r = kSlab - 1; r >= 0; --r) {
          MT_UNROLL
          for (int k = kSlab - 1; k > r; --k) column.x[r] += slab[k * kSlab + r] * column.x[k];
          column.x[r] *= slab[r * kSlab + r];
          out[(first + r) * width] = column.x[r];
        }
      });
    }
  }
};

// w h into the outer columns of the scratch.
template <class T, int kSide>
struct MultiplyByH {
  TileJoints<T> joints;
  int down, across;  // squares, most of any joint

  MT_HD void operator()(const Block& block) const {
    const int parts = down * across, part = static_cast<int>(block.index() % parts);
    const GridJoint& joint = joints.JointOf(block, parts);
    T* const tile = joints.TileOf(block, parts);
    const int first_row = part / across * kSide, first_col = part % across * kSide;
    const int width = joint.width(), rows = joint.rows, ports = joint.ports;
    if (first_row >= rows || first_col >= ports) return;
    const T* w = tile + joint.factors + rows;
    const T* h = tile + joint.out;
    T* const product = tile + joint.scratch + rows;
    ProductSquare<T, kSide> square;
    square.Clear(block);
    square.AddProduct(block, ports, Operand<T, true>{w + first_row * width, width, rows - first_row},
                      Operand<T, false>{h + first_col, ports, ports - first_col});
    square.ForEachSum(block, [&](int i, int j, const T* sum) {
      if (first_row + i < rows && first_col + j < ports) product[(first_row + i) * width + first_col + j] = *sum;
    });
  }
};

// w h w^T, symmetric, into the shared columns of the scratch.
template <class T, int kSide>
struct MultiplyByW {
  TileJoints<T> joints;
  int squares;

  MT_HD void operator()(const Block& block) const {
    const int parts = PairCount(squares);
    const Pair pair = PairOf(static_cast<int>(block.index() % parts), squares);
    const GridJoint& joint = joints.JointOf(block, parts);
    T* const tile = joints.TileOf(block, parts);
    const int first_row = pair.i * kSide, first_col = pair.j * kSide;
    const int width = joint.width(), rows = joint.rows;
    if (first_col >= rows) return;
    const T* w = tile + joint.factors + rows;
    T* const product = tile + joint.scratch;
    const auto rows_of = [&](const T* matrix, int first) {
      return Operand<T, true>{matrix + first * width, width, rows - first};
    };
    ProductSquare<T, kSide> square;
    square.Clear(block);
    square.AddProduct(block, joint.ports, rows_of(product + rows, first_row), rows_of(w, first_col));
    square.ForEachSum(block, [&](int i, int j, const T* sum) {
      const int row = first_row + i, col = first_col + j;
      if (row > col || col >= rows) return;
      product[row * width + col] = product[col * width + row] = *sum;
    });
  }
};

// The h of a joint's children. What is shared has w h and w h w^T, what is not has the joint's own.
template <class T>
struct ScatterH {
  TileJoints<T> joints;
  int parts;  // groups of kScatterRows rows, most of any child

  static int64_t SharedBytes(int child_ports) { return child_ports * static_cast<int64_t>(sizeof(int)); }

  MT_HD void operator()(const Block& block) const {
    const GridJoint& joint = joints.JointOf(block, 2 * parts);
    T* const tile = joints.TileOf(block, 2 * parts);
    const int part = static_cast<int>(block.index() % (2 * parts)), child = part / parts;
    const int ports = joint.child_ports[child], first = part % parts * kScatterRows;
    if (first >= ports) return;
    const int width = joint.width(), rows = joint.rows;
    int* const target = block.Shared<int>();  // of each port of the child, the column of the factors; -1: none
    block.Each(ports, [&](int port) { target[port] = TargetOf(joint, child, port); });
    const T* product = tile + joint.scratch;
    const T* h = tile + joint.out;
    T* const out = tile + joint.child[child] + static_cast<int64_t>(first) * ports;
    block.Each(Least(kScatterRows, ports - first) * ports, [&](int e) {
      const int i = target[first + e / ports], j = target[e % ports];
      const int row = Least(i, j), col = i + j - row;
      T value = 0;
      if (row >= rows) {
        value = h[static_cast<int64_t>(i - rows) * joint.ports + j - rows];
      } else if (row >= 0) {
        value = product[row * width + col];
      }
      out[e] = value;
    });
  }

 private:
  MT_HD static int TargetOf(const GridJoint& joint, int child, int port) {
    for (int s = 0; s < joint.shared_count + joint.outer_count; ++s) {
      const bool outer = s >= joint.shared_count;
      const GridSegment segment = outer ? joint.outer_segments[s - joint.shared_count] : joint.shared_segments[s];
      if (segment.child != child || port < segment.from || port >= segment.from + segment.size) continue;
      return (outer ? joint.rows : 0) + segment.to + port - segment.from;
    }
    return -1;
  }
};

// The rows of a leaf's joints once more, then all of them backwards.
template <class T>
struct LeafGradient {
  TileLeaves<T> leaves;
  GridView<T> gradient;

  using Memory = LeafAdjointMemory;
  static constexpr int64_t kSharedBytes =
      (Memory::kEven + Memory::kOdd + Memory::kProduct + Memory::kRight + Memory::kInverse + Memory::kRows) *
      static_cast<int64_t>(sizeof(T));

  MT_HD void operator()(const Block& block) const {
    T* const even = block.Shared<T>();
    T* const odd = even + Memory::kEven;
    T* const product = odd + Memory::kOdd;
    T* const right = product + Memory::kProduct;
    T* const inverse = right + Memory::kRight;
    T* rows = inverse + Memory::kInverse;
    const GridLeaf& leaf = leaves.LeafOf(block);
    const LeafCells<T> cells = leaves.CellsOf(leaf);
    const int64_t tile = leaves.TileOf(block);
    const auto device = [&](int i, int j) { return leaves.DeviceOf(tile, leaf, i, j); };
    SolvePairs(block, cells, device, even);
    T *below = even, *above = odd;
    UpLeafLevels([&](auto level) {
      using Level = decltype(level);
      GatherLeafRows<Level>(block, cells.shape, below, rows);
      FactorLeafRows<Level>(block, cells.shape, rows, right, inverse);
      if (Level::kMost > 1) StoreLeafProducts<Level>(block, cells.shape, below, rows, above);
      T* const former = below;
      below = above;
      above = former;
      rows += Level::kRowsSize;
    });
    // The last level's matrix would be in `below`: its h is there instead.
    const T* h = leaves.MatrixOf(block);
    const int ports = cells.shape.ports();
    block.Each(PairCount(ports), [&](int k) {
      const Pair pair = PairOf(k, ports);
      below[HalfSquare(pair.i, pair.j, ports)] = h[pair.i * ports + pair.j];
    });
    DownLeafLevels([&](auto level) {
      using Level = decltype(level);
      rows -= Level::kRowsSize;
      SubstituteLeafRows<Level>(block, cells.shape, rows);
      DescendLeafLevel<Level>(block, cells.shape, rows, below, product, right, above);
      T* const former = below;
      below = above;
      above = former;
    });
    DescendPairs(block, cells, device, below, [&](int i, int j, T value) {
      if (leaves.Has(leaf, i, j)) gradient.row(tile, leaf.row + i - leaves.row_pad)[leaf.col + j] = value;
    });
  }
};

// w h and w h w^T of one level.
template <class T, int kSide>
void Multiply(const GridRun<T>& run, const GridLevel& level, int64_t tiles) {
  const TileJoints<T> joints = run.Joints(level);
  constexpr int kThreads = ProductSquare<T, kSide>::kThreads, kBlocks = ProductSquare<T, kSide>::kBlocks;
  constexpr int64_t kBytes = ProductSquare<T, kSide>::kSharedBytes;
  const int down = Groups(level.rows, kSide), across = Groups(level.ports, kSide);
  const int64_t count = tiles * level.count;
  ForBlocks<kThreads, kBlocks>(run.op(), count * down * across, kBytes, MultiplyByH<T, kSide>{joints, down, across},
                               run.stream());
  ForBlocks<kThreads, kBlocks>(run.op(), count * PairCount(down), kBytes, MultiplyByW<T, kSide>{joints, down},
                               run.stream());
}

// w of one level.
template <class T>
void Substitute(const GridRun<T>& run, const GridLevel& level, int64_t tiles) {
  if (level.rows == 0) return;  // a single leaf without open ends
  const TileJoints<T> joints = run.Joints(level);
  const int64_t count = tiles * level.count;
  const int groups = Groups(level.ports, kColumnThreads), across = Groups(level.ports, kPanelSide);
  using Square = ProductSquare<T, kPanelSide>;
  const int step = level.in_panels ? kPanel : level.rows;
  for (int first = (level.rows - 1) / step * step; first >= 0; first -= step) {
    if (first + step < level.rows) {
      ForBlocks<Square::kThreads, Square::kBlocks>(run.op(), count * (kPanel / kPanelSide) * across,
                                                   Square::kSharedBytes, AddLaterRows<T>{joints, first, across},
                                                   run.stream());
    }
    const SubstituteRows<T> substitute{joints, groups, first, std::min(first + step, level.rows)};
    ForBlocks<kColumnThreads, kColumnBlocks>(run.op(), count * groups, substitute.SharedBytes(), substitute,
                                             run.stream());
  }
}

// One level backwards.
template <class T>
void Down(const GridRun<T>& run, const GridLevel& level, int64_t tiles) {
  const TileJoints<T> joints = run.Joints(level);
  const int64_t count = tiles * level.count;
  const int strips = Groups(level.child_ports, kScatterRows);
  Substitute(run, level, tiles);
  if (level.rows <= 32) {
    Multiply<T, 32>(run, level, tiles);
  } else {
    Multiply<T, 64>(run, level, tiles);
  }
  ForBlocks<kScatterThreads>(run.op(), count * 2 * strips, ScatterH<T>::SharedBytes(level.child_ports),
                             ScatterH<T>{joints, strips}, run.stream());
}

}  // namespace

template <class T>
int64_t GridSolver<T>::GradientWorkspaceBytes(int64_t tiles) const {
  return GridWorkspaceBytes(plans_->Gradient(), tiles, sizeof(T));
}

template <class T>
template <class G>
void GridSolver<T>::Gradient(const GridView<const G>& g, const GridView<const T>& upstream, const GridView<T>& gradient,
                             void* workspace, int64_t workspace_bytes, void* stream) const {
  const char* op = "grid_gradient";
  CheckShape(op, "g", g, g.tiles, plans_->rows, plans_->cols);
  CheckShape(op, "upstream", upstream, g.tiles, plans_->rows, plans_->cols);
  CheckShape(op, "gradient", gradient, g.tiles, plans_->rows, plans_->cols);
  if (g.tiles == 0) return;
  const GridPlan& plan = plans_->Gradient();
  const GridRun<T> run(op, plan, workspace, workspace_bytes, stream);
  const int64_t root_size = static_cast<int64_t>(plan.root().ports) * plan.root().ports;
  const int64_t part = run.PartOf(g.tiles);
  for (int64_t first = 0; first < g.tiles; first += part) {
    const int64_t tiles = std::min(part, g.tiles - first);
    run.Up(GridDevices(g), first, tiles);
    ForEach(op, tiles * root_size, SetRoot<T>{run.Joints(plan.levels().back()), upstream, first}, stream);
    for (auto level = plan.levels().rbegin(); level != plan.levels().rend(); ++level) Down(run, *level, tiles);
    using Leaf = LeafGradient<T>;
    ForBlocks<kLeafThreads, kLeafBlocks>(op, tiles * plan.leaves(), Leaf::kSharedBytes,
                                         Leaf{run.Leaves(GridDevices(g), first), gradient}, stream);
  }
}

#define MT_INSTANTIATE(T, G)                                                                                           \
  template void GridSolver<T>::Gradient(const GridView<const G>&, const GridView<const T>&, const GridView<T>&, void*, \
                                        int64_t, void*) const;
template int64_t GridSolver<float>::GradientWorkspaceBytes(int64_t) const;
template int64_t GridSolver<double>::GradientWorkspaceBytes(int64_t) const;
MT_INSTANTIATE(float, float)
MT_INSTANTIATE(float, double)
MT_INSTANTIATE(double, float)
MT_INSTANTIATE(double, double)

}  // namespace memtorch::cuda
