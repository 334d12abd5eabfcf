// Blocks of cells in the lanes of vectors: their ports, and how two of them are joined.
#ifndef MEMTORCH_ENGINE_GRID_LEAF_BLOCKS_H_
#define MEMTORCH_ENGINE_GRID_LEAF_BLOCKS_H_

#include <cstdint>

#include "engine/grid/leaf_kernels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {

// Sizes of leaves are multiples of it; blocks of kStep x kStep cells are unrolled.
constexpr int kStep = 4;

// A block in lanes: the upper triangle of its matrix in a square of vectors, sides in the order top, left, right,
// bottom.
struct Shape {
  int rows, cols;

  constexpr int ports() const { return 2 * (rows + cols); }
  constexpr int left() const { return cols; }
  constexpr int right() const { return cols + rows; }
  constexpr int bottom() const { return cols + 2 * rows; }
  constexpr int cells() const { return rows * cols; }
};

template <class T>
struct Block {
  Vector<T>* n;
  Shape shape;
  int stride = shape.ports();

  // Pointer to element (i, j) of the symmetric matrix.
  MT_HD Vector<T>* at(int i, int j) const { return i < j ? n + i * stride + j : n + j * stride + i; }
};

// Ports [from, from + size) of a child are [to, to + size) of what it is joined to.
struct Piece {
  int child, from, to, size;
};

// How two blocks are joined along side by side (across) or one above the other.
struct Joint {
  Shape whole{};
  int shared = 0;
  int from[2] = {};  // first shared port of each child
  int count = 0;
  Piece pieces[6] = {};

  constexpr void Add(int child, int from_port, int to, int size) { pieces[count++] = {child, from_port, to, size}; }
};

constexpr Joint JoinAcross(Shape a, Shape b) {
  Joint joint;
  joint.whole = {a.rows, a.cols + b.cols};
  joint.shared = a.rows;
  joint.from[0] = a.right();
  joint.from[1] = b.left();
  joint.Add(0, 0, 0, a.cols);
  joint.Add(1, 0, a.cols, b.cols);
  joint.Add(0, a.left(), joint.whole.left(), a.rows);
  joint.Add(1, b.right(), joint.whole.right(), a.rows);
  joint.Add(0, a.bottom(), joint.whole.bottom(), a.cols);
  joint.Add(1, b.bottom(), joint.whole.bottom() + a.cols, b.cols);
  return joint;
}

constexpr Joint JoinDown(Shape a, Shape b) {
  Joint joint;
  joint.whole = {a.rows + b.rows, a.cols};
  joint.shared = a.cols;
  joint.from[0] = a.bottom();
  joint.from[1] = 0;
  joint.Add(0, 0, 0, a.cols);
  joint.Add(0, a.left(), joint.whole.left(), a.rows);
  joint.Add(1, b.left(), joint.whole.left() + a.rows, b.rows);
  joint.Add(0, a.right(), joint.whole.right(), a.rows);
  joint.Add(1, b.right(), joint.whole.right() + a.rows, b.rows);
  joint.Add(1, b.bottom(), joint.whole.bottom(), a.cols);
  return joint;
}

// Where each port of a joined block comes from.
template <int kPorts>
struct Origins {
  int child[kPorts] = {}, port[kPorts] = {};

  constexpr explicit Origins(const Joint& joint) {
    for (int p = 0; p < joint.count; ++p) {
      for (int j = 0; j < joint.pieces[p].size; ++j) {
        child[joint.pieces[p].to + j] = joint.pieces[p].child;
        port[joint.pieces[p].to + j] = joint.pieces[p].from + j;
      }
    }
  }
};

// The rows of what is shared: x, and y = x / pivot, [shared, width] each, `stride` apart; shared columns first.
template <class T>
struct Rows {
  Vector<T>*x = nullptr, *y = nullptr;
  int width = 0, stride = width;
};

template <class T>
MT_HD Vector<T> Inverse(Vector<T> pivot) {
  const Vector<T> some = pivot > kNothing<T> ? pivot : kNothing<T> - Vector<T>{};
  return pivot > kNothing<T> ? 1 / some : Vector<T>{};
}

