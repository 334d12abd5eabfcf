// One tile put together with the factors of every joint kept, for what goes back down through them.
#ifndef MEMTORCH_ENGINE_GRID_KEPT_JOINTS_H_
#define MEMTORCH_ENGINE_GRID_KEPT_JOINTS_H_

#include <algorithm>
#include <array>
#include <vector>

#include "engine/grid/adjoint_kernels.h"
#include "engine/grid/leaf_input.h"
#include "engine/grid/leaf_kernels.h"
#include "engine/grid/memory.h"
#include "engine/grid/merge_kernels.h"
#include "engine/grid/merge_plan.h"
#include "engine/parallel.h"

namespace memtorch {

// Something for each node of a plan on its way up or down, depth first: a stack, so that little of it is in use at a
// time. The leaves below a unit, whose lanes are filled together, have theirs at the same time. Subtrees that are gone
// through side by side have a stack each, and what is above them always has its place.
template <class T>
class NodeBlocks {
 public:
  // `size`: elements of each node. `parts`: roots of the subtrees, as MergePlan::Parts() gives them; the plan's own root
  // by default.
  NodeBlocks(const MergePlan& plan, std::vector<int64_t> size, std::vector<int> parts = {})
      : plan_(plan), size_(std::move(size)), place_(size_.size()), parts_(std::move(parts)) {
    if (parts_.empty()) parts_ = {plan_.root()};
    for (int64_t& elements : size_) elements = Aligned<T>(elements);
    AddAbove(plan_.root());
    for (const int k : above_) Push(k, &total_);
    for (const int k : parts_) Push(k, &total_);
    for (const int k : parts_) {
      stacks_.push_back(total_);
      total_ += StackSize(k, false);
    }
  }

  // Elements of all stacks.
  int64_t Size() const { return total_; }
  int parts() const { return static_cast<int>(parts_.size()); }
  // Where a node's lie, while they are on a stack; those of the parts and of what is above always are.
  int64_t at(int k) const { return place_[static_cast<size_t>(k)]; }

  // Calls group(part, leaves, count) for all leaves and joint(part, node) for every joint, from the leaves up: the parts
  // side by side, then, with part -1, what is above them.
  template <class Joint, class Group>
  void Ascend(const Joint& joint, const Group& group) {
    ForEachPart([&](int part, int k, int64_t top) { AscendTo(k, part, false, top, joint, group); });
    for (auto k = above_.rbegin(); k != above_.rend(); ++k) joint(-1, *k);
  }
  // The same from the root down.
  template <class Joint, class Group>
  void Descend(const Joint& joint, const Group& group) {
    for (const int k : above_) joint(-1, k);
    ForEachPart([&](int part, int k, int64_t top) { DescendFrom(k, part, false, top, joint, group); });
  }

 private:
  static constexpr int kUnitLeaves = 16;

  bool Unit(int k) const { return plan_.node(k).leaves <= std::max(kUnitLeaves, ActiveLeafKernels<T>().lanes); }

  // Nodes above the parts, each before its children.
  void AddAbove(int k) {
    if (std::find(parts_.begin(), parts_.end(), k) != parts_.end()) return;
    above_.push_back(k);
    for (const int child : plan_.node(k).child) AddAbove(child);
  }

  template <class Body>
  void ForEachPart(const Body& body) const {
    ParallelFor(parts(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        body(static_cast<int>(p), parts_[static_cast<size_t>(p)], stacks_[static_cast<size_t>(p)]);
      }
    });
  }

  template <class Joint, class Group>
  void AscendTo(int k, int part, bool leaves, int64_t top, const Joint& joint, const Group& group) {
    PushBelow(k, leaves, &top);
    if (!leaves && Unit(k)) ForEachGroup(k, part, group);
    for (const int child : plan_.node(k).child) {
      if (child >= 0 && !plan_.node(child).leaf()) AscendTo(child, part, leaves || Unit(k), top, joint, group);
    }
    joint(part, k);
  }
  template <class Joint, class Group>
  void DescendFrom(int k, int part, bool leaves, int64_t top, const Joint& joint, const Group& group) {
    PushBelow(k, leaves, &top);
    joint(part, k);
    for (const int child : plan_.node(k).child) {
      if (child >= 0 && !plan_.node(child).leaf()) DescendFrom(child, part, leaves || Unit(k), top, joint, group);
    }
    if (!leaves && Unit(k)) ForEachGroup(k, part, group);
  }

  // Calls body(part, leaves, count) for leaves of equal shape below a unit that fill the lanes.
  template <class Body>
  void ForEachGroup(int unit, int part, const Body& body) const {
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
      body(part, &leaves[k], static_cast<int64_t>(last - k));
      k = last;
    }
  }

  void Push(int k, int64_t* top) {
    place_[static_cast<size_t>(k)] = *top;
    *top += size_[static_cast<size_t>(k)];
  }
  // Takes room for the children of a node, and for all leaves below if it is the first on the way down that is a unit;
  // `leaves`: another was.
  void PushBelow(int k, bool leaves, int64_t* top) {
    for (int leaf = plan_.node(k).first; !leaves && Unit(k) && leaf < k; ++leaf) {
      if (plan_.node(leaf).leaf()) Push(leaf, top);
    }
    for (const int child : plan_.node(k).child) {
      if (child >= 0 && !plan_.node(child).leaf()) Push(child, top);
    }
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
  std::vector<int> parts_, above_;
  std::vector<int64_t> stacks_;  // where that of each part begins
  int64_t total_ = 0;
};

