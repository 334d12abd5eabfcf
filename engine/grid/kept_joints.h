// One tile put together with the factors of every joint kept, for what goes back down through them.
#ifndef MEMTORCH_ENGINE_GRID_KEPT_JOINTS_H_
#define MEMTORCH_ENGINE_GRID_KEPT_JOINTS_H_

#include <algorithm>
#include <array>
#include <vector>

#include "engine/grid/leaf_input.h"
#include "engine/grid/leaf_kernels.h"
#include "engine/grid/memory.h"
#include "engine/grid/merge_kernels.h"
#include "engine/grid/merge_plan.h"

namespace memtorch {

// Something for each node of a plan on its way up or down, depth first: a stack, so that little of it is in use at a
// time. The leaves below a unit, whose lanes are filled together, have theirs at the same time.
template <class T>
class NodeBlocks {
 public:
  // `size`: elements of each node.
  NodeBlocks(const MergePlan& plan, std::vector<int64_t> size)
      : plan_(plan), size_(std::move(size)), place_(size_.size()) {
    for (int64_t& elements : size_) elements = Aligned<T>(elements);
    Push(plan_.root());
  }

  // Elements of the whole stack.
  int64_t Size() const { return size_.back() + StackSize(plan_.root(), false); }
  // Where a node's lie, while they are on the stack; the root's always are.
  int64_t at(int k) const { return place_[static_cast<size_t>(k)]; }

  bool Unit(int k) const { return plan_.node(k).leaves <= std::max(kUnitLeaves, ActiveLeafKernels<T>().lanes); }

  // Takes room for the children of a node, and for all leaves below if it is the first on the way down that is a unit;
  // `leaves`: another was.
  void Push(int k, bool leaves) {
    for (int leaf = plan_.node(k).first; !leaves && Unit(k) && leaf < k; ++leaf) {
      if (plan_.node(leaf).leaf()) Push(leaf);
    }
    for (const int child : plan_.node(k).child) {
      if (child >= 0 && !plan_.node(child).leaf()) Push(child);
    }
  }
  int64_t top() const { return top_; }
  void Release(int64_t top) { top_ = top; }

  // From the root down: joint(k) for every joint before those below it, and group(leaves, count) for all leaves.
  template <class Joint, class Group>
  void Descend(const Joint& joint, const Group& group) {
    DescendFrom(plan_.root(), false, joint, group);
  }

  // Calls body(leaves, count) for leaves of equal shape below a unit that fill the lanes.
  template <class Body>
  void ForEachGroup(int unit, const Body& body) const {
    const auto shape = [&](int k) { return plan_.node(k).rows * (kLeafSize + 1) + plan_.node(k).cols; };
    std::vector<int> leaves;
    for (int k = plan_.node(unit).first; k < unit; ++k) {
      if (plan_.node(k).leaf()) leaves.push_back(k);
    }
    std::stable_sort(leaves.begin(), leaves.end(), [&](int a, int b) { return shape(a) < shape(b); });
    for (size_t k = 0; k < leaves.size();) {
      size_t last = k;
      while (last < leaves.size() && last - k < static_cast<size_t>(ActiveLeafKernels<T>().lanes) &&
             shape(leaves[last]) == shape(leaves[k])) {
        ++last;
      }
      body(&leaves[k], static_cast<int64_t>(last - k));
      k = last;
    }
  }

 private:
  static constexpr int kUnitLeaves = 16;

  template <class Joint, class Group>
  void DescendFrom(int k, bool leaves, const Joint& joint, const Group& group) {
    const int64_t top = top_;
    Push(k, leaves);
    joint(k);
    for (const int child : plan_.node(k).child) {
      if (child >= 0 && !plan_.node(child).leaf()) DescendFrom(child, leaves || Unit(k), joint, group);
    }
    if (!leaves && Unit(k)) ForEachGroup(k, group);
    top_ = top;
  }

  void Push(int k) {
    place_[static_cast<size_t>(k)] = top_;
    top_ += size_[static_cast<size_t>(k)];
  }
  int64_t StackSize(int k, bool leaves) const {
    const MergeNode& node = plan_.node(k);
    if (node.leaf()) return 0;
    int64_t size = 0, most = 0;
    for (int leaf = node.first; !leaves && Unit(k) && leaf < k; ++leaf) {
      if (plan_.node(leaf).leaf()) size += size_[static_cast<size_t>(leaf)];
    }
    for (const int child : node.child) {
      if (child < 0) continue;
      if (!plan_.node(child).leaf()) size += size_[static_cast<size_t>(child)];
      most = std::max(most, StackSize(child, leaves || Unit(k)));
    }
    return size + most;
  }

