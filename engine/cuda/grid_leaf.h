// The leaves of a grid, at most 16 x 16 cells, solved in shared memory by one block of threads each.
//
// Cells are joined in pairs, pairs to 2 x 2, and so on up to 16 x 16; all joints of a level at the same time. Blocks are
// aligned to their size, so that what is left at the right and at the bottom of a leaf is smaller, or passes a level as
// it is. The order of ports is top, left, right, bottom.
#ifndef MEMTORCH_ENGINE_CUDA_GRID_LEAF_H_
#define MEMTORCH_ENGINE_CUDA_GRID_LEAF_H_

#include "engine/cuda/grid_joint.h"

namespace memtorch::cuda {

struct LeafShape {
  int rows, cols;

  MT_HD int ports() const { return 2 * (rows + cols); }
  MT_HD int left() const { return cols; }
  MT_HD int right() const { return cols + rows; }
  MT_HD int bottom() const { return cols + 2 * rows; }
};

// The port of a child.
struct LeafPort {
  int child, port;
};

// Two blocks side by side (across) or one above the other; the second may be empty.
struct LeafJoint {
  bool across;
  LeafShape whole, part[2];
  int child[2];  // their places in the level below

  MT_HD int last() const { return part[1].rows * part[1].cols > 0 ? 1 : 0; }
  MT_HD int shared() const { return last() == 0 ? 0 : across ? whole.rows : whole.cols; }
  // First shared port of each child.
  MT_HD int from(int c) const {
    if (across) return c == 0 ? part[0].right() : part[1].left();
    return c == 0 ? part[0].bottom() : 0;
  }

  MT_HD LeafPort Origin(int j) const {
    if (j < whole.left()) return across && j >= part[0].cols ? LeafPort{1, j - part[0].cols} : LeafPort{0, j};
    if (j >= whole.bottom()) {
      j -= whole.bottom();
      if (!across) return {last(), part[last()].bottom() + j};
      return j < part[0].cols ? LeafPort{0, part[0].bottom() + j} : LeafPort{1, part[1].bottom() + j - part[0].cols};
    }
    const bool is_left = j < whole.right();
    j -= is_left ? whole.left() : whole.right();
    if (across) return is_left ? LeafPort{0, part[0].left() + j} : LeafPort{last(), part[last()].right() + j};
    const int c = j < part[0].rows ? 0 : 1;
    return {c, (is_left ? part[c].left() : part[c].right()) + (c == 0 ? j : j - part[0].rows)};
  }

  // The other way round: what is shared is -1 - its index.
  MT_HD int Target(int c, int port) const {
    const LeafShape& shape = part[c];
    const int right = across && c == 1 ? part[0].cols : 0, down = !across && c == 1 ? part[0].rows : 0;
    if (port < shape.left()) return !across && c == 1 ? -1 - port : right + port;
    if (port < shape.right()) {
      const int i = port - shape.left();
      return across && c == 1 ? -1 - i : whole.left() + down + i;
    }
    if (port < shape.bottom()) {
      const int i = port - shape.right();
      return across && c < last() ? -1 - i : whole.right() + down + i;
    }
    const int j = port - shape.bottom();
    return !across && c < last() ? -1 - j : whole.bottom() + right + j;
  }
};

// One level: blocks of kRows x kCols from two of half the size.
template <int kRows, int kCols, bool kAcross>
struct LeafLevel {
  static constexpr int kShared = kAcross ? kRows : kCols;
  static constexpr int kPorts = 2 * (kRows + kCols);
  static constexpr int kWidth = kShared + kPorts;  // of the rows of what is shared
  static constexpr int kPartRows = kAcross ? kRows : kRows / 2, kPartCols = kAcross ? kCols / 2 : kCols;
  static constexpr int kPartPorts = 2 * (kPartRows + kPartCols);
  static constexpr int kMost = 256 / (kRows * kCols);  // joints
  static constexpr int kRowsSize = kMost * kShared * kWidth;

