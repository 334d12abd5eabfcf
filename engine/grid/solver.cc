#include "engine/grid/solver.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>

#include "engine/grid/leaf_kernels.h"
#include "engine/grid/merge_kernels.h"
#include "engine/parallel.h"

namespace memtorch {
namespace {

constexpr int kUnitLeaves = 16;  // leaves that are solved together, before what stands on them
constexpr int64_t kAlignBytes = 64;

template <class T>
int64_t Aligned(int64_t elements) {
  constexpr int64_t kStep = kAlignBytes / sizeof(T);
  return (elements + kStep - 1) / kStep * kStep;
}

// Where a node's matrix lies.
template <class T>
struct Place {
  T* data = nullptr;
  int64_t stride = 0;
};

void CheckShape(const char* op, int64_t rows, int64_t cols, const Wires& wires) {
  if (rows < 1) Invalid(op, "rows (", rows, ") must be at least 1");
  if (cols < 1) Invalid(op, "cols (", cols, ") must be at least 1");
  CheckWires(op, wires);
}

}  // namespace

// Memory of one solution at a time, handed out like a stack.
template <class T>
class GridSolver<T>::Work {
 public:
  explicit Work(const MergePlan& plan) : plan_(plan), leaf_(ActiveLeafKernels<T>()), merge_(ActiveMergeKernels<T>()) {
    const MergeNode& root = plan.node(plan.root());
    tiles_ = root.leaves >= leaf_.lanes ? 1 : leaf_.lanes / root.leaves;
    size_ = Need(plan.root()) + (Unit(root) ? LeafNeed(plan.root()) * tiles_ : 0);
    memory_.reset(static_cast<T*>(std::aligned_alloc(kAlignBytes, static_cast<size_t>(size_) * sizeof(T))));
    if (memory_ == nullptr) throw std::bad_alloc();
  }

  // Tiles that are solved together, so that their leaves fill the lanes.
  int64_t tiles() const { return tiles_; }
  bool Unit(const MergeNode& node) const { return node.leaves <= std::max(kUnitLeaves, leaf_.lanes); }

  T* Take(int64_t elements) {
    T* place = memory_.get() + top_;
    top_ += Aligned<T>(elements);
    return place;
  }
  int64_t top() const { return top_; }
  void Release(int64_t top) { top_ = top; }

  Place<T> TakeNode(int index) {
    const MergeNode& node = plan_.node(index);
    return {Take(Rows(node) * Stride(index)), Stride(index)};
  }

  int64_t Rows(const MergeNode& node) const { return node.leaf() ? node.ports : merge_.SharedRows(node.ports); }
  int64_t Stride(int index) const {
    const MergeNode& node = plan_.node(index);
    if (index == plan_.root()) return merge_.Columns(node.ports - plan_.first_sense());
    return node.leaf() ? (node.ports + kMostLanes - 1) / kMostLanes * kMostLanes : merge_.Columns(node.ports);
  }
  int64_t LeafInput(int64_t rows, int64_t cols) const { return (rows * cols + rows + cols) * leaf_.lanes; }

 private:
  int64_t NodeSize(int index) const { return Aligned<T>(Rows(plan_.node(index)) * Stride(index)); }
  // Of the leaves of a unit, with what solving them needs.
  int64_t LeafNeed(int unit) const {
    int64_t need = 0, solve = 0;
    for (int k = plan_.node(unit).first; k <= unit; ++k) {
      const MergeNode& leaf = plan_.node(k);
      if (!leaf.leaf()) continue;
      need += NodeSize(k);
      solve = std::max(solve, Aligned<T>(LeafInput(leaf.rows, leaf.cols)) +
                                  Aligned<T>(leaf_.scratch(static_cast<int>(leaf.rows), static_cast<int>(leaf.cols))));
    }
    return need + solve;
  }
  int64_t Need(int index) const {
    const MergeNode& node = plan_.node(index);
    if (node.leaf()) return 0;
    int64_t most = Aligned<T>(merge_.FactorSize(node.shared, node.ports)), children = 0;
    if (index == plan_.root()) children += NodeSize(index);  // the others' stand in their parents
    for (const int child : node.child) {
      if (child < 0) continue;
      if (!plan_.node(child).leaf()) children += NodeSize(child);
      most = std::max(most, Need(child));
    }
    return most + children + (Unit(node) ? LeafNeed(index) : 0);
  }

  struct Free {
    void operator()(T* memory) const { std::free(memory); }
  };

