#include "engine/grid/solver.h"

#include <algorithm>
#include <array>

#include "engine/grid/leaf_input.h"
#include "engine/grid/leaf_kernels.h"
#include "engine/grid/memory.h"
#include "engine/grid/merge_kernels.h"
#include "engine/parallel.h"

namespace memtorch {
namespace {

constexpr int64_t kSharedCells = 49152;  // a tile with fewer is solved by one thread
constexpr int kPartsOfThread = 4;        // that a tile is cut into, at least
constexpr int kUnitLeaves = 16;          // leaves that are solved together, before what stands on them
constexpr int64_t kPartRows = 48;        // of a joint, that one thread takes at a time; a multiple of every row block

// Where a node's matrix lies.
template <class T>
struct Place {
  T* data = nullptr;
  int64_t stride = 0;
};

}  // namespace

// Memory of one solution at a time, handed out like a stack.
template <class T>
class GridSolver<T>::Work {
 public:
  explicit Work(const MergePlan& plan) : plan_(plan), leaf_(ActiveLeafKernels<T>()), merge_(ActiveMergeKernels<T>()) {
    const MergeNode& root = plan.node(plan.root());
    tiles_ = root.leaves >= leaf_.lanes ? 1 : leaf_.lanes / root.leaves;
    size_ = Need(plan.root()) + (Unit(root) ? LeafNeed(plan.root()) * tiles_ : 0);
    memory_ = Allocate<T>(size_);
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

  // Room beside the stack.
  T* Parts(int64_t elements) {
    if (parts_size_ < elements) {
      parts_ = Allocate<T>(elements);
      parts_size_ = elements;
    }
    return parts_.get();
  }

  int64_t Rows(const MergeNode& node) const { return node.leaf() ? node.ports : merge_.SharedRows(node.ports); }
  int64_t Stride(int index) const {
    const MergeNode& node = plan_.node(index);
    if (index == plan_.root()) return merge_.Columns(node.ports - plan_.first_sense());
    return node.leaf() ? (node.ports + kMostLanes - 1) / kMostLanes * kMostLanes : merge_.Columns(node.ports);
  }

  int64_t NodeSize(int index) const { return Aligned<T>(Rows(plan_.node(index)) * Stride(index)); }

 private:
  // Of the leaves of a unit, with what solving them needs.
  int64_t LeafNeed(int unit) const {
    int64_t need = 0, solve = 0;
    for (int k = plan_.node(unit).first; k <= unit; ++k) {
      const MergeNode& leaf = plan_.node(k);
      if (!leaf.leaf()) continue;
      need += NodeSize(k);
      solve = std::max(solve, Aligned<T>(LeafInputSize(leaf, leaf_.lanes)) +
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

  const MergePlan& plan_;
  const LeafKernels<T>& leaf_;
  const MergeKernels<T>& merge_;
  int64_t tiles_, size_, top_ = 0, parts_size_ = 0;
  Memory<T> memory_, parts_;
};

// A workspace of the solver's, or a new one that becomes its own, for the time that this lives.
template <class T>
class GridSolver<T>::Lease {
 public:
  explicit Lease(const GridSolver& solver) : solver_(solver) {
    std::lock_guard<std::mutex> lock(solver_.mutex_);
    if (solver_.idle_.empty()) solver_.idle_.push_back(std::make_unique<Work>(solver_.plan_));
    work_ = std::move(solver_.idle_.back());
    solver_.idle_.pop_back();
  }
  ~Lease() {
    std::lock_guard<std::mutex> lock(solver_.mutex_);
    solver_.idle_.push_back(std::move(work_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  Work* get() const { return work_.get(); }
  Work* operator->() const { return work_.get(); }

 private:
  const GridSolver& solver_;
  std::unique_ptr<Work> work_;
};

// Solves tiles of a batch, or a part of one, in one workspace.
template <class T>
template <class G>
class GridSolver<T>::Task {
 public:
  Task(const MergePlan& plan, const GridView<const G>& g, const GridView<T>& out, Work* work)
      : plan_(plan), g_(g), out_(out), work_(*work) {}

  void Solve(int64_t begin, int64_t end) {
    const int root = plan_.root();
    solved_.assign(static_cast<size_t>((end - begin) * (root + 1)), {});
    const bool unit = work_.Unit(plan_.node(root));
    if (unit) SolveLeaves(root, begin, end);
    for (int64_t tile = begin; tile < end; ++tile) {
      tile_ = tile;
      slot_ = (tile - begin) * (root + 1);
      SolveRoot(unit);
    }
    work_.Release(0);
  }

  // The matrix of one subtree of a tile that is solved in parts.
  void SolveSubtree(int64_t tile, int index, const Place<T>& result) {
    solved_.assign(static_cast<size_t>(plan_.root() + 1), {});
    tile_ = tile;
    SolveNode(index, result, false);
    work_.Release(0);
  }

  // One tile, by all threads, whose subtrees `parts` are solved.
  void SolveAbove(int64_t tile, const std::vector<int>& parts, const std::vector<Place<T>>& places) {
    solved_.assign(static_cast<size_t>(plan_.root() + 1), {});
    for (size_t k = 0; k < parts.size(); ++k) solved_[static_cast<size_t>(parts[k])] = places[k];
    tile_ = tile;
    alone_ = true;
    SolveRoot(false);
    work_.Release(0);
  }

 private:
  void SolveRoot(bool leaves) {
    const int64_t top = work_.top();
    const Place<T> result = work_.TakeNode(plan_.root());
    SolveNode(plan_.root(), result, leaves);
    for (int64_t i = 0; i < g_.rows; ++i) std::copy_n(result.data + i * result.stride, g_.cols, out_.row(tile_, i));
    work_.Release(top);
  }

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
        solved_[static_cast<size_t>((tile - begin) * (plan_.root() + 1) + k)] = work_.TakeNode(k);
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
    T* input = work_.Take(LeafInputSize(shape, lanes));
    std::fill_n(input, LeafInputSize(shape, lanes), T(0));
    T* scratch = work_.Take(kernels_.scratch(static_cast<int>(shape.rows), static_cast<int>(shape.cols)));
    Leaves<T> leaves = LeavesOf(shape, input, lanes, static_cast<int64_t>(count), scratch);
    std::array<T*, kMostLanes> out{};
    for (size_t l = 0; l < count; ++l) {
      FillLane(plan_, plan_.node(jobs[l].node), g_, jobs[l].tile, static_cast<int64_t>(l), lanes, input);
      const Place<T>& place = solved_[static_cast<size_t>((jobs[l].tile - begin) * (plan_.root() + 1) + jobs[l].node)];
      out[l] = place.data;
      leaves.out_stride = place.stride;
    }
    leaves.out = out.data();
    kernels_.solve(leaves);
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
      const Place<T>* solved = Solved(node.child[c]);
      places[c] = solved != nullptr ? *solved : work_.TakeNode(node.child[c]);
      merge.child[c] = places[c].data;
      merge.child_stride[c] = places[c].stride;
    }
    for (size_t c = 0; c < 2; ++c) {
      const int child = node.child[c];
      if (child >= 0 && !plan_.node(child).leaf() && Solved(child) == nullptr) SolveNode(child, places[c], leaves);
    }
    merge.factors = work_.Take(joining_.FactorSize(node.shared, node.ports));
    merge.out = result.data;
    merge.out_stride = result.stride;
    Join(merge, index == plan_.root());
    work_.Release(top);
  }

  // Where a node's matrix lies if it was made before: a leaf's, or a subtree's that another thread solved.
  const Place<T>* Solved(int index) const {
    const Place<T>& place = solved_[static_cast<size_t>(slot_ + index)];
    return place.data == nullptr ? nullptr : &place;
  }

  // All of a joint; in parts for all threads if this task is alone.
  void Join(const Merge<T>& merge, bool root) {
    const int64_t rows = joining_.SharedRows(root ? g_.rows : merge.node->ports);
    const int64_t panels = joining_.Columns(merge.node->ports) / joining_.panel;
    InParts(joining_.SharedRows(merge.node->shared), joining_.row_block,
            [&](int64_t begin, int64_t end) { joining_.gather_outer(merge, begin, end); });
    joining_.factor(merge);
    InParts(panels, 1, [&](int64_t begin, int64_t end) { joining_.factor_outer(merge, begin, end); });
    InParts(rows, kPartRows, [&](int64_t begin, int64_t end) {
      if (root) {
        joining_.update_root(merge, plan_.first_sense(), begin, end);
      } else {
        joining_.update(merge, begin, end);
      }
    });
  }

  template <class Body>
  void InParts(int64_t n, int64_t grain, const Body& body) {
    if (alone_) {
      ParallelFor(n, grain, body);
    } else {
      body(0, n);
    }
  }

  const MergePlan& plan_;
  const GridView<const G>& g_;
  const GridView<T>& out_;
  Work& work_;
  const LeafKernels<T>& kernels_ = ActiveLeafKernels<T>();
  const MergeKernels<T>& joining_ = ActiveMergeKernels<T>();
  bool alone_ = false;
  int64_t tile_ = 0, slot_ = 0;
  std::vector<Place<T>> solved_;  // [tiles of the group, nodes]
};

template <class T>
GridSolver<T>::GridSolver(int64_t rows, int64_t cols, const Wires& wires)
    : rows_(rows),
      cols_(cols),
      wires_(wires),
      plan_((CheckGridShape("grid_solver", rows, cols, wires), rows), cols, wires, ActiveMergeKernels<T>().panel,
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
  const int64_t group = Lease(*this)->tiles();
  if ((g.tiles + group - 1) / group < NumThreads() &&
      plan_.node(plan_.root()).rows * plan_.node(plan_.root()).cols >= kSharedCells) {
    for (int64_t tile = 0; tile < g.tiles; ++tile) SolveSplit(g, out, tile);
    return;
  }
  ParallelFor(g.tiles, group, [&](int64_t begin, int64_t end) {
    const Lease work(*this);
    Task<G>(plan_, g, out, work.get()).Solve(begin, end);
  });
}

// One large tile: subtrees, then, all threads together, the joints above them. Subtrees at the open ends cost less than
// others: there are several for each thread, the largest first.
template <class T>
template <class G>
void GridSolver<T>::SolveSplit(const GridView<const G>& g, const GridView<T>& out, int64_t tile) const {
  const std::vector<int> parts = plan_.Parts(kPartsOfThread * NumThreads());
  std::vector<Place<T>> places;
  const Lease above(*this);
  int64_t size = 0;
  for (const int part : parts) size += above->NodeSize(part);
  T* next = above->Parts(size);
  for (const int part : parts) {
    places.push_back({next, above->Stride(part)});
    next += above->NodeSize(part);
  }
  ParallelFor(static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const Lease work(*this);
      Task<G>(plan_, g, out, work.get())
          .SolveSubtree(tile, parts[static_cast<size_t>(k)], places[static_cast<size_t>(k)]);
    }
  });
  Task<G>(plan_, g, out, above.get()).SolveAbove(tile, parts, places);
}

template class GridSolver<float>;
template class GridSolver<double>;
template void GridSolver<float>::EffectiveMatrix(const GridView<const float>&, const GridView<float>&) const;
template void GridSolver<float>::EffectiveMatrix(const GridView<const double>&, const GridView<float>&) const;
template void GridSolver<double>::EffectiveMatrix(const GridView<const float>&, const GridView<double>&) const;
template void GridSolver<double>::EffectiveMatrix(const GridView<const double>&, const GridView<double>&) const;

}  // namespace memtorch
