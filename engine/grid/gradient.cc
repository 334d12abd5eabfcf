#include <algorithm>
#include <array>
#include <vector>

#include "engine/grid/adjoint_kernels.h"
#include "engine/grid/leaf_input.h"
#include "engine/grid/leaf_kernels.h"
#include "engine/grid/memory.h"
#include "engine/grid/merge_kernels.h"
#include "engine/grid/solver.h"
#include "engine/parallel.h"

namespace memtorch {
namespace {

constexpr int kUnitLeaves = 16;  // leaves whose lanes are filled together

// One tile at a time: all joints with their factors kept, then all of them backwards. Both ways go depth first; but for
// the factors, memory is a stack, so that little of it is in use at a time.
template <class T, class G>
class GradientTask {
 public:
  GradientTask(const MergePlan& plan, const GridView<const G>& g) : plan_(plan), g_(g) {
    int64_t scratch = 0;
    for (int k = 0; k <= plan_.root(); ++k) {
      const MergeNode& node = plan_.node(k);
      factors_.push_back(Reserve(node.leaf() ? 0 : joining_.FactorSize(node.shared, node.ports)));
      scratch = std::max(scratch, ScratchSize(node));
    }
    blocks_.resize(factors_.size());
    scratch_ = Reserve(scratch);
    blocks_.back() = Reserve(BlockSize(plan_.node(plan_.root())));
    stack_ = size_;
    memory_ = Allocate<T>(size_ + StackSize(plan_.root(), false));
  }

  void Solve(int64_t tile, const GridView<const T>& upstream, const GridView<T>& gradient) {
    Down(plan_.root(), false, tile);
    SetRoot(tile, upstream);
    Up(plan_.root(), false, tile, gradient);
  }

 private:
  int64_t Reserve(int64_t elements) {
    const int64_t offset = size_;
    size_ += Aligned<T>(elements);
    return offset;
  }
  // A node's matrix, and later its h.
  int64_t BlockSize(const MergeNode& node) const {
    const int64_t matrix = node.leaf() ? node.ports * Stride(node) : joining_.SharedRows(node.ports) * Stride(node);
    return std::max(matrix, node.ports * joining_.Columns(node.ports));
  }
  int64_t Stride(const MergeNode& node) const {
    return node.leaf() ? (node.ports + kMostLanes - 1) / kMostLanes * kMostLanes : joining_.Columns(node.ports);
  }
  int64_t ScratchSize(const MergeNode& node) const {
    if (!node.leaf()) return AdjointKernels<T>::ScratchSize(joining_, node.shared, node.ports);
    const int rows = static_cast<int>(node.rows), cols = static_cast<int>(node.cols);
    return Aligned<T>(LeafInputSize(node, lanes())) + Aligned<T>(node.rows * node.cols * lanes()) +
           std::max(leaf_.scratch(rows, cols), adjoint_.leaf_scratch(rows, cols));
  }
  int64_t lanes() const { return leaf_.lanes; }
  int64_t ShapeOf(int k) const { return plan_.node(k).rows * (kLeafSize + 1) + plan_.node(k).cols; }
  T* Block(int k) const { return memory_.get() + blocks_[static_cast<size_t>(k)]; }
  T* Scratch() const { return memory_.get() + scratch_; }

  bool Unit(int k) const { return plan_.node(k).leaves <= std::max(kUnitLeaves, leaf_.lanes); }

  // Stack that Down and Up take below a node; `leaves`: the blocks of its leaves are there.
  int64_t StackSize(int k, bool leaves) const {
    const MergeNode& node = plan_.node(k);
    if (node.leaf()) return 0;
    int64_t size = 0, most = 0;
    for (int leaf = node.first; !leaves && Unit(k) && leaf < k; ++leaf) {
      if (plan_.node(leaf).leaf()) size += Aligned<T>(BlockSize(plan_.node(leaf)));
    }
    for (const int child : node.child) {
      if (child < 0) continue;
      if (!plan_.node(child).leaf()) size += Aligned<T>(BlockSize(plan_.node(child)));
      most = std::max(most, StackSize(child, leaves || Unit(k)));
    }
    return size + most;
  }
  void Push(int k) {
    blocks_[static_cast<size_t>(k)] = stack_;
    stack_ += Aligned<T>(BlockSize(plan_.node(k)));
  }
  // Blocks of the children, and of all leaves below if the node is the first on the way down that is a unit.
  void PushBelow(int k, bool leaves) {
    for (int leaf = plan_.node(k).first; !leaves && Unit(k) && leaf < k; ++leaf) {
      if (plan_.node(leaf).leaf()) Push(leaf);
    }
    for (const int child : plan_.node(k).child) {
      if (child >= 0 && !plan_.node(child).leaf()) Push(child);
    }
  }