constexpr int HalfOf(int n) { return n > kStep ? n / kStep / 2 * kStep : n / 2; }

constexpr void Split(Shape whole, Shape* a, Shape* b) {
  *a = *b = whole;
  if (whole.cols >= whole.rows) {
    a->cols = HalfOf(whole.cols);
    b->cols = whole.cols - a->cols;
  } else {
    a->rows = HalfOf(whole.rows);
    b->rows = whole.rows - a->rows;
  }
}

constexpr int64_t Square(int ports) { return static_cast<int64_t>(ports) * ports; }

template <class T>
MT_HD void Gather(const Block<T>* children, const Joint& joint, const Rows<T>& rows) {
  for (int k = 0; k < joint.shared; ++k) {
    Vector<T>* x = rows.x + k * rows.stride;
    for (int j = k + 1; j < joint.shared; ++j) {
      x[j] =
          *children[0].at(joint.from[0] + k, joint.from[0] + j) + *children[1].at(joint.from[1] + k, joint.from[1] + j);
    }
    for (int p = 0; p < joint.count; ++p) {
      const Piece& piece = joint.pieces[p];
      const Block<T>& child = children[piece.child];
      const Vector<T>* from = child.at(joint.from[piece.child] + k, piece.from);
      const int step = joint.from[piece.child] < piece.from ? 1 : child.stride;
      Vector<T>* to = x + joint.shared + piece.to;
      for (int j = 0; j < piece.size; ++j) to[j] = from[j * step];
    }
  }
}

// Eliminates in blocks of kBlock rows: what earlier rows add to them, the elimination among themselves, in which other
// columns count by their sum alone, and its effect on those columns. The number of rows is a multiple of kBlock.
constexpr int kBlock = 4;

template <class T>
MT_HD void EliminateBlock(const Rows<T>& rows, int first) {
  using V = Vector<T>;
  const int width = rows.width, stride = rows.stride;
  V* const x = rows.x + first * stride;
  V* const y = rows.y + first * stride;
  V sum[kBlock] = {};
  for (int j = first; j < width; ++j) {
    V value[kBlock];
    for (int a = 0; a < kBlock; ++a) value[a] = x[a * stride + j];
    for (int q = 0; q < first; ++q) {
      const V other = rows.x[q * stride + j];
      for (int a = 0; a < kBlock; ++a) value[a] += rows.y[q * stride + first + a] * other;
    }
    for (int a = 0; a < kBlock; ++a) {
      x[a * stride + j] = value[a];
      if (j >= first + kBlock) sum[a] += value[a];
    }
  }
  V n[kBlock][kBlock], inverse[kBlock];
  for (int a = 0; a < kBlock; ++a) {
    for (int b = a + 1; b < kBlock; ++b) n[a][b] = x[a * stride + first + b];
  }
  V ratio[kBlock][kBlock];
  for (int k = 0; k < kBlock; ++k) {
    V pivot = sum[k];
    for (int b = k + 1; b < kBlock; ++b) pivot += n[k][b];
    inverse[k] = Inverse<T>(pivot);
    for (int a = k + 1; a < kBlock; ++a) {
      ratio[k][a] = n[k][a] * inverse[k];
      for (int b = a + 1; b < kBlock; ++b) n[a][b] += ratio[k][a] * n[k][b];
      sum[a] += ratio[k][a] * sum[k];
    }
  }
  for (int a = 0; a < kBlock; ++a) {
    for (int b = a + 1; b < kBlock; ++b) y[a * stride + first + b] = ratio[a][b];
  }
  for (int j = first + kBlock; j < width; ++j) {
    V value[kBlock];
    for (int a = 0; a < kBlock; ++a) {
      value[a] = x[a * stride + j];
      for (int k = 0; k < a; ++k) value[a] += ratio[k][a] * value[k];
      x[a * stride + j] = value[a];
      y[a * stride + j] = value[a] * inverse[a];
    }
  }
}

