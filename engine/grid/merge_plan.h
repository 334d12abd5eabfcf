// The order in which a grid is put together from blocks of cells: nested bisection, planned once per shape.
//
// A block of cells is a network that the rest of the circuit touches at its ports alone, the nodes on its four sides.
// It is kept as the matrix of conductances between its ports. Two neighbours share the ports of the side where they
// meet; joining them adds their matrices and eliminates what they share. See docs in merge_kernels.h for the arithmetic.
#ifndef MEMTORCH_ENGINE_GRID_MERGE_PLAN_H_
#define MEMTORCH_ENGINE_GRID_MERGE_PLAN_H_

#include <array>
#include <cstdint>
#include <vector>

#include "engine/grid/grid.h"

namespace memtorch {

// Cell (i, j) owns the word segment to its left, its device and the bit segment below it. Ports of a block: top: b of
// its first row; left: w left of its first column; right: w of its last column; bottom: b below its last row.
enum Side : int { kTop, kLeft, kRight, kBottom };

// Ports [from, from + size) of a child are [to, to + size) of what they are copied to.
struct Segment {
  int child;
  int64_t from, to, size;
};

// Where a run of columns comes from.
struct Origin {
  int child = -1;  // -1: from none, zeros
  int64_t from = 0;
};

struct MergeNode {
  int64_t row = 0, col = 0, rows = 0, cols = 0;   // cells, of the padded grid
  std::array<int, 2> child{-1, -1};               // none: a leaf; one: open ends are eliminated
  std::array<int64_t, 4> offset{-1, -1, -1, -1};  // first port of each side; -1: the block has no such ports
  int64_t ports = 0;                              // columns of its matrix
  int64_t shared = 0;                             // ports that joining eliminates
  std::vector<Segment> shared_segments;           // to: [0, shared)
  std::vector<Segment> outer_segments;            // to: [0, ports)
  std::vector<Origin> origins;                    // of each `vector` outer columns; empty: some run has two
  int leaves = 1;                                 // in its subtree
  int first = 0;                                  // its subtree is the nodes from this one to itself

  bool leaf() const { return child[0] < 0; }
};

// All leaves of a grid have the same shape, at most kLeafSize rows and columns, in multiples of kLeafStep. Their sides are
// as long as a vector, and kLeastSide if that is longer: every run of ports then starts with a vector, and of many leaves
// each is in a lane. Cutting a grid of 144x144 into shapes of 8, 12 and 16, which needs less padding, took three times
// as long. Leaves hold both triangles of their matrix, sides in the order of Side. Other blocks hold the upper triangle,
// in an order of sides such that whoever joins them finds what it copies there without transposing.
constexpr int64_t kLeafSize = 16;
constexpr int64_t kLeafStep = 4;
constexpr int64_t kLeastSide = 8;

class MergePlan {
 public:
  // `panel`: the columns of the root's drivers and of its senses start at multiples of it. `vector`: columns that are
  // loaded together.
  MergePlan(int64_t rows, int64_t cols, const Wires& wires, int64_t panel, int64_t vector);

  const MergeNode& node(int index) const { return nodes_[static_cast<size_t>(index)]; }
  // The last node. Its ports: the drivers [0, rows), then from first_sense() on the senses [0, cols); both ends of a
  // line are one port.
  int root() const { return static_cast<int>(nodes_.size()) - 1; }
  int64_t first_sense() const { return first_sense_; }
  // Roots of `count` subtrees, or as many as there are large ones, that together hold all leaves; the largest first.
  std::vector<int> Parts(int count) const;

  // The padded grid: cell (i, j) of the grid is (i + row_pad(), j) there. What is added lies at the open ends.
  int64_t row_pad() const { return row_pad_; }
  // Conductance of the segment left of each padded column, below each padded row.
  const std::vector<double>& word_segments() const { return word_segments_; }
  const std::vector<double>& bit_segments() const { return bit_segments_; }

 private:
  using Order = std::vector<Side>;
  void MakeSegments(const Wires& wires, int64_t padded_rows, int64_t padded_cols);
  bool Has(const MergeNode& block, Side side) const;
  int Build(MergeNode block, const Order& order);
  int Keep(const MergeNode& block);
  int BuildLeaf(MergeNode block, const Order& order, bool root);
  void Place(MergeNode* block, const Order& order) const;
  void Join(MergeNode* block, const Order& order, Side side_a, Side side_b);
  void MakeRoot(int64_t panel);
  void FindOrigins(MergeNode* block, int64_t vector) const;

  int64_t rows_, cols_;
  bool drive_both_, sense_both_;
  int64_t leaf_rows_ = 0, leaf_cols_ = 0, row_pad_ = 0, padded_cols_ = 0, first_sense_ = 0;
  std::vector<double> word_segments_, bit_segments_;
  std::vector<MergeNode> nodes_;
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_MERGE_PLAN_H_
