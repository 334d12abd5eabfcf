// Leaves put together in lanes with the rows of all joints kept, for what goes back down through them.
#ifndef MEMTORCH_ENGINE_GRID_LEAF_ROWS_H_
#define MEMTORCH_ENGINE_GRID_LEAF_ROWS_H_

#include <cstdint>

#include "engine/grid/leaf_blocks.h"
#include "engine/grid/leaf_kernels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {

// Vectors that hold the rows of a joint, and those of all joints of a block: its own, then its halves'.
inline int64_t RowsSize(Shape whole, Shape a) {
  const int64_t shared = a.cols != whole.cols ? whole.rows : whole.cols;
  return 2 * shared * (shared + whole.ports());
}
inline int64_t KeptSize(Shape whole) {
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
  Rows<T> rows;
  Vector<T>*kept_a, *kept_b;

  Halves(Shape whole, Vector<T>* kept) {
    Split(whole, &a, &b);
    across = a.cols != whole.cols;
    joint = across ? JoinAcross(a, b) : JoinDown(a, b);
    const int64_t size = RowsSize(whole, a);
    rows = {kept, kept + size / 2, joint.shared + whole.ports()};
    kept_a = kept + size;
    kept_b = kept_a + KeptSize(a);
  }
  int row_b(int row) const { return across ? row : row + a.rows; }
  int col_b(int col) const { return across ? col + a.cols : col; }
};

template <class T>
MT_HD void Eliminate(const Joint& joint, const Rows<T>& rows) {
  using V = Vector<T>;
  for (int k = 0; k < joint.shared; ++k) {
    const V* x = rows.x + k * rows.width;
    V* y = rows.y + k * rows.width;
    V pivot = {};
    for (int j = k + 1; j < rows.width; ++j) pivot += x[j];
    const V inverse = Inverse<T>(pivot);
    for (int j = k + 1; j < rows.width; ++j) y[j] = x[j] * inverse;
    for (int q = k + 1; q < joint.shared; ++q) {
      V* other = rows.x + q * rows.width;
      for (int j = q + 1; j < rows.width; ++j) other[j] += y[q] * x[j];
    }
  }
}

// The matrix n of a block, keeping the rows of all joints.
template <class T>
void JoinKeeping(const Leaves<T>& leaves, Shape whole, int row, int col, Vector<T>* kept, Vector<T>* n,
                 Vector<T>* scratch) {
  using V = Vector<T>;
  if (whole.cells() == 1) {
    SetCell(leaves, row, col, n);
    return;
  }
  const Halves<T> halves(whole, kept);
  const Block<T> children[2] = {{scratch, halves.a}, {scratch + Square(halves.a.ports()), halves.b}};
  V* rest = children[1].n + Square(halves.b.ports());
  JoinKeeping(leaves, halves.a, row, col, halves.kept_a, children[0].n, rest);
  JoinKeeping(leaves, halves.b, halves.row_b(row), halves.col_b(col), halves.kept_b, children[1].n, rest);
  if (whole.cells() > kStep * kStep) return JoinWith(children, halves.joint, halves.rows, n);
  Gather(children, halves.joint, halves.rows);
  Eliminate(halves.joint, halves.rows);
  const int ports = whole.ports(), shared = halves.joint.shared, width = halves.rows.width;
  for (int p = 0; p < halves.joint.count; ++p) {
    for (int q = p; q < halves.joint.count; ++q) {
      const Piece &s = halves.joint.pieces[p], &t = halves.joint.pieces[q];
      for (int i = 0; i < s.size; ++i) {
        for (int j = p == q ? i + 1 : 0; j < t.size; ++j) {
          V sum = s.child == t.child ? *children[s.child].at(s.from + i, t.from + j) : V{};
          const V* x = halves.rows.x + shared + s.to + i;
          const V* y = halves.rows.y + shared + t.to + j;
          for (int k = 0; k < shared; ++k) sum += x[k * width] * y[k * width];
          n[(s.to + i) * ports + t.to + j] = sum;
        }
      }
    }
  }
}

// w in place of the outer columns of the scaled rows.
template <class T>
MT_HD void BackSubstitute(const Joint& joint, const Rows<T>& rows) {
  for (int k = joint.shared - 1; k >= 0; --k) {
    Vector<T>* w = rows.y + k * rows.width;
    for (int q = k + 1; q < joint.shared; ++q) {
      const Vector<T>* other = rows.y + q * rows.width;
      for (int j = joint.shared; j < rows.width; ++j) w[j] += w[q] * other[j];
    }
  }
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_LEAF_ROWS_H_
