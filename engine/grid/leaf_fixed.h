// The smallest blocks of a leaf, in the lanes of vectors: sizes known when this is compiled.
#ifndef MEMTORCH_ENGINE_GRID_LEAF_FIXED_H_
#define MEMTORCH_ENGINE_GRID_LEAF_FIXED_H_

#include "engine/grid/leaf_blocks.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {

// A block of kRows x kCols cells, at most kStep x kStep, put together from two halves.
template <int kRows, int kCols>
struct Fixed {
  static constexpr bool kAcross = kCols >= kRows;
  static constexpr int kHalfRows = kAcross ? kRows : kRows / 2, kHalfCols = kAcross ? kCols / 2 : kCols;
  static constexpr Shape kHalf{kHalfRows, kHalfCols};
  static constexpr Joint kJoint = kAcross ? JoinAcross(kHalf, kHalf) : JoinDown(kHalf, kHalf);
  static constexpr int kShared = kJoint.shared, kPorts = kJoint.whole.ports(), kWidth = kShared + kPorts;

  // Vectors of the scaled rows [kShared, kWidth] of this joint, then of those of each half.
  static constexpr int kKept = kShared * kWidth + 2 * Fixed<kHalfRows, kHalfCols>::kKept;
};
template <>
struct Fixed<1, 1> {
  static constexpr int kKept = 0;
};

// Everything is unrolled. With kKeep the scaled rows go to `kept`.
template <int kRows, int kCols, bool kKeep, class T>
MT_HD void JoinFixed(const Block<T>& first, const Block<T>& second, Vector<T>* n, Vector<T>* kept) {
  using V = Vector<T>;
  constexpr Joint joint = Fixed<kRows, kCols>::kJoint;
  constexpr int ports = joint.whole.ports(), shared = joint.shared;
  constexpr Origins<ports> origins(joint);
  V inner[shared][shared] = {}, x[shared][ports], y[shared][ports];
#pragma GCC unroll 16
  for (int k = 0; k < shared; ++k) {
#pragma GCC unroll 16
    for (int j = k + 1; j < shared; ++j) {
      inner[k][j] = *first.at(joint.from[0] + k, joint.from[0] + j) + *second.at(joint.from[1] + k, joint.from[1] + j);
    }
#pragma GCC unroll 16
    for (int j = 0; j < ports; ++j) {
      const Block<T>& child = origins.child[j] == 0 ? first : second;
      x[k][j] = *child.at(joint.from[origins.child[j]] + k, origins.port[j]);
    }
  }
#pragma GCC unroll 16
  for (int k = 0; k < shared; ++k) {
    V pivot = {};
#pragma GCC unroll 16
    for (int j = k + 1; j < shared; ++j) pivot += inner[k][j];
#pragma GCC unroll 16
    for (int j = 0; j < ports; ++j) pivot += x[k][j];
    const V inverse = Inverse<T>(pivot);
#pragma GCC unroll 16
    for (int j = 0; j < ports; ++j) y[k][j] = x[k][j] * inverse;
#pragma GCC unroll 16
    for (int q = k + 1; q < shared; ++q) {
      const V ratio = inner[k][q] * inverse;
#pragma GCC unroll 16
      for (int j = q + 1; j < shared; ++j) inner[q][j] += ratio * inner[k][j];
#pragma GCC unroll 16
      for (int j = 0; j < ports; ++j) x[q][j] += ratio * x[k][j];
      if (kKeep) kept[k * (shared + ports) + q] = ratio;
    }
  }
  if (kKeep) {
#pragma GCC unroll 16
    for (int k = 0; k < shared; ++k) {
#pragma GCC unroll 16
      for (int j = 0; j < ports; ++j) kept[k * (shared + ports) + shared + j] = y[k][j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ports; ++i) {
#pragma GCC unroll 16
    for (int j = i + 1; j < ports; ++j) {
      const Block<T>& child = origins.child[i] == 0 ? first : second;
      V sum = origins.child[i] == origins.child[j] ? *child.at(origins.port[i], origins.port[j]) : V{};
#pragma GCC unroll 16
      for (int k = 0; k < shared; ++k) sum += x[k][i] * y[k][j];
      n[i * ports + j] = sum;
    }
  }
}

// The block with its first cell at (row, col).
template <int kRows, int kCols, bool kKeep, class T>
void SolveFixed(const Leaves<T>& leaves, int row, int col, Vector<T>* n, Vector<T>* kept) {
  if constexpr (kRows * kCols == 1) {
    SetCell(leaves, row, col, n);
  } else {
    using Whole = Fixed<kRows, kCols>;
    constexpr int kHalfRows = Whole::kHalfRows, kHalfCols = Whole::kHalfCols;
    constexpr Shape half = Whole::kHalf;
    Vector<T> first[Square(half.ports())], second[Square(half.ports())];
    Vector<T>* kept_first = kKeep ? kept + Whole::kShared * Whole::kWidth : nullptr;
    Vector<T>* kept_second = kKeep ? kept_first + Fixed<kHalfRows, kHalfCols>::kKept : nullptr;
    SolveFixed<kHalfRows, kHalfCols, kKeep>(leaves, row, col, first, kept_first);
    SolveFixed<kHalfRows, kHalfCols, kKeep>(leaves, row + kRows - kHalfRows, col + kCols - kHalfCols, second,
                                            kept_second);
    JoinFixed<kRows, kCols, kKeep, T>({first, half}, {second, half}, n, kept);
  }
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_LEAF_FIXED_H_