  const MergePlan& plan_;
  const LeafKernels<T>& leaf_;
  const MergeKernels<T>& merge_;
  int64_t tiles_, size_, top_ = 0;
  std::unique_ptr<T, Free> memory_;
};

// Solves the tiles [begin, end) of a batch in one workspace.
template <class T>
template <class G>
class GridSolver<T>::Task {
 public:
  Task(const MergePlan& plan, const GridView<const G>& g, const GridView<T>& out, Work* work)
      : plan_(plan), g_(g), out_(out), work_(*work) {}

  void Solve(int64_t begin, int64_t end) {
    const int root = plan_.root();
    leaves_.assign(static_cast<size_t>((end - begin) * (root + 1)), {});
    const bool unit = work_.Unit(plan_.node(root));
    if (unit) SolveLeaves(root, begin, end);
    for (int64_t tile = begin; tile < end; ++tile) {
      tile_ = tile;
      slot_ = (tile - begin) * (root + 1);
      const int64_t top = work_.top();
      const Place<T> result = work_.TakeNode(root);
      SolveNode(root, result, unit);
      for (int64_t i = 0; i < g_.rows; ++i) std::copy_n(result.data + i * result.stride, g_.cols, out_.row(tile, i));
      work_.Release(top);
    }
    work_.Release(0);
  }

 private:
  // All leaves below `unit` of the tiles [begin, end); they stay on the stack.
  void SolveLeaves(int unit, int64_t begin, int64_t end) {
    struct Job {
      int64_t tile;
      int node;
    };
    std::vector<Job> jobs;
    for (int64_t tile = begin; tile < end; ++tile) {
      for (int k = plan_.node(unit).first; k <= unit; ++k) {
        if (!plan_.node(k).leaf()) continue;
        leaves_[static_cast<size_t>((tile - begin) * (plan_.root() + 1) + k)] = work_.TakeNode(k);
        jobs.push_back({tile, k});
      }
    }
    const auto shape = [&](const Job& job) {
      return plan_.node(job.node).rows * (kLeafSize + 1) + plan_.node(job.node).cols;
    };
    std::stable_sort(jobs.begin(), jobs.end(), [&](const Job& a, const Job& b) { return shape(a) < shape(b); });
    const int64_t top = work_.top();
    for (size_t k = 0; k < jobs.size();) {
      size_t last = k;
      while (last < jobs.size() && last - k < static_cast<size_t>(kernels_.lanes) &&
             shape(jobs[last]) == shape(jobs[k])) {
        ++last;
      }
      SolveLanes(&jobs[k], last - k, begin);
      work_.Release(top);
      k = last;
    }
  }

  template <class Job>
  void SolveLanes(const Job* jobs, size_t count, int64_t begin) {
    const MergeNode& shape = plan_.node(jobs[0].node);
    const int64_t lanes = kernels_.lanes;
    T* g = work_.Take(work_.LeafInput(shape.rows, shape.cols));
    T* word = g + shape.rows * shape.cols * lanes;
    T* bit = word + shape.cols * lanes;
    std::fill(g, bit + shape.rows * lanes, T(0));
    std::array<T*, kMostLanes> out{};
    int64_t stride = 0;
    for (size_t l = 0; l < count; ++l) {
      const MergeNode& leaf = plan_.node(jobs[l].node);
      for (int64_t j = 0; j < leaf.cols; ++j) {
        word[j * lanes + l] = static_cast<T>(plan_.word_segments()[static_cast<size_t>(leaf.col + j)]);
      }
      for (int64_t i = 0; i < leaf.rows; ++i) {
        bit[i * lanes + l] = static_cast<T>(plan_.bit_segments()[static_cast<size_t>(leaf.row + i)]);
        const int64_t row = leaf.row + i - plan_.row_pad();
        if (row < 0) continue;
        const G* from = g_.row(jobs[l].tile, row) + leaf.col;
        const int64_t used = std::min(leaf.cols, g_.cols - leaf.col);
        for (int64_t j = 0; j < used; ++j) g[(i * leaf.cols + j) * lanes + l] = static_cast<T>(from[j]);
      }
      const Place<T>& place = leaves_[static_cast<size_t>((jobs[l].tile - begin) * (plan_.root() + 1) + jobs[l].node)];
      out[l] = place.data;
      stride = place.stride;
    }
    T* scratch = work_.Take(kernels_.scratch(static_cast<int>(shape.rows), static_cast<int>(shape.cols)));
    kernels_.solve({static_cast<int>(shape.rows), static_cast<int>(shape.cols), g, word, bit, scratch,
                    static_cast<int>(count), out.data(), stride});
  }

