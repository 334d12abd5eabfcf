#include "engine/cuda/grid_plan.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace memtorch::cuda {
namespace {

constexpr int64_t kAlign = 32;  // elements: whole cache lines of the GPU

int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Places in a tile's memory, taken and given back while the levels are gone through.
class Arena {
 public:
  int64_t Take(int64_t elements) {
    const int64_t size = std::max<int64_t>(RoundUp(elements, kAlign), kAlign);
    for (auto& [place, room] : free_) {
      if (room < size) continue;
      const int64_t found = place, rest = room - size;
      free_.erase(found);
      if (rest > 0) free_[found + size] = rest;
      return found;
    }
    const int64_t found = size_;
    size_ += size;
    return found;
  }

  void GiveBack(int64_t place, int64_t elements) {
    int64_t size = std::max<int64_t>(RoundUp(elements, kAlign), kAlign);
    const auto next = free_.find(place + size);
    if (next != free_.end()) {
      size += next->second;
      free_.erase(next);
    }
    const auto after = free_.lower_bound(place);
    if (after != free_.begin() && std::prev(after)->first + std::prev(after)->second == place) {
      std::prev(after)->second += size;
    } else {
      free_[place] = size;
    }
  }

  int64_t size() const { return size_; }

 private:
  std::map<int64_t, int64_t> free_;  // size by place
  int64_t size_ = 0;
};

template <class T>
int64_t Append(const T* data, size_t count, std::vector<int32_t>* words) {
  static_assert(sizeof(T) % sizeof(int64_t) == 0, "tables stay aligned");
  const size_t at = words->size();
  words->resize(at + count * sizeof(T) / sizeof(int32_t));
  if (count > 0) std::memcpy(words->data() + at, data, count * sizeof(T));
  return static_cast<int64_t>(at * sizeof(int32_t));
}

}  // namespace

class GridPlan::Builder {
 public:
  // `most_rows`: of a joint that is not factored in panels.
  Builder(const MergePlan& plan, bool gradient, int most_rows, GridPlan* result)
      : plan_(plan), gradient_(gradient), most_rows_(most_rows), out_(*result) {}

  void Build() {
    SetHeights();
    std::vector<GridLeaf> leaves;
    for (int k = 0; k <= plan_.root(); ++k) {
      const MergeNode& node = plan_.node(k);
      if (!node.leaf()) continue;
      at(k) = arena_.Take(Square(k));
      leaves.push_back({at(k), Narrow(node.row), Narrow(node.col), Narrow(node.rows), Narrow(node.cols)});
    }
    std::vector<GridJoint> joints;
    for (int height = 1; height <= heights_.back(); ++height) AddLevel(height, &joints);
    out_.root_ = joints.back();
    Append(joints.data(), joints.size(), &out_.words_);
    out_.leaves_at_ = Append(leaves.data(), leaves.size(), &out_.words_);
    out_.word_segments_at_ = Append(plan_.word_segments().data(), plan_.word_segments().size(), &out_.words_);
    out_.bit_segments_at_ = Append(plan_.bit_segments().data(), plan_.bit_segments().size(), &out_.words_);
    out_.leaves_ = static_cast<int>(leaves.size());
    out_.row_pad_ = plan_.row_pad();
    out_.tile_size_ = arena_.size();
  }

 private:
  static int32_t Narrow(int64_t n) { return static_cast<int32_t>(n); }
  int64_t Square(int k) const { return plan_.node(k).ports * plan_.node(k).ports; }
  int64_t& at(int k) { return places_[static_cast<size_t>(k)]; }

  // Of a leaf 0, of a joint one more than of its higher child.
  void SetHeights() {
    places_.resize(static_cast<size_t>(plan_.root()) + 1);
    for (int k = 0; k <= plan_.root(); ++k) {
      int height = 0;
      for (const int child : plan_.node(k).child) {
        if (child >= 0) height = std::max(height, heights_[static_cast<size_t>(child)] + 1);
      }
      heights_.push_back(height);
    }
  }