  // The factors of a node and all below; its matrix into its block.
  void Down(int k, bool leaves, int64_t tile) {
    const int64_t top = stack_;
    PushBelow(k, leaves);
    if (!leaves && Unit(k)) {
      ForEachGroup(k, [&](const int* group, int64_t count) { SolveLeaves(tile, group, count); });
    }
    for (const int child : plan_.node(k).child) {
      if (child >= 0 && !plan_.node(child).leaf()) Down(child, leaves || Unit(k), tile);
    }
    Join(k);
    stack_ = top;
  }

  // From a node's h, in its block, to the gradient of all cells below.
  void Up(int k, bool leaves, int64_t tile, const GridView<T>& gradient) {
    const int64_t top = stack_;
    PushBelow(k, leaves);
    Unjoin(k);
    for (const int child : plan_.node(k).child) {
      if (child >= 0 && !plan_.node(child).leaf()) Up(child, leaves || Unit(k), tile, gradient);
    }
    if (!leaves && Unit(k)) {
      ForEachGroup(k, [&](const int* group, int64_t count) { LeafGradients(tile, group, count, gradient); });
    }
    stack_ = top;
  }

  // Calls body for leaves of equal shape below a unit that fill the lanes.
  template <class Body>
  void ForEachGroup(int unit, const Body& body) {
    std::vector<int> leaves;
    for (int k = plan_.node(unit).first; k < unit; ++k) {
      if (plan_.node(k).leaf()) leaves.push_back(k);
    }
    std::stable_sort(leaves.begin(), leaves.end(), [&](int a, int b) { return ShapeOf(a) < ShapeOf(b); });
    for (size_t k = 0; k < leaves.size();) {
      size_t last = k;
      while (last < leaves.size() && last - k < static_cast<size_t>(lanes()) &&
             ShapeOf(leaves[last]) == ShapeOf(leaves[k])) {
        ++last;
      }
      body(&leaves[k], static_cast<int64_t>(last - k));
      k = last;
    }
  }

  // The group's lanes, at the start of the scratch.
  Leaves<T> Fill(int64_t tile, const int* group, int64_t count) {
    const MergeNode& shape = plan_.node(group[0]);
    T* input = Scratch();
    const int64_t size = Aligned<T>(LeafInputSize(shape, lanes()));
    std::fill_n(input, size, T(0));
    for (int64_t l = 0; l < count; ++l) FillLane(plan_, plan_.node(group[l]), g_, tile, l, lanes(), input);
    return LeavesOf(shape, input, lanes(), count, input + size + Aligned<T>(shape.rows * shape.cols * lanes()));
  }

  void SolveLeaves(int64_t tile, const int* group, int64_t count) {
    Leaves<T> leaves = Fill(tile, group, count);
    std::array<T*, kMostLanes> out{};
    for (int64_t l = 0; l < count; ++l) out[static_cast<size_t>(l)] = Block(group[l]);
    leaves.out = out.data();
    leaves.out_stride = Stride(plan_.node(group[0]));
    leaf_.solve(leaves);
  }

  Merge<T> MergeOf(int k) const {
    const MergeNode& node = plan_.node(k);
    Merge<T> merge{};
    merge.node = &node;
    for (size_t c = 0; c < 2; ++c) {
      if (node.child[c] < 0) continue;
      merge.child[c] = Block(node.child[c]);
      merge.child_stride[c] = Stride(plan_.node(node.child[c]));
    }
    merge.factors = memory_.get() + factors_[static_cast<size_t>(k)];
    merge.out = Block(k);
    merge.out_stride = Stride(node);
    return merge;
  }

  void Join(int k) {
    const Merge<T> merge = MergeOf(k);
    const int64_t panels = joining_.Columns(merge.node->ports) / joining_.panel;
    joining_.gather_outer(merge, 0, panels);
    joining_.factor(merge);
    joining_.factor_outer(merge, 0, panels);
    if (k != plan_.root()) joining_.update(merge, 0, joining_.SharedRows(merge.node->ports));
  }

