// The plan of engine/grid/merge_plan.h as the kernels of grid.cu read it: tables of its blocks, level by level, and where
// everything lies in memory. All tiles of a batch do the same joints at the same time, one launch or two for each level.
#ifndef MEMTORCH_ENGINE_CUDA_GRID_PLAN_H_
#define MEMTORCH_ENGINE_CUDA_GRID_PLAN_H_

#include <cstdint>
#include <vector>

#include "engine/grid/merge_plan.h"

namespace memtorch::cuda {

// Rows of what a joint shares that are eliminated together.
constexpr int kSlab = 16;
// Joints of more rows than a limit are factored in panels of kPanel rows, each by many blocks of threads; others by one
// block, which is the cheaper way where a GPU has a block for each of many joints. Tiles of up to kOftenMany cells come
// many at a time as a rule; larger ones may be alone, and their last joints would then take as long as one block does.
// All by the shape of a grid, so that a tile's result does not depend on the batch.
constexpr int64_t kOftenMany = 128 * 128;
constexpr int kMostRowsOfOften = 128, kMostRowsOfLarge = 64;
constexpr int kPanel = 64;
constexpr int kPanelSide = 32;  // of the squares in which earlier panels are added

// Ports [from, from + size) of a child are [to, to + size) of the joint.
struct GridSegment {
  int32_t child, from, to, size;
};

// A leaf: at most 16 x 16 cells of the padded grid. Its matrix has both triangles, sides in the order of Side.
struct GridLeaf {
  int64_t out;  // where its matrix [ports, ports] lies in a tile's memory, elements
  int32_t row, col, rows, cols;
};

// A block that is joined from one or two others. Its matrix [ports, ports] has the upper triangle only. Its factors
// [rows, width], width = rows + ports, are the rows of what is shared: columns of what is shared, then the outer ones,
// each row times 1 / sqrt(pivot), which stands on the diagonal. Rows and columns from `shared` to `rows` are zero.
struct GridJoint {
  static constexpr int kMaxShared = 2, kMaxOuter = 6;

  int64_t out, factors;    // where they lie in a tile's memory, elements
  int64_t scratch;         // likewise, for the way back: [rows, width]
  int64_t panel;           // likewise, if in panels: one's own columns [kPanel, kPanel], and sums [squares, kPanel]
  int64_t child[2];        // the children's matrices
  int32_t child_ports[2];  // 0: there is no such child
  int32_t ports, shared, rows;
  int32_t shared_count, outer_count;
  GridSegment shared_segments[kMaxShared];
  GridSegment outer_segments[kMaxOuter];

  MT_HD int width() const { return rows + ports; }
};

// Joints whose children are of lower levels.
struct GridLevel {
  int first = 0, count = 0;            // in the table of joints
  int ports = 0, rows = 0, width = 0;  // most of any
  int child_ports = 0;
  bool in_panels = false;
};

class GridPlan {
 public:
  // `gradient`: all factors are kept, and blocks have room for what the way back needs.
  GridPlan(int64_t rows, int64_t cols, const Wires& wires, bool gradient);

  // Tables as they go into the GPU's memory: joints, leaves, word segments, bit segments.
  const std::vector<int32_t>& words() const { return words_; }
  int64_t joints_at() const { return 0; }  // bytes
  int64_t leaves_at() const { return leaves_at_; }
  int64_t word_segments_at() const { return word_segments_at_; }
  int64_t bit_segments_at() const { return bit_segments_at_; }

  const std::vector<GridLevel>& levels() const { return levels_; }  // the root is alone in the last
  int leaves() const { return leaves_; }
  int64_t cols() const { return cols_; }
  int64_t row_pad() const { return row_pad_; }
  const GridJoint& root() const { return root_; }   // ports: drivers, then senses
  int64_t tile_size() const { return tile_size_; }  // memory of a tile, elements

 private:
  class Builder;

  int64_t cols_;
  std::vector<int32_t> words_;
  int64_t leaves_at_ = 0, word_segments_at_ = 0, bit_segments_at_ = 0;
  std::vector<GridLevel> levels_;
  int leaves_ = 0;
  int64_t row_pad_ = 0, tile_size_ = 0;
  GridJoint root_{};
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_GRID_PLAN_H_