// Calls body(begin, end) for [0, n): by all threads in steps of `grain` for what is above the parts of NodeBlocks.
template <class Body>
void InParts(int part, int64_t n, int64_t grain, const Body& body) {
  if (part < 0) {
    ParallelFor(n, grain, body);
  } else {
    body(0, n);
  }
}

// Joins one tile at a time. Its blocks and its scratch may be used by others afterwards.
template <class T, class G>
class KeptJoints {
 public:
  // `scratch`: elements that others need. `parts`: as for NodeBlocks; all threads work at them and at what is above.
  KeptJoints(const MergePlan& plan, const GridView<const G>& g, int64_t scratch, MemoryPool<T>* pool,
             std::vector<int> parts = {})
      : plan_(plan), g_(g), blocks_(plan, BlockSizes(plan), std::move(parts)) {
    for (int k = 0; k <= plan.root(); ++k) {
      const MergeNode& node = plan.node(k);
      factors_.push_back(Reserve(node.leaf() ? 0 : joining_.FactorSize(node.shared, node.ports)));
      if (node.leaf()) {
        scratch = std::max(scratch,
                           LeafScratch(node, leaf_.scratch(static_cast<int>(node.rows), static_cast<int>(node.cols))));
      }
    }
    scratch_size_ = Aligned<T>(scratch);
    scratch_ = Reserve(blocks_.parts() * scratch_size_);
    stack_ = Reserve(blocks_.Size());
    memory_ = pool->Take(size_);
  }

  // Keeps the factors of all joints of a tile.
  void Join(int64_t tile) {
    blocks_.Ascend([&](int part, int k) { Factor(part, k); },
                   [&](int part, const int* group, int64_t count) { SolveLeaves(tile, part, group, count); });
  }

  NodeBlocks<T>& blocks() { return blocks_; }
  T* Block(int k) const { return memory_.get() + stack_ + blocks_.at(k); }
  // That of a part; what is above the parts uses that of the first.
  T* Scratch(int part = 0) const { return memory_.get() + scratch_ + std::max(part, 0) * scratch_size_; }
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
  // A node's matrix, and later its h.
  static std::vector<int64_t> BlockSizes(const MergePlan& plan) {
    const MergeKernels<T>& kernels = ActiveMergeKernels<T>();
    std::vector<int64_t> sizes;
    for (int k = 0; k <= plan.root(); ++k) {
      const MergeNode& node = plan.node(k);
      const int64_t rows = node.leaf() ? node.ports : kernels.SharedRows(node.ports);
      sizes.push_back(std::max(rows * Stride(node), node.ports * AdjointStride<T>(node.ports)));
    }
    return sizes;
  }

  void SolveLeaves(int64_t tile, int part, const int* group, int64_t count) {
    Leaves<T> leaves = Fill(tile, group, count, Scratch(part));
    std::array<T*, kMostLanes> out{};
    for (int64_t l = 0; l < count; ++l) out[static_cast<size_t>(l)] = Block(group[l]);
    leaves.out = out.data();
    leaves.out_stride = Stride(plan_.node(group[0]));
    leaf_.solve(leaves);
  }

  // The factors of a node; its matrix into its block.
  void Factor(int part, int k) {
    const Merge<T> merge = MergeOf(k);
    const int64_t panels = joining_.Columns(merge.node->ports) / joining_.panel;
    InParts(part, joining_.SharedRows(merge.node->shared), joining_.row_block,
            [&](int64_t begin, int64_t end) { joining_.gather_outer(merge, begin, end); });
    joining_.factor(merge);
    InParts(part, panels, 1, [&](int64_t begin, int64_t end) { joining_.factor_outer(merge, begin, end); });
    if (k == plan_.root()) return;
    InParts(part, joining_.SharedRows(merge.node->ports), kPartRows,
            [&](int64_t begin, int64_t end) { joining_.update(merge, begin, end); });
  }

  static constexpr int64_t kPartRows = 96;  // that one thread takes at a time; a multiple of every row block

  const MergePlan& plan_;
  const GridView<const G> g_;
  const LeafKernels<T>& leaf_ = ActiveLeafKernels<T>();
  const MergeKernels<T>& joining_ = ActiveMergeKernels<T>();
  NodeBlocks<T> blocks_;
  std::vector<int64_t> factors_;  // where those of each node lie
  int64_t scratch_ = 0, scratch_size_ = 0, stack_ = 0, size_ = 0;
  typename MemoryPool<T>::Lease memory_;
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_KEPT_JOINTS_H_
