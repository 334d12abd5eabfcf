// What the leaves of a grid are made of, as their kernels take it.
#ifndef MEMTORCH_ENGINE_GRID_LEAF_INPUT_H_
#define MEMTORCH_ENGINE_GRID_LEAF_INPUT_H_

#include <algorithm>

#include "engine/grid/leaf_kernels.h"
#include "engine/grid/merge_plan.h"

namespace memtorch {

// Elements that leaves of a shape hold in `lanes` lanes: devices, then word and bit segments.
inline int64_t LeafInputSize(const MergeNode& leaf, int64_t lanes) {
  return (leaf.rows * leaf.cols + leaf.rows + leaf.cols) * lanes;
}

// Calls body(row of the leaf, row of the grid, column of the grid, cells) for the rows of a leaf that are not padding;
// nor are their first `cells` cells.
template <class Body>
void ForEachRow(const MergePlan& plan, const MergeNode& leaf, int64_t cols, const Body& body) {
  const int64_t used = std::min(leaf.cols, cols - leaf.col);
  for (int64_t i = std::max<int64_t>(0, plan.row_pad() - leaf.row); i < leaf.rows; ++i) {
    body(i, leaf.row + i - plan.row_pad(), leaf.col, used);
  }
}

// Calls body(cell of the leaf, row, column of the grid) for the cells of a leaf that are not padding.
template <class Body>
void ForEachCell(const MergePlan& plan, const MergeNode& leaf, int64_t cols, const Body& body) {
  ForEachRow(plan, leaf, cols, [&](int64_t i, int64_t row, int64_t col, int64_t used) {
    for (int64_t j = 0; j < used; ++j) body(i * leaf.cols + j, row, col + j);
  });
}

// One leaf into its lane; `input` [LeafInputSize()] was zero.
template <class T, class G>
void FillLane(const MergePlan& plan, const MergeNode& leaf, const GridView<const G>& g, int64_t tile, int64_t lane,
              int64_t lanes, T* input) {
  ForEachCell(plan, leaf, g.cols, [&](int64_t cell, int64_t i, int64_t j) {
    input[cell * lanes + lane] = static_cast<T>(g.row(tile, i)[j]);
  });
  T* word = input + leaf.rows * leaf.cols * lanes;
  T* bit = word + leaf.cols * lanes;
  for (int64_t j = 0; j < leaf.cols; ++j) {
    word[j * lanes + lane] = static_cast<T>(plan.word_segments()[static_cast<size_t>(leaf.col + j)]);
  }
  for (int64_t i = 0; i < leaf.rows; ++i) {
    bit[i * lanes + lane] = static_cast<T>(plan.bit_segments()[static_cast<size_t>(leaf.row + i)]);
  }
}

// Leaves of one shape whose lanes are filled.
template <class T>
Leaves<T> LeavesOf(const MergeNode& shape, const T* input, int64_t lanes, int64_t count, T* scratch) {
  Leaves<T> leaves{};
  leaves.rows = static_cast<int>(shape.rows);
  leaves.cols = static_cast<int>(shape.cols);
  leaves.g = input;
  leaves.word = input + shape.rows * shape.cols * lanes;
  leaves.bit = leaves.word + shape.cols * lanes;
  leaves.scratch = scratch;
  leaves.count = static_cast<int>(count);
  return leaves;
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_LEAF_INPUT_H_