  void AddLevel(int height, std::vector<GridJoint>* joints) {
    GridLevel level;
    level.first = static_cast<int>(joints->size());
    for (int k = 0; k <= plan_.root(); ++k) {
      if (heights_[static_cast<size_t>(k)] == height) level.rows = std::max(level.rows, RowsOf(k));
    }
    level.in_panels = level.rows > most_rows_;
    for (int k = 0; k <= plan_.root(); ++k) {
      if (heights_[static_cast<size_t>(k)] != height) continue;
      const GridJoint joint = JointOf(k, level.in_panels);
      joints->push_back(joint);
      ++level.count;
      level.ports = std::max(level.ports, joint.ports);
      level.width = std::max(level.width, joint.width());
      level.child_ports = std::max({level.child_ports, joint.child_ports[0], joint.child_ports[1]});
    }
    for (int j = level.first; j < level.first + level.count; ++j) {
      const GridJoint& joint = (*joints)[static_cast<size_t>(j)];
      for (size_t c = 0; c < 2; ++c) {
        const int64_t ports = joint.child_ports[c];
        if (ports > 0) arena_.GiveBack(joint.child[c], ports * ports);
      }
      const int64_t factors = static_cast<int64_t>(joint.rows) * joint.width();
      arena_.GiveBack(gradient_ ? joint.scratch : joint.factors, factors);
      if (level.in_panels) arena_.GiveBack(joint.panel, PanelSize(joint));
    }
    out_.levels_.push_back(level);
  }

  int32_t RowsOf(int k) const { return Narrow(RoundUp(plan_.node(k).shared, kSlab)); }
  static int64_t PanelSize(const GridJoint& joint) {
    return kPanel * (kPanel + RoundUp(joint.width(), kPanelSide) / kPanelSide);
  }

  GridJoint JointOf(int k, bool in_panels) {
    const MergeNode& node = plan_.node(k);
    GridJoint joint{};
    joint.ports = Narrow(node.ports);
    joint.shared = Narrow(node.shared);
    joint.rows = RowsOf(k);
    if (k != plan_.root() || gradient_) joint.out = at(k) = arena_.Take(Square(k));
    joint.factors = arena_.Take(static_cast<int64_t>(joint.rows) * joint.width());
    if (gradient_) joint.scratch = arena_.Take(static_cast<int64_t>(joint.rows) * joint.width());
    if (in_panels) joint.panel = arena_.Take(PanelSize(joint));
    for (size_t c = 0; c < 2; ++c) {
      if (node.child[c] < 0) continue;
      joint.child[c] = at(node.child[c]);
      joint.child_ports[c] = Narrow(plan_.node(node.child[c]).ports);
    }
    joint.shared_count = Copy(node.shared_segments, joint.shared_segments);
    joint.outer_count = Copy(node.outer_segments, joint.outer_segments);
    return joint;
  }

  static int32_t Copy(const std::vector<Segment>& from, GridSegment* to) {
    for (const Segment& s : from) *to++ = {s.child, Narrow(s.from), Narrow(s.to), Narrow(s.size)};
    return static_cast<int32_t>(from.size());
  }

  const MergePlan& plan_;
  const bool gradient_;
  const int most_rows_;
  GridPlan& out_;
  Arena arena_;
  std::vector<int> heights_;
  std::vector<int64_t> places_;
};

GridPlan::GridPlan(int64_t rows, int64_t cols, const Wires& wires, bool gradient) : cols_(cols) {
  // Senses follow drivers without a gap, and kernels find origins by themselves.
  const MergePlan plan(rows, cols, wires, 1, kLeafSize);
  Builder(plan, gradient, rows * cols > kOftenMany ? kMostRowsOfLarge : kMostRowsOfOften, this).Build();
}

}  // namespace memtorch::cuda
