// Potentials of the nodes of one grid for many vectors, from the factors of its elimination.
#ifndef MEMTORCH_ENGINE_GRID_POTENTIALS_H_
#define MEMTORCH_ENGINE_GRID_POTENTIALS_H_

#include <algorithm>
#include <array>
#include <vector>

#include "engine/grid/kept_joints.h"
#include "engine/grid/nodes.h"
#include "engine/grid/potential_kernels.h"
#include "engine/parallel.h"

namespace memtorch {

// The joints of one grid, their factors turned into what vectors need on their way down from the root.
template <class T>
class Potentials {
 public:
  Potentials(const MergePlan& plan, const GridView<const double>& g, MemoryPool<T>* pool)
      : plan_(plan), g_(g), joints_(plan, g, 0, pool, plan.Parts(NumThreads())) {
    joints_.Join(0);
    ParallelFor(plan.root() + 1, 1, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        const int node = static_cast<int>(k);
        if (!plan_.node(node).leaf()) kernels_.substitute(joints_.MergeOf(node));
      }
    });
  }

  // Vectors that are taken together.
  static int64_t GroupSize() { return kPanels * ActiveMergeKernels<T>().panel; }

  // The potentials of the bit lines for vectors [begin, end), at most a group, into bit [vectors, rows, cols].
  void Solve(const GridSources& sources, int64_t begin, int64_t end, double* bit) const {
    Group(*this, sources, begin, end).Solve(bit);
  }

 private:
  class Group;

  static constexpr int64_t kPanels = 6;  // for as many the joints inside leaves are made once

  const MergePlan& plan_;
  const GridView<const double> g_;
  const LeafKernels<T>& leaf_ = ActiveLeafKernels<T>();
  const MergeKernels<T>& joining_ = ActiveMergeKernels<T>();
  const PotentialKernels<T>& kernels_ = ActivePotentialKernels<T>();
  KeptJoints<T, double> joints_;
};

// One group of vectors on its way down.
template <class T>
class Potentials<T>::Group {
 public:
  Group(const Potentials& grid, const GridSources& sources, int64_t begin, int64_t end)
      : grid_(grid),
        plan_(grid.plan_),
        sources_(sources),
        begin_(begin),
        vectors_(end - begin),
        panels_((vectors_ + panel() - 1) / panel()),
        blocks_(plan_, BlockSizes()) {
    for (int k = 0; k <= plan_.root(); ++k) {
      const MergeNode& node = plan_.node(k);
      scratch_ = std::max(scratch_, node.leaf() ? LeafScratch(node) : grid.joining_.SharedRows(node.shared) * panel());
    }
    scratch_ = Aligned<T>(scratch_);
    memory_ = Allocate<T>(scratch_ + blocks_.Size());
  }

  void Solve(double* bit) {
    SetRoot();
    blocks_.Descend([&](int, int k) { Joint(k); },
                    [&](int, const int* group, int64_t count) { Leaf(group, count, bit); });
  }

 private:
  int64_t panel() const { return grid_.joining_.panel; }
  int64_t lanes() const { return grid_.leaf_.lanes; }
  T* Block(int k) const { return memory_.get() + scratch_ + blocks_.at(k); }
  T* Scratch() const { return memory_.get(); }

  std::vector<int64_t> BlockSizes() const {
    std::vector<int64_t> sizes;
    for (int k = 0; k <= plan_.root(); ++k) sizes.push_back(panels_ * plan_.node(k).ports * panel());
    return sizes;
  }
  // What the leaves' kernels need, and before it their result.
  int64_t LeafScratch(const MergeNode& leaf) const {
    const int rows = static_cast<int>(leaf.rows), cols = static_cast<int>(leaf.cols);
    return lanes() * BitSize(leaf) + KeptJoints<T, double>::LeafScratch(leaf, grid_.kernels_.leaf_scratch(rows, cols));
  }
  int64_t BitSize(const MergeNode& leaf) const { return Aligned<T>(lanes() * leaf.rows * kLeafSize); }

  // Drivers and senses.
  void SetRoot() {
    const int64_t ports = plan_.node(plan_.root()).ports;
    T* root = Block(plan_.root());
    std::fill_n(root, panels_ * ports * panel(), T(0));
    for (int64_t v = 0; v < vectors_; ++v) {
      T* column = root + v / panel() * ports * panel() + v % panel();
      for (int64_t i = 0; i < grid_.g_.rows; ++i) column[i * panel()] = static_cast<T>(sources_.word(begin_ + v, i));
      T* senses = column + plan_.first_sense() * panel();
      for (int64_t j = 0; sources_.bit.data != nullptr && j < grid_.g_.cols; ++j) {
        senses[j * panel()] = static_cast<T>(sources_.bit(begin_ + v, j));
      }
    }
  }

  void Joint(int k) {
    JointPotentials<T> joint{};
    joint.merge = grid_.joints_.MergeOf(k);
    joint.panels = panels_;
    joint.ports = Block(k);
    for (size_t c = 0; c < 2; ++c) {
      const int child = plan_.node(k).child[c];
      if (child < 0) continue;
      joint.child_ports[c] = Block(child);
      joint.child_count[c] = plan_.node(child).ports;
    }
    joint.scratch = Scratch();
    grid_.kernels_.joint(joint);
  }

  void Leaf(const int* group, int64_t count, double* bit) {
    const MergeNode& shape = plan_.node(group[0]);
    std::array<const T*, kMostLanes> ports{};
    std::array<T*, kMostLanes> result{};
    for (int64_t l = 0; l < count; ++l) {
      ports[static_cast<size_t>(l)] = Block(group[l]);
      result[static_cast<size_t>(l)] = Scratch() + l * BitSize(shape);
    }
    LeafPotentials<T> leaf{};
    leaf.leaves = grid_.joints_.Fill(0, group, count, Scratch() + lanes() * BitSize(shape));
    leaf.ports = ports.data();
    leaf.bit = result.data();
    grid_.kernels_.join_leaves(leaf.leaves);
    for (; leaf.first < vectors_; leaf.first += lanes()) {
      grid_.kernels_.leaf(leaf);
      for (int64_t l = 0; l < count; ++l) Store(leaf, group[l], result[static_cast<size_t>(l)], bit);
    }
  }

  void Store(const LeafPotentials<T>& leaf, int node, const T* result, double* bit) const {
    const GridView<const double>& g = grid_.g_;
    const MergeNode& shape = plan_.node(node);
    const int64_t last = std::min(lanes(), vectors_ - leaf.first);
    for (int64_t v = 0; v < last; ++v) {
      double* vector = bit + (begin_ + leaf.first + v) * g.rows * g.cols;
      ForEachRow(plan_, shape, g.cols, [&](int64_t i, int64_t row, int64_t col, int64_t cells) {
        std::copy_n(result + (v * shape.rows + i) * kLeafSize, cells, vector + row * g.cols + col);
      });
    }
  }

  const Potentials& grid_;
  const MergePlan& plan_;
  const GridSources& sources_;
  int64_t begin_, vectors_, panels_, scratch_ = 0;
  NodeBlocks<T> blocks_;
  Memory<T> memory_;
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_POTENTIALS_H_
