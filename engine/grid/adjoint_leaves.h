// The gradient of leaves, in the lanes of vectors.
#ifndef MEMTORCH_ENGINE_GRID_ADJOINT_LEAVES_H_
#define MEMTORCH_ENGINE_GRID_ADJOINT_LEAVES_H_

#include "engine/grid/adjoint_kernels.h"
#include "engine/grid/leaf_rows.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {

// The h of a block in lanes, upper triangle, has rows an odd number of vectors apart: a column is spread over the cache.
constexpr int OddStride(int ports) { return ports | 1; }
constexpr int64_t VectorsOfH(int ports) { return static_cast<int64_t>(ports) * OddStride(ports); }

// From h of a block to what its halves' are made of. rows [shared, shared + ports] are the scaled rows
// of the joint and become w in their outer columns; out likewise becomes w h w^T, upper triangle, then w h.
template <int kA, int kB, class T>
MT_HD void Unjoin(int shared, int ports, Vector<T>* rows, const Vector<T>* h, Vector<T>* out) {
  using V = Vector<T>;
  const int width = shared + ports, stride = OddStride(ports);
  BackSubstituteTiles<kA, kB, T>(shared, width, rows);
  const V* w = rows + shared;
  for (int j = 0; j < ports; j += kB) {
    for (int k = 0; k < shared; k += kA) {
      V sum[kA][kB] = {};
      AddLanes<kA, kB, T>(w + k * width, width, h + j, stride, 1, j, sum);
#pragma GCC unroll 4
      for (int e = 0; e < kB; ++e) {
#pragma GCC unroll 4
        for (int b = 0; b < kB; ++b) {
          const V value = e < b ? h[(j + e) * stride + j + b] : h[(j + b) * stride + j + e];
#pragma GCC unroll 4
          for (int a = 0; a < kA; ++a) sum[a][b] += w[(k + a) * width + j + e] * value;
        }
      }
      AddLanes<kA, kB, T>(w + k * width + j + kB, width, h + j * stride + j + kB, 1, stride, ports - j - kB, sum);
      for (int a = 0; a < kA; ++a) {
        for (int b = 0; b < kB; ++b) out[(k + a) * width + shared + j + b] = sum[a][b];
      }
    }
  }
  for (int k = 0; k < shared; k += kA) {
    for (int l = k; l < shared; l += kA) {
      V sum[kA][kA] = {};
      AddLanes<kA, kA, T>(out + k * width + shared, width, w + l * width, 1, width, ports, sum);
      for (int a = 0; a < kA; ++a) {
        for (int b = 0; b < kA; ++b) out[(k + a) * width + l + b] = sum[a][b];
      }
    }
  }
}

// Element (a, b) of the h of a joint's halves, by columns of its rows.
template <class T>
MT_HD Vector<T> Element(int shared, int ports, const Vector<T>* h, const Vector<T>* out, int a, int b) {
  const int first = a < b ? a : b, last = a < b ? b : a;
  return first < shared ? out[first * (shared + ports) + last] : h[(first - shared) * OddStride(ports) + last - shared];
}

// Where the ports of a half stand in the columns of a joint's rows.
template <int kPorts>
struct Columns {
  int at[kPorts] = {};

  constexpr Columns(const Joint& joint, int child) {
    for (int k = 0; k < joint.shared; ++k) at[joint.from[child] + k] = k;
    for (int p = 0; p < joint.count; ++p) {
      const Piece& piece = joint.pieces[p];
      if (piece.child != child) continue;
      for (int j = 0; j < piece.size; ++j) at[piece.from + j] = joint.shared + piece.to + j;
    }
  }
};