  // h of the root: with A = -n between a driver and a sense, half of -upstream on either side of the diagonal.
  void SetRoot(int64_t tile, const GridView<const T>& upstream) {
    const int64_t ports = plan_.node(plan_.root()).ports, panel = joining_.panel, first = plan_.first_sense();
    T* h = Block(plan_.root());
    std::fill_n(h, ports * joining_.Columns(ports), T(0));
    const auto at = [&](int64_t i, int64_t j) -> T& { return h[(j / panel * ports + i) * panel + j % panel]; };
    for (int64_t i = 0; i < g_.rows; ++i) {
      const T* row = upstream.row(tile, i);
      for (int64_t j = 0; j < g_.cols; ++j) at(i, first + j) = at(first + j, i) = -row[j] / 2;
    }
  }

  void Unjoin(int k) {
    Unmerge<T> unmerge{};
    unmerge.merge = MergeOf(k);
    unmerge.h = Block(k);
    for (size_t c = 0; c < 2; ++c) {
      const int child = plan_.node(k).child[c];
      if (child < 0) continue;
      unmerge.child_h[c] = Block(child);
      unmerge.child_ports[c] = plan_.node(child).ports;
    }
    unmerge.scratch = Scratch();
    adjoint_.unmerge(unmerge);
  }

  void LeafGradients(int64_t tile, const int* group, int64_t count, const GridView<T>& gradient) {
    LeafAdjoint<T> leaf{};
    leaf.leaves = Fill(tile, group, count);
    const MergeNode& shape = plan_.node(group[0]);
    leaf.gradient = Scratch() + Aligned<T>(LeafInputSize(shape, lanes()));
    std::array<const T*, kMostLanes> h{};
    for (int64_t l = 0; l < count; ++l) h[static_cast<size_t>(l)] = Block(group[l]);
    leaf.h = h.data();
    adjoint_.leaf(leaf);
    for (int64_t l = 0; l < count; ++l) {
      ForEachCell(plan_, plan_.node(group[l]), g_.cols, [&](int64_t cell, int64_t i, int64_t j) {
        gradient.row(tile, i)[j] = leaf.gradient[cell * lanes() + l];
      });
    }
  }

  const MergePlan& plan_;
  const GridView<const G>& g_;
  const LeafKernels<T>& leaf_ = ActiveLeafKernels<T>();
  const MergeKernels<T>& joining_ = ActiveMergeKernels<T>();
  const AdjointKernels<T>& adjoint_ = ActiveAdjointKernels<T>();
  std::vector<int64_t> blocks_, factors_;  // by node, where they lie; blocks only while they are on the stack
  int64_t scratch_ = 0, size_ = 0, stack_ = 0;
  Memory<T> memory_;
};

}  // namespace

template <class T>
template <class G>
void GridSolver<T>::Gradient(const GridView<const G>& g, const GridView<const T>& upstream,
                             const GridView<T>& gradient) const {
  const char* op = "grid_gradient";
  const auto check = [&](const char* name, const auto& view) {
    if (view.tiles == g.tiles && view.rows == rows_ && view.cols == cols_) return;
    Invalid(op, name, " ([", view.tiles, ", ", view.rows, ", ", view.cols, "]) must have shape [", g.tiles, ", ", rows_,
            ", ", cols_, "]");
  };
  check("g", g);
  check("upstream", upstream);
  check("gradient", gradient);
  CheckConductances(op, g);
  const int64_t grain = std::max<int64_t>(1, g.tiles / (4 * NumThreads()));
  ParallelFor(g.tiles, grain, [&](int64_t begin, int64_t end) {
    GradientTask<T, G> task(plan_, g);
    for (int64_t tile = begin; tile < end; ++tile) task.Solve(tile, upstream, gradient);
  });
}

template void GridSolver<float>::Gradient(const GridView<const float>&, const GridView<const float>&,
                                          const GridView<float>&) const;
template void GridSolver<float>::Gradient(const GridView<const double>&, const GridView<const float>&,
                                          const GridView<float>&) const;
template void GridSolver<double>::Gradient(const GridView<const float>&, const GridView<const double>&,
                                           const GridView<double>&) const;
template void GridSolver<double>::Gradient(const GridView<const double>&, const GridView<const double>&,
                                           const GridView<double>&) const;

}  // namespace memtorch
