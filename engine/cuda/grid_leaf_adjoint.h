// The leaves of a grid backwards (engine/grid/adjoint_kernels.h), in shared memory like grid_leaf.h.
#ifndef MEMTORCH_ENGINE_CUDA_GRID_LEAF_ADJOINT_H_
#define MEMTORCH_ENGINE_CUDA_GRID_LEAF_ADJOINT_H_

#include "engine/cuda/grid_leaf.h"

namespace memtorch::cuda {

// Where element (i, j) of a symmetric matrix [n, n] stands: its upper triangle, row by row, with the diagonal.
MT_HD int HalfSquare(int i, int j, int n) {
  const int row = Least(i, j), col = i + j - row;
  return row * (2 * n - row + 1) / 2 + col - row;
}
MT_HD constexpr int HalfSquareSize(int n) { return n * (n + 1) / 2; }

// Shared memory, in elements: the rows of all levels stay; matrices and, later, h of two levels; w h of a level.
struct LeafAdjointMemory {
  static constexpr int kEven = 128 * HalfSquareSize(6);  // the most of pairs, 2 x 4, 4 x 8, 8 x 16
  static constexpr int kOdd = 64 * HalfSquareSize(8);    // of 2 x 2, 4 x 4, 8 x 8, 16 x 16
  static constexpr int kProduct = 1024;
  static constexpr int kRight = LeafMemory::kRight;  // and later w h w^T
  static constexpr int kInverse = LeafMemory::kInverse;
  static constexpr int kRows = LeafLevel<2, 2, false>::kRowsSize + LeafLevel<2, 4, true>::kRowsSize +
                               LeafLevel<4, 4, false>::kRowsSize + LeafLevel<4, 8, true>::kRowsSize +
                               LeafLevel<8, 8, false>::kRowsSize + LeafLevel<8, 16, true>::kRowsSize +
                               LeafLevel<16, 16, false>::kRowsSize;
};

// body(level) for the levels above pairs of cells, the last first.
template <class Body>
MT_HD void DownLeafLevels(const Body& body) {
  body(LeafLevel<16, 16, false>{});
  body(LeafLevel<8, 16, true>{});
  body(LeafLevel<8, 8, false>{});
  body(LeafLevel<4, 8, true>{});
  body(LeafLevel<4, 4, false>{});
  body(LeafLevel<2, 4, true>{});
  body(LeafLevel<2, 2, false>{});
}

// The outer columns of the rows of a level become w, the potentials of the shared nodes: back-substitution.
template <class Level, class T>
MT_HD void SubstituteLeafRows(const Block& block, LeafShape leaf, T* rows) {
  constexpr int kShared = Level::kShared, kWidth = Level::kWidth;
  block.Each(Level::Count(leaf) * Level::kPorts, [&](int e) {
    const T* factor = rows + e / Level::kPorts * kShared * kWidth;
    T* column = rows + e / Level::kPorts * kShared * kWidth + kShared + e % Level::kPorts;
    T x[kShared];
    MT_UNROLL
    for (int r = kShared - 1; r >= 0; --r) {
      x[r] = column[r * kWidth];
      MT_UNROLL
      for (int k = kShared - 1; k > r; --k) x[r] += factor[r * kWidth + k] * x[k];
      x[r] *= factor[r * kWidth + r];
      column[r * kWidth] = x[r];
    }
  });
}

// From the h of a level's blocks to those of the blocks that they were joined from.
template <class Level, class T>
MT_HD void DescendLeafLevel(const Block& block, LeafShape leaf, const T* rows, const T* h, T* product, T* inner,
                            T* below) {
  constexpr int kShared = Level::kShared, kWidth = Level::kWidth, kPorts = Level::kPorts;
  const int count = Level::Count(leaf);
  // w h
  block.Each(count * kPorts, [&](int e) {
    const int index = e / kPorts, col = e % kPorts, ports = Level::JointOf(leaf, index).whole.ports();
    if (col >= ports) return;
    const T* w = rows + index * kShared * kWidth + kShared;
    const T* from = h + index * HalfSquareSize(kPorts);
    T sum[kShared] = {};
    for (int k = 0; k < ports; ++k) {
      const T value = from[HalfSquare(k, col, ports)];
      MT_UNROLL
      for (int r = 0; r < kShared; ++r) sum[r] += w[r * kWidth + k] * value;
    }
    MT_UNROLL
    for (int r = 0; r < kShared; ++r) product[(index * kShared + r) * kPorts + col] = sum[r];
  });
  // w h w^T
  block.Each(count * kShared * kShared, [&](int e) {
    const int index = e / (kShared * kShared), row = e / kShared % kShared, col = e % kShared;
    if (col < row) return;
    const int ports = Level::JointOf(leaf, index).whole.ports();
    const T* left = product + (index * kShared + row) * kPorts;
    const T* right = rows + (index * kShared + col) * kWidth + kShared;
    T sum = 0;
    for (int k = 0; k < ports; ++k) sum += left[k] * right[k];
    inner[e] = inner[(index * kShared + col) * kShared + row] = sum;
  });
  constexpr int kPairs = HalfSquareSize(Level::kPartPorts);
  block.Each(2 * count * kPairs, [&](int e) {
    const int index = e / (2 * kPairs), c = e / kPairs % 2;
    const Pair pair = PairOf(e % kPairs, Level::kPartPorts);
    const LeafJoint joint = Level::JointOf(leaf, index);
    const int ports = joint.part[c].ports();
    if (c > joint.last() || pair.j >= ports) return;
    const int i = joint.Target(c, pair.i), j = joint.Target(c, pair.j);
    T value;
    if (i < 0 && j < 0) {
      value = inner[(index * kShared - 1 - i) * kShared - 1 - j];
    } else if (i < 0 || j < 0) {
      value = product[(index * kShared - 1 - Least(i, j)) * kPorts + (i < 0 ? j : i)];
    } else {
      value = h[index * HalfSquareSize(kPorts) + HalfSquare(i, j, joint.whole.ports())];
    }
    below[joint.child[c] * HalfSquareSize(Level::kPartPorts) + HalfSquare(pair.i, pair.j, ports)] = value;
  });
}

// From the h of pairs of cells to the gradient of their devices: out(row, col, value).
template <class T, class Cells, class Out>
MT_HD void DescendPairs(const Block& block, const LeafCells<T>& leaf, const Cells& cells, const T* h, const Out& out) {
  const int across = leaf.shape.cols / 2;
  block.Each(leaf.shape.rows * across, [&](int e) {
    const int i = e / across, j = e % across * 2;
    const T* pair = h + e * HalfSquareSize(6);
    enum { kTop0, kTop1, kLeftEnd, kRightEnd };
    const auto at = [&](int a, int b) { return pair[HalfSquare(a, b, 6)]; };
    out(i, j + 1, at(kTop1, kTop1) + at(kRightEnd, kRightEnd) - 2 * at(kTop1, kRightEnd));
    // The first device lies between its top port and the node in the middle, whose potential is a mean of three.
    const T before = static_cast<T>(leaf.word[j]), between = static_cast<T>(leaf.word[j + 1]);
    const T inverse = InverseOf(before + between + cells(i, j));
    const T left = before * inverse, right = between * inverse, top = -(left + right);
    out(i, j,
        left * left * at(kLeftEnd, kLeftEnd) + right * right * at(kRightEnd, kRightEnd) + top * top * at(kTop0, kTop0) +
            2 * (left * right * at(kLeftEnd, kRightEnd) + left * top * at(kTop0, kLeftEnd) +
                 right * top * at(kTop0, kRightEnd)));
  });
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_GRID_LEAF_ADJOINT_H_