  MT_HD static int Across(LeafShape leaf) { return (leaf.cols + kCols - 1) / kCols; }
  MT_HD static int Count(LeafShape leaf) { return (leaf.rows + kRows - 1) / kRows * Across(leaf); }
  MT_HD static LeafJoint JointOf(LeafShape leaf, int index) {
    const int across = Across(leaf), i = index / across, j = index % across;
    LeafJoint joint{};
    joint.across = kAcross;
    joint.whole = {Least(kRows, leaf.rows - i * kRows), Least(kCols, leaf.cols - j * kCols)};
    joint.part[0] = {Least(kPartRows, joint.whole.rows), Least(kPartCols, joint.whole.cols)};
    if (kAcross) {
      joint.part[1] = {joint.whole.rows, joint.whole.cols - joint.part[0].cols};
      joint.child[0] = i * ((leaf.cols + kPartCols - 1) / kPartCols) + 2 * j;
      joint.child[1] = joint.child[0] + 1;
    } else {
      joint.part[1] = {joint.whole.rows - joint.part[0].rows, joint.whole.cols};
      joint.child[0] = 2 * i * across + j;
      joint.child[1] = joint.child[0] + across;
    }
    return joint;
  }
};

// body(level) for the levels above pairs of cells, in order.
template <class Body>
MT_HD void UpLeafLevels(const Body& body) {
  body(LeafLevel<2, 2, false>{});
  body(LeafLevel<2, 4, true>{});
  body(LeafLevel<4, 4, false>{});
  body(LeafLevel<4, 8, true>{});
  body(LeafLevel<8, 8, false>{});
  body(LeafLevel<8, 16, true>{});
  body(LeafLevel<16, 16, false>{});
}

// Where element (i, j), i != j, of a matrix [n, n] stands: its upper triangle, row by row, without the diagonal.
MT_HD int Triangle(int i, int j, int n) {
  const int row = Least(i, j), col = i + j - row;
  return row * (2 * n - row - 1) / 2 + col - row - 1;
}
MT_HD constexpr int TriangleSize(int n) { return n * (n - 1) / 2; }

// Shared memory of a leaf, in elements: matrices of two levels, rows of what a level shares, right sums, inverses.
struct LeafMemory {
  static constexpr int kEven = 2 * TriangleSize(48);  // pairs, 2 x 4, 4 x 8, 8 x 16
  static constexpr int kOdd = 4 * TriangleSize(32);   // 2 x 2, 4 x 4, 8 x 8
  static constexpr int kRows = LeafLevel<16, 16, false>::kRowsSize;
  static constexpr int kRight = 256;
  static constexpr int kInverse = 128;
};

// A block of cells of one tile, as it is loaded.
template <class T>
struct LeafCells {
  LeafShape shape;
  const double* word;  // segments left of each column
  const double* bit;   // segments below each row
};

// The matrices of all pairs of cells: in a pair, only the node between them is not a port.
template <class T, class Cells>
MT_HD void SolvePairs(const Block& block, const LeafCells<T>& leaf, const Cells& cells, T* out) {
  const int across = leaf.shape.cols / 2;
  block.Each(leaf.shape.rows * across, [&](int e) {
    const int i = e / across, j = e % across * 2;
    const T before = static_cast<T>(leaf.word[j]), between = static_cast<T>(leaf.word[j + 1]);
    const T bit = static_cast<T>(leaf.bit[i]);
    const T g = cells(i, j);
    const T inverse = InverseOf(before + between + g);
    T* n = out + e * TriangleSize(6);
    enum { kTop0, kTop1, kLeftEnd, kRightEnd, kBottom0, kBottom1 };
    for (int k = 0; k < TriangleSize(6); ++k) n[k] = 0;
    n[Triangle(kLeftEnd, kRightEnd, 6)] = before * (between * inverse);
    n[Triangle(kTop0, kLeftEnd, 6)] = g * (before * inverse);
    n[Triangle(kTop0, kRightEnd, 6)] = g * (between * inverse);
    n[Triangle(kTop1, kRightEnd, 6)] = cells(i, j + 1);
    n[Triangle(kTop0, kBottom0, 6)] = n[Triangle(kTop1, kBottom1, 6)] = bit;
  });
}

// The rows of what each joint of a level shares, from the level below: conductances among themselves, right of the
// diagonal, and to the outer ports. Joints that share less than kShared have rows of zeros.
template <class Level, class T>
MT_HD void GatherLeafRows(const Block& block, LeafShape leaf, const T* below, T* rows) {
  block.Each(Level::Count(leaf) * Level::kWidth, [&](int e) {
    const int index = e / Level::kWidth, col = e % Level::kWidth, outer = col - Level::kShared;
    const LeafJoint joint = Level::JointOf(leaf, index);
    const T* child[2];
    for (int c = 0; c < 2; ++c) child[c] = below + joint.child[c] * TriangleSize(Level::kPartPorts);
    const int shared = joint.shared();
    LeafPort origin{0, 0};
    if (outer >= 0 && outer < joint.whole.ports()) origin = joint.Origin(outer);
    for (int r = 0; r < Level::kShared; ++r) {
      T value = 0;
      if (outer >= 0) {
        if (r < shared && outer < joint.whole.ports()) {
          value = child[origin.child]
                       [Triangle(joint.from(origin.child) + r, origin.port, joint.part[origin.child].ports())];
        }
      } else if (r < col && col < shared) {
        for (int c = 0; c < 2; ++c) {
          value += child[c][Triangle(joint.from(c) + r, joint.from(c) + col, joint.part[c].ports())];
        }
      }
      rows[(index * Level::kShared + r) * Level::kWidth + col] = value;
    }
  });
}

// The elimination of those rows. Right sums as EliminateSlab has them, beside the rows.
template <class Level, class T>
MT_HD void FactorLeafRows(const Block& block, LeafShape leaf, T* rows, T* right, T* inverse) {
  constexpr int kShared = Level::kShared, kWidth = Level::kWidth;
  const int count = Level::Count(leaf);
  block.Each(count * kShared, [&](int e) {
    const T* row = rows + e * kWidth;
    T part[4] = {};
    for (int j = kShared; j < kWidth; j += 4) {
      for (int p = 0; p < 4; ++p) part[p] += row[j + p];
    }
    T sum = (part[0] + part[1]) + (part[2] + part[3]);
    for (int col = kShared - 1; col >= e % kShared; --col) {
      right[e * kShared + col] = sum;
      sum += row[col];
    }
    if (e % kShared == 0) inverse[e] = InverseOf(right[e * kShared]);
  });
  for (int k = 0; k + 1 < kShared; ++k) {
    block.Each(count * kShared * 2 * kShared, [&](int e) {
      const int index = e / (2 * kShared * kShared), row = e / (2 * kShared) % kShared, col = e % kShared;
      const bool is_right = e / kShared % 2 == 1;
      if (row <= k || (is_right ? col < row : col <= row)) return;
      const T* pivot = rows + (index * kShared + k) * kWidth;
      const T ratio = pivot[row] * inverse[index * kShared + k];
      if (!is_right) {
        rows[(index * kShared + row) * kWidth + col] += ratio * pivot[col];
        return;
      }
      T& sum = right[(index * kShared + row) * kShared + col];
      sum += ratio * right[(index * kShared + k) * kShared + col];
      if (row == k + 1 && col == row) inverse[index * kShared + row] = InverseOf(sum);
    });
  }
  block.Each(count * kShared * kShared, [&](int e) {
    const int row = e / kShared % kShared, col = e % kShared;
    const T root = RootOf(inverse[e / kShared]);
    T& value = rows[e / kShared * kWidth + col];
    value = row == col ? root : row < col ? value * root : T(0);
  });
  block.Each(count * Level::kPorts, [&](int e) {
    T* column = rows + e / Level::kPorts * kShared * kWidth;
    const T* factor = column;
    column += kShared + e % Level::kPorts;
    T x[kShared];
    MT_UNROLL
    for (int r = 0; r < kShared; ++r) x[r] = column[r * kWidth];
    MT_UNROLL
    for (int k = 0; k < kShared; ++k) {
      x[k] *= factor[k * kWidth + k];
      MT_UNROLL
      for (int r = k + 1; r < kShared; ++r) x[r] += factor[k * kWidth + r] * x[k];
      column[k * kWidth] = x[k];
    }
  });
}

// The matrices of a level: sink(joint, index, i, j, value), i < j.
template <class Level, class T, class Sink>
MT_HD void LeafProducts(const Block& block, LeafShape leaf, const T* below, const T* rows, const Sink& sink) {
  constexpr int kShared = Level::kShared, kWidth = Level::kWidth, kSquares = Level::kPorts / 4;
  constexpr int kPairs = kSquares * (kSquares + 1) / 2;
  block.Each(Level::Count(leaf) * kPairs, [&](int e) {
    const int index = e / kPairs;
    const Pair pair = PairOf(e % kPairs, kSquares);
    const LeafJoint joint = Level::JointOf(leaf, index);
    if (4 * pair.j >= joint.whole.ports()) return;
    T sum[4][4];
    LeafPort row[4], col[4];
    MT_UNROLL
    for (int r = 0; r < 4; ++r) {
      row[r] = joint.Origin(4 * pair.i + r);
      col[r] = joint.Origin(4 * pair.j + r);
    }
    MT_UNROLL
    for (int r = 0; r < 4; ++r) {
      MT_UNROLL
      for (int c = 0; c < 4; ++c) {
        const int child = row[r].child;
        const bool has = child == col[c].child && row[r].port != col[c].port;
        sum[r][c] = has ? below[joint.child[child] * TriangleSize(Level::kPartPorts) +
                                Triangle(row[r].port, col[c].port, joint.part[child].ports())]
                        : T(0);
      }
    }
    const T* x = rows + index * kShared * kWidth + kShared + 4 * pair.i;
    const T* y = rows + index * kShared * kWidth + kShared + 4 * pair.j;
    for (int k = 0; k < kShared; ++k) {
      MT_UNROLL
      for (int r = 0; r < 4; ++r) {
        MT_UNROLL
        for (int c = 0; c < 4; ++c) sum[r][c] += x[k * kWidth + r] * y[k * kWidth + c];
      }
    }
    MT_UNROLL
    for (int r = 0; r < 4; ++r) {
      MT_UNROLL
      for (int c = 0; c < 4; ++c) {
        if (4 * pair.i + r < 4 * pair.j + c) sink(joint, index, 4 * pair.i + r, 4 * pair.j + c, sum[r][c]);
      }
    }
  });
}

// One level into shared memory.
template <class Level, class T>
MT_HD void StoreLeafProducts(const Block& block, LeafShape leaf, const T* below, const T* rows, T* out) {
  LeafProducts<Level>(block, leaf, below, rows, [&](const LeafJoint& joint, int index, int i, int j, T value) {
    out[index * TriangleSize(Level::kPorts) + Triangle(i, j, joint.whole.ports())] = value;
  });
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_GRID_LEAF_H_
