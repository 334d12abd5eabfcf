#include <algorithm>
#include <array>

#include "engine/grid/adjoint_kernels.h"
#include "engine/grid/kept_joints.h"
#include "engine/grid/solver.h"
#include "engine/parallel.h"

namespace memtorch {
namespace {

constexpr int kPartsOfThread = 4;  // that a tile is cut into if there are fewer tiles than threads

// One tile at a time: all joints with their factors kept, then all of them backwards.
template <class T, class G>
class GradientTask {
 public:
  GradientTask(const MergePlan& plan, const GridView<const G>& g, MemoryPool<T>* pool, std::vector<int> parts)
      : plan_(plan), g_(g), joints_(plan, g, Scratch(), pool, std::move(parts)) {}

  void Solve(int64_t tile, const GridView<const T>& upstream, const GridView<T>& gradient) {
    joints_.Join(tile);
    SetRoot(tile, upstream);
    joints_.blocks().Descend(
        [&](int part, int k) { Unjoin(part, k); },
        [&](int part, const int* group, int64_t count) { LeafGradients(tile, part, group, count, gradient); });
  }

 private:
  int64_t Scratch() const {
    int64_t scratch = 0;
    for (int k = 0; k <= plan_.root(); ++k) {
      const MergeNode& node = plan_.node(k);
      const int rows = static_cast<int>(node.rows), cols = static_cast<int>(node.cols);
      scratch = std::max(scratch, node.leaf() ? KeptJoints<T, G>::LeafScratch(node, adjoint_.leaf_scratch(rows, cols))
                                              : AdjointKernels<T>::ScratchSize(joining_, node.shared, node.ports));
    }
    return scratch;
  }
  int64_t lanes() const { return ActiveLeafKernels<T>().lanes; }

  // h of the root: with A = -n between a driver and a sense, half of -upstream on either side of the diagonal.
  void SetRoot(int64_t tile, const GridView<const T>& upstream) {
    const int64_t ports = plan_.node(plan_.root()).ports, first = plan_.first_sense();
    const int64_t stride = AdjointStride<T>(ports);
    T* h = joints_.Block(plan_.root());
    std::fill_n(h, ports * stride, T(0));
    const auto at = [&](int64_t i, int64_t j) -> T& { return h[i * stride + j]; };
    for (int64_t i = 0; i < g_.rows; ++i) {
      const T* row = upstream.row(tile, i);
      for (int64_t j = 0; j < g_.cols; ++j) at(i, first + j) = at(first + j, i) = -row[j] / 2;
    }
  }

  void Unjoin(int part, int k) {
    Unmerge<T> unmerge{};
    unmerge.merge = joints_.MergeOf(k);
    unmerge.h = joints_.Block(k);
    for (size_t c = 0; c < 2; ++c) {
      const int child = plan_.node(k).child[c];
      if (child < 0) continue;
      unmerge.child_h[c] = joints_.Block(child);
      unmerge.child_ports[c] = plan_.node(child).ports;
    }
    unmerge.scratch = joints_.Scratch(part);
    const int64_t outer = joining_.Columns(unmerge.merge.node->ports) / joining_.panel;
    const int64_t shared = joining_.Columns(unmerge.merge.node->shared) / joining_.panel;
    InParts(part, outer, 1, [&](int64_t begin, int64_t end) { adjoint_.back_substitute(unmerge, begin, end); });
    InParts(part, outer, 1, [&](int64_t begin, int64_t end) { adjoint_.multiply_h(unmerge, begin, end); });
    InParts(part, shared, 1, [&](int64_t begin, int64_t end) { adjoint_.multiply_w(unmerge, begin, end); });
    InParts(part, 2, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        if (plan_.node(k).child[static_cast<size_t>(c)] >= 0) adjoint_.scatter(unmerge, static_cast<int>(c));
      }
    });
  }

  void LeafGradients(int64_t tile, int part, const int* group, int64_t count, const GridView<T>& gradient) {
    LeafAdjoint<T> leaf{};
    leaf.leaves = joints_.Fill(tile, group, count, joints_.Scratch(part));
    const MergeNode& shape = plan_.node(group[0]);
    leaf.gradient = joints_.Scratch(part) + Aligned<T>(LeafInputSize(shape, lanes()));
    std::array<const T*, kMostLanes> h{};
    for (int64_t l = 0; l < count; ++l) h[static_cast<size_t>(l)] = joints_.Block(group[l]);
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
  const MergeKernels<T>& joining_ = ActiveMergeKernels<T>();
  const AdjointKernels<T>& adjoint_ = ActiveAdjointKernels<T>();
  KeptJoints<T, G> joints_;
};

}  // namespace

template <class T>
template <class G>
void GridSolver<T>::Gradient(const GridView<const G>& g, const GridView<const T>& upstream,
                             const GridView<T>& gradient) const {
  const char* op = "grid_gradient";
  CheckShape(op, "g", g, g.tiles, rows_, cols_);
  CheckShape(op, "upstream", upstream, g.tiles, rows_, cols_);
  CheckShape(op, "gradient", gradient, g.tiles, rows_, cols_);
  CheckConductances(op, g);
  const auto solve = [&](int64_t begin, int64_t end, int parts) {
    GradientTask<T, G> task(plan_, g, &pool_, plan_.Parts(parts));
    for (int64_t tile = begin; tile < end; ++tile) task.Solve(tile, upstream, gradient);
  };
  if (g.tiles < NumThreads()) {
    solve(0, g.tiles, kPartsOfThread * NumThreads());
  } else {
    const int64_t grain = std::max<int64_t>(1, g.tiles / (4 * NumThreads()));
    ParallelFor(g.tiles, grain, [&](int64_t begin, int64_t end) { solve(begin, end, 1); });
  }
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
