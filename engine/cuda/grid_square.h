// Squares of what joining two blocks adds up: what they have between lines of the joint, and what eliminated rows add.
//
// Lines of a joint are the columns of its factors: rows of what is shared, then outer ports.
#ifndef MEMTORCH_ENGINE_CUDA_GRID_SQUARE_H_
#define MEMTORCH_ENGINE_CUDA_GRID_SQUARE_H_

#include "engine/cuda/grid_joint.h"
#include "engine/cuda/product_square.h"

namespace memtorch::cuda {

// A line as a port of a child.
template <class T>
struct LineOrigin {
  const T* row;  // of the child's matrix
  int child, port;
};

// Where a line comes from: at most kOrigins ports of children, else of child -1. Children share rows, and the root has
// both ends of a line of the grid as one port: two each. Outer ports of other joints are one port of a child.
template <int kOrigins, class T>
MT_HD void FindOrigins(const GridJoint& joint, const T* tile, int line, LineOrigin<T>* origins) {
  const bool outer = line >= joint.rows;
  const GridSegment* const segments = outer ? joint.outer_segments : joint.shared_segments;
  const int count = outer ? joint.outer_count : joint.shared_count;
  if (outer) line -= joint.rows;
  for (int o = 0; o < kOrigins; ++o) origins[o] = {nullptr, -1, 0};
  int found = 0;
  for (int s = 0; s < count; ++s) {
    const GridSegment segment = segments[s];
    if (line < segment.to || line >= segment.to + segment.size || found == kOrigins) continue;
    const int port = segment.from + line - segment.to, ports = joint.child_ports[segment.child];
    origins[found++] = {tile + joint.child[segment.child] + static_cast<int64_t>(port) * ports, segment.child, port};
  }
}

// What the children have between two lines, the first of them the lower one.
template <int kOrigins, class T>
MT_HD T FromChildren(const LineOrigin<T>* row, const LineOrigin<T>* col) {
  T sum = 0;
  MT_UNROLL
  for (int a = 0; a < kOrigins; ++a) {
    MT_UNROLL
    for (int b = 0; b < kOrigins; ++b) {
      if (row[a].child >= 0 && row[a].child == col[b].child) sum += row[a].row[col[b].port];
    }
  }
  return sum;
}

// Lines from first_row and from first_col on, of the former those below `rows`: out(row, col, &sum), row < col, with what
// the first `depth` rows of the factors add. Sums stay in shared memory as ProductSquare has them, zero where there is
// none.
template <class T, int kSide, int kOrigins>
struct JointSquare {
  using Square = ProductSquare<T, kSide>;
  static constexpr int kThreads = Square::kThreads, kBlocks = Square::kBlocks;
  static constexpr int64_t kSharedBytes =
      Square::kSharedBytes + 2 * kSide * kOrigins * static_cast<int64_t>(sizeof(LineOrigin<T>));

  template <class Out>
  MT_HD static void ForEach(const Block& block, const GridJoint& joint, const T* tile, int first_row, int first_col,
                            int rows, int depth, const Out& out) {
    const T* const factors = tile + joint.factors;
    const int width = joint.width();
    LineOrigin<T>* const origins = block.Shared<LineOrigin<T>>(Square::kSharedBytes);
    block.Each(2 * kSide, [&](int e) {
      FindOrigins<kOrigins>(joint, tile, e < kSide ? first_row + e : first_col + e - kSide, origins + e * kOrigins);
    });
    Square square;
    square.Clear(block);
    square.AddProduct(block, depth, Operand<T, false>{factors + first_row, width, width - first_row},
                      Operand<T, false>{factors + first_col, width, width - first_col});
    square.ForEachSum(block, [&](int r, int c, T* sum) {
      const int row = first_row + r, col = first_col + c;
      if (row < rows && row < col && col < width) {
        *sum += FromChildren<kOrigins>(origins + r * kOrigins, origins + (kSide + c) * kOrigins);
        out(row, col, sum);
      } else {
        *sum = 0;
      }
    });
  }
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_GRID_SQUARE_H_
