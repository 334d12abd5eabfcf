#include "engine/grid/leaf_kernels.h"

#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {
namespace {

// A block in lanes: the upper triangle of its matrix in a square of vectors, sides in the order top, left, right,
// bottom.
struct Shape {
  int rows, cols;

  MT_HD int ports() const { return 2 * (rows + cols); }
  MT_HD int left() const { return cols; }
  MT_HD int right() const { return cols + rows; }
  MT_HD int bottom() const { return cols + 2 * rows; }
  MT_HD int cells() const { return rows * cols; }
};

template <class T>
struct Block {
  Vector<T>* n;
  Shape shape;

  // Pointer to element (i, j) of the symmetric matrix.
  MT_HD Vector<T>* at(int i, int j) const { return i < j ? n + i * shape.ports() + j : n + j * shape.ports() + i; }
};

// Ports [from, from + size) of a child are [to, to + size) of what it is joined to.
struct Piece {
  int child, from, to, size;
};

// How two blocks are joined along side by side (across) or one above the other.
struct Joint {
  Shape whole;
  int shared;
  int from[2];  // first shared port of each child
  int count = 0;
  Piece pieces[6];

  MT_HD void Add(int child, int from_port, int to, int size) { pieces[count++] = {child, from_port, to, size}; }
};

MT_HD Joint JoinAcross(Shape a, Shape b) {
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

MT_HD Joint JoinDown(Shape a, Shape b) {
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

// The rows of what is shared: x, and y = x / pivot, [shared, width] each; shared columns first.
template <class T>
struct Rows {
  Vector<T>* x;
  Vector<T>* y;
  int width;
};

template <class T>
MT_HD void Gather(const Block<T>* children, const Joint& joint, const Rows<T>& rows) {
  for (int k = 0; k < joint.shared; ++k) {
    Vector<T>* x = rows.x + k * rows.width;
    for (int j = k + 1; j < joint.shared; ++j) {
      x[j] =
          *children[0].at(joint.from[0] + k, joint.from[0] + j) + *children[1].at(joint.from[1] + k, joint.from[1] + j);
    }
    for (int p = 0; p < joint.count; ++p) {
      const Piece& piece = joint.pieces[p];
      const Block<T>& child = children[piece.child];
      const int from = joint.from[piece.child] + k;
      for (int j = 0; j < piece.size; ++j) x[joint.shared + piece.to + j] = *child.at(from, piece.from + j);
    }
  }
}

template <class T>
MT_HD void Eliminate(const Joint& joint, const Rows<T>& rows) {
  using V = Vector<T>;
  for (int k = 0; k < joint.shared; ++k) {
    const V* x = rows.x + k * rows.width;
    V* y = rows.y + k * rows.width;
    V pivot = {};
    for (int j = k + 1; j < rows.width; ++j) pivot += x[j];
    const V some = pivot > kNothing<T> ? pivot : kNothing<T> - V{};
    const V inverse = pivot > kNothing<T> ? 1 / some : V{};
    for (int j = k + 1; j < rows.width; ++j) y[j] = x[j] * inverse;
    for (int q = k + 1; q < joint.shared; ++q) {
      const V ratio = y[q];
      V* other = rows.x + q * rows.width;
      for (int j = q + 1; j < rows.width; ++j) other[j] += ratio * x[j];
    }
  }
}

// The corner (i, j) of a result, I x J vectors, of which those at or below the diagonal are skipped if kDiagonal.
template <int I, int J, bool kDiagonal, class T>
MT_HD void Tile(const Vector<T>* x, const Vector<T>* y, int shared, int width, const Vector<T>* init, int init_row,
                int init_col, Vector<T>* out, int out_stride) {
  using V = Vector<T>;
  V sum[I][J];
  for (int a = 0; a < I; ++a) {
    for (int b = 0; b < J; ++b)
      sum[a][b] = init == nullptr || (kDiagonal && b <= a) ? V{} : init[a * init_row + b * init_col];
  }
  for (int k = 0; k < shared; ++k) {
    V left[I];
    for (int a = 0; a < I; ++a) left[a] = x[k * width + a];
    for (int b = 0; b < J; ++b) {
      const V right = y[k * width + b];
      for (int a = 0; a < I; ++a) sum[a][b] += left[a] * right;
    }
  }
  for (int a = 0; a < I; ++a) {
    for (int b = 0; b < J; ++b) {
      if (!kDiagonal || b > a) out[a * out_stride + b] = sum[a][b];
    }
  }
}

// The part of the result that lies between two pieces, in tiles of S x S.
template <int S, class T>
MT_HD void Between(const Block<T>* children, const Joint& joint, const Rows<T>& rows, const Piece& p, const Piece& q,
                   const Block<T>& out) {
  const bool same = p.child == q.child;
  const bool diagonal = &p == &q;
  const int stride = children[p.child].shape.ports();
  const bool flip = p.from > q.from;
  for (int i = 0; i < p.size; i += S) {
    for (int j = diagonal ? i : 0; j < q.size; j += S) {
      const Vector<T>* init =
          same ? children[p.child].n + (flip ? (q.from + j) * stride + p.from + i : (p.from + i) * stride + q.from + j)
               : nullptr;
      const Vector<T>* x = rows.x + joint.shared + p.to + i;
      const Vector<T>* y = rows.y + joint.shared + q.to + j;
      Vector<T>* to = out.n + (p.to + i) * out.shape.ports() + q.to + j;
      const int init_row = flip ? 1 : stride, init_col = flip ? stride : 1;
      if (diagonal && i == j) {
        Tile<S, S, true, T>(x, y, joint.shared, rows.width, init, init_row, init_col, to, out.shape.ports());
      } else {
        Tile<S, S, false, T>(x, y, joint.shared, rows.width, init, init_row, init_col, to, out.shape.ports());
      }
    }
  }
}

template <int S, class T>
MT_HD void Join(const Block<T>* children, const Joint& joint, Vector<T>* scratch, Vector<T>* n) {
  const int width = joint.shared + joint.whole.ports();
  const Rows<T> rows{scratch, scratch + joint.shared * width, width};
  Gather(children, joint, rows);
  Eliminate(joint, rows);
  const Block<T> out{n, joint.whole};
  for (int p = 0; p < joint.count; ++p) {
    for (int q = p; q < joint.count; ++q) {
      Between<S>(children, joint, rows, joint.pieces[p], joint.pieces[q], out);
    }
  }
}

MT_HD int HalfOf(int n) { return n > 4 ? n / 4 / 2 * 4 : n / 2; }

MT_HD void Split(Shape whole, Shape* a, Shape* b) {
  *a = *b = whole;
  if (whole.cols >= whole.rows) {
    a->cols = HalfOf(whole.cols);
    b->cols = whole.cols - a->cols;
  } else {
    a->rows = HalfOf(whole.rows);
    b->rows = whole.rows - a->rows;
  }
}

int64_t Square(int ports) { return static_cast<int64_t>(ports) * ports; }

// Vectors of scratch that Solve needs for a block.
int64_t ScratchVectors(Shape whole) {
  if (whole.cells() == 1) return 0;
  Shape a, b;
  Split(whole, &a, &b);
  const bool across = a.cols != whole.cols;
  const int64_t shared = across ? whole.rows : whole.cols;
  const int64_t inner_a = ScratchVectors(a), inner_b = ScratchVectors(b);
  int64_t most = 2 * shared * (shared + whole.ports());
  if (inner_a > most) most = inner_a;
  if (inner_b > most) most = inner_b;
  return Square(a.ports()) + Square(b.ports()) + most;
}

template <class T>
void Cell(const Leaves<T>& leaves, int row, int col, Vector<T>* n) {
  using V = Vector<T>;
  const Block<T> cell{n, {1, 1}};
  const V* word = AsVector(leaves.word);
  const V* bit = AsVector(leaves.bit);
  const V* g = AsVector(leaves.g);
  const int top = 0, left = 1, right = 2, bottom = 3;
  *cell.at(top, left) = V{};
  *cell.at(top, right) = g[row * leaves.cols + col];
  *cell.at(top, bottom) = bit[row];
  *cell.at(left, right) = word[col];
  *cell.at(left, bottom) = V{};
  *cell.at(right, bottom) = V{};
}

// The block of cells with its first at (row, col), into n [ports, ports].
template <class T>
void Solve(const Leaves<T>& leaves, Shape whole, int row, int col, Vector<T>* n, Vector<T>* scratch) {
  if (whole.cells() == 1) return Cell(leaves, row, col, n);
  Shape a, b;
  Split(whole, &a, &b);
  const bool across = a.cols != whole.cols;
  Block<T> children[2] = {{scratch, a}, {scratch + Square(a.ports()), b}};
  Vector<T>* rest = children[1].n + Square(b.ports());
  Solve(leaves, a, row, col, children[0].n, rest);
  Solve(leaves, b, row + (across ? 0 : a.rows), col + (across ? a.cols : 0), children[1].n, rest);
  const Joint joint = across ? JoinAcross(a, b) : JoinDown(a, b);
  const int sizes = a.rows | a.cols | b.rows | b.cols;  // its lowest bit divides them all
  if (sizes % 4 == 0) {
    Join<4>(children, joint, rest, n);
  } else if (sizes % 2 == 0) {
    Join<2>(children, joint, rest, n);
  } else {
    Join<1>(children, joint, rest, n);
  }
}

// Transposes a square of vectors, in log2(lanes) rounds.
template <class T>
MT_HD void Transpose(Vector<T>* v) {
  constexpr int kSize = kLanes<T>;
  T square[kSize][kSize] __attribute__((aligned(64)));
  for (int i = 0; i < kSize; ++i) AsVector(&square[i][0])[0] = v[i];
  for (int i = 0; i < kSize; ++i) {
    T column[kSize] __attribute__((aligned(64)));
    for (int l = 0; l < kSize; ++l) column[l] = square[l][i];
    v[i] = AsVector(&column[0])[0];
  }
}

// Both triangles of each lane's matrix.
template <class T>
MT_HD void Unpack(const Leaves<T>& leaves, const Block<T>& block) {
  const int ports = block.shape.ports();
  for (int i = 0; i < ports; ++i) {
    for (int j = 0; j < ports; j += kLanes<T>) {
      Vector<T> square[kLanes<T>];
      for (int l = 0; l < kLanes<T>; ++l) {
        square[l] = j + l < ports && j + l != i ? *block.at(i, j + l) : Vector<T>{};
      }
      Transpose<T>(square);
      for (int l = 0; l < leaves.count; ++l) AsVector(leaves.out[l] + i * leaves.out_stride + j)[0] = square[l];
    }
  }
}

template <class T>
int64_t Scratch(int rows, int cols) {
  const Shape shape{rows, cols};
  return (Square(shape.ports()) + ScratchVectors(shape)) * kLanes<T>;
}

template <class T>
void SolveLeaves(const Leaves<T>& leaves) {
  const Shape shape{leaves.rows, leaves.cols};
  const Block<T> block{AsVector(leaves.scratch), shape};
  Solve(leaves, shape, 0, 0, block.n, block.n + Square(shape.ports()));
  Unpack(leaves, block);
}

}  // namespace

const LeafKernels<float> kLeafFloat = {kLanes<float>, Scratch<float>, SolveLeaves<float>};
const LeafKernels<double> kLeafDouble = {kLanes<double>, Scratch<double>, SolveLeaves<double>};

}  // namespace MT_ISA
}  // namespace memtorch