// From h of a block of kRows x kCols cells to the gradient of its cells.
template <int kRows, int kCols, class T>
void DescendFixed(const LeafAdjoint<T>& leaf, int row, int col, Vector<T>* kept, const Vector<T>* h) {
  using V = Vector<T>;
  using Whole = Fixed<kRows, kCols>;
  constexpr int shared = Whole::kShared, ports = Whole::kPorts, half = Whole::kHalf.ports();
  constexpr int kA = shared < kTileRows ? shared : kTileRows, kB = ports % 4 == 0 ? 4 : 2;
  V out[shared * Whole::kWidth];
  Unjoin<kA, kB, T>(shared, ports, kept, h, out);
#pragma GCC unroll 2
  for (int c = 0; c < 2; ++c) {
    constexpr Columns<half> columns[2] = {{Whole::kJoint, 0}, {Whole::kJoint, 1}};
    const int* at = columns[c].at;
    const int child_row = c == 0 ? row : row + kRows - Whole::kHalfRows;
    const int child_col = c == 0 ? col : col + kCols - Whole::kHalfCols;
    const auto element = [&](int i, int j) { return Element<T>(shared, ports, h, out, at[i], at[j]); };
    if constexpr (Whole::kHalf.cells() == 1) {
      constexpr int top = 0, right = Whole::kHalf.right();
      AsVector(leaf.gradient)[child_row * leaf.leaves.cols + child_col] =
          element(top, top) + element(right, right) - T(2) * element(top, right);
    } else {
      V child[VectorsOfH(half)];
#pragma GCC unroll 16
      for (int i = 0; i < half; ++i) {
#pragma GCC unroll 16
        for (int j = i; j < half; ++j) child[i * OddStride(half) + j] = element(i, j);
      }
      V* rows = kept + shared * Whole::kWidth + c * Fixed<Whole::kHalfRows, Whole::kHalfCols>::kKept;
      DescendFixed<Whole::kHalfRows, Whole::kHalfCols>(leaf, child_row, child_col, rows, child);
    }
  }
}

// The h of a half.
template <class T>
MT_HD void SelectHalf(const Joint& joint, int child, int ports, const Vector<T>* h, const Vector<T>* out, int half,
                      Vector<T>* child_h) {
  const Columns<4 * 16> columns(joint, child);
  for (int i = 0; i < half; ++i) {
    for (int j = i; j < half; ++j) {
      child_h[i * OddStride(half) + j] = Element<T>(joint.shared, ports, h, out, columns.at[i], columns.at[j]);
    }
  }
}

// From h of a block to the gradient of its cells.
template <class T>
void Descend(const LeafAdjoint<T>& leaf, Shape whole, int row, int col, Vector<T>* kept, const Vector<T>* h,
             Vector<T>* scratch) {
  if (whole.cells() == kStep * kStep) {
    return DescendFixed<kStep, kStep>(leaf, row, col, kept, h);
  }
  const Halves<T> halves(whole, kept);
  const int shared = halves.joint.shared, ports = whole.ports();
  Vector<T>* out = scratch;
  Vector<T>* child_h = scratch + shared * (shared + ports);
  Unjoin<kTileRows, kTileCols, T>(shared, ports, halves.rows.y, h, out);
  SelectHalf<T>(halves.joint, 0, ports, h, out, halves.a.ports(), child_h);
  Descend(leaf, halves.a, row, col, halves.kept_a, child_h, child_h + VectorsOfH(halves.a.ports()));
  SelectHalf<T>(halves.joint, 1, ports, h, out, halves.b.ports(), child_h);
  Descend(leaf, halves.b, halves.row_b(row), halves.col_b(col), halves.kept_b, child_h,
          child_h + VectorsOfH(halves.b.ports()));
}

// The h of all lanes side by side.
template <class T>
MT_HD void LoadH(const LeafAdjoint<T>& leaf, int ports, Vector<T>* h) {
  for (int j = 0; j < ports; j += kLanes<T>) {
    for (int i = 0; i < ports && i < j + kLanes<T>; ++i) {
      const int64_t at = i * AdjointStride<T>(ports) + j;
      Vector<T> square[kLanes<T>];
      for (int l = 0; l < kLanes<T>; ++l) {
        square[l] = l < leaf.leaves.count ? AsVector(leaf.h[l] + at)[0] : Vector<T>{};
      }
      Transpose<T>(square);
      for (int l = 0; l < kLanes<T> && j + l < ports; ++l) h[i * OddStride(ports) + j + l] = square[l];
    }
  }
}

template <class T>
int64_t LeafScratch(int rows, int cols) {
  const Shape shape{rows, cols};
  return (VectorsOfH(shape.ports()) + KeptSize(shape) + 2 * WorkingSize(shape)) * kLanes<T>;
}

template <class T>
void LeafGradient(const LeafAdjoint<T>& leaf) {
  const Shape shape{leaf.leaves.rows, leaf.leaves.cols};
  const int ports = shape.ports();
  Vector<T>* h = AsVector(leaf.leaves.scratch);
  Vector<T>* kept = h + VectorsOfH(ports);
  Vector<T>* working = kept + KeptSize(shape);
  JoinKeeping(leaf.leaves, shape, 0, 0, kept, h, working);
  LoadH(leaf, ports, h);
  Descend(leaf, shape, 0, 0, kept, h, working);
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_ADJOINT_LEAVES_H_