  const MergePlan& plan_;
  std::vector<int64_t> size_, place_;
  int64_t top_ = 0;
};

// Joins one tile at a time. Its blocks and its scratch may be used by others afterwards.
template <class T, class G>
class KeptJoints {
 public:
  // `scratch`: elements that others need.
  KeptJoints(const MergePlan& plan, const GridView<const G>& g, int64_t scratch)
      : plan_(plan), g_(g), blocks_(plan, BlockSizes(plan)) {
    for (int k = 0; k <= plan.root(); ++k) {
      const MergeNode& node = plan.node(k);
      factors_.push_back(Reserve(node.leaf() ? 0 : joining_.FactorSize(node.shared, node.ports)));
      if (node.leaf()) {
        scratch = std::max(scratch,
                           LeafScratch(node, leaf_.scratch(static_cast<int>(node.rows), static_cast<int>(node.cols))));
      }
    }
    scratch_ = Reserve(scratch);
    stack_ = size_;
    memory_ = Allocate<T>(size_ + blocks_.Size());
  }

  // Keeps the factors of all joints of a tile.
  void Join(int64_t tile) { Down(plan_.root(), false, tile); }

  NodeBlocks<T>& blocks() { return blocks_; }
  T* Block(int k) const { return memory_.get() + stack_ + blocks_.at(k); }
  T* Scratch() const { return memory_.get() + scratch_; }
  T* Factors(int k) const { return memory_.get() + factors_[static_cast<size_t>(k)]; }

  // Scratch for a group of leaves: their input, an element for each cell, and `rest`.
  static int64_t LeafScratch(const MergeNode& leaf, int64_t rest) {
    const int64_t lanes = ActiveLeafKernels<T>().lanes;
    return Aligned<T>(LeafInputSize(leaf, lanes)) + Aligned<T>(leaf.rows * leaf.cols * lanes) + rest;
  }

  // A group's lanes, at the start of `scratch`.
  Leaves<T> Fill(int64_t tile, const int* group, int64_t count, T* scratch) const {
    const MergeNode& shape = plan_.node(group[0]);
    const int64_t lanes = leaf_.lanes, size = Aligned<T>(LeafInputSize(shape, lanes));
    std::fill_n(scratch, size, T(0));
    for (int64_t l = 0; l < count; ++l) FillLane(plan_, plan_.node(group[l]), g_, tile, l, lanes, scratch);
    return LeavesOf(shape, scratch, lanes, count, scratch + size + Aligned<T>(shape.rows * shape.cols * lanes));
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
    merge.factors = Factors(k);
    merge.out = Block(k);
    merge.out_stride = Stride(node);
    return merge;
  }

 private:
  int64_t Reserve(int64_t elements) {
    const int64_t offset = size_;
    size_ += Aligned<T>(elements);
    return offset;
  }
  static int64_t Stride(const MergeNode& node) {
    return node.leaf() ? (node.ports + kMostLanes - 1) / kMostLanes * kMostLanes
                       : ActiveMergeKernels<T>().Columns(node.ports);
  }
  // A node's matrix, in rows or as a square in panels.
  static std::vector<int64_t> BlockSizes(const MergePlan& plan) {
    const MergeKernels<T>& kernels = ActiveMergeKernels<T>();
    std::vector<int64_t> sizes;
    for (int k = 0; k <= plan.root(); ++k) {
      const MergeNode& node = plan.node(k);
      const int64_t rows = node.leaf() ? node.ports : kernels.SharedRows(node.ports);
      sizes.push_back(std::max(rows * Stride(node), node.ports * kernels.Columns(node.ports)));
    }
    return sizes;
  }

  // The factors of a node and all below; its matrix into its block.
  void Down(int k, bool leaves, int64_t tile) {
    const int64_t top = blocks_.top();
    const bool unit = blocks_.Unit(k);
    blocks_.Push(k, leaves);
    if (!leaves && unit) {
      blocks_.ForEachGroup(k, [&](const int* group, int64_t count) { SolveLeaves(tile, group, count); });
    }
    for (const int child : plan_.node(k).child) {
      if (child >= 0 && !plan_.node(child).leaf()) Down(child, leaves || unit, tile);
    }
    Factor(k);
    blocks_.Release(top);
  }

  void SolveLeaves(int64_t tile, const int* group, int64_t count) {
    Leaves<T> leaves = Fill(tile, group, count, Scratch());
    std::array<T*, kMostLanes> out{};
    for (int64_t l = 0; l < count; ++l) out[static_cast<size_t>(l)] = Block(group[l]);
    leaves.out = out.data();
    leaves.out_stride = Stride(plan_.node(group[0]));
    leaf_.solve(leaves);
  }

  void Factor(int k) {
    const Merge<T> merge = MergeOf(k);
    const int64_t panels = joining_.Columns(merge.node->ports) / joining_.panel;
    joining_.gather_outer(merge, 0, panels);
    joining_.factor(merge);
    joining_.factor_outer(merge, 0, panels);
    if (k != plan_.root()) joining_.update(merge, 0, joining_.SharedRows(merge.node->ports));
  }

  const MergePlan& plan_;
  const GridView<const G> g_;
  const LeafKernels<T>& leaf_ = ActiveLeafKernels<T>();
  const MergeKernels<T>& joining_ = ActiveMergeKernels<T>();
  NodeBlocks<T> blocks_;
  std::vector<int64_t> factors_;  // where those of each node lie
  int64_t scratch_ = 0, size_ = 0, stack_ = 0;
  Memory<T> memory_;
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_KEPT_JOINTS_H_
