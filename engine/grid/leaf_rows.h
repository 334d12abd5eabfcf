// Leaves put together in lanes with the rows of all joints kept, for what goes back down through them.
#ifndef MEMTORCH_ENGINE_GRID_LEAF_ROWS_H_
#define MEMTORCH_ENGINE_GRID_LEAF_ROWS_H_

#include <cstdint>

#include "engine/grid/leaf_blocks.h"
#include "engine/grid/leaf_fixed.h"
#include "engine/grid/leaf_kernels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {

// Vectors that hold the scaled rows of a joint, and those of all joints of a block: its own, then its halves'.
inline int64_t RowsSize(Shape whole, Shape a) {
  const int64_t shared = a.cols != whole.cols ? whole.rows : whole.cols;
  return shared * (shared + whole.ports());
}
inline int64_t KeptSize(Shape whole) {
  if (whole.cells() == kStep * kStep) return Fixed<kStep, kStep>::kKept;  // the same, known before
  if (whole.cells() == 1) return 0;
  Shape a, b;
  Split(whole, &a, &b);
  return RowsSize(whole, a) + KeptSize(a) + KeptSize(b);
}

// Vectors of scratch for JoinKeeping a block, and for what goes back down with as much at each block; generous: what
// halves need is less than a geometric series.
inline int64_t WorkingSize(Shape whole) { return 3 * Square(whole.ports()) + 2 * Square(whole.rows + whole.cols); }

template <class T>
struct Halves {
  Shape a, b;
  bool across;
  Joint joint;
  Rows<T> rows;  // y alone
  Vector<T>*kept_a, *kept_b;

  Halves(Shape whole, Vector<T>* kept) {
    Split(whole, &a, &b);
    across = a.cols != whole.cols;
    joint = across ? JoinAcross(a, b) : JoinDown(a, b);
    rows = {nullptr, kept, joint.shared + whole.ports()};
    kept_a = kept + RowsSize(whole, a);
    kept_b = kept_a + KeptSize(a);
  }
  int row_b(int row) const { return across ? row : row + a.rows; }
  int col_b(int col) const { return across ? col + a.cols : col; }
};

// The matrix n of a block of kStep x kStep cells or more, keeping the scaled rows of all joints.
template <class T>
void JoinKeeping(const Leaves<T>& leaves, Shape whole, int row, int col, Vector<T>* kept, Vector<T>* n,
                 Vector<T>* scratch) {
  if (whole.cells() == kStep * kStep) return SolveFixed<kStep, kStep, true>(leaves, row, col, n, kept);
  const Halves<T> halves(whole, kept);
  const Block<T> children[2] = {{scratch, halves.a}, {scratch + Square(halves.a.ports()), halves.b}};
  Vector<T>* rest = children[1].n + Square(halves.b.ports());
  JoinKeeping(leaves, halves.a, row, col, halves.kept_a, children[0].n, rest);
  JoinKeeping(leaves, halves.b, halves.row_b(row), halves.col_b(col), halves.kept_b, children[1].n, rest);
  JoinWith(children, halves.joint, Rows<T>{rest, halves.rows.y, halves.rows.width}, Block<T>{n, whole});
}

// sum += left right; element (a, k) of the left one at left[a * left_row + k], (k, b) of the right one at
// right[k * right_row + b * right_col].
template <int kA, int kB, class T>
MT_HD void AddLanes(const Vector<T>* left, int left_row, const Vector<T>* right, int right_row, int right_col,
                    int depth, Vector<T> (&sum)[kA][kB]) {
  for (int k = 0; k < depth; ++k) {
    Vector<T> column[kA];
#pragma GCC unroll 4
    for (int a = 0; a < kA; ++a) column[a] = left[a * left_row + k];
#pragma GCC unroll 4
    for (int b = 0; b < kB; ++b) {
      const Vector<T> value = right[k * right_row + b * right_col];
#pragma GCC unroll 4
      for (int a = 0; a < kA; ++a) sum[a][b] += column[a] * value;
    }
  }
}

// w, the potentials of what is shared, in place of the outer columns of scaled rows [shared, width]; in tiles of
// kA x kB.
template <int kA, int kB, class T>
MT_HD void BackSubstituteTiles(int shared, int width, Vector<T>* rows) {
  for (int k = shared - kA; k >= 0; k -= kA) {
    Vector<T>* own = rows + k * width;
    for (int j = shared; j < width; j += kB) {
      Vector<T> sum[kA][kB];
      for (int a = 0; a < kA; ++a) {
        for (int b = 0; b < kB; ++b) sum[a][b] = own[a * width + j + b];
      }
      AddLanes<kA, kB, T>(own + k + kA, width, rows + (k + kA) * width + j, width, 1, shared - k - kA, sum);
#pragma GCC unroll 4
      for (int a = kA - 1; a >= 0; --a) {
#pragma GCC unroll 4
        for (int q = a + 1; q < kA; ++q) {
          for (int b = 0; b < kB; ++b) sum[a][b] += own[a * width + k + q] * sum[q][b];
        }
        for (int b = 0; b < kB; ++b) own[a * width + j + b] = sum[a][b];
      }
    }
  }
}

// The same for a joint of any size.
template <class T>
MT_HD void BackSubstitute(const Joint& joint, const Rows<T>& rows) {
  if (joint.shared % kTileRows == 0) {
    BackSubstituteTiles<kTileRows, kTileCols, T>(joint.shared, rows.width, rows.y);
  } else {
    BackSubstituteTiles<1, 2, T>(joint.shared, rows.width, rows.y);
  }
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_LEAF_ROWS_H_