  // The matrix of a node into `result`; `leaves`: those below it are solved.
  void SolveNode(int index, const Place<T>& result, bool leaves) {
    const MergeNode& node = plan_.node(index);
    const int64_t top = work_.top();
    if (!leaves && work_.Unit(node)) {
      SolveLeaves(index, tile_, tile_ + 1);
      leaves = true;
    }
    Merge<T> merge{};
    merge.node = &node;
    std::array<Place<T>, 2> places;
    for (size_t c = 0; c < 2; ++c) {
      if (node.child[c] < 0) continue;
      const bool leaf = plan_.node(node.child[c]).leaf();
      places[c] = leaf ? leaves_[static_cast<size_t>(slot_ + node.child[c])] : work_.TakeNode(node.child[c]);
      merge.child[c] = places[c].data;
      merge.child_stride[c] = places[c].stride;
    }
    for (size_t c = 0; c < 2; ++c) {
      if (node.child[c] >= 0 && !plan_.node(node.child[c]).leaf()) SolveNode(node.child[c], places[c], leaves);
    }
    const MergeKernels<T>& kernels = ActiveMergeKernels<T>();
    merge.factors = work_.Take(kernels.FactorSize(node.shared, node.ports));
    merge.out = result.data;
    merge.out_stride = result.stride;
    kernels.factor(merge);
    if (index == plan_.root()) {
      kernels.update_root(merge, plan_.first_sense(), 0, kernels.SharedRows(g_.rows));
    } else {
      kernels.update(merge, 0, kernels.SharedRows(node.ports));
    }
    work_.Release(top);
  }

  const MergePlan& plan_;
  const GridView<const G>& g_;
  const GridView<T>& out_;
  Work& work_;
  const LeafKernels<T>& kernels_ = ActiveLeafKernels<T>();
  int64_t tile_ = 0, slot_ = 0;
  std::vector<Place<T>> leaves_;  // [tiles of the group, nodes]
};

template <class T>
GridSolver<T>::GridSolver(int64_t rows, int64_t cols, const Wires& wires)
    : rows_(rows),
      cols_(cols),
      plan_((CheckShape("grid_solver", rows, cols, wires), rows), cols, wires, ActiveMergeKernels<T>().panel,
            ActiveMergeKernels<T>().vector) {}

template <class T>
GridSolver<T>::~GridSolver() = default;

template <class T>
template <class G>
void GridSolver<T>::EffectiveMatrix(const GridView<const G>& g, const GridView<T>& out) const {
  const char* op = "effective_matrix";
  if (g.rows != rows_ || g.cols != cols_) {
    Invalid(op, "g ([", g.tiles, ", ", g.rows, ", ", g.cols, "]) must have shape [tiles, ", rows_, ", ", cols_, "]");
  }
  if (out.tiles != g.tiles || out.rows != rows_ || out.cols != cols_) {
    Invalid(op, "out ([", out.tiles, ", ", out.rows, ", ", out.cols, "]) must have shape [", g.tiles, ", ", rows_, ", ",
            cols_, "]");
  }
  CheckConductances(op, g);
  const auto take = [&] {
    std::lock_guard<std::mutex> lock(mutex_);
    if (idle_.empty()) return std::make_unique<Work>(plan_);
    std::unique_ptr<Work> work = std::move(idle_.back());
    idle_.pop_back();
    return work;
  };
  std::unique_ptr<Work> first = take();
  const int64_t tiles = first->tiles();
  idle_.push_back(std::move(first));
  ParallelFor(g.tiles, tiles, [&](int64_t begin, int64_t end) {
    std::unique_ptr<Work> work = take();
    Task<G>(plan_, g, out, work.get()).Solve(begin, end);
    std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(work));
  });
}

template class GridSolver<float>;
template class GridSolver<double>;
template void GridSolver<float>::EffectiveMatrix(const GridView<const float>&, const GridView<float>&) const;
template void GridSolver<float>::EffectiveMatrix(const GridView<const double>&, const GridView<float>&) const;
template void GridSolver<double>::EffectiveMatrix(const GridView<const float>&, const GridView<double>&) const;
template void GridSolver<double>::EffectiveMatrix(const GridView<const double>&, const GridView<double>&) const;

}  // namespace memtorch
