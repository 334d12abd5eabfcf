#include "engine/grid/merge_plan.h"

#include <algorithm>

namespace memtorch {
namespace {

constexpr int64_t kSplitCells = 16384;  // a grid with fewer is one part
constexpr int64_t kPartCells = 4096;    // of a part, at least about

int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

int64_t Length(const MergeNode& block, Side side) { return side == kTop || side == kBottom ? block.cols : block.rows; }

// Rows or columns of the leaves of a grid with n of them.
int64_t LeafSide(int64_t n, int64_t vector) {
  const int64_t side = std::max(kLeastSide, vector);
  return n < side ? RoundUp(n, kLeafStep) : side;
}

// About half of n lines, a multiple of a leaf's.
int64_t Half(int64_t n, int64_t leaf) { return n / leaf / 2 * leaf; }

}  // namespace

MergePlan::MergePlan(int64_t rows, int64_t cols, const Wires& wires, int64_t panel, int64_t vector)
    : rows_(rows), cols_(cols), drive_both_(wires.drive_both), sense_both_(wires.sense_both) {
  // A driver on the right is one more column whose word segment is the source, a sense on top one more row.
  leaf_rows_ = LeafSide(rows + (sense_both_ ? 1 : 0), vector);
  leaf_cols_ = LeafSide(cols + (drive_both_ ? 1 : 0), vector);
  const int64_t padded_rows = RoundUp(rows + (sense_both_ ? 1 : 0), leaf_rows_);
  padded_cols_ = RoundUp(cols + (drive_both_ ? 1 : 0), leaf_cols_);
  row_pad_ = padded_rows - rows;
  MakeSegments(wires, padded_rows, padded_cols_);
  MergeNode all;
  all.rows = padded_rows;
  all.cols = padded_cols_;
  // Drivers before senses: the upper triangle then holds what lies between them.
  Order order{kLeft};
  if (drive_both_) order.push_back(kRight);
  order.push_back(kBottom);
  if (sense_both_) order.push_back(kTop);
  if (padded_rows == leaf_rows_ && padded_cols_ == leaf_cols_) {
    BuildLeaf(all, order, true);
  } else {
    Build(all, order);
  }
  MakeRoot(panel);
  for (MergeNode& block : nodes_) FindOrigins(&block, vector);
}

void MergePlan::MakeSegments(const Wires& wires, int64_t padded_rows, int64_t padded_cols) {
  // Beyond a second driver or sense the line goes on without resistance to the padded end, which is then its port.
  const double beyond_word = drive_both_ ? WireSiemens(0) : 0;
  const double beyond_bit = sense_both_ ? WireSiemens(0) : 0;
  word_segments_.assign(static_cast<size_t>(padded_cols), beyond_word);
  for (int64_t j = 1; j < cols_; ++j) word_segments_[static_cast<size_t>(j)] = WireSiemens(wires.word);
  word_segments_[0] = WireSiemens(wires.source);
  if (drive_both_) word_segments_[static_cast<size_t>(cols_)] = WireSiemens(wires.source);
  bit_segments_.assign(static_cast<size_t>(padded_rows), beyond_bit);
  for (int64_t i = row_pad_; i < padded_rows; ++i) bit_segments_[static_cast<size_t>(i)] = WireSiemens(wires.bit);
  bit_segments_.back() = WireSiemens(wires.load);
  if (sense_both_) bit_segments_[static_cast<size_t>(row_pad_ - 1)] = WireSiemens(wires.load);
}

std::vector<int> MergePlan::Parts(int count) const {
  std::vector<int> parts{root()};
  if (node(root()).rows * node(root()).cols < kSplitCells) return parts;
  const auto larger = [&](int a, int b) { return node(a).ports > node(b).ports; };
  while (static_cast<int>(parts.size()) < count) {
    const auto largest = std::min_element(parts.begin(), parts.end(), larger);
    const MergeNode& block = node(*largest);
    if (block.rows * block.cols < 2 * kPartCells) break;
    parts.erase(largest);
    parts.insert(parts.end(), block.child.begin(), block.child.end());
  }
  std::stable_sort(parts.begin(), parts.end(), larger);
  return parts;
}

bool MergePlan::Has(const MergeNode& block, Side side) const {
  if (side == kTop) return block.row > 0 || sense_both_;
  if (side == kRight) return block.col + block.cols < padded_cols_ || drive_both_;
  return true;
}

// Gives the block the ports of the sides in `order`, one after the other.
void MergePlan::Place(MergeNode* block, const Order& order) const {
  block->ports = 0;
  for (const Side side : order) {
    block->offset[side] = block->ports;
    block->ports += Length(*block, side);
  }
}

int MergePlan::Build(MergeNode block, const Order& order) {
  if (block.rows == leaf_rows_ && block.cols == leaf_cols_) return BuildLeaf(block, order, false);
  const bool across = block.rows == leaf_rows_ || (block.cols > leaf_cols_ && block.cols >= block.rows);
  MergeNode a = block, b = block;
  if (across) {
    a.cols = Half(block.cols, leaf_cols_);
    b.cols = block.cols - a.cols;
    b.col = block.col + a.cols;
  } else {
    a.rows = Half(block.rows, leaf_rows_);
    b.rows = block.rows - a.rows;
    b.row = block.row + a.rows;
  }
  const Side side_a = across ? kRight : kBottom;
  const Side side_b = across ? kLeft : kTop;
  const auto child_order = [&](const MergeNode& child, Side first) {
    Order sides{first};
    for (const Side side : order) {
      if (side != first && Has(child, side)) sides.push_back(side);
    }
    return sides;
  };
  block.child[0] = Build(a, child_order(a, side_a));
  block.child[1] = Build(b, child_order(b, side_b));
  Place(&block, order);
  Join(&block, order, side_a, side_b);
  return Keep(block);
}

int MergePlan::Keep(const MergeNode& block) {
  nodes_.push_back(block);
  return static_cast<int>(nodes_.size()) - 1;
}

int MergePlan::BuildLeaf(MergeNode block, const Order& order, bool root) {
  MergeNode leaf = block;
  Place(&leaf, {kTop, kLeft, kRight, kBottom});
  leaf.first = static_cast<int>(nodes_.size());
  const int index = Keep(leaf);
  if (!root && Has(block, kTop) && Has(block, kRight)) return index;
  // The open ends go.
  block.child[0] = block.first = index;
  Place(&block, order);
  for (const Side side : {kTop, kRight}) {
    if (Has(block, side)) continue;
    block.shared_segments.push_back({0, leaf.offset[side], block.shared, Length(block, side)});
    block.shared += Length(block, side);
  }
  for (const Side side : order) {
    block.outer_segments.push_back({0, leaf.offset[side], block.offset[side], Length(block, side)});
  }
  return Keep(block);
}

// The segments of a block that joins its child 0 along side_a with its child 1 along side_b.
void MergePlan::Join(MergeNode* block, const Order& order, Side side_a, Side side_b) {
  const MergeNode& a = node(block->child[0]);
  const MergeNode& b = node(block->child[1]);
  block->leaves = a.leaves + b.leaves;
  block->first = a.first;
  block->shared = Length(a, side_a);
  block->shared_segments = {{0, a.offset[side_a], 0, block->shared}, {1, b.offset[side_b], 0, block->shared}};
  for (const Side side : order) {
    int64_t to = block->offset[side];
    if (side != side_a) {  // side_a of the whole is that of child 1
      block->outer_segments.push_back({0, a.offset[side], to, Length(a, side)});
      to += Length(a, side);
    }
    if (side != side_b) block->outer_segments.push_back({1, b.offset[side], to, Length(b, side)});
  }
}

// The root's ports are those of the grid alone, and both ends of a line are one.
void MergePlan::MakeRoot(int64_t panel) {
  MergeNode& root = nodes_.back();
  first_sense_ = RoundUp(rows_, panel);
  std::vector<Segment> kept;
  for (Segment segment : root.outer_segments) {
    Side side = kTop;
    for (const Side candidate : {kTop, kLeft, kRight, kBottom}) {
      const int64_t first = root.offset[candidate];
      if (first >= 0 && segment.to >= first && segment.to < first + Length(root, candidate)) side = candidate;
    }
    const bool driver = side == kLeft || side == kRight;
    const int64_t line = segment.to - root.offset[side] - (driver ? row_pad_ : 0);
    const int64_t begin = std::max<int64_t>(line, 0);
    const int64_t end = std::min(line + segment.size, driver ? rows_ : cols_);
    if (begin >= end) continue;
    kept.push_back({segment.child, segment.from + begin - line, begin + (driver ? 0 : first_sense_), end - begin});
  }
  root.outer_segments = kept;
  root.ports = first_sense_ + cols_;
}

void MergePlan::FindOrigins(MergeNode* block, int64_t vector) const {
  if (block == &nodes_.back()) return;
  block->origins.assign(static_cast<size_t>((block->ports + vector - 1) / vector), {});
  for (const Segment& segment : block->outer_segments) {
    if (segment.to % vector != 0 || segment.size % vector != 0) {
      block->origins.clear();
      return;
    }
    for (int64_t j = 0; j < segment.size; j += vector) {
      block->origins[static_cast<size_t>((segment.to + j) / vector)] = {segment.child, segment.from + j};
    }
  }
}

}  // namespace memtorch