// The corner (i, j) of a result, kTile x kTile vectors; of a diagonal one only what lies above the diagonal.
#if defined(__AVX512F__)
constexpr int kTileRows = 4;
#else
constexpr int kTileRows = 2;
#endif
constexpr int kTileCols = 4;

template <bool kDiagonal, class T>
MT_HD void LaneTile(const Vector<T>* x, const Vector<T>* y, int shared, int stride, const Vector<T>* init, int init_row,
                    int init_col, Vector<T>* out, int out_stride, int below) {
  using V = Vector<T>;
  V sum[kTileRows][kTileCols] = {};
  if (init != nullptr) {
    for (int a = 0; a < kTileRows; ++a) {
      for (int b = 0; b < kTileCols; ++b) {
        if (!kDiagonal || b > a + below) sum[a][b] = init[a * init_row + b * init_col];
      }
    }
  }
  for (int k = 0; k < shared; ++k) {
    V left[kTileRows];
    for (int a = 0; a < kTileRows; ++a) left[a] = x[k * stride + a];
    for (int b = 0; b < kTileCols; ++b) {
      const V right = y[k * stride + b];
      for (int a = 0; a < kTileRows; ++a) sum[a][b] += left[a] * right;
    }
  }
  for (int a = 0; a < kTileRows; ++a) {
    for (int b = 0; b < kTileCols; ++b) {
      if (!kDiagonal || b > a + below) out[a * out_stride + b] = sum[a][b];
    }
  }
}

// The part of the result that lies between two pieces.
template <class T>
MT_HD void Between(const Block<T>* children, const Joint& joint, const Rows<T>& rows, const Piece& p, const Piece& q,
                   const Block<T>& out) {
  const bool diagonal = &p == &q;
  const int stride = children[p.child].stride;
  const bool flip = p.from > q.from;
  const int init_row = flip ? 1 : stride, init_col = flip ? stride : 1;
  const Vector<T>* corner = p.child == q.child ? children[p.child].n + p.from * init_row + q.from * init_col : nullptr;
  // Columns outside: those of a tile stay in the first-level cache with all rows of a piece.
  for (int j = 0; j < q.size; j += kTileCols) {
    const Vector<T>* y = rows.y + joint.shared + q.to + j;
    for (int i = 0; i < (diagonal ? j + kTileCols : p.size); i += kTileRows) {
      const Vector<T>* x = rows.x + joint.shared + p.to + i;
      const Vector<T>* init = corner == nullptr ? nullptr : corner + i * init_row + j * init_col;
      Vector<T>* to = out.n + (p.to + i) * out.stride + q.to + j;
      if (diagonal && i >= j) {
        LaneTile<true, T>(x, y, joint.shared, rows.stride, init, init_row, init_col, to, out.stride, i - j);
      } else {
        LaneTile<false, T>(x, y, joint.shared, rows.stride, init, init_row, init_col, to, out.stride, 0);
      }
    }
  }
}

// Joins blocks whose sizes are multiples of kStep, leaving the rows of what is shared.
template <class T>
MT_HD void JoinWith(const Block<T>* children, const Joint& joint, const Rows<T>& rows, const Block<T>& out) {
  Gather(children, joint, rows);
  for (int k = 0; k < joint.shared; k += kBlock) EliminateBlock(rows, k);
  for (int p = 0; p < joint.count; ++p) {
    for (int q = p; q < joint.count; ++q) Between(children, joint, rows, joint.pieces[p], joint.pieces[q], out);
  }
}

// The ports of one cell.
template <class T>
MT_HD void SetCell(const Leaves<T>& leaves, int row, int col, Vector<T>* n) {
  const Block<T> cell{n, {1, 1}};
  const int top = 0, left = 1, right = 2, bottom = 3;
  *cell.at(top, left) = *cell.at(left, bottom) = *cell.at(right, bottom) = Vector<T>{};
  *cell.at(top, right) = AsVector(leaves.g)[row * leaves.cols + col];
  *cell.at(top, bottom) = AsVector(leaves.bit)[row];
  *cell.at(left, right) = AsVector(leaves.word)[col];
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_LEAF_BLOCKS_H_
